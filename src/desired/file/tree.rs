//! YAML text as a small tree of nodes with positions. Knows YAML, and nothing of the grammar.
//!
//! An alias is the same node again, so that a file of aliases to aliases costs no memory; how large the tree would be if
//! written out is counted and bounded while reading.

use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::diagnostic::Code;

/// Deepest nesting; the grammar needs eight levels.
const DEPTH_MAX: usize = 64;
/// Most nodes of one file.
const NODES_MAX: usize = 5_000_000;
/// Most nodes that aliases may stand for in one file.
const ALIASED_NODES_MAX: u64 = 200_000;

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

/// Something wrong with the YAML itself.
#[derive(Debug)]
pub(super) struct Fault {
    /// What sort.
    pub(super) code: Code,
    /// Where.
    pub(super) span: Range<usize>,
    /// What.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<&'static str>,
    /// Whether the rest of the file cannot be judged because of this.
    pub(super) blocks: bool,
    /// A second place, and what is there.
    pub(super) label: Option<(Range<usize>, &'static str)>,
}

impl Fault {
    fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Fault {
        Fault { code, span, message: message.into(), help: None, blocks: false, label: None }
    }

    fn help(mut self, help: &'static str) -> Fault {
        self.help = Some(help);
        self
    }
}

/// What a text gave.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The tree as far as it was read.
    pub(super) tree: Tree,
    /// Why reading ended early, if it did.
    pub(super) broken: Option<Fault>,
    /// YAML that is correct and that certroll does not take.
    pub(super) faults: Vec<Fault>,
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

    /// As JSON, for deserialising. Bounded by [`DEPTH_MAX`].
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

/// Reads a text. Takes time in proportion to its length, whatever it says.
pub(super) fn parse(text: &str) -> Parsed {
    let mut builder = Builder::default();
    let broken = builder.read(text).err();
    Parsed { tree: builder.tree, broken, faults: builder.faults }
}

#[derive(Default)]
struct Builder {
    tree: Tree,
    faults: Vec<Fault>,
    /// Lists and maps that are not closed yet, and for a map the key that waits for its value.
    open: Vec<(NodeId, Option<NodeId>)>,
    anchors: HashMap<usize, NodeId>,
    aliased: u64,
}

impl Builder {
    fn read(&mut self, text: &str) -> Result<(), Fault> {
        let mut end = 0;
        // Comments are buffered up to a bound when they are asked for, and long ones are ordinary.
        let options = granit_parser::options! { emit_comments: false };
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| broken(&error, end..text.len()))?;
            let bytes = bytes(&span, end);
            end = bytes.end.max(end);
            self.take(event, &span, bytes)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: &Span, bytes: Range<usize>) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let as_text = tag.as_ref().is_some_and(|tag| tag.core_suffix() == Some("str"));
                self.check_tag(tag.as_deref(), span, &bytes, &["str"]);
                let quoted = as_text || style != ScalarStyle::Plain;
                let value = Value::Scalar { text: text.into_owned(), quoted };
                let id = self.add(value, bytes, anchor)?;
                self.close(id);
                self.place(id);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span, &bytes, &["seq"]);
                self.start(Value::List(Vec::new()), bytes, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span, &bytes, &["map"]);
                self.start(Value::Map(Vec::new()), bytes, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((id, _)) = self.open.pop() {
                    let node = &mut self.tree.nodes[id as usize];
                    node.span.1 = node.span.1.max(bytes.end as u32);
                    self.close(id);
                    self.check_keys(id);
                    self.place(id);
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, bytes),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            // Comments, the stream's own marks, and what is only sent when asked for.
            _ => Ok(()),
        }
    }

    fn start(&mut self, value: Value, bytes: Range<usize>, anchor: usize) -> Result<(), Fault> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(bytes));
        }
        let id = self.add(value, bytes, anchor)?;
        self.open.push((id, None));
        Ok(())
    }

    fn add(&mut self, value: Value, bytes: Range<usize>, anchor: usize) -> Result<NodeId, Fault> {
        if self.tree.nodes.len() >= NODES_MAX {
            let message = format!("the file has more than {NODES_MAX} values");
            return Err(
                Fault::new(Code::Limit, bytes, message).help("spread the declaration over several files")
            );
        }
        // Files are far smaller than 4 GiB: the reader's limit holds that.
        let span = (bytes.start as u32, bytes.end as u32);
        let id = self.tree.nodes.len() as NodeId;
        self.tree.nodes.push(Node { span, size: 1, height: 0, open: true, value });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        Ok(id)
    }

    fn alias(&mut self, anchor: usize, bytes: Range<usize>) -> Result<(), Fault> {
        let Some(&id) = self.anchors.get(&anchor) else {
            return Err(Fault::new(Code::Syntax, bytes, "the alias refers to no anchor before it"));
        };
        let node = &self.tree.nodes[id as usize];
        if node.open {
            return Err(Fault::new(Code::Syntax, bytes, "the alias stands inside what it refers to"));
        }
        if self.open.len() + node.height >= DEPTH_MAX {
            return Err(too_deep(bytes));
        }
        self.aliased = self.aliased.saturating_add(node.size);
        if self.aliased > ALIASED_NODES_MAX {
            let message = format!("aliases stand for more than {ALIASED_NODES_MAX} values");
            return Err(
                Fault::new(Code::Limit, bytes, message).help("write the values out, or use `defaults`")
            );
        }
        self.place(id);
        Ok(())
    }

    /// Counts what is below a node that is complete.
    fn close(&mut self, id: NodeId) {
        let below: Vec<NodeId> = match &self.tree.nodes[id as usize].value {
            Value::Scalar { .. } => Vec::new(),
            Value::List(items) => items.clone(),
            Value::Map(entries) => entries.iter().flat_map(|&(key, value)| [key, value]).collect(),
        };
        let of = |id: &NodeId| &self.tree.nodes[*id as usize];
        let size = below.iter().fold(1, |sum: u64, id| sum.saturating_add(of(id).size));
        let height = below.iter().map(|id| of(id).height + 1).max().unwrap_or(0);
        let end = below.iter().map(|id| of(id).span.1).max().unwrap_or(0);
        let node = &mut self.tree.nodes[id as usize];
        (node.size, node.height, node.open) = (size, height, false);
        node.span.1 = node.span.1.max(node.span.0).max(end.min(node.span.1));
    }

    /// Puts a complete node where it belongs: into the list or map around it, or at the top.
    fn place(&mut self, id: NodeId) {
        let Some((parent, key)) = self.open.last_mut() else {
            return self.tree.roots.push(id);
        };
        match (&mut self.tree.nodes[*parent as usize].value, key.take()) {
            (Value::List(items), _) => items.push(id),
            (Value::Map(entries), Some(key)) => entries.push((key, id)),
            (Value::Map(_), None) => *key = Some(id),
            (Value::Scalar { .. }, _) => {}
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, span: &Span, bytes: &Range<usize>, known: &[&str]) {
        let Some(tag) = tag else { return };
        if tag.core_suffix().is_some_and(|suffix| known.contains(&suffix)) {
            return;
        }
        let place = span.tag_span().map_or(bytes.clone(), |span| self::bytes(&span, bytes.start));
        let fault = Fault::new(Code::Syntax, place, "YAML tags such as `!name` are not supported");
        note(&mut self.faults, fault.help("remove the tag; quote the value if it is meant as text"));
    }

    /// Keys are texts, each once, and none of them merges. What is reported here is dropped, so that it is reported once.
    fn check_keys(&mut self, id: NodeId) {
        let Value::Map(entries) = &self.tree.nodes[id as usize].value else { return };
        let mut kept = Vec::with_capacity(entries.len());
        let mut seen: HashMap<&str, Range<usize>> = HashMap::with_capacity(entries.len());
        for &(key_id, value) in entries {
            let key = NodeRef { tree: &self.tree, id: key_id };
            let Some(text) = key.text() else {
                note(&mut self.faults, Fault::new(Code::WrongType, key.span(), "a key must be a text"));
                continue;
            };
            if text == "<<" {
                let mut fault =
                    Fault::new(Code::Syntax, key.span(), "YAML merge keys `<<` are not supported");
                fault.blocks = true;
                note(&mut self.faults, fault.help("put shared values under `defaults`, or repeat them"));
                continue;
            }
            if let Some(first) = seen.get(text) {
                let message = format!("the key `{text}` stands here twice");
                let mut fault = Fault::new(Code::Duplicate, key.span(), message);
                fault.label = Some((first.clone(), "first here"));
                note(&mut self.faults, fault);
            } else {
                seen.insert(text, key.span());
                kept.push((key_id, value));
            }
        }
        self.tree.nodes[id as usize].value = Value::Map(kept);
    }
}

