//! Plans as a mistaken planner would make them. The guard has rules of its own and refuses each at the step that breaks one.

use certroll::desired::{Moved, Prove};
use certroll::ids::{KeyId, Thumbprint};
use certroll::observed::{
    Credential, DeliveryState, Identifier, KeyState, ObservedStore, Reserved, StoreState, TargetState,
};
use certroll::plan::reason::Because;
use certroll::plan::step::{CredentialRef, Evidence, GenerationRef, Step};
use certroll::plan::{Plan, PlannedStep, guard};

use super::observed::*;
use super::rows::plan_of;
use super::rows_current::{due, healthy};
use super::rows_others::{overlap_over, overlap_runs};
use super::rows_provider;

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

/// A key was put back by hand, or a backup of the store: the record of what is current is old, and what it replaced was in use since.
#[test]
fn p1_nothing_goes_that_began_after_its_successor_before_an_overlap_of_its_own() {
    let put_back = |began| world().with(former("newer", began)).with(current("old", "2026-12-01"));
    let rule = "removes a credential before the overlap is over";
    assert_eq!(refused(&plan_of(&put_back("2026-08-01")), &put_back("2027-02-25")), (2, rule));
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
    assert_eq!(refused(&plan, &world), (1, "removes the credential of what consumers read"));
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

/// `revoked:` names the key of a certificate that is no longer declared here: its own entry decides about that one.
#[test]
fn p2_what_another_name_in_the_files_accounts_for_is_not_removed_although_revoked_names_it() {
    let world = overlap_over().credential(orphan("mail", "theirs", "2026-08-01"));
    let plan = with_step(&world, retire(&world, "theirs"), Because::Revoked);
    let named = world.declare(|declared| declared.revoked = [Thumbprint::Sha1(sha1("theirs"))].into());
    guard::check(&plan, &named.desired, &named.observed, &named.policy).unwrap();
    let mut accounted = named;
    let origin = accounted.desired.certificates[&address(ADDRESS)].origin.clone();
    let (from, to) = (address("contoso/mail"), address("contoso/post"));
    accounted.desired.moved.push(Moved { from, to, origin });
    assert_eq!(refused(&plan, &accounted), (3, "removes a credential that is not ours"));
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

fn generation(label: &str) -> GenerationRef {
    GenerationRef { rotation_id: None, thumbprints: Some(thumbprints(label)) }
}

fn prove(label: &str) -> Step {
    let evidence = Evidence::SignIn { times: 3, seconds: 600 };
    Step::Prove { generation: generation(label), evidence }
}

fn promote(label: &str) -> Step {
    Step::Promote {
        generation: generation(label),
        place: "runner/backup".into(),
        kept_as: String::new(),
        before_proof: false,
    }
}

/// A plan of that world with these steps and no other.
fn of_steps(world: &World, steps: Vec<(Step, Because)>) -> Plan {
    let mut plan = plan_of(world);
    let planned =
        |(step, because)| PlannedStep { step, because, not_before: world.now, requires: Vec::new() };
    plan.certificates[0].steps = steps.into_iter().map(planned).collect();
    plan
}

#[test]
fn p1_nothing_is_done_where_the_object_was_not_found() {
    let plan = plan_of(&due());
    let world = due().found(TargetState::Missing { similar: Vec::new() });
    assert_eq!(refused(&plan, &world), (1, "steps for a target that was not found"));
}

#[test]
fn p1_what_is_not_there_is_neither_proven_nor_promoted_nor_removed() {
    let world = healthy();
    let rules = [(prove("nobody's"), "a proof of a generation that is not published")];
    let nothing = GenerationRef { rotation_id: None, thumbprints: None };
    let evidence = Evidence::ReadBack;
    let of_nothing = [
        (Step::Prove { generation: nothing.clone(), evidence }, "a proof of nothing"),
        (
            Step::Promote {
                generation: nothing,
                place: "runner/backup".into(),
                kept_as: String::new(),
                before_proof: true,
            },
            "a promotion of nothing",
        ),
        (promote("nobody's"), "promoted before it is published"),
    ];
    for (step, rule) in rules.into_iter().chain(of_nothing) {
        assert_eq!(
            refused(
                &of_steps(&world, vec![(step, Because::Due { due: world.now, ends: world.now })]),
                &world
            ),
            (1, rule)
        );
    }
    let gone = CredentialRef { key_id: random_key_id("gone"), sha1: sha1("gone"), end: None };
    let plan = of_steps(&world, vec![(Step::Retire { credential: gone }, overlap_is_over(&world))]);
    assert_eq!(refused(&plan, &world), (1, "a removal of something that is not there"));
}

/// `old` may go, were it not what the consumers of another certificate on the same object read; so it is for a `removed:` entry.
#[test]
fn p1_what_another_certificates_consumers_read_is_not_removed() {
    let rule = "removes the credential of what another certificate's consumers read";
    let plan = plan_of(&overlap_over());
    let mut world = overlap_over().with_certificate("contoso/mail", OBJECT);
    let theirs = world_of_another();
    world.observed.stores.insert(address("contoso/mail"), theirs.clone());
    assert_eq!(refused(&plan, &world), (2, rule));

    let entry = || super::observed::world().credential(orphan("gone", "old", "2026-08-01"));
    let plan = plan_of(&entry().removed("contoso/gone", true));
    let mut world = entry().removed("contoso/gone", true).with_certificate("contoso/mail", OBJECT);
    guard::check(&plan, &world.desired, &world.observed, &world.policy).unwrap();
    world.observed.stores.insert(address("contoso/mail"), theirs);
    let refused = guard::check(&plan, &world.desired, &world.observed, &world.policy).unwrap_err();
    assert_eq!((refused.address, refused.rule), (address("contoso/gone"), rule));
}

/// Nobody knows what a store offers that could not be read; and one that offers what was made for this object does so wherever its
/// certificate is declared by now.
#[test]
fn p1_what_another_certificates_consumers_may_read_is_not_removed() {
    let entry = || {
        super::observed::world().credential(orphan("gone", "old", "2026-08-01")).removed("contoso/gone", true)
    };
    let plan = plan_of(&entry());
    let judged = |mail_on, store: ObservedStore| {
        let mut world = entry().with_certificate("contoso/mail", mail_on);
        world.observed.stores.insert(address("contoso/mail"), store);
        guard::check(&plan, &world.desired, &world.observed, &world.policy).map_err(|refused| refused.rule)
    };
    let unread =
        || ObservedStore { state: StoreState::Unreadable { reason: "503".into() }, ..world_of_another() };
    let elsewhere = uuid::Uuid::from_u128(7);
    let may_offer = "removes what another certificate's store may offer, which could not be read";
    assert_eq!(judged(OBJECT, unread()), Err(may_offer));
    assert_eq!(judged(elsewhere, unread()), Ok(()));
    let offers = "removes the credential of what another certificate's consumers read";
    assert_eq!(judged(elsewhere, world_of_another()), Err(offers));

    // The same of an orphan of a declared certificate; what its own store holds is known to be no other's.
    let orphaned = || {
        super::observed::world().with(current("new", "2027-01-01")).credential(orphan(
            "backup",
            "lost",
            "2026-08-01",
        ))
    };
    for (world, rule) in [(orphaned(), Err((2, may_offer))), (overlap_over(), Ok(()))] {
        let plan = plan_of(&world);
        let mut world = world.with_certificate("contoso/mail", OBJECT);
        world.observed.stores.insert(address("contoso/mail"), unread());
        let judged = guard::check(&plan, &world.desired, &world.observed, &world.policy);
        assert_eq!(judged.map_err(|refused| (refused.step, refused.rule)), rule);
    }
}

/// A store that offers `old`.
fn world_of_another() -> certroll::observed::ObservedStore {
    let theirs = super::observed::world().with(current("old", "2026-08-01").unpublished());
    theirs.observed.stores[&address(ADDRESS)].clone()
}

/// Both are published and both were proven: one of them has expired.
#[test]
fn p1_consumers_are_not_given_what_cannot_sign_in_in_place_of_what_can() {
    let world = world().with(former("old", "2025-08-01")).with(current("new", "2027-02-01"));
    let plan = of_steps(&world, vec![(prove("old"), Because::Rollback), (promote("old"), Because::Rollback)]);
    let rule = "what consumers read could sign in before it and cannot after it";
    assert_eq!(refused(&plan, &world), (2, rule));
}

#[test]
fn p1_reading_back_proves_nothing_where_the_file_asks_for_a_sign_in() {
    let world = overlap_over();
    let read_back = Step::Prove { generation: generation("new"), evidence: Evidence::ReadBack };
    let steps = |world: &World| {
        let retire = retire(world, "old");
        of_steps(world, vec![(read_back.clone(), Because::BeforeRemoval), (retire, overlap_is_over(world))])
    };
    let rule = "removes a credential whose successor was not proven in the same run";
    for prove in [Prove::SignIn, Prove::AfterPromotion] {
        let world = overlap_over().declare(|declared| declared.prove = prove);
        assert_eq!(refused(&steps(&world), &world), (2, rule), "{prove:?}");
    }
    let enough = world.declare(|declared| declared.prove = Prove::ReadBack);
    guard::check(&steps(&enough), &enough.desired, &enough.observed, &enough.policy).unwrap();
}

#[test]
fn p1_no_predecessor_goes_without_a_successor() {
    let world = world().credential(orphan("backup", "lost", "2026-08-01"));
    let plan = of_steps(&world, vec![(retire(&world, "lost"), overlap_is_over(&world))]);
    assert_eq!(refused(&plan, &world), (1, "removes a credential without a successor"));
}

/// The overlap begins when the last place has the new one and the last person has said so.
#[test]
fn p1_no_predecessor_goes_before_every_place_has_the_new_one_and_somebody_has_said_so() {
    let rule = "removes a credential before the overlap is over";
    let retires = plan_of(&overlap_over());
    let delivered = |moment: &str| {
        let holds = Some(DeliveryState::Marker("7".into()));
        world()
            .with(former("old", "2026-08-01"))
            .with(current("new", "2027-02-01").delivered("file a", moment, "7"))
            .delivery("file a", holds)
    };
    let acknowledges = || overlap_over().declare(|declared| declared.acknowledge = true);
    let too_early = [
        ("never delivered", overlap_over().delivery("file a", Some(DeliveryState::Absent))),
        ("delivered a week ago", delivered("2027-02-22")),
        ("never acknowledged", acknowledges()),
        ("another one acknowledged", acknowledges().acknowledged(ADDRESS, "old", "2027-02-01")),
        ("acknowledged before it was made", acknowledges().acknowledged(ADDRESS, "new", "2027-01-30")),
        ("acknowledged a week ago", acknowledges().acknowledged(ADDRESS, "new", "2027-02-22")),
        ("promotion unknown", overlap_over().record("new", |record| record.promoted_at = None)),
    ];
    for (story, world) in too_early {
        assert_eq!(refused(&retires, &world), (2, rule), "{story}");
    }
    for world in [delivered("2027-02-10"), acknowledges().acknowledged(ADDRESS, "new", "2027-02-10")] {
        guard::check(&retires, &world.desired, &world.observed, &world.policy).unwrap();
    }
}

#[test]
fn p2_what_is_reserved_or_has_no_thumbprint_is_not_removed_although_it_looks_like_ours() {
    let old = orphan("backup", "theirs", "2026-08-01");
    let opaque = Credential { identifier: Identifier::Opaque("AA==".into()), ..old.clone() };
    let strangers = [
        (reserved(old.clone(), Reserved::SamlSigning), "removes a reserved credential"),
        (reserved(old.clone(), Reserved::TokenEncryption), "removes a reserved credential"),
        (opaque, "removes a credential without a thumbprint"),
    ];
    for (stranger, rule) in strangers {
        let key_id = stranger.key_id.unwrap();
        let world = overlap_over().credential(stranger);
        let credential = CredentialRef { key_id, sha1: sha1("theirs"), end: None };
        let plan = with_step(&world, Step::Retire { credential }, overlap_is_over(&world));
        assert_eq!(refused(&plan, &world), (3, rule));
    }
}

#[test]
fn p2_what_is_reserved_is_not_dropped_although_it_has_expired_and_is_named() {
    let world = due()
        .credential(reserved(foreign("saml", "2025-01-01"), Reserved::SamlSigning))
        .declare(|declared| declared.drop_expired_foreign = [random_key_id("saml")].into());
    let mut plan = plan_of(&world);
    for planned in &mut plan.certificates[0].steps {
        if let Step::Publish { dropping, .. } = &mut planned.step {
            *dropping = vec![random_key_id("saml")];
        }
    }
    assert_eq!(refused(&plan, &world), (2, "drops a reserved credential"));
}

#[test]
fn p2_for_what_is_not_declared_any_more_nothing_is_made() {
    let world = healthy().credential(orphan("gone", "one", "2026-08-01")).removed("contoso/gone", true);
    let mut plan = plan_of(&world);
    let gone = plan.certificates.iter_mut().find(|one| one.address == address("contoso/gone")).unwrap();
    assert_eq!(gone.steps.len(), 1);
    gone.steps[0].because = overlap_is_over(&world);
    let refused = guard::check(&plan, &world.desired, &world.observed, &world.policy).unwrap_err();
    assert_eq!((refused.step, refused.rule), (1, "an undeclared certificate may only be removed"));
}

#[test]
fn p1_a_providers_key_goes_only_beside_a_newer_one_and_with_the_providers_word() {
    let confirmed = || rows_provider::acknowledged(rows_provider::dropped(), "2027-02-01").at("2027-03-12");
    let plan = plan_of(&confirmed());
    guard::check(&plan, &confirmed().desired, &confirmed().observed, &confirmed().policy).unwrap();
    let rule = "removes a provider's credential without reading the newer one back";
    assert_eq!(refused(&without(plan.clone(), "prove"), &confirmed()), (1, rule));
    let rule = "removes a provider's credential without an acknowledgement";
    assert_eq!(refused(&plan, &rows_provider::dropped().at("2027-03-12")), (2, rule));
    let recently = rows_provider::acknowledged(rows_provider::dropped(), "2027-03-01").at("2027-03-12");
    assert_eq!(refused(&plan, &recently), (2, rule));
}

/// The directory's clock decides until when a credential signs in, and a plan allows it to be ten minutes behind ours.
#[test]
fn p1_what_has_expired_goes_no_sooner_than_by_every_clock() {
    let by_our_clock = "2027-03-01T00:09:58Z";
    let ended = |moment| world().with(current("old", "2026-03-01")).at(moment);
    let plan = plan_of(&ended("2027-03-01T00:10:00Z"));
    let check =
        |plan: &Plan, world: &World| guard::check(plan, &world.desired, &world.observed, &world.policy);
    check(&plan, &ended("2027-03-01T00:10:00Z")).unwrap();
    let sooner = Plan { now: by_our_clock.parse().unwrap(), ..plan };
    let rule = "removes a credential before the overlap is over";
    assert_eq!(refused(&sooner, &ended(by_our_clock)), (5, rule));

    let named = || {
        let id = random_key_id("dead");
        due()
            .credential(foreign("dead", "2026-03-01"))
            .declare(|declared| declared.drop_expired_foreign = [id].into())
    };
    let plan = plan_of(&named().at("2027-03-01T00:10:00Z"));
    let drops = |planned: &PlannedStep| matches!(&planned.step, Step::Publish { dropping, .. } if !dropping.is_empty());
    assert!(plan.certificates[0].steps.iter().any(drops), "{:#?}", plan.certificates[0].steps);
    check(&plan, &named()).unwrap();
    let sooner = Plan { now: by_our_clock.parse().unwrap(), ..plan };
    assert_eq!(refused(&sooner, &named()), (2, "drops a credential that has not expired"));
}

/// A rule that no test here sees refuse something could be a rule no more.
#[test]
fn every_rule_of_the_guard_is_seen_to_refuse_something() {
    let guard = include_str!("../../../src/plan/guard.rs");
    let rules = guard.split_once("Checks every prefix of every chain").unwrap().1;
    let rules: Vec<&str> = rules.split('"').skip(1).step_by(2).collect();
    assert!(rules.len() > 20, "{rules:?}");
    let tests = [include_str!("guarded.rs"), include_str!("together.rs")];
    for rule in rules {
        let seen = tests.iter().any(|test| test.contains(&format!("\"{rule}\"")));
        assert!(seen, "no test sees the guard refuse because it {rule:?}");
    }
}
