//! What could not be read, as errors. A plan goes on without it, and the command that made the plan does not end as if it were whole.

use std::collections::BTreeMap;

use crate::cli::args::Global;
use crate::cli::complain;
use crate::cli::exit::Ending;
use crate::cli::planning::of_trouble;
use crate::cli::world::World;
use crate::desired::Desired;
use crate::edges::Trouble;
use crate::error::{Error, Kind};
use crate::ids::Address;
use crate::observe::Observation;
use crate::observed::{StoreState, TargetState};
use crate::plan::policy::Policy;

/// Addresses an error names; of more it says how many.
const NAMED_MAX: usize = 5;

/// One error for each trouble with stores, one for each tenant that could not be read, and one for each trouble with single objects,
/// which a request for several has in common.
pub fn errors(desired: &Desired, observation: &Observation, policy: &Policy) -> Vec<Error> {
    let of_tenants = observation
        .troubles
        .iter()
        .map(|(tenant, trouble)| of_trouble(trouble, &format!("reading tenant {tenant}")));
    let mut by_trouble: BTreeMap<String, (&Trouble, Vec<&Address>)> = BTreeMap::new();
    for (name, tenant) in &observation.observed.tenants {
        if observation.troubles.contains_key(name) {
            continue;
        }
        let removed = desired.removed.iter().filter(|removed| removed.address.tenant == *name);
        let removed = removed.map(|removed| &removed.address).zip(&tenant.removed);
        let removed = removed.filter(|(address, _)| policy.selects_removed(address));
        for (address, state) in tenant.targets.iter().chain(removed) {
            if let TargetState::Unreadable { trouble } = state {
                by_trouble.entry(trouble.to_string()).or_insert((trouble, Vec::new())).1.push(address);
            }
        }
    }
    let of_objects = by_trouble.into_values().map(|(trouble, addresses)| {
        of_trouble(trouble, &format!("reading the target of {}", named(&addresses)))
    });
    of_stores(observation).chain(of_tenants).chain(of_objects).collect()
}

/// Nothing is planned for a certificate whose store cannot be read. A pipeline that is green all the same would say so only when the
/// certificate has expired.
fn of_stores(observation: &Observation) -> impl Iterator<Item = Error> {
    let mut by_reason: BTreeMap<&str, Vec<&Address>> = BTreeMap::new();
    for (address, store) in &observation.observed.stores {
        if let StoreState::Unreadable { reason } = &store.state {
            by_reason.entry(reason).or_default().push(address);
        }
    }
    let error = |(reason, addresses): (&str, Vec<&Address>)| {
        let error = Error::new(Kind::Store, format!("reading the store of {}", named(&addresses)));
        error.because(reason)
    };
    by_reason.into_iter().map(error)
}

fn named(addresses: &[&Address]) -> String {
    let shown: Vec<String> = addresses.iter().take(NAMED_MAX).map(|address| address.to_string()).collect();
    match addresses.len().saturating_sub(NAMED_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Tells the errors on standard error, and how the run ends with them.
pub fn tell(errors: &[Error], global: &Global, world: &World) -> Ending {
    errors.iter().map(|error| complain(error, global, world)).fold(Ending::Fine, Ending::and)
}
