//! The planner: a function from what is declared and what is observed to a plan. It does nothing else.
//!
//! The same arguments give the same plan, byte for byte. What cannot be done yet becomes a note that says what it waits
//! for, so that the rest of the plan stays usable.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::desired::{Cloud, Declared, Desired};
use crate::ids::Name;
use crate::observed::{
    Generation, Holding, KeyState, Observed, ObservedTenant, StoreState, Target, TargetState, Untouchable,
};
use crate::plan::calendar::{freeze_at, next_open};
use crate::plan::policy::Policy;
use crate::plan::predict::{Context, World};
use crate::plan::reason::{Because, Note, NoteKind, Refusal};
use crate::plan::siblings::{self, Siblings, listed_and_kept, of_somebody_else};
use crate::plan::situation::{CurrentView, Situation, reference};
use crate::plan::step::{RecordWrite, Step};
use crate::plan::{
    CertificatePlan, LeftAlone, Plan, PlannedTarget, deliveries, digest, predecessors, provider, removed,
    successor,
};

/// Works out what to do, and does nothing.
pub fn plan(desired: &Desired, observed: &Observed, policy: &Policy, now: Timestamp) -> Plan {
    let siblings = siblings::of_tenants(desired, &[observed], &policy.replace);
    let mut certificates: Vec<CertificatePlan> = desired
        .certificates
        .values()
        .filter(|declared| policy.selects(declared))
        .map(|declared| plan_certificate(desired, declared, observed, &siblings, policy, now))
        .collect();
    certificates.extend(removed::plans(desired, observed, &siblings, policy, now));
    certificates.sort_by(|one, two| one.address.cmp(&two.address));
    let mut plan = Plan {
        now,
        owner: desired.owner.clone(),
        emulator: desired.tenants.values().any(|tenant| tenant.cloud == Cloud::Emulator),
        asked: policy.overrides(),
        certificates,
        refusals: Vec::new(),
        complete: policy.only.is_empty(),
    };
    plan.refusals = refusals(desired, observed, policy, &plan);
    plan
}

/// Plans one certificate.
pub fn plan_certificate(
    desired: &Desired,
    declared: &Declared,
    observed: &Observed,
    siblings: &BTreeMap<Name, Siblings>,
    policy: &Policy,
    now: Timestamp,
) -> CertificatePlan {
    let mut plan = CertificatePlan {
        address: declared.address.clone(),
        title: title(declared),
        target: None,
        declared: digest::declared(declared),
        observed: digest::observed(declared, observed),
        steps: Vec::new(),
        notes: Vec::new(),
        left_alone: LeftAlone::default(),
    };
    let Some(tenant) = observed.tenants.get(&declared.address.tenant) else {
        plan.notes.push(Note::blocked("the tenant was not read", "run again"));
        return plan;
    };
    let target = match find_target(declared, tenant) {
        Ok(target) => target,
        Err(note) => {
            plan.notes.push(note);
            return plan;
        }
    };
    plan.target = Some(PlannedTarget {
        id: target.id,
        app_id: target.app_id,
        tenant_id: tenant.tenant_id,
        display_name: target.display_name.clone(),
    });
    plan.notes.extend(target.warnings.iter().map(|text| Note::new(NoteKind::Warning, text.as_str())));
    let names = Situation::names_of(desired, &declared.address);
    let no_siblings = Siblings::default();
    let no_deliveries = BTreeMap::new();
    let no_answers = BTreeMap::new();
    let mut situation = Situation {
        declared,
        owner: &desired.owner,
        tenant_id: tenant.tenant_id,
        target,
        shape: None,
        holding: Cow::Owned(Holding::default()),
        deliveries: observed.deliveries.get(&declared.address).unwrap_or(&no_deliveries),
        answers: observed.answers.get(&declared.address).unwrap_or(&no_answers),
        acknowledgements: Situation::acknowledgements_of(desired, &names, &declared.address.tenant),
        names,
        siblings: siblings.get(&declared.address.tenant).unwrap_or(&no_siblings),
        policy,
        now,
    };
    if let Some(untouchable) = &target.untouchable {
        plan.notes.push(not_ours_to_edit(untouchable));
    } else if declared.key_lives_here() {
        match take_up_store(&mut situation, observed, &mut plan.notes) {
            Ok(()) => {
                let waits_for_room = decide_with_store(&mut situation, &mut plan);
                let makes_room = plan.steps.iter().any(|planned| matches!(planned.step, Step::Retire { .. }));
                if waits_for_room && makes_room {
                    plan_what_room_allows(&mut plan, desired, declared, observed, siblings, policy, now);
                }
            }
            Err(note) => plan.notes.push(note),
        }
    } else {
        let decided = provider::decide(&situation);
        plan.steps = decided.steps;
        plan.notes.extend(decided.notes);
        plan.left_alone = decided.left_alone;
    }
    plan.notes.extend(policies_unread(tenant, &plan).filter(|note| !plan.notes.contains(note)));
    plan.notes.sort_by(|one, two| (one.kind, one.at, &one.text).cmp(&(two.kind, two.at, &two.text)));
    plan
}

