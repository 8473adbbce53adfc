//! The meaning of a step: what the world of one certificate looks like after it. Guard and convergence check stand on this.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::desired::{Declared, Issuer, Prove};
use crate::ids::{KeyId, Owner, RotationId, Sha1, Sha256, Thumbprints};
use crate::observed::record::{Delivered, PublicRecord, RecordedPhase};
use crate::observed::{
    Answer, Credential, Current, DeliveryState, Generation, Holding, Identifier, KeyState, Observed,
    ObservedStore, ObservedTenant, Removal, StoreState, Target, TargetState,
};
use crate::plan::digest;
use crate::plan::records::{Recorded, credential_dates};
use crate::plan::situation::reference;
use crate::plan::step::{Evidence, GenerationRef, RecordWrite, Step};
use crate::settings::Settings;

/// What one certificate's steps can change.
#[derive(Debug, Clone)]
pub struct World {
    /// The object that carries it.
    pub target: Target,
    /// Its store; none when no key lives here.
    pub store: Option<ObservedStore>,
    /// Its delivery places.
    pub deliveries: BTreeMap<String, DeliveryState>,
    /// What became of its signing requests, by rotation.
    pub answers: BTreeMap<RotationId, Answer>,
}

/// What prediction needs to know beyond the step.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The declaration.
    pub declared: &'a Declared,
    /// Whose.
    pub owner: &'a Owner,
    /// Directory id.
    pub tenant_id: Uuid,
    /// The moment of the plan: everything is predicted to happen in it.
    pub now: Timestamp,
    /// The numbers.
    pub settings: &'a Settings,
}

impl World {
    /// The part of the observation that one certificate's steps can change; none where its target was not found.
    pub fn of(declared: &Declared, observed: &Observed) -> Option<World> {
        let tenant = observed.tenants.get(&declared.address.tenant)?;
        let Some(TargetState::Found(target)) = tenant.targets.get(&declared.address) else { return None };
        Some(World {
            target: (**target).clone(),
            store: observed.stores.get(&declared.address).cloned(),
            deliveries: observed.deliveries.get(&declared.address).cloned().unwrap_or_default(),
            answers: observed.answers.get(&declared.address).cloned().unwrap_or_default(),
        })
    }

    /// An observation of this world and nothing else of the tenant, so that ten thousand targets are not copied for each
    /// certificate.
    pub fn alone(self, declared: &Declared, tenant: &ObservedTenant) -> Observed {
        let mut observed = Observed::default();
        observed.tenants.insert(declared.address.tenant.clone(), tenant.without_targets());
        self.into_observed(declared, &mut observed);
        observed
    }

    /// Puts this world into an observation.
    pub fn into_observed(self, declared: &Declared, observed: &mut Observed) {
        let address = &declared.address;
        if let Some(tenant) = observed.tenants.get_mut(&address.tenant) {
            tenant.targets.insert(address.clone(), TargetState::Found(Box::new(self.target)));
        }
        if let Some(store) = self.store {
            observed.stores.insert(address.clone(), store);
        }
        observed.deliveries.insert(address.clone(), self.deliveries);
        observed.answers.insert(address.clone(), self.answers);
    }

    /// What the store holds, if that is known.
    pub fn holding(&self) -> Option<&Holding> {
        match &self.store.as_ref()?.state {
            StoreState::Known(holding) => Some(holding),
            StoreState::Absent | StoreState::Unreadable { .. } => None,
        }
    }

    fn holding_mut(&mut self) -> Option<&mut Holding> {
        let store = self.store.as_mut()?;
        if matches!(store.state, StoreState::Absent) {
            store.state = StoreState::Known(Holding::default());
        }
        match &mut store.state {
            StoreState::Known(holding) => Some(holding),
            StoreState::Absent | StoreState::Unreadable { .. } => None,
        }
    }

    /// The generation a step speaks of. A rotation may have begun anew after its first generation was discarded: the
    /// thumbprints tell which is meant, else it is the newest one whose key is there.
    pub fn generation(&self, reference: &GenerationRef) -> Option<&Generation> {
        self.holding()?.generations.get(self.position(reference)?)
    }

    fn generation_mut(&mut self, reference: &GenerationRef) -> Option<&mut Generation> {
        let position = self.position(reference)?;
        self.holding_mut()?.generations.get_mut(position)
    }

    fn position(&self, reference: &GenerationRef) -> Option<usize> {
        let fit = |generation: &Generation| {
            let exact =
                reference.thumbprints.is_some() && generation.record.thumbprints == reference.thumbprints;
            (exact, generation.key == KeyState::Held)
        };
        let generations = self.holding()?.generations.iter().enumerate();
        let referred = generations.filter(|(_, generation)| is_referred(generation, reference));
        referred.max_by_key(|(index, generation)| (fit(generation), *index)).map(|(index, _)| index)
    }
}

