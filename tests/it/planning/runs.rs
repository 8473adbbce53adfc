//! What is about whole plans rather than one certificate: budgets, clocks, `--only`, spread. And years of runs.

use std::collections::BTreeMap;

use certroll::desired::{Issuer, Limit, Retire, RotatorMatch, Timing};
use certroll::observed::{KeyState, StoreState, TargetState};
use certroll::plan::reason::{NoteKind, Refusal};
use certroll::plan::{LeftAlone, Plan, asked};
use uuid::Uuid;

use super::observed::*;
use super::rows::{notes_of, plan_of, steps_of};
use super::rows_current::{due, healthy};
use super::rows_others::{overlap_over, overlap_runs};

fn refusals(plan: &Plan) -> Vec<String> {
    plan.refusals.iter().map(Refusal::to_string).collect()
}

/// So many certificates that have nothing yet.
fn many(count: u128) -> World {
    (0..count).fold(world(), |world, index| {
        world.with_certificate(&format!("contoso/app-{index}"), Uuid::from_u128(1000 + index))
    })
}

#[test]
fn more_than_fifty_to_issue_is_refused_with_limit_value_setting_and_override() {
    assert_eq!(refusals(&plan_of(&many(49))), Vec::<String>::new());
    let plan = plan_of(&many(50));
    assert!(!plan.applyable());
    let [refusal] = refusals(&plan).try_into().unwrap();
    for word in ["51", "50", "max_issue", "--max-issue 51", "contoso"] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
}

#[test]
fn a_run_can_allow_a_surprising_plan() {
    let plan = plan_of(&many(50).run(|policy| policy.max_issue = Some(51)));
    assert!(plan.applyable());
    let plan = plan_of(&world().run(|policy| policy.max_issue = Some(0)));
    assert!(!plan.applyable());
}

#[test]
fn retiring_is_budgeted_by_share_but_five_are_always_allowed() {
    let orphans = |count: usize| {
        (0..count).fold(overlap_over(), |world, index| {
            world.credential(orphan("backup", &format!("lost-{index}"), "2026-12-01"))
        })
    };
    assert!(plan_of(&orphans(4)).applyable());
    let [refusal] = refusals(&plan_of(&orphans(5))).try_into().unwrap();
    for word in ["retire 6", "max_retire allows 5", "20%", "--max-retire 6"] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
}

#[test]
fn a_percentage_counts_the_whole_declaration_even_of_a_partial_run() {
    let mut world = many(9).only(ADDRESS);
    let limit = Limit::Percent { percent: 10, at_least: 0 };
    world.desired.tenants.get_mut(&name("contoso")).unwrap().max_issue = limit;
    assert!(plan_of(&world).applyable());
}

#[test]
fn a_clock_that_is_more_than_ten_minutes_off_refuses_the_plan() {
    for (seconds, applyable) in
        [(0, true), (599, true), (600, true), (601, false), (-601, false), (-600, true)]
    {
        let mut world = due();
        world.tenant_mut().clock_skew = Some(jiff::SignedDuration::from_secs(seconds));
        assert_eq!(plan_of(&world).applyable(), applyable, "{seconds} s");
    }
    let mut world = due();
    world.tenant_mut().clock_skew = None;
    assert!(plan_of(&world).applyable());
}

#[test]
fn a_plan_for_another_moment_can_only_be_looked_at() {
    let plan = plan_of(&due().run(|policy| policy.other_time = true));
    assert!(!plan.applyable() && !plan.is_empty());
}

#[test]
fn only_selects_by_address_glob_and_label_and_makes_the_plan_incomplete() {
    let mut all = many(3);
    let labelled = all.desired.certificates.get_mut(&address("contoso/app-2")).unwrap();
    labelled.labels.insert("team".into(), "mail".into());
    assert!(plan_of(&all).complete);
    for (pattern, expected) in [
        ("contoso/app-1", vec!["contoso/app-1"]),
        ("contoso/app-*", vec!["contoso/app-0", "contoso/app-1", "contoso/app-2"]),
        ("*/backup", vec![ADDRESS]),
        ("label:team=mail", vec!["contoso/app-2"]),
        ("label:team=backup", vec![]),
    ] {
        let plan = plan_of(&all.clone().only(pattern));
        let selected: Vec<String> = plan.certificates.iter().map(|c| c.address.to_string()).collect();
        assert_eq!(selected, expected, "{pattern}");
        assert!(!plan.complete);
    }
}

