//! Several certificates on few objects, with `moved:` and `removed:` between them: what one does must leave the others nothing to do.

use certroll::desired::{Issuer, Origin, PublicKeyFile, Removed, Retire, SelectBy, TargetSelector};
use certroll::ids::TargetKind;
use certroll::observed::{Credential, StoreState, TargetState};
use certroll::plan::reason::{Because, Note};
use certroll::plan::step::{CredentialRef, Step};
use certroll::plan::{Plan, guard};
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use super::observed::*;
use super::rows::{carry_out, check_any, plan_of, steps_of, tell};

/// Another application than [`OBJECT`].
const OTHER: Uuid = Uuid::from_u128(0x0aa0_0b1c_2d3e_4f50_8a6b_7c8d_9e0f_1a2b);
/// One that certificates have left.
const LEFT: Uuid = Uuid::from_u128(0x0bb0_0b1c_2d3e_4f50_8a6b_7c8d_9e0f_1a2b);
const NAMES: [&str; 3] = ["backup", "mail", "sync"];

#[derive(Debug, Clone)]
struct Recipe {
    on_other: bool,
    generations: Vec<GenerationRecipe>,
    has_current: bool,
    orphan_age: Option<i64>,
    overlap_days: u16,
    acknowledge: bool,
    acknowledged: bool,
    never: bool,
    held: bool,
    drops: bool,
    former: Former,
    former_removed: bool,
    files: Vec<usize>,
}

#[derive(Debug, Clone)]
struct GenerationRecipe {
    age_days: i64,
    published: bool,
    recorded: bool,
    of_former: bool,
}

/// Where it was under its former name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    Never,
    Here,
    OnLeft,
}

fn generation() -> impl Strategy<Value = GenerationRecipe> {
    (0..420i64, prop::bool::weighted(0.85), prop::bool::weighted(0.9), prop::bool::weighted(0.3)).prop_map(
        |(age_days, published, recorded, of_former)| GenerationRecipe {
            age_days,
            published,
            recorded,
            of_former,
        },
    )
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let former = prop_oneof![3 => Just(Former::Never), 1 => Just(Former::Here), 2 => Just(Former::OnLeft)];
    let files = prop_oneof![5 => Just(vec![]), 1 => Just(vec![0]), 1 => Just(vec![1]), 1 => Just(vec![0, 1])];
    let rare = || prop::bool::weighted(0.1);
    (
        (prop::bool::weighted(0.3), prop::collection::vec(generation(), 0..3), prop::bool::weighted(0.8)),
        (prop::option::weighted(0.2, 0..420i64), select(vec![0u16, 14, 30]), rare(), any::<bool>()),
        (rare(), rare(), any::<bool>(), former, any::<bool>(), files),
    )
        .prop_map(
            |(
                (on_other, generations, has_current),
                (orphan_age, overlap_days, acknowledge, acknowledged),
                (never, held, drops, former, former_removed, files),
            )| Recipe {
                on_other,
                generations,
                has_current,
                orphan_age,
                overlap_days,
                acknowledge,
                acknowledged,
                never,
                held,
                drops,
                former,
                former_removed,
                files,
            },
        )
}

prop_compose! {
    fn crowded_worlds()(
        recipes in prop::collection::vec(recipe(), 1..=3),
        gone in prop::option::of((0..420i64, any::<bool>())),
        foreign_ages in prop::collection::vec(0..500i64, 0..3),
    ) -> World {
        let mut world = recipes.iter().enumerate().fold(world(), |world, (index, recipe)| add(world, NAMES[index], recipe));
        for (index, age) in foreign_ages.iter().enumerate() {
            put(&mut world, OBJECT, foreign(&format!("foreign-{index}"), &made(*age)));
        }
        if let Some((age, retire)) = gone {
            put(&mut world, OBJECT, orphan("gone", "gone", &made(age)));
            removed_from(&mut world, "contoso/gone", OBJECT, retire);
        }
        share_lists(&mut world);
        world
    }
}

fn made(age_days: i64) -> String {
    (at(NOW) - days(age_days)).to_string()
}

