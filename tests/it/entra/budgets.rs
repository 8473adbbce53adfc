//! How many requests observing takes: at most `min(⌈M/999⌉, ⌈N/15⌉) + 3` for N of M objects of a kind, two for policies, one
//! for the recycle bin of a kind when something is missing. And none of them writes or asks for a key.

use certroll::desired::{SelectBy, TargetSelector};
use certroll::observed::TargetState;
use uuid::Uuid;

use super::support::{TENANT, World, app, principal};

/// A tenant of `all` applications, and how each of the first `wanted` is named.
fn world_with(
    all: usize,
    wanted: usize,
    name: impl Fn(usize, &certroll::emulator::Seeded) -> SelectBy,
) -> (World, Vec<SelectBy>) {
    let world = World::new();
    let seeded = world.emulator.seed(TENANT, all);
    let keys = seeded.iter().take(wanted).enumerate().map(|(index, seeded)| name(index, seeded)).collect();
    (world, keys)
}

struct Counted {
    applications: usize,
    service_principals: usize,
    policies: usize,
    deleted: usize,
}

async fn count(world: &World, selectors: &[TargetSelector]) -> (Counted, Vec<TargetState>) {
    world.emulator.clear_journal();
    let observed = world.observe(selectors).await.unwrap();
    let entries = world.emulator.journal();
    assert!(entries.iter().all(|entry| !entry.writes), "observing wrote");
    let selects_keys =
        |path: &str| path.to_lowercase().contains("select=") && path.contains("keyCredentials");
    assert!(entries.iter().all(|entry| !selects_keys(&entry.path)), "observing asked for keys");
    // A batch belongs to the kind its items are of.
    let mut kinds = Vec::new();
    let mut items = Vec::new();
    for entry in entries {
        let kind = ["servicePrincipals", "applications", "policies", "deletedItems"]
            .into_iter()
            .find(|kind| entry.path.contains(kind));
        if entry.batch_item.is_some() {
            items.push(kind.unwrap());
        } else if entry.path.ends_with("$batch") {
            kinds.push(items.pop().unwrap());
            items.clear();
        } else if entry.path.starts_with("/v1.0/") {
            kinds.push(kind.unwrap_or_else(|| panic!("{}", entry.path)));
        }
    }
    let number = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
    let counted = Counted {
        applications: number("applications"),
        service_principals: number("servicePrincipals"),
        policies: number("policies"),
        deleted: number("deletedItems"),
    };
    (counted, observed.targets.into_values().collect())
}

fn allowed(all: usize, wanted: usize) -> usize {
    all.div_ceil(999).min(wanted.div_ceil(15)) + 3
}

async fn check(all: usize, wanted: usize, select: fn(SelectBy) -> TargetSelector, how: &str) {
    let (world, keys) = world_with(all, wanted, |index, seeded| match (how, index % 3) {
        ("object id", _) | ("mixed", 1) => SelectBy::ObjectId(seeded.object_id),
        ("display name", _) | ("mixed", 2) => SelectBy::DisplayName(seeded.display_name.clone()),
        _ => SelectBy::AppId(seeded.app_id),
    });
    let selectors: Vec<TargetSelector> = keys.into_iter().map(select).collect();
    let (counted, states) = count(&world, &selectors).await;
    let found = states.iter().filter(|state| matches!(state, TargetState::Found(_))).count();
    assert_eq!(found, wanted);
    // The tenant holds certroll's own objects besides.
    let allowed = allowed(all + 1, wanted);
    let what = format!("{wanted} of {all} by {how}");
    assert!(
        counted.applications <= allowed,
        "{what}: {} of {allowed} for applications",
        counted.applications
    );
    assert!(
        counted.service_principals <= allowed,
        "{what}: {} of {allowed} for service principals",
        counted.service_principals
    );
    assert_eq!(counted.policies, 2, "{what}");
    assert_eq!(counted.deleted, 0, "{what}");
}

#[tokio::test]
async fn requests_stay_inside_the_budget_however_many_of_however_many_and_however_named() {
    let table = [(1, 1), (20, 15), (20, 16), (100, 100), (1_200, 31), (1_200, 200), (2_100, 46)];
    for (all, wanted) in table {
        for how in ["app id", "object id", "display name", "mixed"] {
            check(all, wanted, app, how).await;
        }
        check(all, wanted, principal, "app id").await;
    }
}

#[tokio::test]
async fn a_thousand_of_three_thousand_are_read_from_list_pages() {
    let (world, keys) = world_with(3_000, 1_000, |_, seeded| SelectBy::AppId(seeded.app_id));
    let selectors: Vec<TargetSelector> = keys.into_iter().map(app).collect();
    let (counted, _) = count(&world, &selectors).await;
    // One to count, four pages.
    assert_eq!(counted.applications, 5);
    assert_eq!(counted.service_principals, 5);
}

#[tokio::test]
async fn a_few_of_many_are_asked_for_by_key() {
    let (world, keys) = world_with(3_000, 15, |_, seeded| SelectBy::AppId(seeded.app_id));
    let selectors: Vec<TargetSelector> = keys.into_iter().map(app).collect();
    let (counted, _) = count(&world, &selectors).await;
    assert_eq!((counted.applications, counted.service_principals), (1, 1));
}

#[tokio::test]
async fn what_is_missing_costs_one_look_around_and_one_look_into_the_recycle_bin() {
    let (world, mut keys) = world_with(100, 10, |_, seeded| SelectBy::AppId(seeded.app_id));
    keys.extend((0..30).map(|id| SelectBy::AppId(Uuid::from_u128(id + 1))));
    let wanted = keys.len();
    let selectors: Vec<TargetSelector> = keys.into_iter().map(app).collect();
    let (counted, states) = count(&world, &selectors).await;
    assert_eq!(states.iter().filter(|state| matches!(state, TargetState::Missing { .. })).count(), 30);
    assert_eq!(counted.deleted, 1);
    assert!(counted.applications <= allowed(101, wanted));
}

#[tokio::test]
async fn ten_thousand_objects_by_name_and_as_many_missing_are_read_in_a_few_dozen_requests() {
    let (world, keys) =
        world_with(10_000, 10_000, |_, seeded| SelectBy::DisplayName(seeded.display_name.clone()));
    let missing = (0..1_000).map(|index| SelectBy::DisplayName(format!("Seeded aplication {index:05}")));
    let selectors: Vec<TargetSelector> = keys.into_iter().chain(missing).map(app).collect();
    let (counted, states) = count(&world, &selectors).await;
    assert_eq!(states.iter().filter(|state| matches!(state, TargetState::Found(_))).count(), 10_000);
    // One to count and eleven pages.
    assert_eq!((counted.applications, counted.service_principals), (12, 12));
}
