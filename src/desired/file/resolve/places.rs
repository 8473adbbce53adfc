//! Places that hold a key. No two certificates may share one: each would overwrite what the other's consumer reads.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic, Place};

/// What the place of a certificate's key is called.
pub(super) const STORE_ENTRY: &str = "store entry";

/// What a place is called where certroll keeps what belongs to an entry: a successor, records.
pub(super) const BESIDE_ENTRY: &str = "place beside a store entry";

/// What a place that a delivery writes to is called.
pub(super) const DELIVERY_SLOT: &str = "delivery slot";

/// For one that was copied under a new name.
const RENAMED: &str = "or, if it is one certificate under a new name, keep only the new one and declare moved: [ { from, to } ]";

/// For a place that another certificate's entry needs.
const KEPT_BESIDE: &str = "beside an entry NAME certroll keeps a successor at NAME-next and, in HashiCorp Vault, records at NAME-certroll";

/// Every place taken so far, by its canonical name.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: BTreeMap<String, Taken>,
}

#[derive(Debug)]
struct Taken {
    by: String,
    /// Whether it is a folder of its own: a store's entry is one, what a delivery writes are files.
    is_folder: bool,
    /// Whether it lies beside a store's entry and belongs to that.
    is_beside: bool,
    place: Place,
}

impl Places {
    /// A place of files that the new one would hold (`true`) or lie inside of. Other stores have no folders: a name with `/` is a name.
    fn nested(&self, canonical: &str, is_folder: bool) -> Option<(&Taken, bool)> {
        if !canonical.starts_with("file ") {
            return None;
        }
        let mut above = canonical.match_indices('/').map(|(at, _)| &canonical[..at]);
        let around = above.find_map(|above| self.taken.get(above).filter(|other| other.is_folder));
        let below = format!("{canonical}/");
        let inside =
            || self.taken.range(below.clone()..).next().filter(|(place, _)| place.starts_with(&below));
        match around {
            Some(other) => Some((other, false)),
            None if is_folder => inside().map(|(_, other)| (other, true)),
            None => None,
        }
    }

    /// Takes a place for a certificate, or says who has it. `what` names the sort of place: "store entry".
    pub(super) fn take(&mut self, canonical: &str, what: &str, by: &str, place: Place) -> Option<Diagnostic> {
        if let Some(other) = self.taken.get(canonical) {
            let message = match other.by == by {
                true => format!("certificate `{by}` would write two things to one {what}"),
                false => format!("certificates `{}` and `{by}` would share a {what}", other.by),
            };
            let error = Diagnostic::error(Code::Conflict, place, message)
                .label(other.place.clone(), "the same place, taken here")
                .help("give one of them another name");
            return Some(match what {
                _ if other.is_beside || what == BESIDE_ENTRY => error.help(KEPT_BESIDE),
                STORE_ENTRY => error.help(RENAMED),
                _ => error,
            });
        }
        if let Some((other, holds)) = self.nested(canonical, what == STORE_ENTRY) {
            let message = match holds {
                true => format!(
                    "this {what} of certificate `{by}` is a folder that holds a place of `{}`",
                    other.by
                ),
                false => format!("this {what} of certificate `{by}` lies inside a place of `{}`", other.by),
            };
            let error = Diagnostic::error(Code::Conflict, place, message);
            return Some(
                error
                    .label(other.place.clone(), "taken here")
                    .help("give one of them a name or folder beside the other"),
            );
        }
        let is_folder = what == STORE_ENTRY;
        let is_beside = what == BESIDE_ENTRY;
        self.taken.insert(canonical.to_owned(), Taken { by: by.to_owned(), is_folder, is_beside, place });
        None
    }
}
