//! What `--replace` and `--rollback` ask for and a plan cannot do. Whoever asks by name is told that it did not happen.

use std::collections::BTreeMap;

use crate::desired::{Declared, Desired};
use crate::ids::{Address, Thumbprint};
use crate::observed::{Observed, StoreState, TargetState};
use crate::plan::reason::NoteKind;
use crate::plan::step::Step;
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

/// The thumbprints to be replaced that name nothing: no credential of the object, no generation that the store remembers, nothing the
/// file lists. One that names a generation that is not current any more is no mistake: it was replaced already. Where object or store
/// could not be read, nobody can tell.
pub fn unknown<'a>(
    replace: &'a BTreeMap<Address, Thumbprint>,
    desired: &Desired,
    observed: &Observed,
) -> Vec<(&'a Address, &'a Thumbprint)> {
    let declared = replace.iter().filter_map(|asked| Some((asked, desired.certificates.get(asked.0)?)));
    let unknown =
        declared.filter(|((address, named), declared)| is_unknown(named, address, declared, observed));
    unknown.map(|(asked, _)| asked).collect()
}

fn is_unknown(named: &Thumbprint, address: &Address, declared: &Declared, observed: &Observed) -> bool {
    let listed = declared.adopt.iter().map(|adopt| &adopt.thumbprint).chain(&declared.revoked);
    if listed.into_iter().any(|listed| listed == named) {
        return false;
    }
    let target = observed.tenants.get(&address.tenant).and_then(|tenant| tenant.targets.get(address));
    let Some(TargetState::Found(target)) = target else { return false };
    let generations = match observed.stores.get(address).map(|store| &store.state) {
        Some(StoreState::Known(holding)) => holding.generations.as_slice(),
        Some(StoreState::Absent) => &[],
        Some(StoreState::Unreadable { .. }) | None => return false,
    };
    let mut held = generations.iter().filter_map(|generation| generation.record.thumbprints);
    !held.any(|held| named.names(&held)) && !target.credentials.iter().any(|one| one.is_named(named))
}

/// What is asked for, not planned, and not done already. `observed` is what the plan was made from.
pub fn denied(plan: &Plan, observed: &Observed) -> Vec<Denied> {
    let mut denied = Vec::new();
    for certificate in plan.certificates.iter().filter(|certificate| !is_served(certificate)) {
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

/// Whether the plan gives consumers another generation, or begins to. A repair, a delivery or a retirement is something else.
fn is_served(certificate: &CertificatePlan) -> bool {
    let begins =
        |step: &Step| matches!(step, Step::Request { .. } | Step::Issue { .. } | Step::Promote { .. });
    certificate.steps.iter().any(|planned| begins(&planned.step))
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
