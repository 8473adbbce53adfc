//! `removed:` entries: the only way to have taken off a target what is no longer declared.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::desired::{Desired, Moved, Removed};
use crate::ids::{Address, KeyId, Name, Thumbprint};
use crate::observed::{Credential, Observed, ObservedTenant, StoreState, Target, TargetState};
use crate::plan::calendar::{freeze_at, next_open};
use crate::plan::in_use;
use crate::plan::planner::not_ours_to_edit;
use crate::plan::policy::Policy;
use crate::plan::reason::{Because, Note, NoteKind};
use crate::plan::siblings::{Siblings, held_for, kept_for, siblings};
use crate::plan::situation::Situation;
use crate::plan::step::{CredentialRef, Step};
use crate::plan::{CertificatePlan, LeftAlone, PlannedStep, PlannedTarget, digest};
use crate::settings::Settings;

/// `removed:` entries: the only way to have removed what is no longer declared.
pub(super) fn plans(
    desired: &Desired,
    observed: &Observed,
    policy: &Policy,
    now: Timestamp,
) -> Vec<CertificatePlan> {
    let mut plans = Vec::new();
    let mut seen: BTreeMap<&Name, usize> = BTreeMap::new();
    let accounted = siblings(desired, observed, &policy.replace);
    for removed in &desired.removed {
        let index = seen.entry(&removed.address.tenant).or_default();
        let state = observed
            .tenants
            .get(&removed.address.tenant)
            .and_then(|tenant| tenant.removed.get(*index).map(|s| (tenant, s)));
        *index += 1;
        if !policy.selects_removed(&removed.address) {
            continue;
        }
        let siblings = accounted.get(&removed.address.tenant);
        let mut plan = plan_removed(desired, removed, siblings, state, observed, &policy.settings, now);
        if let Some((_, TargetState::Found(target))) = state {
            let names = siblings.map(|siblings| &siblings.names);
            plan.left_alone = left_alone(desired, removed, target, names);
        }
        plans.push(plan);
    }
    plans
}