fn is_referred(generation: &Generation, reference: &GenerationRef) -> bool {
    reference.is(&GenerationRef {
        rotation_id: generation.record.rotation_id,
        thumbprints: generation.record.thumbprints,
    })
}

/// Thumbprints standing for a certificate that is not made yet.
fn predicted_thumbprints(rotation: &RotationId) -> Thumbprints {
    let sha256 = digest::text(&format!("predicted {rotation}"));
    let mut sha1 = [0; 20];
    sha1.copy_from_slice(&sha256.0[..20]);
    Thumbprints { sha1: Sha1(sha1), sha256 }
}

impl Step {
    /// Changes the world as the step would.
    pub fn predict(&self, world: &mut World, context: &Context<'_>) {
        match self {
            Step::Request { generation, key, subject, place: _ } => {
                let held = world.generation(generation).is_some_and(|one| one.key == KeyState::Held);
                if !held {
                    let record = context.recorded(world).requested(generation.rotation_id, *key, subject);
                    push_generation(world, generation, record);
                }
                if let (Issuer::Csr { .. }, Some(rotation)) =
                    (&context.declared.issuer, generation.rotation_id)
                {
                    world.answers.insert(rotation, Answer::Awaited);
                }
            }
            Step::Issue {
                generation,
                key,
                signature_hash: _,
                subject,
                validity,
                issuer: _,
                place: _,
                kept_as: _,
                requested,
            } => {
                let mut record = context.recorded(world).requested(generation.rotation_id, *key, subject);
                let thumbprints = generation.rotation_id.as_ref().map(predicted_thumbprints);
                record.thumbprints = thumbprints;
                record.key_id =
                    thumbprints.map(|thumbprints| KeyId::derive(&world.target.id, &thumbprints.sha1));
                record.not_before = context.now.checked_sub(context.settings.backdate).ok();
                record.not_after = Some(validity.after(context.now));
                record.phase = RecordedPhase::Staged;
                match world.generation_mut(generation).filter(|_| *requested) {
                    Some(pending) => {
                        let requested_at = pending.record.requested_at;
                        pending.record = PublicRecord { requested_at, ..record };
                    }
                    None => push_generation(world, generation, record),
                }
            }
            Step::Publish { generation, display_name, lifetime_max_seconds, dropping, repair: _ } => {
                world
                    .target
                    .credentials
                    .retain(|credential| credential.key_id.is_none_or(|id| !dropping.contains(&id)));
                publish(world, context, generation, display_name, *lifetime_max_seconds);
            }
            Step::Settle { generation: _, seconds: _ } => {}
            Step::Prove { generation, evidence } => {
                let in_use = world.holding().and_then(Holding::current_generation);
                let repaired = in_use.is_some_and(|current| generation.is(&reference(current)));
                let records = repaired || context.declared.prove == Prove::AfterPromotion;
                if records && matches!(evidence, Evidence::SignIn { .. }) {
                    proven(world, context.now, generation);
                }
            }
            Step::Promote { generation, place: _, kept_as: _, before_proof } => {
                promote(world, context.now, generation);
                if !before_proof && context.declared.prove == Prove::SignIn {
                    proven(world, context.now, generation);
                }
            }
            Step::Deliver { generation, slot, kept_as: _ } => deliver(world, context, generation, slot),
            Step::Record { generation, write: RecordWrite::Promoted } => {
                if let Some(generation) = world.generation_mut(generation) {
                    generation.record = generation.record.clone().promoted(context.now);
                }
            }
            Step::Record { generation, write: RecordWrite::Adopted } => adopt(world, context, generation),
            Step::Reject { generation } => {
                if let Some(generation) = world.generation_mut(generation) {
                    generation.record.rejected = true;
                }
            }
            Step::Retire { credential } => {
                world.target.credentials.retain(|other| other.key_id != Some(credential.key_id));
            }
            Step::Destroy { generation, place: _ } | Step::Discard { generation, place: _ } => {
                destroy(world, generation);
            }
        }
    }
}

impl Context<'_> {
    fn recorded(&self, world: &World) -> Recorded<'_> {
        Recorded {
            declared: self.declared,
            owner: self.owner,
            tenant_id: self.tenant_id,
            target: world.target.id,
            now: self.now,
        }
    }
}

fn push_generation(world: &mut World, reference: &GenerationRef, record: PublicRecord) {
    let handle = reference.rotation_id.map(|id| id.to_string()).unwrap_or_default();
    if let Some(holding) = world.holding_mut() {
        holding.generations.push(Generation { handle, record, key: KeyState::Held });
    }
}

