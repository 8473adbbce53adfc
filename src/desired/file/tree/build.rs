//! Making the tree out of the parser's events. How large it would be with its aliases written out is counted and bounded meanwhile.

use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Node, NodeId, NodeRef, Tree, Value};
use crate::diagnostic::Code;

/// Deepest nesting; the grammar needs eight levels.
const DEPTH_MAX: usize = 64;
/// Most nodes of one file.
const NODES_MAX: usize = 5_000_000;
/// Most nodes that aliases may stand for in one file.
const ALIASED_NODES_MAX: u64 = 200_000;

/// Something wrong with the YAML itself.
#[derive(Debug)]
pub(in crate::desired::file) struct Fault {
    /// What sort.
    pub(in crate::desired::file) code: Code,
    /// Where.
    pub(in crate::desired::file) span: Range<usize>,
    /// What.
    pub(in crate::desired::file) message: String,
    /// What to do.
    pub(in crate::desired::file) help: Option<&'static str>,
    /// Whether the rest of the file cannot be judged because of this.
    pub(in crate::desired::file) blocks: bool,
    /// A second place, and what is there.
    pub(in crate::desired::file) label: Option<(Range<usize>, &'static str)>,
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
pub(in crate::desired::file) struct Parsed {
    /// The tree as far as it was read.
    pub(in crate::desired::file) tree: Tree,
    /// Why reading ended early, if it did.
    pub(in crate::desired::file) broken: Option<Fault>,
    /// YAML that is correct and that certroll does not take.
    pub(in crate::desired::file) faults: Vec<Fault>,
}

/// Reads a text. Takes time in proportion to its length, whatever it says.
pub(in crate::desired::file) fn parse(text: &str) -> Parsed {
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
