//! What was met, with how often.

use std::collections::BTreeMap;

/// Counts by kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(pub BTreeMap<(&'static str, String), u64>);

impl Coverage {
    pub fn hit(&mut self, kind: &'static str, name: impl Into<String>) {
        self.add(kind, name, 1);
    }

    pub fn add(&mut self, kind: &'static str, name: impl Into<String>, times: u64) {
        *self.0.entry((kind, name.into())).or_default() += times;
    }

    pub fn merge(&mut self, other: &Coverage) {
        other.0.iter().for_each(|((kind, name), times)| self.add(kind, name.clone(), *times));
    }

    pub fn count(&self, kind: &'static str, name: &str) -> u64 {
        self.0.get(&(kind, name.to_owned())).copied().unwrap_or_default()
    }

    /// All of a kind together.
    pub fn total(&self, kind: &'static str) -> u64 {
        self.0.iter().filter(|((of, _), _)| *of == kind).map(|(_, times)| times).sum()
    }

    pub fn report(&self) -> String {
        self.0.iter().map(|((kind, name), times)| format!("{times:>12}  {kind}: {name}\n")).collect()
    }
}
