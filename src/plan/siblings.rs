//! What belongs to other certificates: which names the files account for, who names which credential, whose consumers may read which
//! key; and the notes of what is left to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Declared, Desired};
use crate::ids::{Address, Name, Sha1, TargetId, Thumbprint};
use crate::observed::{
    Credential, Current, Holding, Identifier, KeyState, Observed, StoreState, Target, TargetState,
};
use crate::plan::reason::{Note, NoteKind};
use crate::plan::situation::Situation;
use crate::plan::{asked, successor};

/// What the files and the stores say of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Siblings {
    /// Every name they account for, former and removed ones included.
    pub names: BTreeSet<Name>,
    /// By thumbprint: the certificates that name it under `adopt:` or `revoked:`, or for `--replace`.
    named: BTreeMap<Thumbprint, BTreeSet<Address>>,
    /// By object and thumbprint: the certificates whose stores hold the key for that object.
    held: BTreeMap<(TargetId, Sha1), BTreeSet<Address>>,
    /// The certificates whose stores could not be read.
    unread: Vec<Unread>,
}

/// A certificate whose store could not be read, so that any key may be in it.
#[derive(Debug, Clone)]
struct Unread {
    address: Address,
    /// Its object, if that was found.
    on: Option<TargetId>,
    /// Whether something there is marked as its own. Without that its consumers may read a key from before it moved there.
    has_own: bool,
}

/// Of every tenant. A store or an object is as the first of the observations has it that has it at all; the last has all of them.
pub fn of_tenants(
    desired: &Desired,
    observations: &[&Observed],
    replace: &BTreeMap<Address, Thumbprint>,
) -> BTreeMap<Name, Siblings> {
    let mut all: BTreeMap<Name, Siblings> = BTreeMap::new();
    let removed = desired.removed.iter().map(|removed| &removed.address);
    let former = desired.moved.iter().map(|moved| &moved.from);
    for address in desired.certificates.keys().chain(removed).chain(former) {
        all.entry(address.tenant.clone()).or_default().names.insert(address.name.clone());
    }
    for (address, declared) in &desired.certificates {
        let siblings = all.entry(address.tenant.clone()).or_default();
        siblings.put_names(declared, replace.get(address).copied());
        let store = observations.iter().find_map(|observed| observed.stores.get(address));
        let Some(store) = store else { continue };
        let target = observations.iter().find_map(|observed| target_of(observed, address));
        siblings.put_store(desired, address, &store.state, target);
    }
    all
}

fn target_of<'o>(observed: &'o Observed, address: &Address) -> Option<&'o Target> {
    match observed.tenants.get(&address.tenant)?.targets.get(address)? {
        TargetState::Found(target) => Some(target),
        TargetState::Missing { .. }
        | TargetState::Ambiguous { .. }
        | TargetState::SoftDeleted { .. }
        | TargetState::Unreadable { .. } => None,
    }
}

impl Siblings {
    fn put_names(&mut self, declared: &Declared, replaced: Option<Thumbprint>) {
        let adopted = declared.adopt.iter().map(|adopt| adopt.thumbprint);
        for thumbprint in adopted.chain(declared.revoked.iter().copied()).chain(replaced) {
            self.named.entry(thumbprint).or_default().insert(declared.address.clone());
        }
    }

    fn put_store(
        &mut self,
        desired: &Desired,
        address: &Address,
        state: &StoreState,
        target: Option<&Target>,
    ) {
        let on = target.map(|target| target.id);
        match state {
            StoreState::Known(holding) => {
                for (made_for, sha1) in keys_in(holding) {
                    for object in made_for.into_iter().chain(on) {
                        self.held.entry((object, sha1)).or_default().insert(address.clone());
                    }
                }
            }
            StoreState::Unreadable { .. } => {
                let names = Situation::names_of(desired, address);
                let is_own = |credential: &Credential| {
                    credential
                        .marker()
                        .is_some_and(|marker| marker.owner == desired.owner && names.contains(&marker.name))
                };
                let has_own = target.is_some_and(|target| target.client_credentials().any(is_own));
                self.unread.push(Unread { address: address.clone(), on, has_own });
            }
            StoreState::Absent => {}
        }
    }

