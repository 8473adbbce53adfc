//! Places that hold a key. No two certificates may share one: each would overwrite what the other's consumer reads.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic, Place};

/// What the place of a certificate's key is called.
pub(super) const STORE_ENTRY: &str = "store entry";

/// For one that was copied under a new name.
const RENAMED: &str = "or, if it is one certificate under a new name, keep only the new one and declare moved: [ { from, to } ]";

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
            let error = Diagnostic::error(Code::Conflict, place, message)
                .label(other.place.clone(), "the same place, taken here")
                .help("give one of them another name");
            return Some(match what {
                STORE_ENTRY => error.help(RENAMED),
                _ => error,
            });
        }
        self.taken.insert(canonical.to_owned(), Taken { by: by.to_owned(), place });
        None
    }
}
