//! `$filter`: what the directory understands of it, and what it refuses without an advanced query.

use jiff::Timestamp;
use serde_json::Value;

use crate::emulator::graph::refusal::Refusal;
use crate::emulator::world::{Kind, Object};

/// Without an advanced query, how many comparisons `or` and `in` may add up to.
const CLAUSES_MAX: usize = 15;
/// How many characters a compared text may have.
const TEXT_CHARS_MAX: usize = 120;
/// How deep parentheses may nest.
const DEPTH_MAX: usize = 32;

/// A condition on an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    Compare(String, Operator, Literal),
    In(String, Vec<Literal>),
    StartsWith(String, String),
    EndsWith(String, String),
    /// `tags/any(t:t eq 'x')`.
    Any(String, String),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Word(String),
}

const FILTERABLE: &[&str] = &[
    "id",
    "appId",
    "displayName",
    "createdDateTime",
    "signInAudience",
    "uniqueName",
    "tags",
    "identifierUris",
    "servicePrincipalNames",
    "servicePrincipalType",
    "accountEnabled",
    "appOwnerOrganizationId",
    "deletedDateTime",
];

/// Reads a filter and checks that it may be asked.
pub(crate) fn parse(text: &str, kind: Kind, advanced: bool) -> Result<Filter, Refusal> {
    let tokens = tokens(text).ok_or_else(|| syntax(text))?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let filter = parser.either().filter(|_| parser.at == parser.tokens.len()).ok_or_else(|| syntax(text))?;
    check(&filter, kind, advanced)?;
    let clauses = filter.clauses();
    if !advanced && clauses > CLAUSES_MAX {
        return Err(Refusal::unsupported(format!(
            "Too many child clauses specified in search filter expression containing 'OR' operators: {clauses}. \
             Max allowed: {CLAUSES_MAX}."
        )));
    }
    Ok(filter)
}

fn syntax(text: &str) -> Refusal {
    Refusal::new(400, "BadRequest", format!("Invalid filter clause: syntax error in '{text}'."))
}

fn check(filter: &Filter, kind: Kind, advanced: bool) -> Result<(), Refusal> {
    let needs_advanced = |operator: &str| match advanced {
        true => Ok(()),
        false => Err(Refusal::unsupported(format!(
            "Operator '{operator}' is not supported because the required parameters might be missing. Try adding \
             $count=true query parameter and ConsistencyLevel:eventual header. Refer to \
             https://aka.ms/graph-docs/advanced-queries for more information"
        ))),
    };
    let property = |name: &str| match FILTERABLE.contains(&name) {
        true => Ok(()),
        false => Err(Refusal::unsupported(format!(
            "Unsupported or invalid query filter clause specified for property '{name}' of resource '{}'.",
            match kind {
                Kind::Application => "Application",
                Kind::ServicePrincipal => "ServicePrincipal",
            }
        ))),
    };
    let length = |text: &str| match text.chars().count() <= TEXT_CHARS_MAX {
        true => Ok(()),
        false => Err(Refusal::unsupported("The compared text is longer than 120 characters.")),
    };
    match filter {
        Filter::Compare(name, operator, literal) => {
            property(name)?;
            if *operator == Operator::NotEqual {
                needs_advanced("ne")?;
            }
            length(literal.text())
        }
        Filter::In(name, literals) => {
            property(name)?;
            literals.iter().try_for_each(|literal| length(literal.text()))
        }
        Filter::StartsWith(name, text) | Filter::Any(name, text) => {
            property(name).and_then(|()| length(text))
        }
        Filter::EndsWith(name, text) => {
            needs_advanced("endsWith")?;
            property(name).and_then(|()| length(text))
        }
        Filter::Not(inner) => {
            needs_advanced("not")?;
            check(inner, kind, advanced)
        }
        Filter::And(left, right) | Filter::Or(left, right) => {
            check(left, kind, advanced)?;
            check(right, kind, advanced)
        }
    }
}

impl Literal {
    fn text(&self) -> &str {
        match self {
            Literal::Text(text) | Literal::Word(text) => text,
        }
    }
}

impl Filter {
    /// How many comparisons the `or`s and lists in it amount to.
    fn clauses(&self) -> usize {
        match self {
            Filter::In(_, list) => list.len(),
            Filter::Or(left, right) => left.clauses() + right.clauses(),
            Filter::And(left, right) => left.clauses().max(right.clauses()),
            Filter::Not(inner) => inner.clauses(),
            _ => 1,
        }
    }

    /// The app ids it is limited to, where it says nothing else: these have an index.
    pub(crate) fn app_ids(&self) -> Option<Vec<&str>> {
        match self {
            Filter::Compare(name, Operator::Equal, literal) if name == "appId" => Some(vec![literal.text()]),
            Filter::In(name, list) if name == "appId" => Some(list.iter().map(Literal::text).collect()),
            Filter::Or(left, right) => {
                let mut ids = left.app_ids()?;
                ids.extend(right.app_ids()?);
                Some(ids)
            }
            _ => None,
        }
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        match self {
            Filter::Compare(name, operator, literal) => compare(object, name, *operator, literal),
            Filter::In(name, list) => {
                list.iter().any(|literal| compare(object, name, Operator::Equal, literal))
            }
            Filter::StartsWith(name, text) => {
                texts(object, name).iter().any(|value| fold(value).starts_with(&fold(text)))
            }
            Filter::EndsWith(name, text) => {
                texts(object, name).iter().any(|value| fold(value).ends_with(&fold(text)))
            }
            Filter::Any(name, text) => texts(object, name).iter().any(|value| fold(value) == fold(text)),
            Filter::Not(inner) => !inner.matches(object),
            Filter::And(left, right) => left.matches(object) && right.matches(object),
            Filter::Or(left, right) => left.matches(object) || right.matches(object),
        }
    }
}