    /// Another certificate that names this credential. Whatever is decided about that one begins from the credential, so that nobody
    /// else takes it off.
    pub fn naming(&self, credential: &Credential, is_another: impl Fn(&Address) -> bool) -> Option<&Address> {
        let thumbprint = match &credential.identifier {
            Identifier::Sha1(sha1) => Thumbprint::Sha1(*sha1),
            Identifier::Sha256(sha256) => Thumbprint::Sha256(*sha256),
            _ => return None,
        };
        self.named.get(&thumbprint)?.iter().find(|address| is_another(address))
    }

    /// Another certificate whose store holds the key of that credential: its consumers may read it, and when the credential goes, it
    /// may have a key to destroy. It may be on another object by now, and its store still hold what was made for this one.
    pub fn holding(
        &self,
        object: TargetId,
        credential: &Credential,
        is_another: impl Fn(&Address) -> bool,
    ) -> Option<&Address> {
        self.held.get(&(object, credential.sha1()?))?.iter().find(|address| is_another(address))
    }

    /// Another certificate whose store could not be read, and may hold keys of that object.
    pub fn perhaps_holding(
        &self,
        object: TargetId,
        is_another: impl Fn(&Address) -> bool,
    ) -> Option<&Address> {
        let may_hold = |unread: &&Unread| unread.on == Some(object) || !unread.has_own;
        self.unread.iter().filter(may_hold).map(|unread| &unread.address).find(|address| is_another(address))
    }
}

/// The generations whose keys consumers could read there, each with the object it was made for, and what they read if it has no record.
fn keys_in(holding: &Holding) -> impl Iterator<Item = (Option<TargetId>, Sha1)> {
    let held = holding.generations.iter().filter(|generation| generation.key == KeyState::Held);
    let unrecorded = match &holding.current {
        Some(Current::Unrecorded { thumbprints }) => *thumbprints,
        Some(Current::Recorded(_)) | None => None,
    };
    let recorded = held
        .filter_map(|generation| Some((Some(generation.record.target), generation.record.thumbprints?.sha1)));
    recorded.chain(unrecorded.map(|thumbprints| (None, thumbprints.sha1)))
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

/// Why it stays although the file has it taken off: another certificate's store has its key.
pub(super) fn held_for_another(situation: &Situation<'_>, credential: &Credential) -> Option<Note> {
    let other = situation.held_beside(credential)?;
    let note = held_for(other)
        .with_hint(format!("list it under drop_expired_foreign or revoked of {other} instead"));
    Some(credential.sha1().map_or(note.clone(), |sha1| note.about(sha1)))
}

/// Why it stays while another certificate's store cannot be read.
pub(super) fn perhaps_held_for_another(situation: &Situation<'_>, credential: &Credential) -> Option<Note> {
    let note = perhaps_held_for(situation.perhaps_held_beside(credential)?);
    Some(credential.sha1().map_or(note.clone(), |sha1| note.about(sha1)))
}

/// The note of what stays because that certificate names it.
pub fn kept_for(other: &Address) -> Note {
    let hint = format!("take it out of adopt and revoked of {other} if it is not that one's");
    Note::new(NoteKind::Waiting, format!("is kept: {other} names it too")).with_hint(hint)
}

/// The note of what stays because that certificate's store has the key.
pub fn held_for(other: &Address) -> Note {
    Note::new(
        NoteKind::Waiting,
        format!("is kept: the store of {other} holds it, and its consumers may read it"),
    )
}

/// The note of what stays because the store of that certificate may have the key, which could not be seen.
pub fn perhaps_held_for(other: &Address) -> Note {
    Note::new(NoteKind::Later, format!("is kept: the store of {other} cannot be read, and may hold its key"))
        .with_hint("it goes with a run that can read that store")
}