fn provider_files() -> &'static [PublicKeyFile; 2] {
    static FILES: std::sync::OnceLock<[PublicKeyFile; 2]> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        [provider_file("2026.cer", "2026-04-01", "P1Y"), provider_file("2027.cer", "2027-02-01", "P1Y")]
    })
}

/// Adds one certificate with what its store and its object hold.
fn add(mut world: World, name: &str, recipe: &Recipe) -> World {
    let address = format!("contoso/{name}");
    let object = if recipe.on_other && name != "backup" { OTHER } else { OBJECT };
    let old = format!("{name}-once");
    let mut own = declared(&address, object);
    own.overlap = certroll::period::Period::days(recipe.overlap_days);
    own.acknowledge = recipe.acknowledge;
    own.retire = if recipe.never { Retire::Never } else { Retire::AfterOverlap };
    own.hold = hold("2027-03-31").filter(|_| recipe.held);
    if recipe.drops {
        own.drop_expired_foreign = (0..3).map(|index| random_key_id(&format!("foreign-{index}"))).collect();
    }
    let mut store = None;
    if recipe.files.is_empty() {
        let subject = own.subject.clone();
        let count = recipe.generations.len();
        let mut its = super::observed::world().declare(|declared| declared.subject = subject);
        for (index, generation) in recipe.generations.iter().enumerate() {
            let label = format!("{name}-{index}");
            let was_former = generation.of_former && recipe.former != Former::Never;
            let at_object = if was_former && recipe.former == Former::OnLeft { LEFT } else { object };
            its.target_mut().id = application(at_object);
            its.target_mut().credentials.clear();
            let mut one = former(&label, &(at(&made(generation.age_days)) - hours(index as i64)).to_string())
                .named(if was_former { &old } else { name });
            if recipe.has_current && index + 1 == count {
                one = one.current();
            }
            if !generation.recorded {
                one = one.promotion_unknown();
            }
            if !generation.published {
                one = one.unpublished();
            }
            its = its.with(one);
            for credential in std::mem::take(&mut its.target_mut().credentials) {
                put(&mut world, at_object, credential);
            }
            if recipe.acknowledged {
                world = world.acknowledged(&address, &label, &made(generation.age_days.min(20)));
            }
        }
        store = (count > 0).then(|| its.observed.stores[&super::observed::address(ADDRESS)].clone());
    } else {
        let files: Vec<_> = recipe.files.iter().map(|index| provider_files()[*index].clone()).collect();
        if let [_, ..] = recipe.generations[..] {
            put(&mut world, object, live(&files[0], Some(name)));
        }
        (own.issuer, own.store) = (Issuer::ExternalPublicKey { files }, None);
    }
    if let Some(age) = recipe.orphan_age {
        let (start, end) = former(&format!("{name}-orphan"), &made(age)).life();
        put(&mut world, object, ours(name, &format!("{name}-orphan"), application(object), start, end));
    }
    world = world.with_certificate(&address, object);
    world.desired.certificates.insert(own.address.clone(), own.clone());
    if let Some(store) = store {
        world.observed.stores.insert(own.address.clone(), store);
    }
    if recipe.former != Former::Never {
        world = world.moved(&format!("contoso/{old}"), &address);
        if recipe.former_removed {
            let left = if recipe.former == Former::OnLeft { LEFT } else { object };
            removed_from(&mut world, &format!("contoso/{old}"), left, true);
        }
    }
    world
}

/// Puts a credential on an object: every place that shows the object gets the list at the end.
fn put(world: &mut World, object: Uuid, credential: Credential) {
    let shelf = world
        .tenant_mut()
        .targets
        .entry(address("contoso/shelf"))
        .or_insert_with(|| TargetState::Found(Box::new(target(Uuid::nil()))));
    let TargetState::Found(shelf) = shelf else { unreachable!() };
    let mut raw: serde_json::Value = serde_json::from_str(credential.raw.get()).unwrap();
    raw["object"] = object.to_string().into();
    shelf.credentials.push(Credential {
        raw: serde_json::value::RawValue::from_string(raw.to_string()).unwrap(),
        ..credential
    });
}

