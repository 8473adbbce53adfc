//! Expired entries that make Entra refuse a write: which they are, and how the write becomes possible.

use super::{Change, Takes};
use crate::apply::context::Run;
use crate::apply::outcome::Stop;
use crate::edges::{Emptying, Trouble};
use crate::ids::{KeyId, TargetId};
use crate::observed::Credential;

/// The directory refuses an end date, and there are expired entries in the list that was only sent back: they are why.
pub(super) fn entries(run: &Run<'_>, change: &Change<'_>, keep: &[&Credential], trouble: Trouble) -> Stop {
    let expired = keep.iter().filter(|one| one.reserved.is_none() && one.is_expired_at(run.now()));
    let (own, foreign): (Vec<&Credential>, Vec<&Credential>) =
        expired.filter(|one| one.key_id.is_some()).partition(|one| is_ours(run, change.target, one));
    if own.is_empty() && foreign.is_empty() {
        return Stop::Failed(trouble);
    }
    Stop::Blocked(Trouble {
        reason: format!(
            "{}; expired credentials are on the object: {}",
            trouble.reason,
            ids(&[&foreign[..], &own].concat())
        ),
        hint: Some(without_expired(change, &ids(&foreign), &ids(&own))),
        doing: change.doing.clone(),
        ..trouble
    })
}

fn ids(credentials: &[&Credential]) -> String {
    let ids = credentials.iter().filter_map(|one| one.key_id);
    ids.map(|key_id| key_id.to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether it carries the owner's marker and the key id we derive.
fn is_ours(run: &Run<'_>, target: TargetId, one: &Credential) -> bool {
    let derived = one.sha1().map(|sha1| KeyId::derive(&target, &sha1));
    derived.is_some()
        && derived == one.key_id
        && one.marker().is_some_and(|marker| marker.owner == run.job.plan.owner)
}

/// How the write becomes possible. Only one that publishes may drop what the file names, and only what is not ours.
fn without_expired(change: &Change<'_>, foreign: &str, own: &str) -> String {
    let publishes = matches!(change.takes, Takes::Expired(_));
    let rotates_again = change.takes.emptying() == Emptying::Forbidden;
    match (foreign, own) {
        ("", own) => format!("delete {own} in Entra: what is ours goes only after this write"),
        (foreign, "") if publishes => format!("allow to drop them: drop_expired_foreign: [{foreign}]"),
        (foreign, own) if publishes => format!(
            "allow to drop those of others: drop_expired_foreign: [{foreign}]; delete {own} in Entra: what is ours goes only after this write"
        ),
        (foreign, _) if rotates_again => {
            format!(
                "delete them in Entra, or let the next rotation drop those of others: drop_expired_foreign: [{foreign}]"
            )
        }
        _ => "delete them in Entra".to_owned(),
    }
}
