//! A whole plan as the person who approves it reads it, from declaration and observation to the text.

use certroll::cli::human::{self, View};
use certroll::period::Period;

use super::observed::*;
use super::rows::plan_of;

const CLOUDM: &str = "contoso/cloudm-continuity";

/// CloudM Continuity's certificate ends in 12 days; two others put theirs on the same application.
fn ends_in_twelve_days() -> World {
    let mut world = world()
        .declare(|declared| {
            declared.consumer = consumer("CloudM Continuity");
            declared.description = "CloudM Continuity".into();
            declared.subject = "CN=CloudM Continuity".into();
            declared.overlap = Period::days(30);
            declared.acknowledge = true;
            let store = declared.store.as_mut().unwrap();
            (store.store, store.entry) = (name("vault"), "cloudm".into());
        })
        .target(|target| target.app_id = "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d".parse().unwrap())
        .with(current("old", "2025-12-02T12:00:00Z").named("cloudm-continuity"))
        .credential(foreign("somebody", "2026-05-01"))
        .credential(foreign("somebody else", "2026-06-01"))
        .acknowledged(CLOUDM, "old", "2025-12-03")
        .at("2026-11-20T09:00:00Z");
    let mut declared = world.desired.certificates.remove(&address(ADDRESS)).unwrap();
    let target = world.tenant_mut().targets.remove(&address(ADDRESS)).unwrap();
    let store = world.observed.stores.remove(&address(ADDRESS)).unwrap();
    declared.address = address(CLOUDM);
    world.tenant_mut().targets.insert(address(CLOUDM), target);
    world.observed.stores.insert(address(CLOUDM), store);
    world.desired.certificates.insert(address(CLOUDM), declared);
    world
}

#[test]
fn a_rotation_near_the_end_reads_as_specified() {
    let shown = human::plan(&plan_of(&ends_in_twelve_days()), View::default());
    let shown = shown.replace(&sha1("old").short().to_string(), "9F2C41D0");
    let expected = "\
contoso/cloudm-continuity  (CloudM Continuity, application 5c1d…)
  + issue    RSA 2048, CN=CloudM Continuity, 2026-11-20 → 2027-11-20, staged in vault/cloudm
      because the current one ends in 12 days
  + publish  \"certroll:platform-team/cloudm-continuity · CloudM Continuity\"
  ? prove    3 sign-ins in a row, up to 10 min
  ~ promote  vault/cloudm
  ! hand off to CloudM Continuity, then: certroll ack contoso/cloudm-continuity
  later  retire 9F2C41D0… 30 d after the acknowledgement (overlap cut short: it expires on 2026-12-02)
  . 2 foreign credentials left alone

Plan: 1 to issue, 0 to repair, 0 to retire now, 1 later, 0 waiting, 0 blocked.
";
    assert_eq!(shown, expected);
}

#[test]
fn a_hand_off_says_how_the_product_gets_the_key_in_its_own_words() {
    let world = ends_in_twelve_days();
    let told = |handoff: Option<&str>| {
        let mut world = world.clone();
        let declared = world.desired.certificates.get_mut(&address(CLOUDM)).unwrap();
        declared.consumer.as_mut().unwrap().handoff = handoff.map(str::to_owned);
        human::plan(&plan_of(&world), View::default())
    };
    let line = "  ! hand off to CloudM Continuity, then: certroll ack contoso/cloudm-continuity\n";
    let how = format!("{line}      Connections: put the PFX into Private key, Save.\n");
    let shown = told(Some("Connections: put the PFX into Private key, Save."));
    assert!(shown.contains(&how), "{shown}");
    assert!(told(None).contains(&format!("{line}  later")), "{}", told(None));
}

#[test]
fn a_hold_that_holds_something_back_is_shown_without_being_asked_for() {
    let world = ends_in_twelve_days();
    let shown = |until: &str| {
        let mut world = world.clone();
        world.desired.certificates.get_mut(&address(CLOUDM)).unwrap().hold = hold(until);
        human::plan(&plan_of(&world), View::default())
    };
    let held = shown("2026-11-30");
    let line = "on 2026-12-01, held back by a hold: audit; its rotation was due on 2026-05-31; the current one ends on 2026-12-02\n";
    assert!(held.contains("  later  rotate ") && held.contains(line), "{held}");
    assert!(!shown("2026-11-19").contains("hold:"));
}

#[test]
fn the_proof_is_announced_as_the_settings_have_it() {
    let mut world = ends_in_twelve_days();
    world.policy.settings.set("sign_ins", "1").unwrap();
    world.policy.settings.set("prove_deadline", "90s").unwrap();
    let shown = human::plan(&plan_of(&world), View::default());
    assert!(shown.contains("  ? prove    1 sign-in in a row, up to 90 s\n"), "{shown}");
}