#[test]
fn a_spread_moves_each_date_earlier_by_a_share_of_its_own_that_stays() {
    let due_of = |text: &str| {
        let mut world = world().with(current("old", "2027-02-01"));
        let old = world.desired.certificates.remove(&address(ADDRESS)).unwrap();
        let moved = address(text);
        let tenant = world.tenant_mut();
        let target = tenant.targets.remove(&address(ADDRESS)).unwrap();
        tenant.targets.insert(moved.clone(), target);
        let store = world.observed.stores.remove(&address(ADDRESS)).unwrap();
        world.observed.stores.insert(moved.clone(), store);
        let certroll::observed::StoreState::Known(holding) =
            &mut world.observed.stores.get_mut(&moved).unwrap().state
        else {
            panic!()
        };
        holding.generations[0].record.name = moved.name.clone();
        holding.generations[0].record.subject = String::new();
        let declared = certroll::desired::Declared { address: moved.clone(), spread: period("14d"), ..old };
        world.desired.certificates.insert(moved, declared);
        let plan = plan_of(&world);
        let later = plan.certificates[0].notes.iter().find(|note| note.kind == NoteKind::Later);
        later.and_then(|note| note.at).unwrap()
    };
    let latest = at("2027-07-30T22:59:59Z");
    let dates: Vec<_> = (0..40).map(|index| due_of(&format!("contoso/app-{index}"))).collect();
    assert!(dates.iter().all(|date| *date <= latest && *date > latest - days(14)));
    let different: std::collections::BTreeSet<_> = dates.iter().collect();
    assert!(different.len() > 35);
    // Spread over the fortnight, not bunched at one end.
    assert!(
        dates.iter().any(|date| *date > latest - days(4))
            && dates.iter().any(|date| *date < latest - days(10))
    );
    assert_eq!(due_of("contoso/app-7"), dates[7]);
}

#[test]
fn a_plan_holds_every_certificate_sorted_by_address_removed_ones_included() {
    let plan = plan_of(&many(2).removed("contoso/alpha", true));
    let addresses: Vec<String> = plan.certificates.iter().map(|c| c.address.to_string()).collect();
    assert_eq!(addresses, ["contoso/alpha", "contoso/app-0", "contoso/app-1", "contoso/backup"]);
}

#[test]
fn foreign_credentials_are_counted() {
    let world = healthy().credential(foreign("one", "2027-01-01")).credential(foreign("two", "2025-01-01"));
    assert_eq!(plan_of(&world).certificates[0].left_alone.foreign, 2);
}

#[test]
fn policies_that_could_not_be_read_are_nobodys_concern_while_nothing_is_published() {
    let mut world = healthy();
    world.tenant_mut().policies_unread = Some("403 Forbidden".into());
    assert_eq!(plan_of(&world).certificates[0].notes, plan_of(&healthy()).certificates[0].notes);
}

/// Somebody else's, one that copied our name, one of a name nobody declares, and a sibling's, which counts as nothing.
fn strangers(world: World) -> World {
    world
        .credential(foreign("theirs", "2027-01-01"))
        .credential(claimed("backup", "copied", "2027-01-01"))
        .credential(orphan("gone", "left", "2027-01-01"))
        .credential(orphan("mail", "its", "2027-01-01"))
        .with_certificate("contoso/mail", OBJECT)
}

fn left_alone_of(plan: &Plan, of: &str) -> LeftAlone {
    plan.certificates.iter().find(|certificate| certificate.address == address(of)).unwrap().left_alone
}

