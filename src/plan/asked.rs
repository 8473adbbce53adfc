//! What `--replace` and `--rollback` ask for and a plan cannot do. Whoever asks by name is told that it did not happen.

use crate::ids::Address;
use crate::observed::{Observed, StoreState};
use crate::plan::reason::NoteKind;
use crate::plan::{CertificatePlan, Plan};

/// One certificate that something was asked of, and why it is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Which.
    pub address: Address,
    /// What was asked: `replacing`, `rolling back`.
    pub doing: &'static str,
    /// Why it is not done.
    pub reason: String,
    /// What to try.
    pub hint: Option<String>,
}

/// What is asked for, not planned, and not done already. `observed` is what the plan was made from.
pub fn denied(plan: &Plan, observed: &Observed) -> Vec<Denied> {
    let mut denied = Vec::new();
    for certificate in plan.certificates.iter().filter(|certificate| certificate.steps.is_empty()) {
        let is_rollback = plan.asked.rollback.contains(&certificate.address);
        if !is_rollback && !plan.asked.replace.contains_key(&certificate.address) {
            continue;
        }
        let doing = if is_rollback { "rolling back" } else { "replacing" };
        let deny =
            |reason: String, hint| Denied { address: certificate.address.clone(), doing, reason, hint };
        let blocked = certificate.notes.iter().find(|note| note.kind == NoteKind::Blocked);
        match blocked {
            Some(note) => denied.push(deny(note.text.clone(), note.hint.clone())),
            None if is_rollback && !was_rolled_back(certificate, observed) => {
                denied.push(deny("there is nothing of it in a store to roll back from".to_owned(), None));
            }
            None => {}
        }
    }
    denied
}

/// Whether the store remembers a generation that was rolled back from.
fn was_rolled_back(certificate: &CertificatePlan, observed: &Observed) -> bool {
    match observed.stores.get(&certificate.address).map(|store| &store.state) {
        Some(StoreState::Known(holding)) => {
            holding.generations.iter().any(|generation| generation.record.rejected)
        }
        Some(StoreState::Absent | StoreState::Unreadable { .. }) | None => false,
    }
}