fn plan_removed(
    desired: &Desired,
    removed: &Removed,
    siblings: Option<&Siblings>,
    state: Option<(&ObservedTenant, &TargetState)>,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> CertificatePlan {
    let mut plan = CertificatePlan {
        address: removed.address.clone(),
        title: "no longer declared".to_owned(),
        target: None,
        declared: digest::text(&format!("{:?} {:?} {}", removed.address, removed.target, removed.retire)),
        observed: digest::target(state.map(|(_, state)| state)),
        steps: Vec::new(),
        notes: Vec::new(),
        left_alone: LeftAlone::default(),
    };
    let (tenant, target) = match state {
        Some((tenant, TargetState::Found(target))) => (tenant, target),
        Some((_, TargetState::Missing { .. } | TargetState::SoftDeleted { .. })) => {
            let text = format!(
                "there is no {}; if the entry names the right one, it can be deleted",
                removed.target
            );
            plan.notes.push(Note::new(NoteKind::Info, text));
            return plan;
        }
        Some((_, TargetState::Unreadable { trouble })) => {
            let text = format!("the {} cannot be read: {trouble}", removed.target);
            plan.notes.push(Note::blocked(text, trouble.to_try()));
            return plan;
        }
        Some((_, TargetState::Ambiguous { .. })) | None => {
            plan.notes.push(Note::blocked(
                format!("the {} cannot be told apart", removed.target),
                "name it by app_id",
            ));
            return plan;
        }
    };
    plan.target = Some(PlannedTarget {
        id: target.id,
        app_id: target.app_id,
        tenant_id: tenant.tenant_id,
        display_name: target.display_name.clone(),
    });
    if let Some(untouchable) = &target.untouchable {
        plan.notes.push(not_ours_to_edit(untouchable));
        return plan;
    }
    if let Some(note) = not_yet(desired, removed, target, observed, settings, now) {
        plan.notes.push(note);
        return plan;
    }
    let ours = |credential: &&Credential| is_marked_ours(desired, removed, target, credential);
    let mut credentials: Vec<&Credential> = target.client_credentials().filter(ours).collect();
    credentials.sort_by_key(|credential| (credential.end, credential.key_id));
    for credential in &credentials {
        let (Some(key_id), Some(sha1)) = (credential.key_id, credential.sha1()) else { continue };
        // What it moved to may name it: that one is the same certificate.
        let another = |other: &&Address| !Situation::names_of(desired, other).contains(&removed.address.name);
        let named_by = siblings.and_then(|all| all.named.get(&Thumbprint::Sha1(sha1))?.iter().find(another));
        let held_by = siblings.and_then(|all| all.held.get(&(target.id, sha1))?.iter().find(another));
        if let Some(other) = named_by.filter(|_| removed.retire) {
            plan.notes.push(kept_for(other).about(sha1));
        } else if let Some(other) = held_by.filter(|_| removed.retire) {
            let hint = format!(
                "if {} was renamed, declare moved: [{{ from: {}, to: {other} }}] and delete the removed entry",
                removed.address, removed.address
            );
            plan.notes.push(held_for(other).with_hint(hint).about(sha1));
        } else if removed.retire {
            let step = Step::Retire { credential: CredentialRef { key_id, sha1, end: credential.end } };
            plan.steps.push(PlannedStep {
                step,
                because: Because::Removed,
                not_before: now,
                requires: Vec::new(),
            });
        } else {
            plan.notes.push(
                Note::new(NoteKind::Info, "no longer declared, left alone: retire is false").about(sha1),
            );
        }
    }
    if credentials.is_empty() {
        let text = format!(
            "{:?} carries nothing of it; if that is the object it was on, the removed entry can be deleted",
            target.display_name
        );
        plan.notes.push(Note::new(NoteKind::Info, text));
    }
    let went_on = desired.moved.iter().any(|moved| moved.from == removed.address);
    if !plan.steps.is_empty() && !went_on {
        plan.notes.push(its_key_stays(removed));
    }
    plan
}

/// The entry of the store was named in the declaration that is gone, so nobody knows here which key to destroy.
fn its_key_stays(removed: &Removed) -> Note {
    let name = &removed.address.name;
    let text = format!(
        "a key that a store held for it stays there, under {name} unless the file named another entry"
    );
    Note::new(NoteKind::Info, text).with_hint("delete that entry once nobody needs the key")
}

/// What on the object is neither of this entry nor of a certificate that the files account for.
fn left_alone(
    desired: &Desired,
    removed: &Removed,
    target: &Target,
    accounted: Option<&BTreeSet<Name>>,
) -> LeftAlone {
    let mut count = LeftAlone::default();
    for credential in &target.credentials {
        match credential
            .marker()
            .filter(|marker| marker.owner == desired.owner && credential.reserved.is_none())
        {
            None => count.foreign += 1,
            Some(marker) if marker.name == removed.address.name => {
                count.claimed += usize::from(!is_marked_ours(desired, removed, target, credential));
            }
            Some(marker) if accounted.is_some_and(|names| names.contains(&marker.name)) => {}
            Some(_) => count.undeclared += 1,
        }
    }
    count
}

/// Whether it carries the marker of the entry and the key id we derive.
fn is_marked_ours(desired: &Desired, removed: &Removed, target: &Target, credential: &Credential) -> bool {
    let marked = credential
        .marker()
        .is_some_and(|marker| marker.owner == desired.owner && marker.name == removed.address.name);
    let derived = credential.sha1().map(|sha1| KeyId::derive(&target.id, &sha1));
    marked && derived.is_some() && derived == credential.key_id
}

/// What holds a removal back: a freeze of the tenant, or a move whose overlap still runs.
fn not_yet(
    desired: &Desired,
    removed: &Removed,
    target: &Target,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Option<Note> {
    if let Some(moved) = desired.moved.iter().find(|moved| moved.from == removed.address)
        && let Some(note) = not_moved_yet(desired, moved, target, observed, settings, now)
    {
        return Some(note);
    }
    let freezes = &desired.tenants.get(&removed.address.tenant)?.freeze;
    let opens = next_open(&[], freezes, now)?;
    let reason = freeze_at(freezes, now).map_or("frozen", |freeze| freeze.reason.as_str());
    Some(Note::new(NoteKind::Later, format!("retire, held back by a freeze: {reason}")).at(opens))
}

/// The certificate moved to another object: what is on the former one is a predecessor, and its overlap counts.
fn not_moved_yet(
    desired: &Desired,
    moved: &Moved,
    target: &Target,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Option<Note> {
    let blocked = |text: String| Some(Note::blocked(text, "delete the removed entry, or the moved one"));
    let declared = desired.certificates.get(&moved.to)?;
    let tenant = observed.tenants.get(&moved.to.tenant)?;
    match tenant.targets.get(&moved.to) {
        Some(TargetState::Found(now_on)) if now_on.id == target.id => {
            let text = format!("it was renamed to {}, whose credentials these are", moved.to);
            return Some(Note::blocked(text, "delete the removed entry"));
        }
        Some(TargetState::Found(_)) => {}
        _ => return blocked(format!("{}, which it moved to, was not found", moved.to)),
    }
    let waiting =
        |text: &str| Some(Note::new(NoteKind::Waiting, format!("is kept until {} {text}", moved.to)));
    let holding = match observed.stores.get(&moved.to).map(|store| &store.state) {
        Some(StoreState::Known(holding)) => holding,
        _ => return waiting("has a key of its own"),
    };
    let Some(current) = holding.current_generation().filter(|current| current.record.target != target.id)
    else {
        return waiting("is in use on its new object");
    };
    let record = &current.record;
    let names = Situation::names_of(desired, &moved.to);
    let acknowledgements = Situation::acknowledgements_of(desired, &names, &moved.to.tenant);
    let acknowledged = in_use::acknowledged_at(acknowledgements, record, settings);
    let Some(since) = in_use::since(declared, record, acknowledged) else {
        return waiting("is promoted, delivered and, where a person is needed, acknowledged");
    };
    let over = declared.overlap.after(since);
    // Strictly over, as for any predecessor: a run must not leave a removal for a plan of the same moment.
    (over >= now).then(|| Note::new(NoteKind::Later, "retire, after the move").at(over))
}