const STRANGERS: LeftAlone = LeftAlone { foreign: 1, claimed: 1, undeclared: 1, kept: 0 };

#[test]
fn what_is_left_alone_is_counted_by_what_it_is_whoever_makes_the_key() {
    let provided = provider_file("2027.cer", "2027-02-20", "P1Y");
    let from_provider = world().credential(live(&provided, None)).declare(|declared| {
        (declared.issuer, declared.store) = (Issuer::ExternalPublicKey { files: vec![provided] }, None);
    });
    let by_product = world().credential(foreign("veeam-1", "2027-01-01")).declare(|declared| {
        let matching = RotatorMatch::Thumbprints([thumbprint("veeam-1")].into());
        (declared.issuer, declared.store) = (Issuer::ExternalRotator { matching }, None);
    });
    for world in [healthy(), from_provider, by_product] {
        let world = strangers(world);
        let plan = plan_of(&world);
        let told = notes_of(&world, &plan);
        assert_eq!(left_alone_of(&plan, ADDRESS), STRANGERS, "{told:#?}");
        for words in
            ["copied] [] carries our marker and not our key id", "left] [] certroll:platform-team/gone"]
        {
            assert!(told.iter().any(|note| note.contains(words)), "{words}: {told:#?}");
        }
    }
}

#[test]
fn what_a_removed_entry_leaves_alone_is_counted_by_what_it_is() {
    let world = strangers(healthy()).credential(orphan("old-backup", "goes", "2026-12-01"));
    let world = world.credential(claimed("old-backup", "its copy", "2027-01-01"));
    let plan = plan_of(&world.removed("contoso/old-backup", true));
    assert_eq!(left_alone_of(&plan, "contoso/old-backup"), STRANGERS);
}

#[test]
fn predecessors_that_are_kept_for_good_are_counted() {
    let never = overlap_over().declare(|declared| declared.retire = Retire::Never);
    assert_eq!(plan_of(&never).certificates[0].left_alone.kept, 1);
    assert_eq!(plan_of(&overlap_over()).certificates[0].left_alone.kept, 0);
    let held = overlap_over().declare(|declared| declared.hold = hold("2027-04-01"));
    assert_eq!(plan_of(&held).certificates[0].left_alone.kept, 0, "for a while only");
}

#[test]
fn a_removed_entry_says_that_the_key_stays_in_the_store_unless_the_certificate_goes_on_elsewhere() {
    let gone =
        healthy().credential(orphan("old-backup", "goes", "2026-12-01")).removed("contoso/old-backup", true);
    let stays =
        |world: &World| notes_of(world, &plan_of(world)).iter().any(|note| note.contains("stays there"));
    assert!(stays(&gone), "{:#?}", notes_of(&gone, &plan_of(&gone)));
    let without_steps =
        healthy().credential(orphan("old-backup", "goes", "2026-12-01")).removed("contoso/old-backup", false);
    assert!(!stays(&without_steps));
}

#[test]
fn counts_are_of_the_steps_and_notes_there_are() {
    let counts = plan_of(&due()).counts();
    assert_eq!((counts.issue, counts.repair, counts.retire, counts.steps), (1, 0, 0, 4));
    let counts = plan_of(&overlap_over()).counts();
    assert_eq!((counts.issue, counts.retire, counts.blocked, counts.waiting), (0, 1, 0, 0));
    let counts = plan_of(&world().with(current("old", "2027-02-01").unpublished())).counts();
    assert_eq!((counts.repair, counts.steps, counts.unchanged), (1, 2, 0));
    assert_eq!(plan_of(&healthy()).counts().unchanged, 1);
}

#[test]
fn the_display_name_is_the_marker_and_the_description() {
    let world = due().declare(|declared| declared.description = "Nightly backup".into());
    let plan = plan_of(&world);
    let json = serde_json::to_value(&plan.certificates[0].steps[1].step).unwrap();
    assert_eq!(json["display_name"], "certroll:platform-team/backup · Nightly backup");
}

