//! Proves that a plan settles: all its steps predicted together, planned again at the same moment, nothing is left.
//!
//! Certificates may share an object, and a `removed:` entry may wait for another certificate. So the steps of all are predicted
//! into one world; what none of them touches stays as it was planned and is left out.

use std::collections::BTreeMap;

use crate::desired::{Declared, Desired};
use crate::ids::{Address, Name, RotationId, TargetId};
use crate::observed::{
    Answer, Credential, DeliveryState, Observed, ObservedStore, ObservedTenant, Target, TargetState,
};
use crate::plan::guard::Unsafe;
use crate::plan::policy::Policy;
use crate::plan::predict::{Context, World};
use crate::plan::siblings::siblings;
use crate::plan::step::Step;
use crate::plan::{CertificatePlan, Plan, planner, removed};

/// Proves that the plan settles.
pub fn settles(plan: &Plan, desired: &Desired, observed: &Observed, policy: &Policy) -> Result<(), Unsafe> {
    if plan.is_empty() {
        return Ok(());
    }
    let mut together = Together::default();
    for certificate in plan.certificates.iter().filter(|certificate| !certificate.steps.is_empty()) {
        together.carry_out(certificate, plan, desired, observed, policy);
    }
    let after = together.observed(desired, observed);
    let siblings = siblings(desired, &after, &policy.replace);
    let touched = after.tenants.values().flat_map(|tenant| tenant.targets.keys());
    let touched = touched.filter_map(|address| desired.certificates.get(address));
    let planned = touched
        .filter(|declared| policy.selects(declared))
        .map(|declared| planner::plan_certificate(desired, declared, &after, &siblings, policy, plan.now));
    let again = planned.chain(removed::plans(desired, &after, policy, plan.now));
    match again.into_iter().find(|certificate| !certificate.steps.is_empty()) {
        Some(left) => {
            let rule = "carrying it out would leave steps to do at the same moment";
            Err(Unsafe { address: left.address, step: 0, rule })
        }
        None => Ok(()),
    }
}

/// A store's entry.
type Place = (Name, String);

/// What the steps of several certificates change: lists of credentials by object, entries by store, delivery places.
#[derive(Default)]
struct Together {
    credentials: BTreeMap<TargetId, Vec<Credential>>,
    entries: BTreeMap<Place, ObservedStore>,
    deliveries: BTreeMap<Address, BTreeMap<String, DeliveryState>>,
    answers: BTreeMap<Address, BTreeMap<RotationId, Answer>>,
}

impl Together {
    fn carry_out(
        &mut self,
        certificate: &CertificatePlan,
        plan: &Plan,
        desired: &Desired,
        observed: &Observed,
        policy: &Policy,
    ) {
        let Some(declared) = desired.certificates.get(&certificate.address) else {
            return self.carry_out_removed(certificate, observed);
        };
        let Some(tenant) = observed.tenants.get(&declared.address.tenant) else { return };
        let Some(mut world) = self.world_of(declared, observed) else { return };
        let context = Context {
            declared,
            owner: &desired.owner,
            tenant_id: tenant.tenant_id,
            now: plan.now,
            settings: &policy.settings,
        };
        certificate.steps.iter().for_each(|planned| planned.step.predict(&mut world, &context));
        self.credentials.insert(world.target.id, world.target.credentials);
        if let (Some(place), Some(store)) = (place_of(declared), world.store) {
            self.entries.insert(place, store);
        }
        self.deliveries.insert(declared.address.clone(), world.deliveries);
        self.answers.insert(declared.address.clone(), world.answers);
    }

    /// A `removed:` entry only takes credentials off.
    fn carry_out_removed(&mut self, certificate: &CertificatePlan, observed: &Observed) {
        let Some(planned) = &certificate.target else { return };
        let states = observed.tenants.get(&certificate.address.tenant).map(|tenant| &tenant.removed);
        let mut targets = states.into_iter().flatten().filter_map(found);
        let Some(target) = targets.find(|target| target.id == planned.id) else { return };
        let credentials = self.credentials.entry(target.id).or_insert_with(|| target.credentials.clone());
        for planned in &certificate.steps {
            if let Step::Retire { credential } = &planned.step {
                credentials.retain(|other| other.key_id != Some(credential.key_id));
            }
        }
    }

    /// One certificate's world as the steps so far leave it.
    fn world_of(&self, declared: &Declared, observed: &Observed) -> Option<World> {
        let mut world = World::of(declared, observed)?;
        self.change(&mut world.target);
        if let Some(entry) = place_of(declared).and_then(|place| self.entries.get(&place)) {
            world.store = Some(entry.clone());
        }
        if let Some(deliveries) = self.deliveries.get(&declared.address) {
            world.deliveries.clone_from(deliveries);
        }
        if let Some(answers) = self.answers.get(&declared.address) {
            world.answers.clone_from(answers);
        }
        Some(world)
    }

    fn change(&self, target: &mut Target) {
        if let Some(credentials) = self.credentials.get(&target.id) {
            target.credentials.clone_from(credentials);
        }
    }

    /// An observation of everything the steps touch and what waits for it.
    fn observed(&self, desired: &Desired, observed: &Observed) -> Observed {
        let mut after = Observed::default();
        for (name, tenant) in &observed.tenants {
            let mut removed = tenant.removed.clone();
            removed.iter_mut().for_each(|state| {
                if let TargetState::Found(target) = state {
                    self.change(target);
                }
            });
            let emptied = ObservedTenant { removed, ..tenant.without_targets() };
            after.tenants.insert(name.clone(), emptied);
        }
        let heirs = desired.moved.iter().map(|moved| &moved.to);
        let heirs = heirs.filter_map(|address| desired.certificates.get(address));
        let touched = desired.certificates.values().filter(|declared| self.touches(declared, observed));
        for declared in touched.chain(heirs) {
            if let Some(world) = self.world_of(declared, observed) {
                world.into_observed(declared, &mut after);
            }
        }
        after
    }

    fn touches(&self, declared: &Declared, observed: &Observed) -> bool {
        let tenant = observed.tenants.get(&declared.address.tenant);
        let target = tenant.and_then(|tenant| found(tenant.targets.get(&declared.address)?));
        target.is_some_and(|target| self.credentials.contains_key(&target.id))
            || place_of(declared).is_some_and(|place| self.entries.contains_key(&place))
    }
}

fn found(state: &TargetState) -> Option<&Target> {
    match state {
        TargetState::Found(target) => Some(target),
        _ => None,
    }
}

fn place_of(declared: &Declared) -> Option<Place> {
    declared.store.as_ref().map(|binding| (binding.store.clone(), binding.entry.clone()))
}