fn publish(
    world: &mut World,
    context: &Context<'_>,
    reference: &GenerationRef,
    display_name: &str,
    lifetime_max_seconds: Option<i64>,
) {
    let held = world.generation(reference).and_then(|generation| {
        let record = &generation.record;
        Some((record.thumbprints?, record.not_before?, record.not_after?))
    });
    let Some((thumbprints, not_before, not_after)) = held.or_else(|| provided(context.declared, reference))
    else {
        return;
    };
    let (start, end) =
        credential_dates(not_before, not_after, lifetime_max_seconds, context.now, context.settings);
    world.target.credentials.push(Credential {
        key_id: Some(KeyId::derive(&world.target.id, &thumbprints.sha1)),
        identifier: Identifier::Sha1(thumbprints.sha1),
        display_name: Some(display_name.to_owned()),
        start: Some(start),
        end: Some(end),
        reserved: None,
        raw: RawValue::NULL.to_owned(),
    });
}

/// A provider's certificate, from the declared files.
fn provided(declared: &Declared, reference: &GenerationRef) -> Option<(Thumbprints, Timestamp, Timestamp)> {
    let Issuer::ExternalPublicKey { files } = &declared.issuer else { return None };
    let certificate = files.iter().map(|file| &file.certificate);
    let mut of_it = certificate.filter(|certificate| reference.thumbprints == Some(certificate.thumbprints));
    of_it.next().map(|certificate| (certificate.thumbprints, certificate.not_before, certificate.not_after))
}

fn promote(world: &mut World, now: Timestamp, reference: &GenerationRef) {
    let current = world.holding().and_then(|holding| holding.current.clone());
    let Some(generation) = world.generation_mut(reference) else { return };
    let promoted = generation.record.thumbprints;
    let is_current = promoted.is_some_and(|t| current == Some(Current::Recorded(t.sha256)));
    if !is_current || generation.record.promoted_at.is_none() {
        generation.record = generation.record.clone().promoted(now);
    }
    if let (Some(holding), Some(thumbprints)) = (world.holding_mut(), promoted) {
        holding.current = Some(Current::Recorded(thumbprints.sha256));
    }
}

/// It signed in. The first time since it was published counts.
fn proven(world: &mut World, now: Timestamp, reference: &GenerationRef) {
    let its = world.generation(reference).and_then(|generation| generation.record.thumbprints);
    let of_it = |credential: &&Credential| its.is_some_and(|thumbprints| credential.is_of(&thumbprints));
    let start = world.target.credentials.iter().filter(of_it).filter_map(|credential| credential.start).min();
    if let Some(generation) = world.generation_mut(reference) {
        let before = generation.record.proven_at.filter(|at| start.is_none_or(|start| start <= *at));
        generation.record.proven_at = before.or(Some(now));
    }
}

fn deliver(world: &mut World, context: &Context<'_>, reference: &GenerationRef, slot: &str) {
    let marker = "predicted".to_owned();
    let form = context.declared.deliveries.iter().find(|delivery| delivery.slot == slot);
    let form = form.map(|delivery| delivery.form.fingerprint()).unwrap_or_default();
    let Some(generation) = world.generation_mut(reference) else { return };
    let delivered = Delivered { at: context.now, marker: marker.clone(), form };
    generation.record.delivered.insert(slot.to_owned(), delivered);
    let thumbprints = generation.record.thumbprints;
    let state = match (world.deliveries.get(slot), thumbprints) {
        (Some(DeliveryState::Holds(_)), Some(thumbprints)) => DeliveryState::Holds(thumbprints),
        (Some(DeliveryState::NeverTells { reason }), _) => {
            DeliveryState::NeverTells { reason: reason.clone() }
        }
        _ => DeliveryState::Marker(marker),
    };
    world.deliveries.insert(slot.to_owned(), state);
}

fn adopt(world: &mut World, context: &Context<'_>, reference: &GenerationRef) {
    let Some(thumbprints) = reference.thumbprints else { return };
    let credential = world.target.client_credentials().filter(|one| one.is_of(&thumbprints));
    let credential = credential.min_by_key(|one| one.key_id);
    let record = context.recorded(world).adopted(thumbprints, credential);
    push_generation(world, reference, record);
    if let Some(holding) = world.holding_mut() {
        holding.current = Some(Current::Recorded(thumbprints.sha256));
    }
}

fn destroy(world: &mut World, reference: &GenerationRef) {
    let disables = world.store.as_ref().is_some_and(|store| store.shape.removal == Removal::Disables);
    if let Some(generation) = world.generation_mut(reference) {
        generation.key = if disables { KeyState::Disabled } else { KeyState::Destroyed };
        generation.record.phase = RecordedPhase::Retired;
    }
}

/// The SHA-256 a predicted generation goes by; for tests that look into a predicted world.
pub fn predicted_sha256(rotation: &RotationId) -> Sha256 {
    predicted_thumbprints(rotation).sha256
}