/// Faults of one file after which further ones are not kept. Each takes memory.
const FAULTS_MAX: usize = 1000;

fn note(faults: &mut Vec<Fault>, fault: Fault) {
    if faults.len() < FAULTS_MAX || fault.blocks {
        faults.push(fault);
    }
}

fn too_deep(bytes: Range<usize>) -> Fault {
    Fault::new(Code::Limit, bytes, format!("the file is nested more than {DEPTH_MAX} levels deep"))
}

/// The parser counts bytes itself for text input; without them a place near the last known one has to do.
fn bytes(span: &Span, otherwise: usize) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or(otherwise);
    start..span.end.byte_offset().unwrap_or(start).max(start)
}

fn broken(error: &ScanError, rest: Range<usize>) -> Fault {
    let at = error.marker().byte_offset().unwrap_or(rest.start);
    let place = at..at.saturating_add(1).min(rest.end.max(at));
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(place),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            Fault::new(Code::Syntax, place, "YAML does not indent with tabs").help("indent with spaces")
        }
        _ => Fault::new(Code::Syntax, place, format!("this is not valid YAML: {}", error.info())),
    }
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

    #[test]
    fn places_are_bytes_of_the_text() {
        let text = "ä: &x { b: [c, 'd'] }\nz: *x\n";
        let parsed = parse(text);
        let root = parsed.tree.documents().next().unwrap();
        let list = root.get("z").and_then(|map| map.get("b")).unwrap();
        let items: Vec<&str> = list.items().map(|item| &text[item.span()]).collect();
        assert_eq!(items, ["c", "'d'"]);
        assert_eq!(&text[root.entries().next().unwrap().0.span()], "ä");
    }
}
