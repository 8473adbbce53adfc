//! Plans as a mistaken planner would make them. The guard has rules of its own and refuses each at the step that breaks one.

use certroll::ids::KeyId;
use certroll::observed::KeyState;
use certroll::plan::reason::Because;
use certroll::plan::step::{CredentialRef, GenerationRef, Step};
use certroll::plan::{Plan, PlannedStep, guard};

use super::observed::*;
use super::rows::plan_of;
use super::rows_current::{due, healthy};
use super::rows_others::{overlap_over, overlap_runs};

/// The rule that refuses the plan in that world, and at which step.
fn refused(plan: &Plan, world: &World) -> (usize, &'static str) {
    let refused = guard::check(plan, &world.desired, &world.observed, &world.policy).unwrap_err();
    assert_eq!(refused.address, address(ADDRESS));
    (refused.step, refused.rule)
}

/// The plan of that world with one step more.
fn with_step(world: &World, step: Step, because: Because) -> Plan {
    let mut plan = plan_of(world);
    let step = PlannedStep { step, because, not_before: world.now, requires: Vec::new() };
    plan.certificates[0].steps.push(step);
    plan
}

fn without(mut plan: Plan, verb: &str) -> Plan {
    let before = plan.certificates[0].steps.len();
    plan.certificates[0].steps.retain(|planned| planned.step.verb() != verb);
    assert_eq!(plan.certificates[0].steps.len() + 1, before, "one step {verb}");
    plan
}

fn retire(world: &World, label: &str) -> Step {
    let credentials = &world.target_ref().credentials;
    let found = credentials.iter().find(|credential| credential.sha1() == Some(sha1(label))).unwrap();
    let credential = CredentialRef { key_id: found.key_id.unwrap(), sha1: sha1(label), end: found.end };
    Step::Retire { credential }
}

fn overlap_is_over(world: &World) -> Because {
    Because::OverlapOver { since: world.now }
}

fn destroy(label: &str) -> Step {
    let generation = GenerationRef { rotation_id: None, thumbprints: Some(thumbprints(label)) };
    Step::Destroy { generation, place: "runner/backup".into() }
}

const DESTROYED: Because = Because::BeyondKeepRetired { keep: 0 };

#[test]
fn p1_nothing_is_given_to_consumers_that_the_same_plan_did_not_prove() {
    let world = due();
    let rule = "promoted before it is proven";
    assert_eq!(refused(&without(plan_of(&world), "prove"), &world), (3, rule));
}

#[test]
fn p1_nothing_is_given_to_consumers_that_is_not_on_the_target() {
    let world = due();
    let rule = "a proof of a generation that is not published";
    assert_eq!(refused(&without(plan_of(&world), "publish"), &world), (2, rule));
}

#[test]
fn p1_no_predecessor_goes_whose_successor_the_same_plan_did_not_prove() {
    let world = overlap_over();
    let rule = "removes a credential whose successor was not proven in the same run";
    assert_eq!(refused(&without(plan_of(&world), "prove"), &world), (1, rule));
}

#[test]
fn p1_no_predecessor_goes_before_the_overlap_is_over() {
    let rule = "removes a credential before the overlap is over";
    assert_eq!(refused(&plan_of(&overlap_over()), &overlap_runs()), (2, rule));
}

/// The old one was promoted long ago; the overlap of the new one has not even begun.
#[test]
fn p1_no_predecessor_goes_in_the_run_that_promotes_its_successor() {
    let world = due();
    let plan = with_step(&world, retire(&world, "old"), overlap_is_over(&world));
    let rule = "removes a credential before the overlap is over";
    assert_eq!(refused(&plan, &world), (5, rule));
}

#[test]
fn p1_what_consumers_read_does_not_lose_its_credential() {
    let world = healthy();
    let plan = with_step(&world, retire(&world, "old"), Because::Revoked);
    assert_eq!(refused(&plan, &world).0, 1);
}

#[test]
fn p1_what_consumers_read_does_not_lose_its_key() {
    let world = world().with(current("old", "2027-02-01").unpublished());
    let mut plan = with_step(&world, destroy("old"), DESTROYED);
    let last = plan.certificates[0].steps.pop().unwrap();
    plan.certificates[0].steps = vec![last];
    assert_eq!(refused(&plan, &world), (1, "the key that consumers read would be destroyed"));
}

#[test]
fn p1_a_key_whose_credential_is_live_is_not_destroyed() {
    let world = overlap_runs();
    let plan = with_step(&world, destroy("old"), DESTROYED);
    assert_eq!(refused(&plan, &world), (1, "a key whose credential is live would be destroyed"));
}

#[test]
fn p1_a_key_that_was_made_for_somebody_else_is_not_destroyed() {
    let theirs = former("theirs", "2026-08-01").named("mail").unpublished().key(KeyState::Held);
    let world = healthy().with(theirs);
    let mut plan = with_step(&world, destroy("theirs"), DESTROYED);
    plan.certificates[0].notes.clear();
    assert_eq!(refused(&plan, &world), (1, "a key that was made for somebody else would be destroyed"));
}

/// Some have our marker, some have our way of making key ids, none has both.
#[test]
fn p2_what_is_not_ours_is_not_removed() {
    let strangers = [
        foreign("theirs", "2026-08-01"),
        claimed("backup", "theirs", "2026-08-01"),
        orphan("mail", "theirs", "2026-08-01"),
    ];
    for stranger in strangers {
        let world = overlap_over().credential(stranger.clone());
        let plan = with_step(&world, retire(&world, "theirs"), overlap_is_over(&world));
        assert_eq!(refused(&plan, &world), (3, "removes a credential that is not ours"), "{stranger:?}");
    }
}

#[test]
fn p2_of_others_only_what_has_expired_and_is_named_is_dropped() {
    let named: [KeyId; 2] = ["dead", "alive"].map(random_key_id);
    let world = due()
        .credential(foreign("dead", "2025-01-01"))
        .credential(foreign("alive", "2027-01-01"))
        .credential(foreign("unnamed", "2025-01-01"))
        .declare(|declared| declared.drop_expired_foreign = named.into());
    let dropping = |label: &str| {
        let mut plan = plan_of(&world);
        for planned in &mut plan.certificates[0].steps {
            if let Step::Publish { dropping, .. } = &mut planned.step {
                *dropping = vec![random_key_id(label)];
            }
        }
        plan
    };
    guard::check(&dropping("dead"), &world.desired, &world.observed, &world.policy).unwrap();
    let rule = "drops a credential that has not expired";
    assert_eq!(refused(&dropping("alive"), &world), (2, rule));
    let rule = "drops a credential the file does not name";
    assert_eq!(refused(&dropping("unnamed"), &world), (2, rule));
}
