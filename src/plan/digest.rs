//! Digests of what a certificate's plan was made from, to say what changed since.

use crate::desired::{Declared, Origin};
use crate::ids::Sha256;
use crate::observed::{Observed, StoreState, TargetState};

/// Digest of a text.
pub fn text(text: &str) -> Sha256 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Sha256(bytes)
}

/// Digest of a declaration. Moving it to another line changes nothing.
pub fn declared(declared: &Declared) -> Sha256 {
    let mut placeless = declared.clone();
    placeless.origin = Origin::default();
    for delivery in &mut placeless.deliveries {
        delivery.origin = Origin::default();
    }
    text(&format!("{placeless:?}"))
}

/// Digest of what was observed for a certificate: the target's credentials and the store's generations in any order, the deliveries.
pub fn observed(declared: &Declared, observed: &Observed) -> Sha256 {
    let target =
        observed.tenants.get(&declared.address.tenant).and_then(|t| t.targets.get(&declared.address));
    let target = target_text(target);
    let store = observed.stores.get(&declared.address).map(|store| match &store.state {
        StoreState::Known(holding) => {
            let mut generations: Vec<String> =
                holding.generations.iter().map(|generation| format!("{generation:?}")).collect();
            generations.sort_unstable();
            format!("{:?} {generations:?}", holding.current)
        }
        other => format!("{other:?}"),
    });
    let deliveries = observed.deliveries.get(&declared.address);
    let answers = observed.answers.get(&declared.address).map(|answers| format!(" {answers:?}"));
    text(&format!("{target} {store:?} {deliveries:?}{}", answers.unwrap_or_default()))
}

/// Digest of what was observed of an object alone: its credentials in any order.
pub fn target(state: Option<&TargetState>) -> Sha256 {
    text(&target_text(state))
}

fn target_text(state: Option<&TargetState>) -> String {
    match state {
        Some(TargetState::Found(target)) => {
            let mut credentials: Vec<&str> = target.credentials.iter().map(|c| c.raw.get()).collect();
            credentials.sort_unstable();
            format!("{} {:?} {credentials:?}", target.id, target.untouchable)
        }
        other => format!("{other:?}"),
    }
}