fn share_lists(world: &mut World) {
    let shelf = world.tenant_mut().targets.remove(&address("contoso/shelf"));
    let Some(TargetState::Found(shelf)) = shelf else { return };
    let tenant = world.tenant_mut();
    for state in tenant.targets.values_mut().chain(tenant.removed.iter_mut()) {
        let TargetState::Found(target) = state else { continue };
        let object = target.id.object_id.to_string();
        let on_it = shelf.credentials.iter().filter(|credential| {
            let raw: serde_json::Value = serde_json::from_str(credential.raw.get()).unwrap();
            raw["object"] == object.as_str()
        });
        target.credentials = on_it.cloned().collect();
    }
}

fn removed_from(world: &mut World, text: &str, object: Uuid, retire: bool) {
    let by = SelectBy::ObjectId(object);
    let target_of_it = TargetSelector { kind: TargetKind::Application, by };
    world.desired.removed.push(Removed {
        address: address(text),
        target: target_of_it,
        retire,
        origin: Origin::default(),
    });
    world.tenant_mut().removed.push(TargetState::Found(Box::new(target(object))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// P5: what all certificates do together leaves none of them anything to do, and the guard accepts it.
    #[test]
    fn p5_what_certificates_on_one_object_do_leaves_the_others_nothing_to_do(world in crowded_worlds()) {
        let plan = plan_of(&world);
        let verdict = check_any(&world, &plan);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), tell(&world, &plan));
    }

    /// P5: the same after a run of which some chains were not begun.
    #[test]
    fn p5_chains_that_were_not_begun_are_begun_by_the_next_run(world in crowded_worlds(), done in prop::collection::vec(any::<bool>(), 6)) {
        let mut plan = plan_of(&world);
        let mut done = done.into_iter().cycle();
        plan.certificates.retain(|_| done.next().unwrap_or(true));
        let mut stopped = world.clone();
        carry_out(&mut stopped, &plan);
        let again = plan_of(&stopped);
        let verdict = check_any(&stopped, &again);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), tell(&stopped, &again));
    }
}

/// A certificate moved to another object; what it left has a `removed:` entry, as the plan's hint says.
fn left_behind(overlap_days: u16, promoted: Option<&str>) -> World {
    let mut world = world()
        .declare(|declared| declared.overlap = certroll::period::Period::days(overlap_days))
        .moved("contoso/backup-once", ADDRESS);
    let here = world.target_ref().id;
    world.target_mut().id = application(LEFT);
    world = world.with(current("old", "2026-08-01").named("backup-once"));
    let old = std::mem::take(&mut world.target_mut().credentials);
    world.target_mut().id = here;
    if let Some(promoted) = promoted {
        world = world.with(current("new", promoted));
    }
    removed_from(&mut world, "contoso/backup-once", LEFT, true);
    let TargetState::Found(left) = &mut world.tenant_mut().removed[0] else { unreachable!() };
    left.credentials = old;
    world
}

#[test]
fn what_a_certificate_left_on_another_object_goes_once_its_overlap_is_over() {
    let retires = "contoso/backup-once retire old: removed";
    let begun = left_behind(14, None);
    let plan = plan_of(&begun);
    assert!(!steps_of(&begun, &plan).contains(&retires.to_owned()), "{}", tell(&begun, &plan));
    check_any(&begun, &plan).unwrap();
    let running = left_behind(14, Some("2027-02-20"));
    assert_eq!(steps_of(&running, &plan_of(&running)), Vec::<String>::new());
    let over = left_behind(14, Some("2027-02-01"));
    let plan = plan_of(&over);
    assert_eq!(steps_of(&over, &plan), [retires]);
    check_any(&over, &plan).unwrap();
}

#[test]
fn an_overlap_of_zero_after_a_move_ends_in_a_later_run_than_the_promotion() {
    let world = left_behind(0, None);
    check_any(&world, &plan_of(&world)).unwrap();
}

#[test]
fn a_removal_before_the_move_is_over_is_refused_by_the_guard() {
    let running = left_behind(14, Some("2027-02-20"));
    let mut plan = plan_of(&left_behind(14, Some("2027-02-01")));
    plan.now = running.now;
    let refused = guard::check(&plan, &running.desired, &running.observed, &running.policy).unwrap_err();
    assert_eq!(refused.address, address("contoso/backup-once"));
    assert_eq!(refused.rule, "what it was moved to has not taken its place");
}

