//! Refuses a plan that could lock somebody out, wherever the run might stop. `together` refuses one that does not settle.
//!
//! The guard does not ask the planner's reasons again; it has rules of its own over what each prefix of the plan leaves
//! behind, computed from the observation and the declaration.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::desired::{Acknowledgement, Declared, Desired, Issuer, Prove};
use crate::ids::{Address, KeyId, Sha1, TargetId, Thumbprints};
use crate::observed::record::PublicRecord;
use crate::observed::{
    Credential, Current, Generation, Holding, Observed, ObservedStore, StoreState, TargetState,
};
use crate::plan::in_use;
use crate::plan::policy::Policy;
use crate::plan::predict::{Context, World};
use crate::plan::reason::Because;
use crate::plan::situation::Situation;
use crate::plan::step::{Evidence, GenerationRef, Step};
pub use crate::plan::together::settles;
use crate::plan::{CertificatePlan, Plan, PlannedStep};
use crate::settings::Settings;

/// Why a plan is refused: a bug in the planner, found before anything was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan for {address} is unsafe at step {step}: {rule}; nothing was changed, please report this as a bug in certroll"
)]
pub struct Unsafe {
    /// The certificate.
    pub address: Address,
    /// The step, from 1; 0 for the plan as a whole.
    pub step: usize,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// Checks every prefix of every chain.
pub fn check(plan: &Plan, desired: &Desired, observed: &Observed, policy: &Policy) -> Result<(), Unsafe> {
    plan.certificates.iter().try_for_each(|certificate| {
        match desired.certificates.get(&certificate.address) {
            Some(declared) => check_certificate(certificate, declared, desired, observed, policy, plan.now),
            None => check_removed(certificate, desired, observed, &policy.settings, plan.now),
        }
    })
}

/// What is no longer declared may only lose what `removed:` names; nothing may be made for it. What it was moved to must have
/// taken its place on another object.
fn check_removed(
    certificate: &CertificatePlan,
    desired: &Desired,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), Unsafe> {
    let heirs = desired.moved.iter().filter(|moved| moved.from == certificate.address);
    let mut heirs = heirs.filter_map(|moved| desired.certificates.get(&moved.to));
    let left = heirs.all(|heir| has_left(heir, certificate, desired, observed, settings, now));
    let not_read_by_another = |planned: &PlannedStep| match (&planned.step, &certificate.target) {
        (Step::Retire { credential }, Some(target)) => {
            let own = &certificate.address;
            let ended = credential.end.is_some_and(|end| now.duration_since(end) >= settings.skew_refuse);
            rule(!offered_beside(own, target.id, credential.sha1, observed), OFFERED_BESIDE)
                .and_then(|()| rule(ended || !unread_beside(own, target.id, observed), UNREAD_BESIDE))
        }
        _ => Ok(()),
    };
    for (index, planned) in certificate.steps.iter().enumerate() {
        let only_removes =
            matches!((&planned.step, &planned.because), (Step::Retire { .. }, Because::Removed));
        let verdict = rule(only_removes, "an undeclared certificate may only be removed")
            .and_then(|()| rule(left, "what it was moved to has not taken its place"))
            .and_then(|()| not_read_by_another(planned));
        verdict.map_err(|rule| Unsafe { address: certificate.address.clone(), step: index + 1, rule })?;
    }
    Ok(())
}

/// Whether consumers of that certificate read a key of another object than the one that is left, for longer than the overlap.
fn has_left(
    heir: &Declared,
    left: &CertificatePlan,
    desired: &Desired,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> bool {
    let (Some(world), Some(target)) = (World::of(heir, observed), &left.target) else { return false };
    if world.target.id == target.id {
        return false;
    }
    let Some(record) = world.holding().and_then(Holding::current_generation).map(|current| &current.record)
    else {
        return false;
    };
    let names = Situation::names_of(desired, &heir.address);
    let acknowledgements = Situation::acknowledgements_of(desired, &names, &heir.address.tenant);
    let acknowledged = in_use::acknowledged_at(acknowledgements, record, settings);
    let in_use = in_use_since(heir, record, acknowledged);
    record.target != target.id && in_use.is_some_and(|in_use| heir.overlap.after(in_use) <= now)
}

/// The guard's own count, on purpose not the planner's: a slip in one of them is seen by the other.
fn in_use_since(
    declared: &Declared,
    record: &PublicRecord,
    acknowledged: Option<Timestamp>,
) -> Option<Timestamp> {
    let mut latest = record.promoted_at?;
    for place in &declared.deliveries {
        latest = latest.max(record.delivered_to(&place.slot)?.at);
    }
    if declared.acknowledge {
        latest = latest.max(acknowledged?);
    }
    Some(latest)
}

struct Guard<'a> {
    declared: &'a Declared,
    desired: &'a Desired,
    policy: &'a Policy,
    now: Timestamp,
    /// The world as observed: what consumers may hold is decided by this, not by what the plan predicts.
    observed: &'a World,
    /// All of it: certificates share objects.
    all: &'a Observed,
    /// Thumbprints proven so far in this plan.
    proven: BTreeSet<Sha1>,
    /// Thumbprints read back so far in this plan.
    read_back: BTreeSet<Sha1>,
}

fn check_certificate(
    certificate: &CertificatePlan,
    declared: &Declared,
    desired: &Desired,
    observed: &Observed,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Unsafe> {
    let Some(before) = World::of(declared, observed) else {
        return match certificate.steps.is_empty() {
            true => Ok(()),
            false => {
                let rule = "steps for a target that was not found";
                Err(Unsafe { address: certificate.address.clone(), step: 1, rule })
            }
        };
    };
    let tenant_id =
        observed.tenants.get(&declared.address.tenant).map(|tenant| tenant.tenant_id).unwrap_or_default();
    let context = Context { declared, owner: &desired.owner, tenant_id, now, settings: &policy.settings };
    let mut guard = Guard {
        declared,
        desired,
        policy,
        now,
        observed: &before,
        all: observed,
        proven: BTreeSet::new(),
        read_back: BTreeSet::new(),
    };
    let mut world = before.clone();
    for (index, planned) in certificate.steps.iter().enumerate() {
        let could_sign_in = offered_can_sign_in(&world, now, &policy.settings);
        let verdict = guard.allows(&planned.step, &planned.because, &world).and_then(|()| {
            planned.step.predict(&mut world, &context);
            match could_sign_in && !offered_can_sign_in(&world, now, &policy.settings) {
                true => Err("what consumers read could sign in before it and cannot after it"),
                false => Ok(()),
            }
        });
        verdict.map_err(|rule| Unsafe { address: certificate.address.clone(), step: index + 1, rule })?;
    }
    Ok(())
}

/// The thumbprint of what consumers read.
fn offered(world: &World) -> Option<Sha1> {
    let holding = world.holding()?;
    match holding.current.as_ref()? {
        Current::Recorded(sha256) => holding.generation(sha256)?.record.thumbprints.map(|t| t.sha1),
        Current::Unrecorded { thumbprints } => thumbprints.map(|thumbprints| thumbprints.sha1),
    }
}

const OFFERED_BESIDE: &str = "removes the credential of what another certificate's consumers read";

/// Whether another certificate has its consumers read it. It may be on another object by now, and its store still offer what was made
/// for this one.
fn offered_beside(own: &Address, target: TargetId, sha1: Sha1, observed: &Observed) -> bool {
    let offers = |address: &Address, store: &ObservedStore| match &store.state {
        StoreState::Known(holding) => match &holding.current {
            Some(Current::Recorded(sha256)) => {
                holding.generation(sha256).map(|generation| &generation.record).is_some_and(|record| {
                    record.thumbprints.is_some_and(|thumbprints| thumbprints.sha1 == sha1)
                        && (record.target == target || is_on(address, target, observed))
                })
            }
            Some(Current::Unrecorded { thumbprints }) => {
                thumbprints.is_some_and(|both| both.sha1 == sha1) && is_on(address, target, observed)
            }
            None => false,
        },
        StoreState::Absent | StoreState::Unreadable { .. } => false,
    };
    observed.stores.iter().any(|(address, store)| address != own && offers(address, store))
}

const UNREAD_BESIDE: &str = "removes what another certificate's store may offer, which could not be read";

/// Whether another certificate on that object has a store that could not be read.
fn unread_beside(own: &Address, target: TargetId, observed: &Observed) -> bool {
    let unread = |store: &ObservedStore| matches!(store.state, StoreState::Unreadable { .. });
    observed
        .stores
        .iter()
        .any(|(address, store)| address != own && unread(store) && is_on(address, target, observed))
}

fn is_on(address: &Address, target: TargetId, observed: &Observed) -> bool {
    let state = observed.tenants.get(&address.tenant).and_then(|tenant| tenant.targets.get(address));
    matches!(state, Some(TargetState::Found(found)) if found.id == target)
}

/// A beginning counts as reached that is no further away than clocks may differ: another machine may have published by a faster one.
fn offered_can_sign_in(world: &World, now: Timestamp, settings: &Settings) -> bool {
    let Some(sha1) = offered(world) else { return false };
    let begun = |start: Timestamp| start.duration_since(now) <= settings.skew_refuse;
    let valid = |c: &Credential| c.start.is_none_or(begun) && !c.is_expired_at(now);
    world.target.credentials.iter().any(|c| c.sha1() == Some(sha1) && valid(c))
}

fn on_target(world: &World, sha1: Sha1) -> bool {
    world.target.credentials.iter().any(|credential| credential.sha1() == Some(sha1))
}

type Rule = Result<(), &'static str>;

fn rule(holds: bool, words: &'static str) -> Rule {
    if holds { Ok(()) } else { Err(words) }
}

impl Guard<'_> {
    fn allows(&mut self, step: &Step, because: &Because, world: &World) -> Rule {
        match step {
            Step::Prove { generation, evidence } => {
                let Some(sha1) = self.thumbprint(world, generation) else { return Err("a proof of nothing") };
                rule(on_target(world, sha1), "a proof of a generation that is not published")?;
                match evidence {
                    Evidence::SignIn { times: _, seconds: _ } => self.proven.insert(sha1),
                    Evidence::ReadBack => self.read_back.insert(sha1),
                };
                Ok(())
            }
            Step::Promote { generation, place: _, kept_as: _, before_proof } => {
                let Some(sha1) = self.thumbprint(world, generation) else {
                    return Err("a promotion of nothing");
                };
                rule(on_target(world, sha1), "promoted before it is published")?;
                let early = *before_proof && self.declared.prove == Prove::AfterPromotion;
                let waived = self.declared.prove == Prove::ReadBack && self.read_back.contains(&sha1);
                rule(early || waived || self.proven.contains(&sha1), "promoted before it is proven")
            }
            Step::Publish {
                generation: _,
                display_name: _,
                lifetime_max_seconds: _,
                dropping,
                repair: _,
            } => dropping.iter().try_for_each(|id| self.allows_dropping(id, world)),
            Step::Retire { credential } => {
                let found = world.target.credentials.iter().find(|c| c.key_id == Some(credential.key_id));
                match found {
                    Some(found) => self.allows_removal(found, because, world),
                    None => Err("a removal of something that is not there"),
                }
            }
            Step::Destroy { generation, place: _ } | Step::Discard { generation, place: _ } => {
                let sha1 = self.thumbprint(world, generation);
                rule(
                    sha1.is_none() || sha1 != offered(world),
                    "the key that consumers read would be destroyed",
                )?;
                rule(
                    sha1.is_none_or(|sha1| !on_target(world, sha1)),
                    "a key whose credential is live would be destroyed",
                )?;
                rule(
                    self.is_own(world, generation),
                    "a key that was made for somebody else would be destroyed",
                )
            }
            Step::Request { .. }
            | Step::Issue { .. }
            | Step::Settle { .. }
            | Step::Deliver { .. }
            | Step::Record { .. }
            | Step::Reject { .. } => Ok(()),
        }
    }

    /// Whether the record says that it was made for this certificate and object, or the file names it. A key without a certificate
    /// is on no object yet.
    fn is_own(&self, world: &World, reference: &GenerationRef) -> bool {
        let Some(record) = world.generation(reference).map(|generation| &generation.record) else {
            return true;
        };
        let names = Situation::names_of(self.desired, &self.declared.address);
        let adopted =
            |thumbprints| self.declared.adopt.iter().any(|adopt| adopt.thumbprint.names(&thumbprints));
        let ours = record.owner == self.desired.owner && names.contains(&record.name);
        let for_this = record.thumbprints.is_none() || record.target == world.target.id;
        (ours || record.thumbprints.is_some_and(adopted)) && for_this
    }

    fn thumbprint(&self, world: &World, reference: &GenerationRef) -> Option<Sha1> {
        let held = world.generation(reference).and_then(|generation| generation.record.thumbprints);
        held.or(reference.thumbprints).map(|thumbprints| thumbprints.sha1)
    }

    fn allows_dropping(&self, id: &KeyId, world: &World) -> Rule {
        let credential = world.target.credentials.iter().find(|credential| credential.key_id == Some(*id));
        let Some(credential) = credential else { return Ok(()) };
        rule(self.declared.drop_expired_foreign.contains(id), "drops a credential the file does not name")?;
        rule(credential.reserved.is_none(), "drops a reserved credential")?;
        rule(self.has_expired(credential), "drops a credential that has not expired")
    }

    fn allows_removal(&self, credential: &Credential, because: &Because, world: &World) -> Rule {
        let Some(sha1) = credential.sha1() else { return Err("removes a credential without a thumbprint") };
        rule(credential.reserved.is_none(), "removes a reserved credential")?;
        rule(self.is_ours(credential, sha1, world), "removes a credential that is not ours")?;
        rule(!offered_beside(&self.declared.address, world.target.id, sha1, self.all), OFFERED_BESIDE)?;
        if self.declared.key_lives_here() {
            rule(offered(world) != Some(sha1), "removes the credential of what consumers read")?;
            let successor = offered(world).ok_or("removes a credential without a successor")?;
            let proven = self.proven.contains(&successor)
                || (self.declared.prove == Prove::ReadBack && self.read_back.contains(&successor));
            rule(proven, "removes a credential whose successor was not proven in the same run")?;
            let overridden = matches!(because, Because::Revoked | Because::RevokePrevious);
            let holds = |generation: &Generation| {
                generation.record.thumbprints.is_some_and(|thumbprints| thumbprints.sha1 == sha1)
            };
            let held = self.observed.holding().is_some_and(|holding| holding.generations.iter().any(holds));
            let known = held || !unread_beside(&self.declared.address, world.target.id, self.all);
            rule(overridden || self.has_expired(credential) || known, UNREAD_BESIDE)?;
            rule(
                overridden || self.has_expired(credential) || self.overlap_is_over(successor, credential),
                "removes a credential before the overlap is over",
            )
        } else {
            self.allows_provider_removal(credential, because)
        }
    }

    /// A key that lives with a provider cannot be proven: its word, or the old one's end, stands instead.
    fn allows_provider_removal(&self, credential: &Credential, because: &Because) -> Rule {
        rule(
            !self.read_back.is_empty(),
            "removes a provider's credential without reading the newer one back",
        )?;
        let confirmed = self
            .acknowledged(|named| self.read_back.contains(named))
            .is_some_and(|at| self.declared.overlap.after(at) <= self.now);
        let overridden = matches!(because, Because::Revoked);
        rule(
            overridden || confirmed || self.has_expired(credential),
            "removes a provider's credential without an acknowledgement",
        )
    }

    /// By the directory's clock, too, which is as far from ours as a plan allows.
    fn has_expired(&self, credential: &Credential) -> bool {
        credential.is_expired_for_all_at(self.now, self.policy.settings.skew_refuse)
    }

    fn is_ours(&self, credential: &Credential, sha1: Sha1, world: &World) -> bool {
        let derived = credential.key_id == Some(KeyId::derive(&world.target.id, &sha1));
        if self.is_siblings(credential) {
            return false;
        }
        let names = Situation::names_of(self.desired, &self.declared.address);
        let marked = credential
            .marker()
            .is_some_and(|marker| marker.owner == self.desired.owner && names.contains(&marker.name));
        let holds = |thumbprint: &crate::ids::Thumbprint| {
            let held = world.holding().into_iter().flat_map(|holding| &holding.generations);
            let mut held = held.filter_map(|generation| generation.record.thumbprints);
            credential.is_named(thumbprint) || held.any(|t| t.sha1 == sha1 && thumbprint.names(&t))
        };
        let replaced =
            self.policy.replace.get(&self.declared.address).filter(|_| self.policy.revoke_previous);
        (marked && derived)
            || self.declared.adopt.iter().any(|adopt| holds(&adopt.thumbprint))
            || self.declared.revoked.iter().any(holds)
            || replaced.is_some_and(holds)
    }

    /// Whether it is marked with another name that the files account for: no override written here may take it away.
    fn is_siblings(&self, credential: &Credential) -> bool {
        let names = Situation::names_of(self.desired, &self.declared.address);
        credential.marker().is_some_and(|marker| {
            let removed = self.desired.removed.iter().map(|removed| &removed.address);
            let former = self.desired.moved.iter().map(|moved| &moved.from);
            let mut accounted = self.desired.certificates.keys().chain(removed).chain(former);
            let is_it = |address: &Address| {
                address.tenant == self.declared.address.tenant && address.name == marker.name
            };
            marker.owner == self.desired.owner && accounted.any(is_it) && !names.contains(&marker.name)
        })
    }

    /// Counted from what was observed, never from what this plan is about to do.
    fn overlap_is_over(&self, successor: Sha1, leaving: &Credential) -> bool {
        if offered(self.observed) != Some(successor) {
            return false;
        }
        let Some(holding) = self.observed.holding() else { return false };
        let Some(record) = holding.current_generation().map(|generation| &generation.record) else {
            return false;
        };
        // One that certroll found in use was in use before.
        let adopted = record.was_in_use_before().then_some(Timestamp::MIN);
        let acknowledged = self.acknowledged(|named| *named == successor).or(adopted);
        let latest = in_use_since(self.declared, record, acknowledged);
        // What began later than its successor was in use later, too.
        let of_leaving = |thumbprints: &Thumbprints| leaving.is_of(thumbprints);
        let held =
            holding.generations.iter().filter(|one| one.record.thumbprints.as_ref().is_some_and(of_leaving));
        let began = held.filter_map(|one| one.record.promoted_at).chain(leaving.start);
        let latest = latest.map(|latest| began.chain([latest]).max().unwrap_or(latest));
        latest.is_some_and(|latest| self.declared.overlap.after(latest) <= self.now)
    }

    fn acknowledged(&self, names: impl Fn(&Sha1) -> bool) -> Option<Timestamp> {
        let own = Situation::names_of(self.desired, &self.declared.address);
        let generations = self.observed.holding().into_iter().flat_map(|holding| &holding.generations);
        let provided = match &self.declared.issuer {
            Issuer::ExternalPublicKey { files } => files.as_slice(),
            _ => &[],
        };
        let held = generations.clone().filter_map(|generation| generation.record.thumbprints);
        let held: Vec<_> = held.chain(provided.iter().map(|file| file.certificate.thumbprints)).collect();
        let of_it = Situation::acknowledgements_of(self.desired, &own, &self.declared.address.tenant);
        let counts = |thumbprint: &crate::ids::Thumbprint| match thumbprint {
            crate::ids::Thumbprint::Sha1(sha1) => names(sha1),
            crate::ids::Thumbprint::Sha256(_) => held.iter().any(|t| thumbprint.names(t) && names(&t.sha1)),
        };
        let can_have_seen = |ack: &&Acknowledgement| {
            let about = generations.clone().map(|generation| &generation.record);
            let mut about =
                about.filter(|record| record.thumbprints.is_some_and(|t| ack.thumbprint.names(&t)));
            about.all(|record| in_use::can_have_seen(ack, record, &self.policy.settings))
        };
        let counting = of_it.into_iter().filter(|ack| counts(&ack.thumbprint)).filter(can_have_seen);
        counting.map(|ack| ack.at).min()
    }
}
