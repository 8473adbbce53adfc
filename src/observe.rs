//! Reads everything a plan needs: all tenants, stores and delivery places at once, within the run's parallelism.
//!
//! Trouble with one never hides the others: a store that fails is [`StoreState::Unreadable`], a tenant that fails makes each of
//! its targets [`TargetState::Unreadable`], and the trouble itself is handed back beside what was read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{join_all, join3};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::desired::{Declared, Desired, Issuer, SelectBy, TargetSelector, Tenant};
use crate::edges::{Readers, Trouble};
use crate::ids::{Address, Name, RotationId};
use crate::observed::{
    Answer, DeliveryState, Generation, KeyState, Observed, ObservedStore, ObservedTenant, Removal, Shape,
    Staging, StoreState, Target, TargetState,
};

/// What was read, and the tenants that could not be.
#[derive(Debug, Default)]
pub struct Observation {
    /// What was read.
    pub observed: Observed,
    /// The tenants that could not be read. Their targets are unreadable in `observed`.
    pub troubles: BTreeMap<Name, Trouble>,
}

/// Reads what `desired` speaks of: all of it, or the addresses in `selection` and the stores of certificates on the same objects.
///
/// `slots` counts the calls to stores and delivery places under way. It is not what `readers` count their requests with: a call would
/// wait for the slot it holds.
pub async fn observe(
    desired: &Desired,
    readers: &dyn Readers,
    selection: Option<&BTreeSet<Address>>,
    slots: &Arc<Semaphore>,
) -> Observation {
    let selected = |address: &Address| selection.is_none_or(|chosen| chosen.contains(address));
    let certificates: Vec<&Declared> =
        desired.certificates.values().filter(|declared| selected(&declared.address)).collect();
    let tenants =
        desired.tenants.values().filter(|tenant| speaks_of(desired, &certificates, tenant, selection));
    let (tenants, stores, deliveries) = join3(
        join_all(tenants.map(|tenant| observe_tenant(desired, &certificates, tenant, readers))),
        join_all(certificates.iter().map(|declared| observe_store(declared, readers, slots))),
        join_all(certificates.iter().map(|declared| observe_deliveries(declared, readers, slots))),
    )
    .await;
    let mut observation = Observation::default();
    for (name, tenant, trouble) in tenants {
        observation.observed.tenants.insert(name.clone(), tenant);
        observation.troubles.extend(trouble.map(|trouble| (name, trouble)));
    }
    let beside = beside(desired, selection, &observation.observed);
    let beside = join_all(beside.into_iter().map(|declared| observe_store(declared, readers, slots))).await;
    observation.observed.stores = stores.into_iter().chain(beside).flatten().collect();
    observation.observed.deliveries = deliveries.into_iter().flatten().collect();
    let stores = &observation.observed.stores;
    let answers =
        join_all(certificates.iter().map(|declared| observe_answers(declared, stores, readers, slots))).await;
    observation.observed.answers = answers.into_iter().flatten().collect();
    observation
}

/// Certificates that were not selected and may be on the object of one that was. A write there replaces the credentials of all of them,
/// so what their stores say was published a moment ago matters to it.
fn beside<'d>(
    desired: &'d Desired,
    selection: Option<&BTreeSet<Address>>,
    observed: &Observed,
) -> Vec<&'d Declared> {
    let Some(chosen) = selection else { return Vec::new() };
    let mut selected: BTreeMap<&Name, Vec<(&TargetSelector, &Target)>> = BTreeMap::new();
    for (name, tenant) in &observed.tenants {
        let of_tenant = desired.removed.iter().filter(|removed| removed.address.tenant == *name);
        let removed = of_tenant.zip(&tenant.removed);
        let removed = removed.filter(|(removed, _)| chosen.contains(&removed.address));
        let declared = tenant.targets.iter().filter_map(|(address, state)| {
            desired.certificates.get(address).map(|declared| (&declared.target, state))
        });
        let both = declared.chain(removed.map(|(removed, state)| (&removed.target, state)));
        let found = both.filter_map(|(selector, state)| match state {
            TargetState::Found(target) => Some((selector, &**target)),
            TargetState::Missing { .. }
            | TargetState::Ambiguous { .. }
            | TargetState::SoftDeleted { .. }
            | TargetState::Unreadable { .. } => None,
        });
        selected.insert(name, found.collect());
    }
    let others = desired.certificates.values().filter(|declared| !chosen.contains(&declared.address));
    others
        .filter(|declared| {
            let of_tenant = selected.get(&declared.address.tenant);
            of_tenant.is_some_and(|found| {
                found.iter().any(|(selector, target)| may_mean(&declared.target, selector, target))
            })
        })
        .collect()
}

/// Whether the selector may mean that object, which was found by `found_by`. The object's unique name is not read: where it decides and
/// is not known, it may.
fn may_mean(selector: &TargetSelector, found_by: &TargetSelector, target: &Target) -> bool {
    selector.kind == target.id.kind
        && match (&selector.by, &found_by.by) {
            (SelectBy::AppId(id), _) => *id == target.app_id,
            (SelectBy::ObjectId(id), _) => *id == target.id.object_id,
            (SelectBy::DisplayName(name), _) => name.to_lowercase() == target.display_name.to_lowercase(),
            (SelectBy::UniqueName(name), SelectBy::UniqueName(found_by)) => name == found_by,
            (SelectBy::UniqueName(_), _) => true,
        }
}

