//! One directory must not go by two names: everything certroll knows is kept by the tenant's name, so that under each of them what the
//! other one made would look left over.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::desired::{Desired, Tenant};
use crate::error::{Error, Kind};
use crate::observe::Observation;

/// Two entries under `tenants:` that turned out to be one directory. A domain says which only when it was read; a GUID without being asked.
pub fn refuse_two_names(desired: &Desired, observation: &Observation) -> Result<(), Error> {
    let mut known: BTreeMap<Uuid, &Tenant> = BTreeMap::new();
    for tenant in desired.tenants.values() {
        let Some(id) = directory_of(tenant, observation) else { continue };
        if let Some(first) = known.insert(id, tenant) {
            return Err(two_names(id, first, tenant));
        }
    }
    Ok(())
}

fn directory_of(tenant: &Tenant, observation: &Observation) -> Option<Uuid> {
    let is_read = !observation.troubles.contains_key(&tenant.name);
    let read = observation.observed.tenants.get(&tenant.name).filter(|_| is_read);
    read.map(|read| read.tenant_id).or_else(|| tenant.id.parse().ok())
}

fn two_names(id: Uuid, first: &Tenant, second: &Tenant) -> Error {
    let entry = |tenant: &Tenant| format!("{} ({}, {})", tenant.name, tenant.id, tenant.origin);
    Error::new(Kind::Input, format!("reading tenants {} and {}", first.name, second.name))
        .because(format!("{} and {} are one directory, {id}", entry(first), entry(second)))
        .hint("keep one of the two under tenants, and let the certificates of both name it: under two names each takes what the other made for left over")
}
