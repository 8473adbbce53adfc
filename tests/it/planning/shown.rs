//! A whole plan as the person who approves it reads it, from declaration and observation to the text.

use std::collections::{BTreeMap, BTreeSet};

use certroll::certificate::{KeyKind, SignatureHash};
use certroll::cli::compare;
use certroll::cli::human::{self, View};
use certroll::desired::{Declared, Form, Format, Issuer, Password, PfxProfile, StoreBinding};
use certroll::period::Period;
use certroll::plan::document;
use certroll::plan::reason::Because;

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

type Change = fn(&mut Declared);

/// Everything that makes the next generation another one than was reviewed, with a text that tells it in the plan.
const SPECIFICATION: &[(&str, Change)] = &[
    ("RSA 4096", |declared| declared.key = KeyKind::Rsa4096),
    ("SHA-384", |declared| declared.signature_hash = SignatureHash::Sha384),
    ("SHA-512", |declared| declared.signature_hash = SignatureHash::Sha512),
    ("CN=other", |declared| declared.subject = "CN=other".into()),
    ("→ 2028-05-19", |declared| declared.validity = Period::days(546)),
    ("by ca_file", |declared| declared.issuer = ca_file()),
    ("by vault_pki pki/apps,", |declared| declared.issuer = vault_pki(None, None)),
    ("by vault_pki pki/apps, namespace team,", |declared| declared.issuer = vault_pki(Some("team"), None)),
    ("by vault_pki pki/apps, issuer_ref next,", |declared| declared.issuer = vault_pki(None, Some("next"))),
    ("by key_vault corp/Self", |declared| declared.issuer = key_vault("Self")),
    ("by key_vault corp/DigiCert", |declared| declared.issuer = key_vault("DigiCert")),
    ("staged in other/cloudm", |declared| store_of(declared).store = name("other")),
    ("staged in vault/other", |declared| store_of(declared).entry = "other".into()),
    ("as pem-pair", |declared| store_of(declared).form.format = Format::PemPair),
    ("as pfx\n", |declared| store_of(declared).form = pfx()),
    ("as pfx, legacy_des\n", |declared| {
        store_of(declared).form = Form { profile: PfxProfile::LegacyDes, ..pfx() };
    }),
    ("as pfx, password none\n", |declared| {
        store_of(declared).form = Form { password: Password::None, ..pfx() };
    }),
    ("as pfx, password env CERTROLL_SECRET_A\n", |declared| {
        store_of(declared).form = Form { password: Password::Env("CERTROLL_SECRET_A".into()), ..pfx() };
    }),
    ("as pfx, password secret_file a\n", |declared| {
        store_of(declared).form = Form { password: Password::SecretFile("a".into()), ..pfx() };
    }),
    ("as certificate object\n", |declared| {
        store_of(declared).options.object = Some("certificate".into());
        store_of(declared).form = Form { password: Password::None, ..pfx() };
    }),
    ("as certificate object, pem\n", |declared| {
        store_of(declared).options.object = Some("certificate".into());
    }),
    ("as secret object\n", |declared| store_of(declared).options.object = Some("secret".into())),
    ("as type tls\n", |declared| store_of(declared).options.object = Some("tls".into())),
    ("as a key that never leaves\n", |declared| store_of(declared).options.exportable = Some(false)),
    ("as a key made in an HSM\n", |declared| store_of(declared).options.hsm = Some(true)),
    ("as key in field k\n", |declared| {
        store_of(declared).options.fields = BTreeMap::from([("key".into(), "k".into())]);
    }),
];

fn store_of(declared: &mut Declared) -> &mut StoreBinding {
    declared.store.as_mut().unwrap()
}

fn ca_file() -> Issuer {
    let key = Password::Env("CERTROLL_SECRET_CA_KEY".into());
    Issuer::CaFile { certificate: "ca.pem".into(), chain: None, key }
}

fn vault_pki(namespace: Option<&str>, issuer_ref: Option<&str>) -> Issuer {
    Issuer::VaultPki {
        mount: "pki".into(),
        role: "apps".into(),
        namespace: namespace.map(str::to_owned),
        issuer_ref: issuer_ref.map(str::to_owned),
        connection: None,
    }
}

fn key_vault(issuer: &str) -> Issuer {
    Issuer::KeyVault { vault: "corp".into(), issuer: issuer.into(), connection: None }
}

#[test]
fn whatever_makes_another_generation_than_was_reviewed_is_in_the_words_of_the_plan() {
    let reviewed = human::plan(&plan_of(&ends_in_twelve_days()), View::default());
    let mut told = BTreeSet::from([reviewed.clone()]);
    for (text, change) in SPECIFICATION {
        let mut world = ends_in_twelve_days();
        change(world.desired.certificates.get_mut(&address(CLOUDM)).unwrap());
        let (before, fresh) = (plan_of(&ends_in_twelve_days()), plan_of(&world));
        let answer = &document::review(&before, &fresh)[0];
        assert_eq!(answer.allowed, 0, "{text}: the review covers it");
        assert_eq!(answer.why(), "the declaration has changed since", "{text}");
        let shown = human::plan(&fresh, View::default());
        assert!(shown.contains(text) && !reviewed.contains(text), "{text:?} is not in\n{shown}");
        assert!(compare::plans(&before, &fresh).is_some(), "{text}");
        assert!(told.insert(shown), "{text}: two specifications read the same");
    }
}

