//! Keys and types of a tree against the rules: every mistake is reported, with its place and what was probably meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nearest;
use super::rule::{Keys, Rule};
use super::text::{self, SourceFile};
use super::tree::{NodeRef, Plain};
use super::words;
use crate::diagnostic::{Code, Diagnostic, is_unsafe_to_show};

/// Words of neighbouring tools, and what they are called here.
const SYNONYMS: &[(&str, &str)] = &[
    ("applications", "certificates"),
    ("apps", "certificates"),
    ("cert", "certificates"),
    ("duration", "validity"),
    ("lifetime", "validity"),
    ("validity_in_months", "validity"),
    ("days_before_expiry", "renew_before"),
    ("renew_before_percentage", "renew_before"),
    ("lifetime_percentage", "renew_before"),
    ("rotation", "rotation_period"),
    ("rotate_every", "rotation_period"),
    ("grace_period", "overlap"),
    ("issuer_ref", "issuer"),
    ("display_name", "description"),
    ("protect", "hold"),
    ("prevent_destroy", "hold"),
    ("secret_store", "store"),
    ("deliveries", "deliver"),
    ("acknowledgments", "acknowledgements"),
    ("tenant_id", "id"),
    ("vault_url", "vault"),
    ("path", "directory"),
    ("folder", "directory"),
];

/// Mistakes in one file after which no further one is looked for. Nobody reads them, and each takes memory.
const FOUND_MAX: usize = 1000;

/// What the key of a map from names is called.
const A_NAME: &str = "a name";

/// As much of a text as a message repeats.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let cut = if text.chars().nth(CHARS_MAX).is_some() { "…" } else { "" };
    text.chars().take(CHARS_MAX).chain(cut.chars()).collect()
}

/// Collects what is wrong with one file.
pub(super) struct Checker<'a> {
    file: &'a SourceFile,
    /// What was found so far.
    pub(super) found: Vec<Diagnostic>,
}

