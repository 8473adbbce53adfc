//! YAML text as a small tree of nodes with positions. Knows YAML, and nothing of the grammar.
//!
//! An alias is the same node again, so that a file of aliases to aliases costs no memory.

mod build;

use std::ops::Range;

pub(super) use self::build::{Fault, parse};

type NodeId = u32;

#[derive(Debug)]
struct Node {
    span: (u32, u32),
    /// Nodes below and including this one, aliases counted as if written out.
    size: u64,
    /// Levels below this one.
    height: usize,
    open: bool,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Scalar { text: String, quoted: bool },
    List(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
}

/// The nodes of one file.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    roots: Vec<NodeId>,
}

/// What a plain scalar means in YAML 1.2's core schema. A quoted one is always text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; `None` when it does not fit 64 bits.
    Integer(Option<i64>),
    /// A number with a point or an exponent.
    Float,
    /// Text.
    Text,
}

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeRef<'a> {
    tree: &'a Tree,
    id: NodeId,
}

impl Tree {
    /// The documents of the file.
    pub(super) fn documents(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.roots.iter().map(|&id| NodeRef { tree: self, id })
    }
}

impl<'a> NodeRef<'a> {
    fn node(self) -> &'a Node {
        // Ids are made by `Builder` as indices into this very list.
        &self.tree.nodes[self.id as usize]
    }

    /// Every node of the file, in the order they begin.
    pub(super) fn tree_nodes(self) -> impl Iterator<Item = NodeRef<'a>> {
        (0..self.tree.nodes.len()).map(move |id| NodeRef { tree: self.tree, id: id as NodeId })
    }

    /// Its bytes in the text.
    pub(super) fn span(self) -> Range<usize> {
        let (start, end) = self.node().span;
        start as usize..end as usize
    }

    /// The text of a scalar, whatever it means.
    pub(super) fn text(self) -> Option<&'a str> {
        match &self.node().value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a scalar means; [`Plain::Text`] for lists and maps.
    pub(super) fn plain(self) -> Plain {
        match &self.node().value {
            Value::Scalar { text, quoted: false } => resolve_plain(text),
            _ => Plain::Text,
        }
    }

    /// Whether it is a map.
    pub(super) fn is_map(self) -> bool {
        matches!(self.node().value, Value::Map(_))
    }

    /// Whether it is a list.
    pub(super) fn is_list(self) -> bool {
        matches!(self.node().value, Value::List(_))
    }

    /// The items of a list; nothing for others.
    pub(super) fn items(self) -> impl Iterator<Item = NodeRef<'a>> {
        let items = match &self.node().value {
            Value::List(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |&id| NodeRef { tree: self.tree, id })
    }

    /// The keys and values of a map, in order; nothing for others.
    pub(super) fn entries(self) -> impl Iterator<Item = (NodeRef<'a>, NodeRef<'a>)> {
        let entries = match &self.node().value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        let node = move |id| NodeRef { tree: self.tree, id };
        entries.iter().map(move |&(key, value)| (node(key), node(value)))
    }

    /// The entry of a map with that key.
    pub(super) fn entry(self, key: &str) -> Option<(NodeRef<'a>, NodeRef<'a>)> {
        self.entries().find(|(own, _)| own.text() == Some(key))
    }

    /// The value of a map's key.
    pub(super) fn get(self, key: &str) -> Option<NodeRef<'a>> {
        self.entry(key).map(|(_, value)| value)
    }

    /// As JSON, for deserialising. No deeper than what is read.
    pub(super) fn to_json(self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.node().value {
            Value::List(_) => Json::Array(self.items().map(NodeRef::to_json).collect()),
            Value::Map(_) => {
                let text = |key: NodeRef<'_>| key.text().unwrap_or_default().to_owned();
                Json::Object(self.entries().map(|(key, value)| (text(key), value.to_json())).collect())
            }
            Value::Scalar { text, .. } => match self.plain() {
                Plain::Null => Json::Null,
                Plain::Bool(truth) => Json::Bool(truth),
                Plain::Integer(Some(number)) => Json::from(number),
                Plain::Integer(None) | Plain::Float | Plain::Text => Json::from(text.as_str()),
            },
        }
    }
}

fn resolve_plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let radix = |prefix, radix| {
        let digits: &str = text.strip_prefix(prefix)?;
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        all.then(|| Plain::Integer(i64::from_str_radix(digits, radix).ok()))
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return number;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Plain::Integer(text.parse().ok());
    }
    if is_float(unsigned) || matches!(text, ".nan" | ".NaN" | ".NAN") { Plain::Float } else { Plain::Text }
}

/// `(\.[0-9]+ | [0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` or infinity.
fn is_float(text: &str) -> bool {
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let number = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !number.is_empty() && digits(number)
    });
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_fits && digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// YAML 1.2.2, section 10.3.2, core schema.
    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve_plain(text), Plain::Null, "{text}");
        }
        for (text, number) in [("0", 0), ("-19", -19), ("+12", 12), ("0o14", 12), ("0xC", 12), ("007", 7)] {
            assert_eq!(resolve_plain(text), Plain::Integer(Some(number)), "{text}");
        }
        for text in ["1.5", ".5", "1.", "12e03", "-2E+05", ".inf", "-.Inf", ".nan", "12e34567"] {
            assert_eq!(resolve_plain(text), Plain::Float, "{text}");
        }
        assert_eq!(resolve_plain("123456789012345678901234567890"), Plain::Integer(None));
        let texts = [
            "yes",
            "no",
            "on",
            "off",
            "02:00",
            "2026-11-20",
            "1_000",
            "0b1",
            "P1Y",
            "1e",
            "e1",
            ".",
            "-",
            "+",
            "0x",
            "=",
            "nULL",
            "- .inf",
        ];
        for text in texts {
            assert_eq!(resolve_plain(text), Plain::Text, "{text}");
        }
    }
}
