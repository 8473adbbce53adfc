//! The declaration as written: every part that is free of mistakes in keys and types, with its place. Parts with
//! mistakes are remembered by name, so that a reference to one is not reported as a second mistake.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::check::{At, Checker};
use super::collect::File;
use super::grammar;
use super::rule::{self, Keys, Rule};
use super::tree::{NodeRef, Plain};
use crate::consumer;
use crate::desired::Origin;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::ids::{Name, Owner};

/// One part, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Item<'a, T> {
    pub(super) file: &'a File,
    /// The name it is declared under; of a list item, the item itself.
    pub(super) key: NodeRef<'a>,
    pub(super) node: NodeRef<'a>,
    pub(super) value: T,
}

impl<'a, T> Item<'a, T> {
    /// The place of the name.
    pub(super) fn place(&self) -> Place {
        self.file.source.place(self.key.span())
    }

    /// The place of a value in it, or of its key when the value is more than a scalar, or of the name.
    pub(super) fn place_of(&self, path: &[&str]) -> Place {
        let mut place = self.key;
        let mut node = self.node;
        for key in path {
            let Some((key, value)) = node.entry(key) else { break };
            place = if value.text().is_some() { value } else { key };
            node = value;
        }
        self.file.source.place(place.span())
    }

    /// Where it stands, for later errors.
    pub(super) fn origin(&self) -> Origin {
        self.file.source.origin(self.key.span().start)
    }
}

/// What is declared by name over all files.
#[derive(Debug)]
pub(super) struct Globals<'a, T> {
    pub(super) items: BTreeMap<Name, Item<'a, T>>,
    /// Declared, but with mistakes.
    pub(super) broken: BTreeSet<Name>,
}

impl<T> Default for Globals<'_, T> {
    fn default() -> Self {
        Globals { items: BTreeMap::new(), broken: BTreeSet::new() }
    }
}

impl<T> Globals<'_, T> {
    /// All names, usable or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.items.keys().chain(&self.broken)
    }
}

/// A certificate and the defaults of its file.
#[derive(Debug)]
pub(super) struct WrittenCertificate<'a> {
    pub(super) name: Name,
    pub(super) item: Item<'a, grammar::Certificate>,
    /// The deliveries one by one, so that a mistake in one does not hide the others.
    pub(super) deliveries: Vec<Item<'a, grammar::Delivery>>,
    /// Keys of the certificate that have mistakes in them.
    pub(super) broken: BTreeSet<String>,
    pub(super) defaults: Option<std::rc::Rc<WrittenDefaults<'a>>>,
}

/// The defaults of a file.
#[derive(Debug)]
pub(super) struct WrittenDefaults<'a> {
    pub(super) item: Item<'a, grammar::Defaults>,
    /// Keys that have mistakes in them.
    pub(super) broken: BTreeSet<String>,
}

/// Everything that is free of mistakes in keys and types.
#[derive(Debug, Default)]
pub(super) struct Written<'a> {
    pub(super) owner: Option<Item<'a, Owner>>,
    /// An owner stands there, with a mistake.
    pub(super) owner_is_broken: bool,
    pub(super) tenants: Globals<'a, grammar::Tenant>,
    pub(super) stores: Globals<'a, grammar::Store>,
    pub(super) issuers: Globals<'a, grammar::Issuer>,
    pub(super) consumers: Globals<'a, consumer::Entry>,
    pub(super) defaults: Vec<std::rc::Rc<WrittenDefaults<'a>>>,
    pub(super) certificates: Vec<WrittenCertificate<'a>>,
    /// Names of certificates with mistakes, whatever their tenant.
    pub(super) broken_certificates: BTreeSet<Name>,
    pub(super) moved: Vec<Item<'a, grammar::Moved>>,
    pub(super) removed: Vec<Item<'a, grammar::Removed>>,
    pub(super) acknowledgements: Vec<Item<'a, grammar::Acknowledgement>>,
    /// Some file was not understood, so what is missing may stand there.
    pub(super) incomplete: bool,
    /// The files, to say where something is missing altogether.
    pub(super) files: &'a [File],
}

/// Checks all files against the grammar and reads what is free of mistakes.
pub(super) fn read<'a>(files: &'a [File], found: &mut Vec<Diagnostic>) -> Written<'a> {
    let mut written = Written { files, ..Written::default() };
    let rule = match rule::document() {
        Ok(rule) => rule,
        Err(problem) => {
            let message = format!("certroll's own grammar cannot be used: {problem}");
            found.push(Diagnostic::error(Code::Syntax, Place::file("certroll"), message));
            return written;
        }
    };
    for file in files {
        let mut reader = Reader { file, rule, checker: Checker::new(&file.source), written: &mut written };
        reader.file();
        found.append(&mut reader.checker.found);
    }
    written
}

struct Reader<'a, 'w> {
    file: &'a File,
    rule: &'static Keys,
    checker: Checker<'a>,
    written: &'w mut Written<'a>,
}