/// The directory compares text without regard to case.
fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// A property's value as texts: one, or the members of a list.
fn texts(object: &Object, name: &str) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match name {
        "id" => vec![object.id.to_string()],
        "appId" => vec![object.app_id.to_string()],
        _ => match object.value(name) {
            Some(Value::Array(list)) => list.iter().filter_map(plain).collect(),
            Some(value) => plain(value).into_iter().collect(),
            None => Vec::new(),
        },
    }
}

fn compare(object: &Object, name: &str, operator: Operator, literal: &Literal) -> bool {
    let values = texts(object, name);
    let is_null = matches!(literal, Literal::Word(word) if word == "null");
    let equal = match is_null {
        true => values.is_empty(),
        false => values.iter().any(|value| fold(value) == fold(literal.text())),
    };
    let times = || {
        let value: Timestamp = values.first()?.parse().ok()?;
        Some((value, literal.text().parse::<Timestamp>().ok()?))
    };
    match operator {
        Operator::Equal => equal,
        Operator::NotEqual => !equal,
        Operator::AtLeast => times().is_some_and(|(value, bound)| value >= bound),
        Operator::AtMost => times().is_some_and(|(value, bound)| value <= bound),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if "(),:".contains(first) {
            tokens.push(Token::Mark(first));
            rest = rest.get(1..)?.trim_start();
        } else if first == '\'' {
            let (value, after) = quoted(rest.get(1..)?)?;
            tokens.push(Token::Text(value));
            rest = after.trim_start();
        } else {
            // A colon belongs to the word inside a time, and is a mark after a lambda's variable.
            let end = rest.find(|c: char| c.is_whitespace() || "(),'".contains(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            match word.split_once(':') {
                Some((variable, then)) if variable.chars().all(char::is_alphabetic) => {
                    tokens.push(Token::Word(variable.to_owned()));
                    tokens.push(Token::Mark(':'));
                    rest = rest.get(word.len() - then.len()..)?.trim_start();
                }
                _ => {
                    tokens.push(Token::Word(word.to_owned()));
                    rest = rest.get(end..)?.trim_start();
                }
            }
        }
    }
    Some(tokens)
}

/// Text up to the closing quote, a doubled quote standing for one, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, mark: char) -> Option<()> {
        (self.next()? == Token::Mark(mark)).then_some(())
    }

    fn either(&mut self) -> Option<Filter> {
        let mut left = self.both()?;
        while self.takes("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Some(left)
    }

    fn both(&mut self) -> Option<Filter> {
        let mut left = self.single()?;
        while self.takes("and") {
            left = Filter::And(Box::new(left), Box::new(self.single()?));
        }
        Some(left)
    }

    fn single(&mut self) -> Option<Filter> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let filter = self.unguarded();
        self.depth -= 1;
        filter
    }

    fn unguarded(&mut self) -> Option<Filter> {
        if self.takes("not") {
            return Some(Filter::Not(Box::new(self.single()?)));
        }
        if self.peek() == Some(&Token::Mark('(')) {
            self.mark('(')?;
            let inner = self.either()?;
            self.mark(')')?;
            return Some(inner);
        }
        let Token::Word(word) = self.next()? else { return None };
        match word.to_ascii_lowercase().as_str() {
            "startswith" => self.function(Filter::StartsWith),
            "endswith" => self.function(Filter::EndsWith),
            _ => match word.split_once('/') {
                Some((name, "any")) => self.any(name),
                _ => self.comparison(word),
            },
        }
    }

    fn function(&mut self, make: fn(String, String) -> Filter) -> Option<Filter> {
        self.mark('(')?;
        let Token::Word(name) = self.next()? else { return None };
        self.mark(',')?;
        let Token::Text(text) = self.next()? else { return None };
        self.mark(')')?;
        Some(make(name, text))
    }

    fn any(&mut self, name: &str) -> Option<Filter> {
        self.mark('(')?;
        let Token::Word(variable) = self.next()? else { return None };
        self.mark(':')?;
        if !self.takes(&variable) || !self.takes("eq") {
            return None;
        }
        let Token::Text(text) = self.next()? else { return None };
        self.mark(')')?;
        Some(Filter::Any(name.to_owned(), text))
    }

    fn comparison(&mut self, name: String) -> Option<Filter> {
        let Token::Word(operator) = self.next()? else { return None };
        let operator = match operator.as_str() {
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "ge" => Operator::AtLeast,
            "le" => Operator::AtMost,
            "in" => return self.list(name),
            _ => return None,
        };
        Some(Filter::Compare(name, operator, self.literal()?))
    }

    fn list(&mut self, name: String) -> Option<Filter> {
        self.mark('(')?;
        let mut list = vec![self.literal()?];
        loop {
            match self.next()? {
                Token::Mark(',') => list.push(self.literal()?),
                Token::Mark(')') => return Some(Filter::In(name, list)),
                _ => return None,
            }
        }
    }

    fn literal(&mut self) -> Option<Literal> {
        match self.next()? {
            Token::Text(text) => Some(Literal::Text(text)),
            Token::Word(word) => Some(Literal::Word(word)),
            Token::Mark(_) => None,
        }
    }
}