/// Two healthy certificates on one application, and a plan that takes the second one's credential off in the first one's name.
#[test]
fn a_plan_whose_steps_leave_another_certificate_something_to_do_does_not_settle() {
    let mut world = world().with(current("new", "2027-02-01"));
    let other = current("mail-0", "2027-02-01").named("mail");
    let (start, end) = other.life();
    let subject = declared("contoso/mail", OBJECT).subject;
    let its = super::observed::world().declare(|declared| declared.subject = subject).with(other);
    world = world.credential(ours("mail", "mail-0", application(OBJECT), start, end));
    world = world.with_certificate("contoso/mail", OBJECT);
    world.observed.stores.insert(address("contoso/mail"), its.observed.stores[&address(ADDRESS)].clone());
    let mut plan = plan_of(&world);
    assert!(plan.is_empty(), "{}", tell(&world, &plan));
    let taken = world.target_ref().credentials.iter().find(|c| c.sha1() == Some(sha1("mail-0"))).unwrap();
    let credential = CredentialRef { key_id: taken.key_id.unwrap(), sha1: sha1("mail-0"), end: taken.end };
    plan.certificates[0].steps.push(certroll::plan::PlannedStep {
        step: Step::Retire { credential },
        because: Because::OverlapOver { since: world.now },
        not_before: world.now,
        requires: Vec::new(),
    });
    let unsettled = guard::settles(&plan, &world.desired, &world.observed, &world.policy).unwrap_err();
    assert_eq!(unsettled.address, address("contoso/mail"));
}

#[test]
fn a_removed_entry_that_would_go_on_after_the_plan_does_not_settle() {
    let world = world()
        .with(current("new", "2027-02-01"))
        .credential(orphan("gone", "one", "2027-01-01"))
        .credential(orphan("gone", "two", "2027-01-02"))
        .removed("contoso/gone", true);
    let mut plan = plan_of(&world);
    check_any(&world, &plan).unwrap();
    plan.certificates[1].steps.pop();
    let unsettled = guard::settles(&plan, &world.desired, &world.observed, &world.policy).unwrap_err();
    assert_eq!(unsettled.address, address("contoso/gone"));
}

/// One is due and may drop what has expired on its object; the other one adopts just that, and its key is nowhere.
#[test]
fn what_another_certificate_adopts_is_dropped_by_nobody() {
    let due = || {
        world()
            .with(current("old", "2026-03-01"))
            .credential(foreign("dead", "2025-01-01"))
            .declare(|declared| declared.drop_expired_foreign = [random_key_id("dead")].into())
            .with_certificate("contoso/mail", OBJECT)
    };
    let mut world = due();
    world.desired.certificates.get_mut(&address("contoso/mail")).unwrap().adopt = vec![adopt("dead", false)];
    let plan = plan_of(&world);
    let steps = steps_of(&world, &plan);
    assert!(steps.contains(&"publish".to_owned()), "{}", tell(&world, &plan));
    assert!(!steps.iter().any(|step| step.contains("dropping")), "{}", tell(&world, &plan));
    let backup = plan.certificates.iter().find(|one| one.address == address(ADDRESS)).unwrap();
    let notes = &backup.notes;
    let kept = |text: &str| text == "is kept: contoso/mail names it too";
    assert!(notes.iter().any(|note| kept(&note.text)), "{notes:#?}");
    check_any(&world, &plan).unwrap();
    // Adopted by nobody it goes, and both get a key.
    let alone = due();
    let plan = plan_of(&alone);
    assert!(
        steps_of(&alone, &plan).iter().any(|step| step.contains("dropping dead")),
        "{}",
        tell(&alone, &plan)
    );
    check_any(&alone, &plan).unwrap();
}

