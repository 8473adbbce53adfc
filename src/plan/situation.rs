//! One certificate as it stands: what of the observation belongs to it, and how. Facts only; the decisions are in
//! `successor`, `predecessors` and `deliveries`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::desired::{Acknowledgement, Declared, Desired};
use crate::ids::{Address, KeyId, Name, Owner, RotationId, Sha1, Sha256, Thumbprint};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{
    Answer, Credential, Current, DeliveryState, Generation, Holding, Identifier, KeyState, Shape, Target,
};
use crate::plan::calendar::{Life, due};
use crate::plan::in_use;
use crate::plan::policy::Policy;
use crate::plan::records::{Recorded, credential_dates};
use crate::plan::siblings::Siblings;
use crate::plan::step::GenerationRef;

/// One certificate, with everything the decisions look at.
pub struct Situation<'a> {
    /// As declared.
    pub declared: &'a Declared,
    /// Whose declaration.
    pub owner: &'a Owner,
    /// Directory id.
    pub tenant_id: Uuid,
    /// The object that carries it.
    pub target: &'a Target,
    /// What its store can do; none when no key lives here.
    pub shape: Option<Shape>,
    /// What its store holds. Owned when a first record for an adopted generation was added in thought.
    pub holding: Cow<'a, Holding>,
    /// What its delivery places hold.
    pub deliveries: &'a BTreeMap<String, DeliveryState>,
    /// What became of its signing requests, by rotation.
    pub answers: &'a BTreeMap<RotationId, Answer>,
    /// Its names: its own and those it was moved from.
    pub names: BTreeSet<Name>,
    /// What the files say of its tenant.
    pub siblings: &'a Siblings,
    /// Acknowledgements of it, under any of its names.
    pub acknowledgements: Vec<&'a Acknowledgement>,
    /// What the run asks for.
    pub policy: &'a Policy,
    /// The moment.
    pub now: Timestamp,
}

/// How a credential on the target stands to the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Never to be touched: SAML, token encryption, another use.
    Reserved,
    /// Of a generation in the store.
    Held(&'a Generation),
    /// Named by `adopt:`, its key not in the store.
    Adopted {
        /// Its key lives somewhere certroll does not see.
        elsewhere: bool,
    },
    /// Ours by marker and derived key id, its key in no store.
    Orphan,
    /// Named by `revoked:` and otherwise unknown.
    Revoked,
    /// Carries our marker but not the key id we would have given it.
    Claimed,
    /// Of another certificate on the same target, declared, renamed or named by `removed:`.
    Sibling,
    /// Carries our owner's marker for a name nobody declares.
    Undeclared,
    /// Everything else.
    Foreign,
}

/// What consumers use now.
#[derive(Clone)]
pub struct CurrentView<'a> {
    /// The generation, when a store of ours holds it.
    pub generation: Option<&'a Generation>,
    /// Its thumbprint.
    pub sha1: Sha1,
    /// Its credentials on the target; normally one.
    pub credentials: Vec<&'a Credential>,
    /// Its life.
    pub life: Life,
}

impl CurrentView<'_> {
    /// Whether the target has it.
    pub fn is_published(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// Whether it can no longer sign in because of its end.
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.life.end <= now
    }

    /// For steps.
    pub fn reference(&self) -> GenerationRef {
        match self.generation {
            Some(generation) => reference(generation),
            None => GenerationRef { rotation_id: None, thumbprints: None },
        }
    }
}

/// A generation, for steps.
pub fn reference(generation: &Generation) -> GenerationRef {
    GenerationRef { rotation_id: generation.record.rotation_id, thumbprints: generation.record.thumbprints }
}

impl<'a> Situation<'a> {
    /// The names a certificate goes by: its own and those it was moved from, in one step or several. A name that is
    /// declared again is another certificate's.
    pub fn names_of(desired: &Desired, address: &Address) -> BTreeSet<Name> {
        let mut names = BTreeSet::from([address.name.clone()]);
        let is_former =
            |from: &Address| from.tenant == address.tenant && !desired.certificates.contains_key(from);
        loop {
            let leads_here = |to: &Address| to.tenant == address.tenant && names.contains(&to.name);
            let former = desired.moved.iter().filter(|moved| leads_here(&moved.to) && is_former(&moved.from));
            let found: Vec<Name> = former.map(|moved| moved.from.name.clone()).collect();
            let known = names.len();
            names.extend(found);
            if names.len() == known {
                return names;
            }
        }
    }

