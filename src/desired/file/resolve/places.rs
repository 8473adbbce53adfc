//! Places that hold a key. No two certificates may share one: each would overwrite what the other's consumer reads.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic, Place};

/// Every place taken so far, by its canonical name.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: BTreeMap<String, Taken>,
}

#[derive(Debug)]
struct Taken {
    by: String,
    place: Place,
}

impl Places {
    /// Takes a place for a certificate, or says who has it. `what` names the sort of place: "store entry".
    pub(super) fn take(&mut self, canonical: &str, what: &str, by: &str, place: Place) -> Option<Diagnostic> {
        if let Some(other) = self.taken.get(canonical) {
            let message = format!("certificates `{}` and `{by}` would share a {what}", other.by);
            return Some(
                Diagnostic::error(Code::Conflict, place, message)
                    .label(other.place.clone(), "the same place, taken here")
                    .help("give one of them another name"),
            );
        }
        self.taken.insert(canonical.to_owned(), Taken { by: by.to_owned(), place });
        None
    }
}