/// The other one had adopted it, so that its store knows of it, and does so no longer. Seed 33029 of the simulation.
#[test]
fn what_another_certificate_s_store_holds_is_dropped_by_nobody_else() {
    let due = || {
        world()
            .with(current("old", "2026-03-01"))
            .credential(foreign("dead", "2025-01-01"))
            .declare(|declared| declared.drop_expired_foreign = [random_key_id("dead")].into())
            .with_certificate("contoso/mail", OBJECT)
    };
    let theirs = super::observed::world()
        .with(former("dead", "2025-01-01").named("mail").unpublished())
        .with(current("live", "2027-01-20").named("mail").unpublished());
    let mut world = due();
    let mut store = theirs.observed.stores[&address(ADDRESS)].clone();
    if let StoreState::Known(holding) = &mut store.state {
        holding.generations[0].record.rotation_id = None;
    }
    world.observed.stores.insert(address("contoso/mail"), store);
    let plan = plan_of(&world);
    assert!(!steps_of(&world, &plan).iter().any(|step| step.contains("dropping")), "{}", tell(&world, &plan));
    let backup = plan.certificates.iter().find(|one| one.address == address(ADDRESS)).unwrap();
    let kept = |note: &Note| note.text.starts_with("is kept: the store of contoso/mail holds it");
    assert!(backup.notes.iter().any(kept), "{backup:#?}");
    check_any(&world, &plan).unwrap();
}

/// The other one's consumers may read it: whether it is called revoked or adopted here, it stays, and who has it is told.
#[test]
fn p1_what_another_certificate_s_store_holds_is_retired_by_nobody_else() {
    for named in ["revoked", "adopted"] {
        let theirs =
            super::observed::world().with(current("theirs", "2026-12-01").named("mail").unpublished());
        let mut world = world()
            .with(former("old", "2026-08-01"))
            .with(current("new", "2027-02-01"))
            .credential(foreign("theirs", "2027-12-01"))
            .declare(|declared| match named {
                "revoked" => declared.revoked = [super::observed::thumbprint("theirs")].into(),
                _ => declared.adopt = vec![super::observed::adopt("theirs", true)],
            })
            .with_certificate("contoso/mail", OBJECT);
        let store = theirs.observed.stores[&address(ADDRESS)].clone();
        world.observed.stores.insert(address("contoso/mail"), store);
        let plan = plan_of(&world);
        let steps = steps_of(&world, &plan);
        assert!(!steps.iter().any(|step| step.contains("retire theirs")), "{named}: {}", tell(&world, &plan));
        let backup = plan.certificates.iter().find(|one| one.address == address(ADDRESS)).unwrap();
        let kept = |note: &Note| note.text.starts_with("is kept: the store of contoso/mail holds it");
        assert!(backup.notes.iter().any(kept), "{named}: {backup:#?}");
    }
}

/// A `removed:` entry whose key another certificate's store may hold: a rename nobody declared.
fn left_to(mail_on: Uuid, state: StoreState) -> World {
    let mut world = super::observed::world()
        .credential(orphan("gone", "old", "2026-08-01"))
        .removed("contoso/gone", true)
        .with_certificate("contoso/mail", mail_on);
    world.observed.stores.get_mut(&address("contoso/mail")).unwrap().state = state;
    world
}

fn notes_of<'p>(plan: &'p Plan, text: &str) -> Vec<&'p str> {
    let certificate = plan.certificates.iter().find(|one| one.address == address(text)).unwrap();
    certificate.notes.iter().map(|note| note.text.as_str()).collect()
}

/// Seed 700035 of the simulation: the vault was away for a moment, and the key that was read from it went.
#[test]
fn p1_what_a_store_that_cannot_be_read_may_hold_is_removed_by_nobody_else() {
    let unread = || StoreState::Unreadable { reason: "503".into() };
    let told = "is kept: the store of contoso/mail cannot be read, and may hold its key";
    for mail_on in [OBJECT, Uuid::from_u128(7)] {
        let world = left_to(mail_on, unread());
        let plan = plan_of(&world);
        assert!(
            !steps_of(&world, &plan).iter().any(|step| step.contains("retire")),
            "{}",
            tell(&world, &plan)
        );
        assert_eq!(notes_of(&plan, "contoso/gone"), [told]);
        check_any(&world, &plan).unwrap();
    }
    // One that has something of its own on another object did not come from here yesterday.
    let mut elsewhere = left_to(Uuid::from_u128(7), unread());
    let TargetState::Found(target) =
        elsewhere.tenant_mut().targets.get_mut(&address("contoso/mail")).unwrap()
    else {
        panic!("it is there");
    };
    target.credentials.push(orphan("mail", "theirs", "2026-08-01"));
    let plan = plan_of(&elsewhere);
    assert!(
        steps_of(&elsewhere, &plan).iter().any(|step| step.contains("retire old")),
        "{}",
        tell(&elsewhere, &plan)
    );

    // An orphan beside it, its own store readable: the key is in none that was read.
    let mut orphaned = super::observed::world()
        .credential(orphan("backup", "lost", "2026-08-01"))
        .with(current("new", "2027-01-01"))
        .with_certificate("contoso/mail", OBJECT);
    let plan = plan_of(&orphaned);
    assert!(
        steps_of(&orphaned, &plan).iter().any(|step| step.contains("retire lost")),
        "{}",
        tell(&orphaned, &plan)
    );
    orphaned.observed.stores.get_mut(&address("contoso/mail")).unwrap().state = unread();
    let plan = plan_of(&orphaned);
    assert!(
        !steps_of(&orphaned, &plan).iter().any(|step| step.contains("retire")),
        "{}",
        tell(&orphaned, &plan)
    );
    assert!(notes_of(&plan, ADDRESS).contains(&told), "{}", tell(&orphaned, &plan));
}