/// Whether anything that was selected, or a `removed:` entry, lives in the tenant. The others are not asked at all.
fn speaks_of(
    desired: &Desired,
    certificates: &[&Declared],
    tenant: &Tenant,
    selection: Option<&BTreeSet<Address>>,
) -> bool {
    let removed = desired.removed.iter().any(|removed| {
        removed.address.tenant == tenant.name
            && selection.is_none_or(|chosen| chosen.contains(&removed.address))
    });
    removed || certificates.iter().any(|declared| declared.address.tenant == tenant.name)
}

async fn observe_tenant(
    desired: &Desired,
    certificates: &[&Declared],
    tenant: &Tenant,
    readers: &dyn Readers,
) -> (Name, ObservedTenant, Option<Trouble>) {
    let wanted: Vec<_> = certificates
        .iter()
        .filter(|declared| declared.address.tenant == tenant.name)
        .map(|declared| (declared.address.clone(), declared.target.clone()))
        .collect();
    let removed: Vec<_> = desired
        .removed
        .iter()
        .filter(|removed| removed.address.tenant == tenant.name)
        .map(|removed| removed.target.clone())
        .collect();
    let answer = match readers.directory(&tenant.name) {
        Ok(directory) => directory.observe(&wanted, &removed).await,
        Err(trouble) => Err(trouble),
    };
    match answer {
        Ok(observed) => (tenant.name.clone(), observed, None),
        Err(trouble) => {
            let unreadable = || TargetState::Unreadable { trouble: trouble.clone() };
            let observed = ObservedTenant {
                tenant_id: Uuid::try_parse(&tenant.id).unwrap_or_default(),
                clock_skew: None,
                targets: wanted.iter().map(|(address, _)| (address.clone(), unreadable())).collect(),
                removed: removed.iter().map(|_| unreadable()).collect(),
                policies_unread: None,
            };
            (tenant.name.clone(), observed, Some(trouble))
        }
    }
}

/// A shape that promises nothing, for a store that cannot even be set up.
const UNKNOWN_SHAPE: Shape = Shape {
    staging: Staging::AppendIsLive,
    readable: false,
    exportable: false,
    compare_and_set: false,
    atomic_records: false,
    removal: Removal::Disables,
};

async fn observe_store(
    declared: &Declared,
    readers: &dyn Readers,
    slots: &Semaphore,
) -> Option<(Address, ObservedStore)> {
    let binding = declared.store.as_ref()?;
    let observed = match readers.store(binding) {
        Ok(store) => {
            let _slot = slots.acquire().await;
            store.observe(binding).await
        }
        Err(trouble) => ObservedStore {
            shape: UNKNOWN_SHAPE,
            state: StoreState::Unreadable { reason: trouble.to_string() },
            warnings: Vec::new(),
            damage: Vec::new(),
        },
    };
    Some((declared.address.clone(), observed))
}

/// What became of the requests of generations whose certificate is awaited. No folder is looked into for anything else.
async fn observe_answers(
    declared: &Declared,
    stores: &BTreeMap<Address, ObservedStore>,
    readers: &dyn Readers,
    slots: &Semaphore,
) -> Option<(Address, BTreeMap<RotationId, Answer>)> {
    let (Issuer::Csr { .. }, Some(binding)) = (&declared.issuer, &declared.store) else { return None };
    let StoreState::Known(holding) = &stores.get(&declared.address)?.state else { return None };
    let known = holding.generations.iter().filter_map(|generation| generation.record.thumbprints).collect();
    let pending = |generation: &&Generation| {
        generation.record.thumbprints.is_none() && generation.key == KeyState::Held
    };
    let mut answers = BTreeMap::new();
    for generation in holding.generations.iter().filter(pending) {
        let Some(rotation) = generation.record.rotation_id else { continue };
        let store = readers.store(binding).ok()?;
        let _slot = slots.acquire().await;
        let answer = match store.requested(binding, generation).await {
            Ok(csr) => readers.answer(declared, &csr, &known),
            Err(error) => {
                let hint = error.hint.clone().unwrap_or_else(|| "check the store".to_owned());
                Answer::Unusable { reason: error.to_string(), hint }
            }
        };
        answers.insert(rotation, answer);
    }
    (!answers.is_empty()).then(|| (declared.address.clone(), answers))
}

async fn observe_deliveries(
    declared: &Declared,
    readers: &dyn Readers,
    slots: &Semaphore,
) -> Option<(Address, BTreeMap<String, DeliveryState>)> {
    let mut states = BTreeMap::new();
    for delivery in &declared.deliveries {
        let state = match readers.delivery(delivery) {
            Ok(place) => {
                let _slot = slots.acquire().await;
                place.observe(delivery).await
            }
            Err(trouble) => DeliveryState::Unreadable { reason: trouble.to_string() },
        };
        states.insert(delivery.slot.clone(), state);
    }
    (!states.is_empty()).then(|| (declared.address.clone(), states))
}