/// One of each reason.
fn reasons() -> Vec<Because> {
    let (is, declared) = ("RSA 2048".to_owned(), "RSA 4096".to_owned());
    vec![
        Because::NothingYet,
        Because::NoKeyHere,
        Because::Due { due: at("2026-11-18"), ends: at("2027-12-02") },
        Because::Due { due: at("2026-11-18"), ends: at("2026-12-02") },
        Because::Expired { ended: at("2026-11-18") },
        Because::Differs { what: "key".into(), is, declared },
        Because::Revoked,
        Because::Replace,
        Because::RevokePrevious,
        Because::Rollback,
        Because::RejectedIsCurrent,
        Because::Resumed,
        Because::MissingFromTarget,
        Because::Declared,
        Because::PartOfRotation,
        Because::BeforeRemoval,
        Because::OverlapOver { since: at("2026-11-18") },
        Because::ExpiredPredecessor,
        Because::Acknowledged,
        Because::Removed,
        Because::NoLongerFits,
        Because::PromotionUnknown,
        Because::NotProvenYet,
        Because::Adopted,
        Because::DeliveryDiffers,
        Because::BeyondKeepRetired { keep: 1 },
    ]
}

#[test]
fn every_reason_for_a_step_is_told_in_words_of_its_own() {
    let known = document::schema();
    let known = known["$defs"]["Because"]["oneOf"].as_array().unwrap();
    let known: BTreeSet<&str> =
        known.iter().map(|one| one["properties"]["reason"]["const"].as_str().unwrap()).collect();
    let (mut tried, mut told) = (BTreeSet::new(), BTreeSet::new());
    for reason in reasons() {
        let mut plan = plan_of(&ends_in_twelve_days());
        plan.certificates[0].steps.truncate(1);
        plan.certificates[0].steps[0].because = reason.clone();
        let shown = human::plan(&plan, View::default());
        let because = shown.lines().find_map(|line| line.strip_prefix("      because "));
        assert_eq!(because.is_none(), reason == Because::PartOfRotation, "{reason:?}:\n{shown}");
        tried.insert(serde_json::to_value(&reason).unwrap()["reason"].as_str().unwrap().to_owned());
        let words = because.map(str::to_owned);
        assert!(words.as_deref() != Some("") && told.insert(words.clone()), "{reason:?}: {words:?}");
    }
    assert_eq!(tried.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

#[test]
fn a_rotation_because_the_file_says_something_else_names_what_is_and_what_is_declared() {
    let cases: [(&str, Change, &str); 4] = [
        ("key", |declared| declared.key = KeyKind::Rsa3072, "its key is RSA 2048 and the file says RSA 3072"),
        (
            "subject",
            |declared| declared.subject = "CN=other".into(),
            "its subject is CN=backup and the file says CN=other",
        ),
        (
            "issuer",
            |declared| declared.issuer = vault_pki(None, None),
            "its issuer is self_signed and the file says vault_pki pki apps",
        ),
        (
            "store form",
            |declared| store_of(declared).form = Form { profile: PfxProfile::LegacyDes, ..pfx() },
            "its store form is pem and the file says pfx legacy_des generate",
        ),
    ];
    for (what, change, words) in cases {
        let world = world().with(current("old", "2027-02-01")).declare(change);
        let shown = human::plan(&plan_of(&world), View::default());
        assert!(shown.contains(words), "{what}:\n{shown}");
    }
}

/// The plan of a certificate that was made as `former` with that subject, and is now called `backup`.
fn renamed(subject: &str, declared: &str) -> String {
    let world = world()
        .with(current("old", "2027-02-01").named("former"))
        .record("old", |record| record.subject = subject.to_owned())
        .moved("contoso/former", ADDRESS)
        .declare(|one| one.subject = declared.to_owned());
    human::plan(&plan_of(&world), View { unchanged: true, ..View::default() })
}

#[test]
fn a_rename_alone_makes_no_new_key_and_a_subject_of_ones_own_does() {
    let kept = renamed("CN=former", "CN=backup");
    assert!(kept.contains("Plan: nothing to do, 1 later."), "{kept}");
    for (was, declared) in
        [("CN=former", "CN=backup,O=Contoso"), ("CN=by hand", "CN=backup"), ("CN=third", "CN=backup")]
    {
        let shown = renamed(was, declared);
        assert!(shown.contains(&format!("its subject is {was} and the file says {declared}")), "{shown}");
    }
}