/// Seed 800043 of the simulation: it moved to another object, its `moved:` entry was dropped, and its store still offers what it had.
#[test]
fn p1_what_a_certificate_on_another_object_still_offers_is_removed_by_nobody_else() {
    let theirs = super::observed::world().with(current("old", "2026-08-01").named("gone").unpublished());
    let world = left_to(Uuid::from_u128(7), theirs.observed.stores[&address(ADDRESS)].state.clone());
    let plan = plan_of(&world);
    assert!(!steps_of(&world, &plan).iter().any(|step| step.contains("retire")), "{}", tell(&world, &plan));
    let kept = "is kept: the store of contoso/mail holds it, and its consumers may read it";
    assert_eq!(notes_of(&plan, "contoso/gone"), [kept]);
    check_any(&world, &plan).unwrap();
}

/// One names a credential of the other's by mistake; its predecessor's overlap is over.
#[test]
fn what_another_certificate_names_is_retired_by_nobody_and_the_plan_of_all_still_settles() {
    let over = || {
        world()
            .with(former("old", "2026-06-01"))
            .with(current("new", "2027-01-01"))
            .with_certificate("contoso/mail", OBJECT)
    };
    let plan = plan_of(&over());
    assert!(
        steps_of(&over(), &plan).iter().any(|step| step.starts_with("retire old")),
        "{}",
        tell(&over(), &plan)
    );
    for revoked in [false, true] {
        let mut world = over();
        let mail = world.desired.certificates.get_mut(&address("contoso/mail")).unwrap();
        match revoked {
            true => mail.revoked = [thumbprint("old")].into(),
            false => mail.adopt = vec![adopt("old", false)],
        }
        let plan = plan_of(&world);
        assert_eq!(steps_of(&world, &plan), Vec::<String>::new(), "{}", tell(&world, &plan));
        let backup = plan.certificates.iter().find(|one| one.address == address(ADDRESS)).unwrap();
        assert!(
            backup.notes.iter().any(|note| note.text == "is kept: contoso/mail names it too"),
            "{backup:#?}"
        );
        check_any(&world, &plan).unwrap();
    }
}

/// It names two credentials of a neighbour's; the directory shows them in any order.
#[test]
fn p8_of_several_of_a_neighbour_s_credentials_the_plan_names_the_same_one_whatever_comes_first() {
    let shown = |labels: [&str; 2]| {
        let mut world = world().with_certificate("contoso/mail", OBJECT);
        for label in labels {
            let (start, end) = current(label, "2027-02-01").life();
            world = world.credential(ours("mail", label, application(OBJECT), start, end));
        }
        world.declare(|declared| declared.adopt = vec![adopt("one", false), adopt("other", false)])
    };
    let notes = |world: World| {
        let plan = plan_of(&world);
        let backup = plan.certificates.into_iter().find(|one| one.address == address(ADDRESS)).unwrap();
        assert!(backup.is_blocked(), "{backup:#?}");
        backup.notes
    };
    assert_eq!(notes(shown(["one", "other"])), notes(shown(["other", "one"])));
}
