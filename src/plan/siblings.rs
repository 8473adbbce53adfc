//! What belongs to other certificates: what the files and the stores say of them, and the notes of what is left to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::Desired;
use crate::ids::{Address, Name, Sha1, TargetId, Thumbprint};
use crate::observed::{Credential, Current, Holding, KeyState, Observed, StoreState, TargetState};
use crate::plan::reason::{Note, NoteKind};
use crate::plan::situation::Situation;
use crate::plan::{asked, successor};

/// What the files and the stores say of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Siblings {
    /// Every name they account for, former and removed ones included.
    pub names: BTreeSet<Name>,
    /// By thumbprint: the certificates that name it under `adopt:` or `revoked:`.
    pub named: BTreeMap<Thumbprint, BTreeSet<Address>>,
    /// By object and thumbprint: the certificates on that object whose stores hold the key.
    pub held: BTreeMap<(TargetId, Sha1), BTreeSet<Address>>,
}

/// What the files say of each tenant: the names they account for (declared ones, former ones and those of `removed:` entries), and which
/// certificate names which thumbprint, `replace` of this run included. And which certificate's store holds which generation, as far as
/// stores were read.
pub fn siblings(
    desired: &Desired,
    observed: &Observed,
    replace: &BTreeMap<Address, Thumbprint>,
) -> BTreeMap<Name, Siblings> {
    let mut siblings: BTreeMap<Name, Siblings> = BTreeMap::new();
    let removed = desired.removed.iter().map(|removed| &removed.address);
    let former = desired.moved.iter().map(|moved| &moved.from);
    for address in desired.certificates.keys().chain(removed).chain(former) {
        siblings.entry(address.tenant.clone()).or_default().names.insert(address.name.clone());
    }
    for (address, declared) in &desired.certificates {
        let named = &mut siblings.entry(address.tenant.clone()).or_default().named;
        let adopted = declared.adopt.iter().map(|adopt| adopt.thumbprint);
        let replaced = replace.get(address).copied();
        for thumbprint in adopted.chain(declared.revoked.iter().copied()).chain(replaced) {
            named.entry(thumbprint).or_default().insert(address.clone());
        }
    }
    for (address, store) in &observed.stores {
        let target = observed.tenants.get(&address.tenant).and_then(|tenant| tenant.targets.get(address));
        let (StoreState::Known(holding), Some(TargetState::Found(target))) = (&store.state, target) else {
            continue;
        };
        let held = &mut siblings.entry(address.tenant.clone()).or_default().held;
        for sha1 in keys_in(holding) {
            held.entry((target.id, sha1)).or_default().insert(address.clone());
        }
    }
    siblings
}

/// The generations whose keys consumers could read there, and what they read if it has no record.
fn keys_in(holding: &Holding) -> impl Iterator<Item = Sha1> {
    let held = holding.generations.iter().filter(|generation| generation.key == KeyState::Held);
    let unrecorded = match &holding.current {
        Some(Current::Unrecorded { thumbprints }) => *thumbprints,
        Some(Current::Recorded(_)) | None => None,
    };
    let all = held.filter_map(|generation| generation.record.thumbprints).chain(unrecorded);
    all.map(|thumbprints| thumbprints.sha1)
}

/// What in the entry or on the target belongs to another certificate, so that nothing here may be decided about it.
pub(super) fn of_somebody_else(situation: &Situation<'_>) -> Option<Note> {
    if let Some(other) = situation.others_generation() {
        let (owner, name) = (&other.record.owner, &other.record.name);
        let text = format!(
            "{} also holds a generation made for {owner}/{name}",
            successor::place(situation.declared)
        );
        let hint = "give the certificate a store name of its own, or list that generation under adopt to take it over";
        return Some(Note::blocked(text, hint));
    }
    let Some(credential) = situation.names_a_siblings() else { return asked::not_ours(situation) };
    let (sha1, marker) = (credential.sha1()?, credential.marker()?);
    let text = format!("the declaration names {sha1}, which is {marker}'s: nothing is decided about it here");
    Some(Note::blocked(text, format!("write it at {}/{}", situation.declared.address.tenant, marker.name)))
}

/// What the file drops here, and another certificate names or has the key of.
pub(super) fn listed_and_kept(situation: &Situation<'_>) -> Vec<Note> {
    let listed = |id| situation.declared.drop_expired_foreign.contains(&id);
    let credentials = situation.target.client_credentials();
    let kept = credentials.filter(|credential| credential.key_id.is_some_and(listed));
    let note = |credential| {
        let note =
            kept_for_another(situation, credential).or_else(|| held_for_another(situation, credential));
        note.map(|note| Note { kind: NoteKind::Warning, ..note })
    };
    kept.filter_map(note).collect()
}

/// Why a credential stays that another certificate names: a mistake in the file, or two that took over one key.
pub(super) fn kept_for_another(situation: &Situation<'_>, credential: &Credential) -> Option<Note> {
    let note = kept_for(situation.named_beside(credential)?);
    Some(credential.sha1().map_or(note.clone(), |sha1| note.about(sha1)))
}

/// The note of what stays because that certificate names it.
pub(super) fn kept_for(other: &Address) -> Note {
    let hint = format!("take it out of adopt and revoked of {other} if it is not that one's");
    Note::new(NoteKind::Waiting, format!("is kept: {other} names it too")).with_hint(hint)
}

/// Why it stays although the file has it taken off: another certificate's store has its key.
pub(super) fn held_for_another(situation: &Situation<'_>, credential: &Credential) -> Option<Note> {
    let other = situation.held_beside(credential)?;
    let note = held_for(other)
        .with_hint(format!("list it under drop_expired_foreign or revoked of {other} instead"));
    Some(credential.sha1().map_or(note.clone(), |sha1| note.about(sha1)))
}

/// The note of what stays because that certificate's store has the key.
pub(super) fn held_for(other: &Address) -> Note {
    Note::new(
        NoteKind::Waiting,
        format!("is kept: the store of {other} holds it, and its consumers may read it"),
    )
}