/// A policy may cut a credential's life or refuse the write, and this run cannot tell.
fn policies_unread(tenant: &ObservedTenant, plan: &CertificatePlan) -> Option<Note> {
    let reason = tenant.policies_unread.as_ref()?;
    let publishes = plan.steps.iter().any(|planned| matches!(planned.step, Step::Publish { .. }));
    let text = format!(
        "the tenant's policies could not be read ({reason}): one of them may refuse the new credential or call for a shorter life"
    );
    publishes.then(|| {
        Note::new(NoteKind::Warning, text).with_hint("grant Policy.Read.All to see limits before Entra does")
    })
}

/// Plans what becomes possible once the steps are done, so that a second run at the same moment has nothing to do.
fn plan_what_room_allows(
    plan: &mut CertificatePlan,
    desired: &Desired,
    declared: &Declared,
    observed: &Observed,
    siblings: &BTreeMap<Name, Siblings>,
    policy: &Policy,
    now: Timestamp,
) {
    let (Some(mut world), Some(tenant)) =
        (World::of(declared, observed), observed.tenants.get(&declared.address.tenant))
    else {
        return;
    };
    let context = Context {
        declared,
        owner: &desired.owner,
        tenant_id: tenant.tenant_id,
        now,
        settings: &policy.settings,
    };
    plan.steps.iter().for_each(|planned| planned.step.predict(&mut world, &context));
    let then = plan_certificate(desired, declared, &world.alone(declared, tenant), siblings, policy, now);
    plan.steps.extend(then.steps);
    plan.notes = then.notes;
    plan.left_alone = then.left_alone;
}

/// Takes what the store holds into the situation, or says why nothing may be decided.
fn take_up_store<'a>(
    situation: &mut Situation<'a>,
    observed: &'a Observed,
    notes: &mut Vec<Note>,
) -> Result<(), Note> {
    let declared = situation.declared;
    let store = observed.stores.get(&declared.address);
    let store = store.ok_or_else(|| Note::blocked("the store was not read", "run again"))?;
    let damage = store.damage.iter().filter(|damage| damage.certain).map(|damage| &damage.text);
    let warnings = store.warnings.iter().chain(damage);
    notes.extend(warnings.map(|text| Note::new(NoteKind::Warning, text.as_str())));
    situation.shape = Some(store.shape);
    match &store.state {
        StoreState::Known(holding) => situation.holding = Cow::Borrowed(holding),
        StoreState::Absent => {}
        StoreState::Unreadable { reason } => {
            let text = format!("{} cannot be read: {reason}", successor::place(declared));
            let hint = "make it readable and run again; nothing is done without knowing what it holds";
            return Err(Note::blocked(text, hint));
        }
    }
    Ok(())
}