impl<'a> Reader<'a, '_> {
    fn file(&mut self) {
        let Some(root) = self.file.root() else { return };
        if !self.version(root) {
            self.written.incomplete = true;
            return;
        }
        let defaults = root.entry("defaults").and_then(|(key, node)| self.defaults(key, node));
        self.written.defaults.extend(defaults.clone());
        for (key, node) in root.entries() {
            match key.text().unwrap_or_default() {
                "certroll" | "defaults" => {}
                "owner" => self.owner(key, node),
                "tenants" => {
                    let read = self.named("tenants", key, node);
                    self.globals("tenant", read, |written| &mut written.tenants);
                }
                "stores" => {
                    let read = self.named("stores", key, node);
                    self.globals("store", read, |written| &mut written.stores);
                }
                "issuers" => {
                    let read = self.named("issuers", key, node);
                    self.globals("issuer", read, |written| &mut written.issuers);
                }
                "consumers" => {
                    let read = self.named("consumers", key, node);
                    self.globals("consumer", read, |written| &mut written.consumers);
                }
                "certificates" => self.certificates(key, node, defaults.as_ref()),
                "moved" => {
                    let mut read = self.listed("moved", key, node);
                    self.written.moved.append(&mut read);
                }
                "removed" => {
                    let mut read = self.listed("removed", key, node);
                    self.written.removed.append(&mut read);
                }
                "acknowledgements" => {
                    let mut read = self.listed("acknowledgements", key, node);
                    self.written.acknowledgements.append(&mut read);
                }
                _ => self.checker.unknown_key(self.rule.known.keys(), None, key),
            }
        }
    }

    /// Whether this is `certroll: v1` at the top, so that the rest can be understood.
    fn version(&mut self, root: NodeRef<'a>) -> bool {
        let Some((key, node)) = root.entry("certroll") else { return false };
        let first = root.entries().next().is_some_and(|(first, _)| first.span() == key.span());
        let mut report = |code, place: NodeRef<'_>, message: String, help: &str| {
            let place = self.file.source.place(place.span());
            self.checker.found.push(Diagnostic::error(code, place, message).help(help));
        };
        if !first {
            report(
                Code::WrongValue,
                key,
                "`certroll` is not the first key of the file".into(),
                "move it to the top",
            );
        }
        match node.text() {
            Some("v1") => true,
            Some(text) if node.plain() != Plain::Null => {
                let message = format!("`certroll: {text}` is a format this version does not know");
                report(Code::WrongValue, node, message, "this version of certroll reads `certroll: v1`");
                false
            }
            _ => {
                report(Code::WrongValue, key, "`certroll` has no version".into(), "write `certroll: v1`");
                false
            }
        }
    }

    fn item_rule(&self, section: &str) -> Option<&'static Rule> {
        self.rule.known.get(section).map(std::sync::Arc::as_ref)
    }

    /// The value of a top-level key, if it is free of mistakes.
    fn item<T: DeserializeOwned>(
        &mut self,
        name: &str,
        key: NodeRef<'a>,
        node: NodeRef<'a>,
    ) -> Option<Item<'a, T>> {
        let rule = self.item_rule(name)?;
        self.value(rule, At { name, key: Some(key), node }, key)
    }

    fn value<T: DeserializeOwned>(
        &mut self,
        rule: &Rule,
        at: At<'_, 'a>,
        key: NodeRef<'a>,
    ) -> Option<Item<'a, T>> {
        if !self.checker.check(rule, at) {
            return None;
        }
        let value = self.deserialise(at.node.to_json(), key)?;
        Some(Item { file: self.file, key, node: at.node, value })
    }

    /// The rules are made from the very types that are read here, so a failure says that they disagree.
    fn deserialise<T: DeserializeOwned>(&mut self, json: serde_json::Value, key: NodeRef<'a>) -> Option<T> {
        let problem = match serde_json::from_value(json) {
            Ok(value) => return Some(value),
            Err(problem) => problem,
        };
        let place = self.file.source.place(key.span());
        self.checker.found.push(Diagnostic::error(Code::WrongValue, place, problem.to_string()));
        None
    }

    fn owner(&mut self, key: NodeRef<'a>, node: NodeRef<'a>) {
        let Some(item) = self.item::<Owner>("owner", key, node) else {
            self.written.owner_is_broken = true;
            return;
        };
        match &self.written.owner {
            None => self.written.owner = Some(item),
            Some(first) => {
                let message = "`owner` is declared twice; a declaration has one owner";
                let again = Diagnostic::error(Code::Duplicate, item.place(), message);
                self.checker.found.push(again.label(first.place(), "first here"));
            }
        }
    }

    /// The entries of a section by name; `None` for one with mistakes.
    fn named<T: DeserializeOwned>(
        &mut self,
        section: &str,
        key: NodeRef<'a>,
        node: NodeRef<'a>,
    ) -> Vec<(Name, Item<'a, Option<T>>)> {
        let Some(Rule::Names { key: check, value: rule }) = self.item_rule(section) else {
            return Vec::new();
        };
        if !self.checker.is_map(At { name: section, key: Some(key), node }) {
            return Vec::new();
        }
        let mut named = Vec::new();
        for (key, node) in node.entries() {
            let fine = self.checker.name(*check, key);
            let name = key.text().unwrap_or_default();
            let item = self.value(rule, At { name, key: Some(key), node }, key);
            let (true, Ok(name)) = (fine, name.parse::<Name>()) else { continue };
            let value = item.map(|item| item.value);
            named.push((name, Item { file: self.file, key, node, value }));
        }
        named
    }

    fn globals<T>(
        &mut self,
        what: &str,
        read: Vec<(Name, Item<'a, Option<T>>)>,
        globals: for<'g> fn(&'g mut Written<'a>) -> &'g mut Globals<'a, T>,
    ) {
        for (name, item) in read {
            let globals = globals(self.written);
            if let Some(first) = globals.items.get(&name) {
                let message = format!("{what} `{name}` is declared twice");
                let again = Diagnostic::error(Code::Duplicate, item.place(), message);
                self.checker.found.push(again.label(first.place(), "first here"));
                continue;
            }
            let Item { file, key, node, value } = item;
            match value {
                Some(value) => drop(globals.items.insert(name, Item { file, key, node, value })),
                None => drop(globals.broken.insert(name)),
            }
        }
    }

    fn defaults(&mut self, key: NodeRef<'a>, node: NodeRef<'a>) -> Option<std::rc::Rc<WrittenDefaults<'a>>> {
        let Some(Rule::Map(keys)) = self.item_rule("defaults") else { return None };
        let (item, broken) =
            self.leniently(keys, At { name: "defaults", key: Some(key), node }, key, None)?;
        Some(std::rc::Rc::new(WrittenDefaults { item, broken }))
    }

    fn certificates(
        &mut self,
        key: NodeRef<'a>,
        node: NodeRef<'a>,
        defaults: Option<&std::rc::Rc<WrittenDefaults<'a>>>,
    ) {
        let Some(Rule::Names { key: check, value: rule }) = self.item_rule("certificates") else { return };
        let Rule::Map(keys) = rule.as_ref() else { return };
        if !self.checker.is_map(At { name: "certificates", key: Some(key), node }) {
            return;
        }
        for (key, node) in node.entries() {
            let fine = self.checker.name(*check, key);
            let name = key.text().unwrap_or_default();
            let read = self.leniently(keys, At { name, key: Some(key), node }, key, Some("deliver"));
            let deliveries = node.entry("deliver").map(|(key, node)| self.deliveries(keys, key, node));
            let (true, Ok(name)) = (fine, name.parse::<Name>()) else { continue };
            let Some((item, broken)) = read else {
                self.written.broken_certificates.insert(name);
                continue;
            };
            let deliveries = deliveries.unwrap_or_default();
            let defaults = defaults.cloned();
            self.written.certificates.push(WrittenCertificate { name, item, deliveries, broken, defaults });
        }
    }

    /// Reads a map of optional keys without those that have mistakes, and says which. `apart` is left to the caller.
    fn leniently<T: DeserializeOwned>(
        &mut self,
        keys: &'static Keys,
        at: At<'_, 'a>,
        key: NodeRef<'a>,
        apart: Option<&str>,
    ) -> Option<(Item<'a, T>, BTreeSet<String>)> {
        if !self.checker.is_map(at) {
            return None;
        }
        let mut values = serde_json::Map::new();
        let mut broken = BTreeSet::new();
        for (key, node) in at.node.entries() {
            let name = key.text().unwrap_or_default();
            if apart == Some(name) {
                continue;
            }
            match keys.known.get(name) {
                None => self.checker.unknown_key(keys.known.keys(), None, key),
                Some(rule) if self.checker.check(rule, At { name, key: Some(key), node }) => {
                    values.insert(name.to_owned(), node.to_json());
                }
                Some(_) => drop(broken.insert(name.to_owned())),
            }
        }
        let value = self.deserialise(serde_json::Value::Object(values), key)?;
        Some((Item { file: self.file, key, node: at.node, value }, broken))
    }

    fn deliveries(
        &mut self,
        keys: &'static Keys,
        key: NodeRef<'a>,
        node: NodeRef<'a>,
    ) -> Vec<Item<'a, grammar::Delivery>> {
        let Some(rule @ Rule::List { item, .. }) = keys.known.get("deliver").map(std::sync::Arc::as_ref)
        else {
            return Vec::new();
        };
        if !node.is_list() {
            self.checker.check(rule, At { name: "deliver", key: Some(key), node });
        }
        node.items()
            .filter_map(|node| self.value(item, At { name: "deliver", key: None, node }, node))
            .collect()
    }

    fn listed<T: DeserializeOwned>(
        &mut self,
        section: &str,
        key: NodeRef<'a>,
        node: NodeRef<'a>,
    ) -> Vec<Item<'a, T>> {
        let Some(Rule::List { item: rule, .. }) = self.item_rule(section) else { return Vec::new() };
        if !node.is_list() {
            let whole = At { name: section, key: Some(key), node };
            if let Some(rule) = self.item_rule(section) {
                self.checker.check(rule, whole);
            }
            return Vec::new();
        }
        node.items()
            .filter_map(|node| self.value(rule, At { name: section, key: None, node }, node))
            .collect()
    }
}