/// A value in its place: what it is called in messages, and the key it stands under.
#[derive(Clone, Copy)]
pub(super) struct At<'n, 'a> {
    pub(super) name: &'n str,
    pub(super) key: Option<NodeRef<'a>>,
    pub(super) node: NodeRef<'a>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(file: &'a SourceFile) -> Checker<'a> {
        Checker { file, found: Vec::new() }
    }

    fn error(&mut self, code: Code, node: NodeRef<'_>, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::error(code, self.file.place(node.span()), message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Whether so much is wrong that nothing further is looked at; that is said once.
    fn is_enough(&mut self, node: NodeRef<'_>) -> bool {
        if self.found.len() == FOUND_MAX {
            let message = format!("{FOUND_MAX} mistakes were found; what comes here was not looked at");
            self.error(Code::Limit, node, message);
        }
        self.found.len() > FOUND_MAX
    }

    /// Checks a value; whether it is free of mistakes.
    pub(super) fn check(&mut self, rule: &Rule, at: At<'_, '_>) -> bool {
        if self.is_enough(at.node) {
            return false;
        }
        let before = self.found.len();
        match rule {
            Rule::Text => self.text(at, |_| Ok(())),
            Rule::Word(check) => self.text(at, *check),
            Rule::Choice(choices) => self.choice(choices, at),
            Rule::Integer { min, max } => self.integer(*min, *max, at),
            Rule::Boolean => self.boolean(at),
            Rule::List { item, min } => self.list(item, *min, at),
            Rule::Map(keys) => {
                if self.is_map(at) {
                    self.keys(keys, None, at);
                }
            }
            Rule::Names { key, value } => self.names(*key, value, at),
            Rule::Kinds(kinds) => self.kinds(kinds, at),
            Rule::OneKey(keys) => self.one_key(keys, at),
            Rule::Either(choices) => self.either(choices, at),
        }
        self.found.len() == before
    }

    fn wrong_type(&mut self, at: At<'_, '_>, wanted: &str) {
        let Some(text) = at.node.text() else {
            let found = if at.node.is_list() { "a list" } else { "a map" };
            self.error(Code::WrongType, at.node, format!("`{}` takes {wanted}, not {found}", at.name));
            return;
        };
        if at.node.plain() == Plain::Null {
            let place = if text.is_empty() || text == "~" { at.key.unwrap_or(at.node) } else { at.node };
            let help = format!("write {wanted}, or leave the key out");
            self.error(Code::WrongType, place, format!("`{}` has no value", at.name)).help.push(help);
            return;
        }
        let shown = if self.file.is_hidden(&at.node.span()) {
            "this value".into()
        } else {
            format!("`{}`", short(text))
        };
        self.error(Code::WrongType, at.node, format!("`{}` takes {wanted}, not {shown}", at.name));
    }

    fn text(&mut self, at: At<'_, '_>, check: impl Fn(&str) -> Result<(), String>) {
        let Some(text) = at.node.text() else { return self.wrong_type(at, "a text") };
        let kind = match at.node.plain() {
            Plain::Null => return self.wrong_type(at, "a text"),
            Plain::Text => None,
            Plain::Bool(_) => Some("true or false"),
            Plain::Integer(_) | Plain::Float => Some("a number"),
        };
        if text.is_empty() {
            self.error(Code::WrongValue, at.node, format!("`{}` is empty", at.name));
        } else if let Err(problem) = check(text) {
            self.error(Code::WrongValue, at.node, problem);
        } else if let Some(kind) = kind {
            let wanted = if at.name == A_NAME {
                "a name is a text".into()
            } else {
                format!("`{}` takes a text", at.name)
            };
            let message = format!("YAML reads `{}` as {kind}; {wanted}", short(text));
            self.error(Code::WrongType, at.node, message)
                .help
                .push(format!("quote this: \"{}\"", short(text)));
        } else {
            self.characters(at.node, text);
        }
    }

    /// No text of a declaration may change how a plan, a log or a review looks.
    fn characters(&mut self, node: NodeRef<'_>, text: &str) {
        let Some(bad) = text.chars().find(|&c| is_unsafe_to_show(c)) else { return };
        let code = u32::from(bad);
        if matches!(bad, '\n' | '\r') {
            let error = self.error(Code::WrongValue, node, "the text has a line break in it");
            error.help.push("write it on one line, or fold it with `>-`".into());
        } else {
            let message = format!("the text holds the invisible character U+{code:04X}");
            let help = "control characters and characters that turn the writing direction are refused";
            self.error(Code::WrongValue, node, message).help.push(help.into());
        }
    }

    fn choice(&mut self, choices: &[String], at: At<'_, '_>) {
        let all = one_of(choices.iter().map(String::as_str));
        let many = choices.len() > 12;
        let wanted = if many { format!("one of {} words", choices.len()) } else { all.clone() };
        let Some(text) = at.node.text().filter(|_| at.node.plain() == Plain::Text) else {
            return self.wrong_type(at, &wanted);
        };
        if choices.iter().any(|choice| choice == text) {
            return;
        }
        let hidden = self.file.is_hidden(&at.node.span());
        let shown = if hidden { "this value".to_owned() } else { format!("`{}`", short(text)) };
        let near = nearest(text, choices.iter().map(String::as_str)).filter(|_| !hidden);
        let elliptic = choices.iter().any(|choice| choice == "rsa-2048")
            && ["ec", "p-", "p2", "p3", "p5", "ed"].iter().any(|tell| text.to_lowercase().starts_with(tell));
        let error =
            self.error(Code::WrongValue, at.node, format!("`{}` takes {wanted}, not {shown}", at.name));
        error.help.extend(
            near.map(|near| format!("did you mean `{near}`?")).or(many.then(|| format!("it takes {all}"))),
        );
        if elliptic {
            error.help.push("Entra does not sign in with elliptic-curve keys".into());
        }
    }

    fn integer(&mut self, min: i64, max: i64, at: At<'_, '_>) {
        match at.node.plain() {
            Plain::Integer(Some(number)) if (min..=max).contains(&number) => {}
            Plain::Integer(_) => {
                let message = format!("`{}` is outside {min} to {max}", at.name);
                self.error(Code::WrongValue, at.node, message);
            }
            _ => self.wrong_type(at, "a whole number"),
        }
    }

    fn boolean(&mut self, at: At<'_, '_>) {
        if !matches!(at.node.plain(), Plain::Bool(_)) {
            self.wrong_type(at, "`true` or `false`");
        }
    }

    fn list(&mut self, item: &Rule, min: usize, at: At<'_, '_>) {
        if !at.node.is_list() {
            return self.wrong_type(at, "a list");
        }
        if at.node.items().count() < min {
            self.error(
                Code::WrongValue,
                at.key.unwrap_or(at.node),
                format!("`{}` is an empty list", at.name),
            );
        }
        for node in at.node.items() {
            self.check(item, At { name: at.name, key: None, node });
        }
    }

    /// Whether a map stands there; if not, that is reported.
    pub(super) fn is_map(&mut self, at: At<'_, '_>) -> bool {
        if !at.node.is_map() {
            self.wrong_type(at, "a map");
        }
        at.node.is_map()
    }

    /// Checks the keys of a map. `others` are the kinds it could have been, to say where a stray key belongs.
    fn keys(&mut self, keys: &Keys, others: Option<&BTreeMap<String, Keys>>, at: At<'_, '_>) {
        for (key, node) in at.node.entries() {
            let name = key.text().unwrap_or_default();
            match keys.known.get(name) {
                Some(rule) => {
                    self.check(rule, At { name, key: Some(key), node });
                }
                None => self.unknown_key(keys.known.keys(), others, key),
            }
        }
        let missing = keys.required.iter().filter(|required| at.node.entry(required).is_none());
        self.missing_keys(missing, at);
    }

    /// Reports required keys that are not there.
    pub(super) fn missing_keys<'k>(&mut self, missing: impl Iterator<Item = &'k String>, at: At<'_, '_>) {
        for key in missing {
            let place = at.key.unwrap_or(at.node);
            self.error(Code::MissingKey, place, format!("`{}` needs the key `{key}`", at.name));
        }
    }

    /// Reports a key that nothing knows.
    pub(super) fn unknown_key<'k>(
        &mut self,
        known: impl Iterator<Item = &'k String> + Clone,
        others: Option<&BTreeMap<String, Keys>>,
        key: NodeRef<'_>,
    ) {
        if self.is_enough(key) {
            return;
        }
        let name = key.text().unwrap_or_default();
        let synonym = SYNONYMS.iter().find(|(word, _)| *word == snake(name)).map(|(_, ours)| *ours);
        let synonym = synonym.filter(|ours| known.clone().any(|known| known == ours));
        let near = synonym.or_else(|| nearest(name, known.clone().map(String::as_str)));
        let of_other = others.into_iter().flatten().find(|(_, keys)| keys.known.contains_key(name));
        let error = self.error(Code::UnknownKey, key, format!("unknown key `{}`", short(name)));
        if let Some(near) = near {
            error.help.push(format!("did you mean `{near}`?"));
        } else if let Some((kind, _)) = of_other {
            error.help.push(format!("kind `{kind}` has this key"));
        } else if ["app_id", "object_id", "unique_name"].contains(&name) {
            error.help.push(format!("write `application: {{ {name}: … }}`"));
        } else {
            let known: Vec<&str> = known.map(String::as_str).collect();
            error.help.push(format!("keys here are {}", known.join(", ")));
        }
    }

    fn names(&mut self, check: Option<words::Check>, value: &Rule, at: At<'_, '_>) {
        if !self.is_map(at) {
            return;
        }
        for (key, node) in at.node.entries() {
            self.name(check, key);
            let name = key.text().unwrap_or_default();
            self.check(value, At { name, key: Some(key), node });
        }
    }

    /// Checks a key that is a name; whether it is free of mistakes.
    pub(super) fn name(&mut self, check: Option<words::Check>, key: NodeRef<'_>) -> bool {
        if self.is_enough(key) {
            return false;
        }
        let before = self.found.len();
        self.text(At { name: A_NAME, key: None, node: key }, check.unwrap_or(|_| Ok(())));
        self.found.len() == before
    }

    fn kinds(&mut self, kinds: &BTreeMap<String, Keys>, at: At<'_, '_>) {
        if !self.is_map(at) {
            return;
        }
        let Some((key, node)) = at.node.entry("kind") else {
            let wanted = one_of(kinds.keys().map(String::as_str));
            let message = format!("`{}` needs the key `kind`", at.name);
            let help = format!("`kind` takes {wanted}");
            self.error(Code::MissingKey, at.key.unwrap_or(at.node), message).help.push(help);
            return;
        };
        let choices: Vec<String> = kinds.keys().cloned().collect();
        let kind_at = At { name: "kind", key: Some(key), node };
        if self.check(&Rule::Choice(choices), kind_at)
            && let Some(keys) = node.text().and_then(|kind| kinds.get(kind))
        {
            self.keys(keys, Some(kinds), at);
        }
    }

    fn one_key(&mut self, keys: &BTreeMap<String, Arc<Rule>>, at: At<'_, '_>) {
        if !self.is_map(at) {
            return;
        }
        let wanted = one_of(keys.keys().map(String::as_str));
        for (index, (key, node)) in at.node.entries().enumerate() {
            let name = key.text().unwrap_or_default();
            match keys.get(name) {
                Some(_) if index > 0 => {
                    let message = format!("`{}` takes exactly one of {wanted}", at.name);
                    self.error(Code::Conflict, key, message);
                }
                Some(rule) => {
                    self.check(rule, At { name, key: Some(key), node });
                }
                None => self.unknown_key(keys.keys(), None, key),
            }
        }
        if at.node.entries().next().is_none() {
            let message = format!("`{}` needs {wanted}", at.name);
            self.error(Code::MissingKey, at.key.unwrap_or(at.node), message);
        }
    }

    fn either(&mut self, choices: &[Arc<Rule>], at: At<'_, '_>) {
        let plain = at.node.plain();
        let fits = |rule: &&Arc<Rule>| match rule.as_ref() {
            Rule::Integer { .. } => matches!(plain, Plain::Integer(_)),
            Rule::Boolean => matches!(plain, Plain::Bool(_)),
            Rule::Text | Rule::Word(_) | Rule::Choice(_) => at.node.text().is_some(),
            Rule::List { .. } => at.node.is_list(),
            Rule::Map(_) | Rule::Names { .. } | Rule::Kinds(_) | Rule::OneKey(_) => at.node.is_map(),
            Rule::Either(_) => true,
        };
        let literal_password = at.key.and_then(NodeRef::text).is_some_and(text::is_secret_key)
            && at.node.text().is_some_and(|text| !matches!(text, "generate" | "none"));
        if literal_password {
            let message = format!("`{}` never holds a password itself", at.name);
            self.error(Code::Secret, at.node, message).help.push(
                "write `generate`, `none`, `{ env: CERTROLL_SECRET_… }` or `{ secret_file: … }`; a password that \
                 stood in a file that others can read should be replaced"
                    .into(),
            );
        } else if let Some(rule) = choices.iter().find(fits) {
            self.check(rule, at);
        } else {
            let wanted: Vec<&str> = choices.iter().map(|rule| shape(rule)).collect();
            self.wrong_type(at, &wanted.join(" or "));
        }
    }
}

fn shape(rule: &Rule) -> &'static str {
    match rule {
        Rule::Integer { .. } => "a whole number",
        Rule::Boolean => "`true` or `false`",
        Rule::Text | Rule::Word(_) | Rule::Choice(_) => "a text",
        Rule::List { .. } => "a list",
        Rule::Map(_) | Rule::Names { .. } | Rule::Kinds(_) | Rule::OneKey(_) => "a map",
        Rule::Either(_) => "a value",
    }
}

/// `a`, `b` or `c`.
fn one_of<'k>(choices: impl Iterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = choices.map(|choice| format!("`{choice}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// `renewBefore` and `renew-before` as `renew_before`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        match c {
            '-' => snake.push('_'),
            c if c.is_uppercase() => {
                if !snake.is_empty() {
                    snake.push('_');
                }
                snake.extend(c.to_lowercase());
            }
            c => snake.push(c),
        }
    }
    snake
}