/// A certificate whose key lives in a store of ours: the three decisions, one after another. Says whether a due rotation
/// waits only for a generation to retire.
fn decide_with_store(situation: &mut Situation<'_>, plan: &mut CertificatePlan) -> bool {
    let adopted = situation.record_adopted_current();
    let current = match successor::current(situation) {
        Ok(current) => current,
        Err(note) => {
            plan.notes.push(note);
            return false;
        }
    };
    if let Some(note) = of_somebody_else(situation) {
        plan.notes.push(note);
        return false;
    }
    plan.notes.extend(left_behind(situation));
    plan.notes.extend(listed_and_kept(situation));
    let mut succession = successor::decide(situation, current.as_ref());
    plan.notes.append(&mut succession.notes);
    if succession.blocked {
        plan.steps.append(&mut succession.steps);
        return false;
    }
    let (deliveries, notes) = deliveries::decide(situation, current.as_ref(), &succession);
    plan.notes.extend(notes);
    let mut retirement = predecessors::decide(situation, current.as_ref(), &succession);
    if let Some(current) = current.as_ref().filter(|_| succession.successor.is_some()) {
        let sentenced = retirement.steps.iter().any(
            |planned| matches!(&planned.step, Step::Retire { credential } if credential.sha1 == current.sha1),
        );
        if let Some(credential) = current.credentials.first().filter(|_| !sentenced) {
            let note = predecessors::never_retired_note(situation)
                .unwrap_or_else(|| predecessors::retire_later(situation, credential));
            plan.notes.push(note.about(current.sha1));
        }
    }
    plan.steps.append(&mut succession.steps);
    plan.steps.extend(deliveries);
    plan.steps.append(&mut retirement.steps);
    plan.notes.append(&mut retirement.notes);
    plan.left_alone = retirement.left_alone;
    if let Some(current) = current.as_ref().filter(|_| adopted) {
        record_adoption(situation, current, plan);
    }
    succession.waits_for_room
}

/// The first record of an adopted generation: before everything else, and by itself not outside windows.
fn record_adoption(situation: &Situation<'_>, current: &CurrentView<'_>, plan: &mut CertificatePlan) {
    let Some(generation) = current.generation else { return };
    if let Some(note) = held_back(situation, None, "record the adoption").filter(|_| plan.steps.is_empty()) {
        plan.notes.push(note);
        return;
    }
    let step = Step::Record { generation: reference(generation), write: RecordWrite::Adopted };
    plan.steps.insert(0, successor::planned(situation, step, Because::Adopted));
}

/// After a move to another object: what stays on the former one.
fn left_behind(situation: &Situation<'_>) -> Vec<Note> {
    let elsewhere = situation.holding.generations.iter().filter(|generation| {
        generation.record.target != situation.target.id && generation.key == KeyState::Held
    });
    let note = |generation: &Generation| {
        let former = generation.record.target;
        let (tenant, name) = (&situation.declared.address.tenant, &generation.record.name);
        let text = format!("was made for {former}, where its credential stays");
        let hint = format!(
            "once consumers use the new one, declare removed: [{{ address: {tenant}/{name}, target: {{ {}: {{ object_id: {} }} }}, retire: true }}]",
            former.kind.as_str(),
            former.object_id
        );
        let note = Note::new(NoteKind::Info, text).with_hint(hint);
        generation.record.thumbprints.map_or(note.clone(), |thumbprints| note.about(thumbprints.sha1))
    };
    elsewhere.map(note).collect()
}

fn title(declared: &Declared) -> String {
    declared.consumer.as_ref().map_or_else(|| declared.description.clone(), |consumer| consumer.title.clone())
}

