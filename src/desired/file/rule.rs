//! The schema made ready for checking a tree of nodes: what may stand where, without the generality of JSON Schema.
//!
//! Only the constructs the grammar's types give are known. Another one is an error here, and a test compiles the whole schema,
//! so a new type cannot go unchecked.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{schema, words};

/// What may stand in one place.
#[derive(Debug)]
pub(super) enum Rule {
    /// Any text that is not empty.
    Text,
    /// A text with a syntax of its own.
    Word(words::Check),
    /// One of these texts.
    Choice(Vec<String>),
    /// A whole number.
    Integer { min: i64, max: i64 },
    /// `true` or `false`.
    Boolean,
    /// A list of at least so many.
    List { item: Arc<Rule>, min: usize },
    /// A map with these keys.
    Map(Keys),
    /// A map from names (or any text) to values.
    Names { key: Option<words::Check>, value: Arc<Rule> },
    /// A map whose `kind` decides its other keys.
    Kinds(BTreeMap<String, Keys>),
    /// A map with exactly one of these keys.
    OneKey(BTreeMap<String, Arc<Rule>>),
    /// Depends on whether a scalar, a list or a map stands there.
    Either(Vec<Arc<Rule>>),
}

/// The keys of a map.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) known: BTreeMap<String, Arc<Rule>>,
    pub(super) required: Vec<String>,
}

/// The rule of a whole file.
pub(super) fn document() -> Result<&'static Keys, String> {
    static DOCUMENT: LazyLock<Result<Keys, String>> = LazyLock::new(|| {
        let schema = schema::schema();
        let root = schema.as_object().ok_or("the schema is no object")?;
        Compiler { definitions: root.get("$defs"), done: BTreeMap::new() }.keys(root)
    });
    DOCUMENT.as_ref().map_err(Clone::clone)
}

/// The rule of one entry of `consumers`, which the built-in ones are checked by too.
pub(super) fn consumer() -> Result<Arc<Rule>, String> {
    match document()?.known.get("consumers").map(Arc::as_ref) {
        Some(Rule::Names { value, .. }) => Ok(value.clone()),
        _ => Err("`consumers` is no map of names".into()),
    }
}

struct Compiler<'a> {
    definitions: Option<&'a Value>,
    done: BTreeMap<String, Arc<Rule>>,
}

impl Compiler<'_> {
    fn rule(&mut self, schema: &Value) -> Result<Arc<Rule>, String> {
        let schema = schema.as_object().ok_or("a schema is no object")?;
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.trim_start_matches("#/$defs/");
            if let Some(done) = self.done.get(name) {
                return Ok(done.clone());
            }
            let rule = match words::check_of(name) {
                Some(check) => Arc::new(Rule::Word(check)),
                None => {
                    let definition = self.definitions.and_then(|all| all.get(name)).cloned();
                    self.rule(&definition.ok_or_else(|| format!("{name} is not defined"))?)?
                }
            };
            self.done.insert(name.to_owned(), rule.clone());
            return Ok(rule);
        }
        self.inline(schema).map(Arc::new)
    }

    fn inline(&mut self, schema: &Map<String, Value>) -> Result<Rule, String> {
        if let Some(choice) = choice(schema) {
            return Ok(Rule::Choice(choice));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => Ok(Rule::Text),
            Some("boolean") => Ok(Rule::Boolean),
            Some("integer") => Ok(Rule::Integer {
                min: schema.get("minimum").and_then(Value::as_i64).unwrap_or(i64::MIN),
                // schemars gives unsigned numbers no maximum, only a format.
                max: schema.get("maximum").and_then(Value::as_i64).unwrap_or(i64::from(u32::MAX)),
            }),
            Some("array") => Ok(Rule::List {
                item: self.rule(schema.get("items").ok_or("a list without items")?)?,
                min: schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize,
            }),
            Some("object") => self.map(schema),
            _ => {
                let choices = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array);
                self.alternatives(choices.ok_or_else(|| format!("unknown construct {schema:?}"))?)
            }
        }
    }

    fn map(&mut self, schema: &Map<String, Value>) -> Result<Rule, String> {
        if schema.contains_key("properties") {
            return self.keys(schema).map(Rule::Map);
        }
        let named = schema.get("patternProperties").and_then(Value::as_object);
        match (named.and_then(|named| named.values().next()), schema.get("additionalProperties")) {
            (Some(value), _) => Ok(Rule::Names { key: words::check_of("Name"), value: self.rule(value)? }),
            (None, Some(value)) => Ok(Rule::Names { key: None, value: self.rule(value)? }),
            (None, None) => Err(format!("unknown construct {schema:?}")),
        }
    }

    fn keys(&mut self, schema: &Map<String, Value>) -> Result<Keys, String> {
        let properties = schema.get("properties").and_then(Value::as_object).ok_or("no properties")?;
        let required = schema.get("required").and_then(Value::as_array);
        let mut keys = Keys::default();
        for (key, value) in properties {
            keys.known.insert(key.clone(), self.rule(value)?);
        }
        keys.required = required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(keys)
    }

    fn alternatives(&mut self, choices: &[Value]) -> Result<Rule, String> {
        let kinds: Option<Vec<_>> = choices.iter().map(kind_of).collect();
        if let Some(kinds) = kinds {
            let mut rules = BTreeMap::new();
            for (kind, schema) in kinds {
                rules.insert(kind.to_owned(), self.keys(schema)?);
            }
            return Ok(Rule::Kinds(rules));
        }
        let single: Option<Vec<_>> = choices.iter().map(single_key_of).collect();
        if let Some(single) = single {
            let mut rules = BTreeMap::new();
            for (key, schema) in single {
                rules.insert(key.clone(), self.rule(schema)?);
            }
            return Ok(Rule::OneKey(rules));
        }
        choices.iter().map(|choice| self.rule(choice)).collect::<Result<_, _>>().map(Rule::Either)
    }
}

/// The texts of an enumeration, however schemars spells it: with descriptions each variant is a `const` of its own.
fn choice(schema: &Map<String, Value>) -> Option<Vec<String>> {
    let texts = |values: &[Value]| values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    if let Some(value) = schema.get("const") {
        return texts(std::slice::from_ref(value));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return texts(values);
    }
    let variants = schema.get("oneOf")?.as_array()?;
    let each: Option<Vec<Vec<String>>> =
        variants.iter().map(|variant| choice(variant.as_object()?)).collect();
    each.map(|each| each.concat())
}

fn kind_of(schema: &Value) -> Option<(&str, &Map<String, Value>)> {
    let kind = schema.get("properties")?.get("kind")?.get("const")?.as_str()?;
    Some((kind, schema.as_object()?))
}

fn single_key_of(schema: &Value) -> Option<(&String, &Value)> {
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required")?.as_array()?;
    (properties.len() == 1 && required.len() == 1).then(|| properties.iter().next())?
}