    /// The acknowledgements of a certificate, under any of its names.
    pub fn acknowledgements_of(
        desired: &'a Desired,
        names: &BTreeSet<Name>,
        tenant: &Name,
    ) -> Vec<&'a Acknowledgement> {
        let of_it =
            |ack: &&Acknowledgement| ack.address.tenant == *tenant && names.contains(&ack.address.name);
        desired.acknowledgements.iter().filter(of_it).collect()
    }

    /// How that credential stands to the certificate.
    pub fn standing(&self, credential: &Credential) -> Standing<'_> {
        if credential.reserved.is_some() {
            return Standing::Reserved;
        }
        if let Some(generation) = self.held_generation(credential) {
            return Standing::Held(generation);
        }
        if self.is_siblings(credential) {
            return Standing::Sibling;
        }
        if let Some(adopt) = self.declared.adopt.iter().find(|adopt| credential.is_named(&adopt.thumbprint)) {
            return Standing::Adopted { elsewhere: adopt.key_elsewhere };
        }
        if self.is_revoked_credential(credential) && !self.is_marked_ours(credential) {
            return Standing::Revoked;
        }
        match credential.marker() {
            Some(marker) if marker.owner != *self.owner => Standing::Foreign,
            Some(marker) if self.names.contains(&marker.name) => {
                if self.is_marked_ours(credential) {
                    Standing::Orphan
                } else {
                    Standing::Claimed
                }
            }
            Some(_) => Standing::Undeclared,
            None => Standing::Foreign,
        }
    }

    /// Whether it carries the marker of another name that the files account for. Naming its thumbprint here does not make it this
    /// certificate's: whoever reads that key would be locked out by an override that names somebody else.
    pub fn is_siblings(&self, credential: &Credential) -> bool {
        credential.marker().is_some_and(|marker| {
            marker.owner == *self.owner
                && !self.names.contains(&marker.name)
                && self.siblings.names.contains(&marker.name)
        })
    }

    /// A sibling's credential that this certificate's `adopt:`, `revoked:` or `--replace` names; of several the first by thumbprint,
    /// whatever order the directory shows them in.
    pub fn names_a_siblings(&self) -> Option<&'a Credential> {
        let replaced = self.policy.replace.get(&self.declared.address);
        let adopted = self.declared.adopt.iter().map(|adopt| &adopt.thumbprint);
        let named: Vec<&Thumbprint> = adopted.chain(&self.declared.revoked).chain(replaced).collect();
        let theirs = self.target.client_credentials().filter(|credential| {
            self.is_siblings(credential) && named.iter().any(|thumbprint| credential.is_named(thumbprint))
        });
        // Not the first one read: in whatever order they come, the plan is the same.
        theirs.min_by_key(|credential| (credential.sha1(), credential.key_id))
    }

    /// Whether a credential may be taken off because its end has passed.
    pub fn has_surely_ended(&self, credential: &Credential) -> bool {
        credential.is_expired_for_all_at(self.now, self.policy.settings.skew_refuse)
    }

    /// Another certificate that names this credential under `adopt:`, `revoked:` or `--replace`. Whatever is decided about that one begins from the
    /// credential, so that nobody else takes it off.
    pub fn named_beside(&self, credential: &Credential) -> Option<&'a Address> {
        let thumbprint = match &credential.identifier {
            Identifier::Sha1(sha1) => Thumbprint::Sha1(*sha1),
            Identifier::Sha256(sha256) => Thumbprint::Sha256(*sha256),
            _ => return None,
        };
        self.siblings.named.get(&thumbprint)?.iter().find(|address| **address != self.declared.address)
    }

    /// Another certificate on this object whose store holds the key: its consumers may read it, and when the credential goes, it has a
    /// key to destroy.
    pub fn held_beside(&self, credential: &Credential) -> Option<&'a Address> {
        let holders = self.siblings.held.get(&(self.target.id, credential.sha1()?))?;
        holders.iter().find(|address| **address != self.declared.address)
    }

    /// A generation in the store's entry that was made for somebody else and still has its key. While there is one, nothing in the entry
    /// is ours to destroy.
    pub fn others_generation(&self) -> Option<&Generation> {
        let others = self.holding.generations.iter();
        let others = others.filter(|other| other.key == KeyState::Held && !self.is_ours(other));
        others.min_by_key(|other| (&other.record.owner, &other.record.name, &other.handle))
    }

    /// Whether a generation in the entry was made for this certificate, or `adopt:` names it.
    pub fn is_ours(&self, generation: &Generation) -> bool {
        let adopted = |thumbprints| self.declared.adopt.iter().any(|a| a.thumbprint.names(&thumbprints));
        self.is_own_record(&generation.record) || generation.record.thumbprints.is_some_and(adopted)
    }

    /// The generation in the store that the credential is of.
    pub fn held_generation(&self, credential: &Credential) -> Option<&Generation> {
        let of_it = |generation: &&Generation| {
            generation.record.thumbprints.is_some_and(|thumbprints| credential.is_of(&thumbprints))
        };
        self.holding.generations.iter().find(of_it)
    }

    /// Whether it carries our marker and the key id we derive: only then is it ours to remove without being named.
    pub fn is_marked_ours(&self, credential: &Credential) -> bool {
        let marked = credential
            .marker()
            .is_some_and(|marker| marker.owner == *self.owner && self.names.contains(&marker.name));
        let derived = credential.sha1().map(|sha1| KeyId::derive(&self.target.id, &sha1));
        marked && derived.is_some() && derived == credential.key_id
    }

    /// Whether certroll may remove it: by marker and key id, or because the file names its thumbprint.
    pub fn is_removable(&self, credential: &Credential) -> bool {
        let named = |thumbprint: &Thumbprint| credential.is_named(thumbprint);
        credential.reserved.is_none()
            && credential.key_id.is_some()
            && credential.sha1().is_some()
            && !self.is_siblings(credential)
            && (self.is_marked_ours(credential)
                || self.declared.adopt.iter().any(|adopt| named(&adopt.thumbprint))
                || self.declared.revoked.iter().any(named)
                || self.names_for_replacement(credential))
    }

    /// `--replace ADDRESS=THUMBPRINT --revoke-previous` names it.
    pub fn names_for_replacement(&self, credential: &Credential) -> bool {
        let named = self.policy.replace.get(&self.declared.address);
        self.policy.revoke_previous
            && named.is_some_and(|thumbprint| self.credential_is(credential, thumbprint))
    }

    /// Whether that thumbprint, SHA-1 or SHA-256, names that credential. A SHA-256 is known through the store only.
    fn credential_is(&self, credential: &Credential, thumbprint: &Thumbprint) -> bool {
        let held = self.held_generation(credential).and_then(|generation| generation.record.thumbprints);
        credential.is_named(thumbprint) || held.is_some_and(|thumbprints| thumbprint.names(&thumbprints))
    }

    /// Whether the file lists it under `revoked:`.
    pub fn is_revoked_credential(&self, credential: &Credential) -> bool {
        self.declared.revoked.iter().any(|thumbprint| self.credential_is(credential, thumbprint))
    }

    /// Whether the file lists it under `revoked:`.
    pub fn is_revoked_generation(&self, generation: &Generation) -> bool {
        let listed = |thumbprints| self.declared.revoked.iter().any(|revoked| revoked.names(&thumbprints));
        generation.record.thumbprints.is_some_and(listed)
    }

    /// The credentials of a generation.
    pub fn credentials_of(&self, generation: &Generation) -> Vec<&'a Credential> {
        let Some(thumbprints) = generation.record.thumbprints else { return Vec::new() };
        self.target.client_credentials().filter(|credential| credential.is_of(&thumbprints)).collect()
    }

    /// Every credential on the target, in an order that does not depend on how they were read.
    pub fn credentials_by_end(&self) -> Vec<&'a Credential> {
        let mut credentials: Vec<_> = self.target.credentials.iter().collect();
        credentials.sort_by_key(|credential| (credential.end, &credential.identifier, credential.key_id));
        credentials
    }

    /// Whether the record says the generation is of this certificate.
    pub fn is_own_record(&self, record: &PublicRecord) -> bool {
        record.owner == *self.owner && record.tenant_id == self.tenant_id && self.names.contains(&record.name)
    }

    /// Whether a person or provider confirmed that generation, and when first.
    pub fn acknowledged_at(&self, sha1: &Sha1, sha256: Option<&Sha256>) -> Option<Timestamp> {
        let names = |thumbprint: &Thumbprint| match thumbprint {
            Thumbprint::Sha1(named) => named == sha1,
            Thumbprint::Sha256(named) => Some(named) == sha256,
        };
        let mut records = self.holding.generations.iter().map(|generation| &generation.record);
        let held = records.find(|record| record.thumbprints.is_some_and(|t| t.sha1 == *sha1));
        let counts = |ack: &Acknowledgement| {
            held.is_none_or(|record| in_use::can_have_seen(ack, record, &self.policy.settings))
        };
        let of_it = self.acknowledgements.iter().filter(|ack| names(&ack.thumbprint) && counts(ack));
        of_it.map(|ack| ack.at).min()
    }

    /// When the current generation was acknowledged, if it was. One that certroll found in use is in use already.
    pub fn current_acknowledged_at(&self, current: &CurrentView<'_>) -> Option<Timestamp> {
        let sha256 = current.generation.and_then(|g| g.record.thumbprints).map(|t| t.sha256);
        let acknowledged = self.acknowledged_at(&current.sha1, sha256.as_ref());
        let adopted = current.generation.is_none_or(|generation| generation.record.was_in_use_before());
        acknowledged.or_else(|| adopted.then_some(Timestamp::MIN))
    }

    /// Generations of this certificate that could sign in now.
    pub fn live_generations(&self) -> usize {
        let counts = |credential: &&Credential| {
            let ours = matches!(
                self.standing(credential),
                Standing::Held(_) | Standing::Adopted { .. } | Standing::Orphan
            );
            ours && !credential.is_expired_at(self.now)
        };
        let live: BTreeSet<_> =
            self.target.client_credentials().filter(counts).filter_map(Credential::sha1).collect();
        live.len()
    }

    /// The life of a generation or credential.
    pub fn life_of(&self, record: Option<&PublicRecord>, credentials: &[&Credential]) -> Option<Life> {
        let published =
            credentials.iter().filter_map(|c| Some((c.start, c.end?))).max_by_key(|(_, end)| *end);
        let certificate = record.and_then(|record| Some((record.not_before?, record.not_after?)));
        // One that is still to be published, or to be published again, has the life it will be given.
        let published = published.or_else(|| {
            let (not_before, not_after) = certificate?;
            let max = self.lifetime_max(not_after.duration_since(not_before));
            let (start, end) = credential_dates(not_before, not_after, max, self.now, &self.policy.settings);
            credentials.is_empty().then_some((Some(start), end))
        });
        match (published, certificate) {
            // The credential lives as long as its certificate: the certificate's dates, which a second publishing keeps.
            (Some((_, end)), Some((not_before, not_after)))
                if not_after.duration_since(end).abs() < SignedDuration::from_hours(24) =>
            {
                let length = not_after.duration_since(not_before);
                Some(Life { began: end.checked_sub(length).unwrap_or(not_before), end, length })
            }
            // A policy cut it short, from the day it was published.
            (Some((start, end)), Some((not_before, _))) => {
                let length = end.duration_since(start.unwrap_or(not_before));
                Some(Life { began: not_before, end, length })
            }
            (Some((start, end)), None) => {
                let began = start.unwrap_or(end);
                Some(Life { began, end, length: end.duration_since(began) })
            }
            (None, Some((not_before, not_after))) => {
                let length = not_after.duration_since(not_before);
                Some(Life { began: not_before, end: not_after, length })
            }
            (None, None) => None,
        }
    }

    /// The policy's longest life in seconds, where it is shorter than that of the certificate.
    pub fn lifetime_max(&self, certificate: SignedDuration) -> Option<i64> {
        let max = self.target.lifetime_policy.as_ref()?.max_seconds;
        (max <= certificate.as_secs()).then_some(max)
    }

    /// Whether a generation on its way has enough life left: it would not be due as soon as it is promoted.
    pub fn has_life_left(&self, generation: &Generation) -> bool {
        let life = self.life_of(Some(&generation.record), &self.credentials_of(generation));
        life.is_none_or(|life| due(self.declared, life) > self.now)
    }

    /// The rotation that replaces `current`. A rotation whose generation was given up (rolled back from, revoked, stuck until
    /// too little life was left) is followed by another one with an id of its own, so that no id ever has two keys.
    pub fn rotation_id(&self, current: Option<&CurrentView<'_>>) -> RotationId {
        let mut predecessor = match current {
            Some(current) => current.sha1.to_string(),
            None => self.orphans_text(),
        };
        let tenant = self.tenant_id.to_string();
        loop {
            let id = self.declared.rotation_id(self.owner, &tenant, &self.target.id, &predecessor);
            let spent = self
                .holding
                .generations
                .iter()
                .find(|g| g.record.rotation_id == Some(id) && self.is_spent(g));
            let Some(PublicRecord { thumbprints, requested_at, .. }) = spent.map(|g| &g.record) else {
                return id;
            };
            match thumbprints {
                Some(thumbprints) => predecessor = format!("{predecessor} {}", thumbprints.sha1),
                None => predecessor = format!("{predecessor} requested {requested_at}"),
            }
        }
    }

    /// Credentials of ours whose key is in no store that can be seen from here.
    pub fn orphans(&self) -> impl Iterator<Item = &'a Credential> {
        self.target.client_credentials().filter(|credential| self.standing(credential) == Standing::Orphan)
    }

    /// Stands for the predecessor where there is no current generation: `none`, and every orphan, so that losing a store
    /// does not bring an old rotation id back.
    fn orphans_text(&self) -> String {
        let thumbprints: BTreeSet<_> = self.orphans().filter_map(Credential::sha1).collect();
        thumbprints.iter().fold("none".to_owned(), |text, sha1| format!("{text} {sha1}"))
    }

    /// Whether a generation can never become what consumers read, or did so already. Its record stays where its key is
    /// destroyed, and so its rotation is not begun a second time.
    pub fn is_spent(&self, generation: &Generation) -> bool {
        let record = &generation.record;
        let on_its_way = matches!(record.phase, RecordedPhase::Requested | RecordedPhase::Staged)
            && record.promoted_at.is_none();
        let usable = generation.key == KeyState::Held && self.has_life_left(generation);
        let replaced = self.policy.replace.get(&self.declared.address);
        let is_replaced = replaced
            .is_some_and(|named| record.thumbprints.is_some_and(|thumbprints| named.names(&thumbprints)));
        !on_its_way || !usable || is_replaced || record.rejected || self.is_revoked_generation(generation)
    }

    /// Adds, in thought, the record of an adopted current entry that has none. Says whether it did.
    pub fn record_adopted_current(&mut self) -> bool {
        let Some(Current::Unrecorded { thumbprints: Some(thumbprints) }) = self.holding.current else {
            return false;
        };
        if !self.declared.adopt.iter().any(|adopt| adopt.thumbprint.names(&thumbprints)) {
            return false;
        }
        let recorded = Recorded {
            declared: self.declared,
            owner: self.owner,
            tenant_id: self.tenant_id,
            target: self.target.id,
            now: self.now,
        };
        let credential = self.target.client_credentials().filter(|one| one.is_of(&thumbprints));
        let credential = credential.min_by_key(|one| one.key_id);
        let record = recorded.adopted(thumbprints, credential);
        let holding = self.holding.to_mut();
        holding.current = Some(Current::Recorded(thumbprints.sha256));
        holding.generations.push(Generation { handle: String::new(), record, key: KeyState::Held });
        true
    }
}