/// The object, or why nothing at all can be done.
fn find_target<'a>(declared: &Declared, tenant: &'a ObservedTenant) -> Result<&'a Target, Note> {
    let selector = &declared.target;
    match tenant.targets.get(&declared.address) {
        Some(TargetState::Found(target)) => Ok(target),
        Some(TargetState::Missing { similar }) => {
            let names: Vec<String> = similar.iter().map(candidate_words).collect();
            let hint = if names.is_empty() {
                "create it, or correct the declaration; certroll creates no applications".to_owned()
            } else {
                format!("did you mean one of: {}", names.join(", "))
            };
            Err(Note::blocked(format!("there is no {selector}"), hint))
        }
        Some(TargetState::Ambiguous { candidates }) => {
            let names: Vec<String> = candidates.iter().map(candidate_words).collect();
            Err(Note::blocked(
                format!("{} objects match {selector}", candidates.len()),
                format!("name one by app_id: {}", names.join(", ")),
            ))
        }
        Some(TargetState::SoftDeleted { object_id, deleted_at }) => {
            let when = deleted_at.map(|at| format!(" on {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
            Err(Note::blocked(
                format!("the {selector} was deleted{when}"),
                format!("an administrator can restore object {object_id} within 30 days of the deletion"),
            ))
        }
        Some(TargetState::Unreadable { trouble }) => {
            Err(Note::blocked(format!("the {selector} cannot be read: {trouble}"), trouble.to_try()))
        }
        None => Err(Note::blocked(format!("the {selector} was not looked for"), "run again")),
    }
}

fn candidate_words(candidate: &crate::observed::Candidate) -> String {
    format!("{:?} (app id {})", candidate.display_name, candidate.app_id)
}

pub(super) fn not_ours_to_edit(untouchable: &Untouchable) -> Note {
    let (what, hint) = match untouchable {
        Untouchable::ManagedIdentity => (
            "the target is a managed identity, whose credentials Azure rotates".to_owned(),
            "remove the certificate from the declaration",
        ),
        Untouchable::OtherTenantsApplication(owner) => (
            match owner {
                Some(owner) => format!("the target is an application of another tenant ({owner})"),
                None => "the target is an application of another tenant".to_owned(),
            },
            "its owner rotates it; credentials on somebody else's application are a known way in for attackers",
        ),
        Untouchable::Locked => (
            "the application's property lock forbids credentials on its service principal".to_owned(),
            "declare the application instead of the service principal, or have the lock lifted",
        ),
        Untouchable::SamlSignOn => (
            "the service principal signs in with SAML; its certificates belong to that".to_owned(),
            "declare the application instead of the service principal",
        ),
        Untouchable::OtherType(kind) => (
            format!("the target is of type {kind}, which certroll does not edit"),
            "declare an ordinary application",
        ),
    };
    Note::blocked(what, hint)
}

/// Why a write has to wait for a window or the end of a freeze, and until when. Never past `deadline`.
pub fn held_back(situation: &Situation<'_>, deadline: Option<Timestamp>, what: &str) -> Option<Note> {
    let declared = situation.declared;
    let opens = next_open(&declared.windows, &declared.freeze, situation.now)?;
    if deadline.is_some_and(|deadline| deadline <= situation.now) {
        return None;
    }
    let at = deadline.map_or(opens, |deadline| opens.min(deadline));
    let why = match freeze_at(&declared.freeze, situation.now) {
        Some(freeze) => format!("{what}, held back by a freeze: {}", freeze.reason),
        None => format!("{what}, in the next window"),
    };
    Some(Note::new(NoteKind::Later, why).at(at))
}

/// Budgets, clocks and other times: what refuses the whole plan.
fn refusals(desired: &Desired, observed: &Observed, policy: &Policy, plan: &Plan) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if policy.other_time {
        refusals.push(Refusal::OtherTime);
    }
    for (name, tenant) in &desired.tenants {
        let skew = observed.tenants.get(name).and_then(|tenant| tenant.clock_skew);
        if let Some(skew) = skew.filter(|skew| skew.abs() > policy.settings.skew_refuse) {
            refusals.push(Refusal::Clock { tenant: name.clone(), seconds: skew.as_secs() });
        }
        let declared = desired.certificates.keys().filter(|address| address.tenant == *name).count();
        let of_tenant = |matches: fn(&Step) -> bool| {
            let steps = plan.certificates.iter().filter(|c| c.address.tenant == *name).flat_map(|c| &c.steps);
            steps.filter(|planned| matches(&planned.step)).count()
        };
        let budgets = [
            (
                "max_issue",
                of_tenant(|step| matches!(step, Step::Issue { .. })),
                tenant.max_issue,
                policy.max_issue,
            ),
            (
                "max_retire",
                of_tenant(|step| matches!(step, Step::Retire { .. })),
                tenant.max_retire,
                policy.max_retire,
            ),
        ];
        for (setting, value, limit, for_this_run) in budgets {
            let allowed = for_this_run.unwrap_or_else(|| limit.of(declared));
            if value > allowed {
                refusals.push(Refusal::Budget {
                    setting: setting.to_owned(),
                    tenant: name.clone(),
                    value,
                    limit: allowed,
                    declared: match for_this_run {
                        Some(_) => format!("for this run, instead of {limit}"),
                        None => limit.to_string(),
                    },
                });
            }
        }
    }
    refusals
}
