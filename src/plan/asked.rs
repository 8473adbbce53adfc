//! What `--replace`, `--revoke-previous` and `--rollback` ask for and a plan cannot do. Whoever asks by name is told that it did not happen.

use std::collections::BTreeMap;

use crate::desired::{Declared, Desired};
use crate::ids::{Address, Thumbprint, Thumbprints};
use crate::observed::{Credential, Current, Holding, Observed, StoreState, TargetState};
use crate::plan::reason::{Note, NoteKind};
use crate::plan::situation::{Situation, Standing};
use crate::plan::step::Step;
use crate::plan::{CertificatePlan, Plan};

/// One certificate that something was asked of, and why it is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Which.
    pub address: Address,
    /// What was asked: `replacing`, `rolling back`, `revoking the previous key of`.
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

/// What `--replace` names is on the object and not this certificate's: naming it on the command line makes it neither what consumers of
/// this one use nor ours to remove.
pub fn not_ours(situation: &Situation<'_>) -> Option<Note> {
    let address = &situation.declared.address;
    let named = situation.policy.replace.get(address)?;
    let credentials = situation.credentials_by_end();
    let credential = credentials.into_iter().find(|credential| credential.is_named(named))?;
    let what = match situation.standing(credential) {
        Standing::Reserved => "is kept for SAML, token encryption or another use".to_owned(),
        Standing::Foreign => "is not this certificate's (it carries no marker of ours)".to_owned(),
        Standing::Claimed => "carries our marker and not our key id (somebody else put it there)".to_owned(),
        Standing::Undeclared => match credential.marker() {
            Some(marker) => format!("is {marker}'s, which nobody declares"),
            None => "is of a certificate that nobody declares".to_owned(),
        },
        Standing::Held(_)
        | Standing::Adopted { .. }
        | Standing::Orphan
        | Standing::Revoked
        | Standing::Sibling => return None,
    };
    let hint = match situation.standing(credential) {
        Standing::Reserved => "see to it in Entra: certroll never touches it".to_owned(),
        _ => {
            format!("if it is to go, list it under revoked of {address}: what the file names may be removed")
        }
    };
    let note =
        Note::blocked(format!("--replace names {named}, which {what}: nothing is done about it"), hint);
    Some(credential.sha1().map_or(note.clone(), |sha1| note.about(sha1)))
}

/// What is asked for, not planned, and not done already. `observed` is what the plan was made from.
pub fn denied(plan: &Plan, observed: &Observed) -> Vec<Denied> {
    plan.certificates.iter().filter_map(|certificate| denial(certificate, plan, observed)).collect()
}

fn denial(certificate: &CertificatePlan, plan: &Plan, observed: &Observed) -> Option<Denied> {
    let address = &certificate.address;
    let is_rollback = plan.asked.rollback.contains(address);
    let replaced = plan.asked.replace.get(address);
    let doing = if is_rollback { "rolling back" } else { "replacing" };
    let deny = |reason: String, hint| Denied { address: address.clone(), doing, reason, hint };
    if (is_rollback || replaced.is_some()) && !is_served(certificate) {
        if let Some(note) = certificate.notes.iter().find(|note| note.kind == NoteKind::Blocked) {
            return Some(deny(note.text.clone(), note.hint.clone()));
        }
        if is_rollback && !was_rolled_back(certificate, observed) {
            return Some(deny("there is nothing of it in a store to roll back from".to_owned(), None));
        }
    }
    let revoked = replaced.filter(|_| plan.asked.revoke_previous)?;
    let (reason, hint) = stays(certificate, revoked, observed)?;
    Some(Denied { doing: "revoking the previous key of", ..deny(reason, hint) })
}

/// Why what `--revoke-previous` is about stays on the object after everything that is planned. What consumers read goes with a later
/// run, as long as its successor is still to come.
fn stays(
    certificate: &CertificatePlan,
    named: &Thumbprint,
    observed: &Observed,
) -> Option<(String, Option<String>)> {
    let promotes = certificate.steps.iter().any(|planned| matches!(planned.step, Step::Promote { .. }));
    let holding = holding(observed, &certificate.address);
    let current = holding.and_then(|holding| match &holding.current {
        Some(Current::Recorded(sha256)) => holding.generation(sha256)?.record.thumbprints,
        Some(Current::Unrecorded { .. }) | None => None,
    });
    if !promotes && current.is_some_and(|current| named.names(&current)) {
        return None;
    }
    let is_removed = |credential: &&Credential| {
        certificate.steps.iter().any(|planned| match &planned.step {
            Step::Retire { credential: gone } => Some(gone.key_id) == credential.key_id,
            Step::Publish { dropping, .. } => credential.key_id.is_some_and(|id| dropping.contains(&id)),
            _ => false,
        })
    };
    let live = on_object(observed, &certificate.address, named);
    let left = live.into_iter().find(|credential| !is_removed(credential))?;
    let about = |note: &&Note| note.about.is_some() && note.about == left.sha1();
    Some(match certificate.notes.iter().find(about) {
        Some(note) => (format!("{named} {}", note.text), note.hint.clone()),
        None => (format!("{named} stays on the object: nothing that is planned takes it off"), None),
    })
}

fn holding<'o>(observed: &'o Observed, address: &Address) -> Option<&'o Holding> {
    match observed.stores.get(address).map(|store| &store.state) {
        Some(StoreState::Known(holding)) => Some(holding),
        Some(StoreState::Absent | StoreState::Unreadable { .. }) | None => None,
    }
}

/// Both thumbprints of the generation in the certificate's store that is named by one of them.
pub fn held(observed: &Observed, address: &Address, named: &Thumbprint) -> Option<Thumbprints> {
    let generations = holding(observed, address).into_iter().flat_map(|holding| &holding.generations);
    generations.filter_map(|generation| generation.record.thumbprints).find(|both| named.names(both))
}

/// The credentials of the certificate's object that a thumbprint names. A SHA-256 is known through the store only.
pub fn on_object<'o>(observed: &'o Observed, address: &Address, named: &Thumbprint) -> Vec<&'o Credential> {
    let target = observed.tenants.get(&address.tenant).and_then(|tenant| tenant.targets.get(address));
    let Some(TargetState::Found(target)) = target else { return Vec::new() };
    let held = held(observed, address, named);
    let is_it = |one: &&Credential| one.is_named(named) || held.is_some_and(|held| one.is_of(&held));
    target.credentials.iter().filter(is_it).collect()
}

/// Whether the plan gives consumers another generation, or begins to. A repair, a delivery or a retirement is something else.
fn is_served(certificate: &CertificatePlan) -> bool {
    let begins =
        |step: &Step| matches!(step, Step::Request { .. } | Step::Issue { .. } | Step::Promote { .. });
    certificate.steps.iter().any(|planned| begins(&planned.step))
}

/// Whether the store remembers a generation that was rolled back from.
fn was_rolled_back(certificate: &CertificatePlan, observed: &Observed) -> bool {
    holding(observed, &certificate.address)
        .is_some_and(|holding| holding.generations.iter().any(|generation| generation.record.rejected))
}