#[test]
fn the_end_of_a_year_that_is_a_leap_year_is_counted_by_the_calendar() {
    let mut world = world().with(current("old", "2028-01-15")).at("2028-06-01");
    world = world.declare(|declared| declared.timing = Timing::RotationPeriod(period("P6M")));
    assert_eq!(steps_of(&world, &plan_of(&world)), Vec::<String>::new());
    // Backdated by an hour, the certificate began on 2028-01-14 at 23:00; it ends 366 days later.
    let later = world.clone().at("2028-07-14T22:59:58Z");
    assert_eq!(steps_of(&later, &plan_of(&later)), Vec::<String>::new());
    let later = world.at("2028-07-14T22:59:59Z");
    assert_eq!(steps_of(&later, &plan_of(&later))[0], "issue: due");
}

#[test]
fn a_thumbprint_to_be_replaced_is_a_mistake_only_when_it_names_nothing_that_can_be_seen() {
    let scene = || {
        world()
            .with(former("retired", "2026-01-01").unpublished().key(KeyState::Destroyed))
            .with(current("old", "2027-02-01"))
            .credential(foreign("theirs", "2027-01-01"))
            .declare(|declared| {
                declared.adopt = vec![adopt("adopted", true)];
                declared.revoked = [thumbprint("revoked")].into();
            })
    };
    let is_unknown = |world: &World, label: &str| {
        let replace = BTreeMap::from([(address(ADDRESS), thumbprint(label))]);
        !asked::unknown(&replace, &world.desired, &world.observed).is_empty()
    };
    for known in ["old", "retired", "theirs", "adopted", "revoked"] {
        assert!(!is_unknown(&scene(), known), "{known}");
    }
    assert!(is_unknown(&scene(), "nobody's"));
    assert!(is_unknown(&world(), "old"), "an entry that is not there remembers nothing");
    let unreadable = StoreState::Unreadable { reason: "the disk is gone".into() };
    assert!(!is_unknown(&world().store(unreadable), "nobody's"), "nobody can tell");
    let missing = TargetState::Missing { similar: Vec::new() };
    assert!(!is_unknown(&world().found(missing), "nobody's"), "nobody can tell");
}

fn revoking(world: World, label: &str) -> World {
    world.run(|policy| {
        policy.replace = BTreeMap::from([(address(ADDRESS), thumbprint(label))]);
        policy.revoke_previous = true;
    })
}

#[test]
fn what_revoke_previous_is_about_and_stays_on_the_object_is_told_with_the_reason() {
    let denied = |world: &World| -> Vec<String> {
        let denied = asked::denied(&plan_of(world), &world.observed);
        denied.into_iter().map(|one| format!("{}: {}", one.doing, one.reason)).collect()
    };
    let named_beside = |label: &'static str| {
        let mut world = revoking(overlap_runs(), label).with_certificate("contoso/other", OBJECT);
        let other = world.desired.certificates.get_mut(&address("contoso/other")).unwrap();
        other.adopt = vec![adopt("old", true)];
        world
    };
    assert_eq!(denied(&revoking(overlap_runs(), "old")), Vec::<String>::new(), "it is retired");
    let told =
        format!("revoking the previous key of: {} is kept: contoso/other names it too", thumbprint("old"));
    assert_eq!(denied(&named_beside("old")), [told]);
    // A rotation of the current one is carried out; what it names goes in the same run.
    assert_eq!(denied(&named_beside("new")), Vec::<String>::new());
    let mut silent = revoking(overlap_runs(), "old");
    silent.target_mut().credentials.retain(|credential| credential.sha1() == Some(sha1("old")));
    silent.policy.replace.clear();
    assert_eq!(denied(&silent), Vec::<String>::new(), "nothing is asked for by name");
    // Its successor is signed by a person first: it goes with a later run.
    let mut waits = revoking(healthy(), "old");
    waits = waits.declare(|declared| declared.issuer = Issuer::Csr { directory: "requests".into() });
    assert_eq!(denied(&waits), Vec::<String>::new());
}
