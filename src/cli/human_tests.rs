use super::*;
use crate::certificate::{KeyKind, SignatureHash};
use crate::ids::{Sha1, Sha256, TargetId, Thumbprints};
use crate::plan::step::{CredentialRef, Evidence, GenerationRef};
use crate::plan::{LeftAlone, PlannedTarget};
use jiff::Timestamp;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn sha1(first: u8) -> Sha1 {
    Sha1([first; 20])
}

fn new_one() -> GenerationRef {
    GenerationRef {
        rotation_id: Some("000102030405060708090a0b0c0d0e0f".parse().unwrap()),
        thumbprints: None,
    }
}

fn planned(step: Step, because: Because) -> PlannedStep {
    PlannedStep { step, because, not_before: at("2026-11-20T00:00:00Z"), requires: Vec::new() }
}

fn certificate(address: &str, title: &str) -> CertificatePlan {
    CertificatePlan {
        address: address.parse().unwrap(),
        title: title.into(),
        target: Some(PlannedTarget {
            id: TargetId { kind: TargetKind::Application, object_id: uuid::Uuid::from_u128(1) },
            app_id: "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d".parse().unwrap(),
            tenant_id: uuid::Uuid::from_u128(2),
            display_name: "CloudM".into(),
        }),
        declared: Sha256([1; 32]),
        observed: Sha256([2; 32]),
        steps: Vec::new(),
        notes: Vec::new(),
        left_alone: LeftAlone::default(),
    }
}

/// The plan of DESIGN section 7: one certificate that ends in 12 days.
fn rotation() -> CertificatePlan {
    let issue = Step::Issue {
        generation: new_one(),
        key: KeyKind::Rsa2048,
        signature_hash: SignatureHash::Sha256,
        subject: "CN=CloudM Continuity".into(),
        validity: "P1Y".parse().unwrap(),
        issuer: "self_signed".into(),
        place: "vault/cloudm".into(),
        kept_as: String::new(),
        requested: false,
    };
    let publish = Step::Publish {
        generation: new_one(),
        display_name: "certroll:platform-team/cloudm-continuity · CloudM Continuity".into(),
        lifetime_max_seconds: None,
        dropping: Vec::new(),
        repair: false,
    };
    let due = Because::Due { due: at("2026-11-18T00:00:00Z"), ends: at("2026-12-02T00:00:00Z") };
    let promote = Step::Promote {
        generation: new_one(),
        place: "vault/cloudm".into(),
        kept_as: String::new(),
        before_proof: false,
    };
    CertificatePlan {
        steps: vec![
            planned(issue, due),
            planned(publish, Because::PartOfRotation),
            planned(
                Step::Prove { generation: new_one(), evidence: Evidence::SignIn { times: 3, seconds: 600 } },
                Because::PartOfRotation,
            ),
            planned(promote, Because::PartOfRotation),
        ],
        notes: vec![
            Note::new(
                NoteKind::Later,
                "retire 30d after the acknowledgement (overlap cut short: it expires on 2026-12-02)",
            )
            .about(sha1(0x9f)),
            Note::new(
                NoteKind::HandOff,
                "hand off to CloudM Continuity, then: certroll ack contoso/cloudm-continuity",
            ),
        ],
        left_alone: LeftAlone { foreign: 2, ..LeftAlone::default() },
        ..certificate("contoso/cloudm-continuity", "CloudM Continuity")
    }
}

fn healthy(address: &str, due: &str) -> CertificatePlan {
    let note =
        Note::new(NoteKind::Later, "rotate; the current one ends on 2027-11-19").at(at(due)).about(sha1(1));
    CertificatePlan { notes: vec![note], ..certificate(address, "Healthy") }
}

fn plan_of(certificates: Vec<CertificatePlan>) -> Plan {
    Plan {
        now: at("2026-11-20T00:00:00Z"),
        owner: "platform-team".parse().unwrap(),
        emulator: false,
        asked: Default::default(),
        certificates,
        refusals: Vec::new(),
        complete: true,
    }
}

#[test]
fn a_rotation_is_shown_step_by_step_with_its_reason() {
    let shown = plan(&plan_of(vec![rotation()]), View::default());
    let expected = "\
contoso/cloudm-continuity  (CloudM Continuity, application 5c1d…)
  + issue    RSA 2048, CN=CloudM Continuity, 2026-11-20 → 2027-11-20, staged in vault/cloudm
      because the current one ends in 12 days
  + publish  \"certroll:platform-team/cloudm-continuity · CloudM Continuity\"
  ? prove    3 sign-ins in a row, up to 10 min
  ~ promote  vault/cloudm
  ! hand off to CloudM Continuity, then: certroll ack contoso/cloudm-continuity
  later  retire 9F9F9F9F… 30d after the acknowledgement (overlap cut short: it expires on 2026-12-02)
  . 2 foreign credentials left alone

Plan: 1 to issue, 0 to repair, 0 to retire now, 1 later, 0 waiting, 0 blocked.
";
    assert_eq!(shown, expected);
}

#[test]
fn colour_changes_no_word() {
    let world = plan_of(vec![rotation(), healthy("contoso/other", "2027-05-19T00:00:00Z")]);
    let coloured = plan(&world, View { colour: true, unchanged: true, whole: true });
    assert_ne!(coloured, plan(&world, View { colour: false, unchanged: true, whole: true }));
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, plan(&world, View { colour: false, unchanged: true, whole: true }));
}

#[test]
fn unchanged_certificates_are_a_count_and_the_next_date() {
    let world = plan_of(vec![
        healthy("contoso/a", "2027-06-01T00:00:00Z"),
        healthy("contoso/b", "2027-05-19T12:00:00Z"),
    ]);
    let expected = "\
2 certificates unchanged; next is contoso/b on 2027-05-19 (-v lists them).
Plan: nothing to do, 2 later.
";
    assert_eq!(plan(&world, View::default()), expected);
    let listed = plan(&world, View { unchanged: true, ..View::default() });
    assert!(
        listed.contains(
            "  later  rotate 01010101… on 2027-05-19 12:00 UTC; the current one ends on 2027-11-19\n"
        ),
        "{listed}"
    );
}

#[test]
fn what_is_left_alone_on_the_targets_of_unchanged_certificates_is_counted_once() {
    let with = |address: &str, object: u128, left_alone: LeftAlone| {
        let mut certificate = healthy(address, "2027-06-01T00:00:00Z");
        if let Some(target) = &mut certificate.target {
            target.id.object_id = uuid::Uuid::from_u128(object);
        }
        CertificatePlan { left_alone, ..certificate }
    };
    let two_foreign = LeftAlone { foreign: 2, claimed: 1, undeclared: 1, kept: 0 };
    let world = plan_of(vec![
        with("contoso/a", 1, two_foreign),
        with("contoso/b", 1, LeftAlone { claimed: 0, kept: 1, ..two_foreign }),
        with("contoso/c", 2, LeftAlone { foreign: 1, ..LeftAlone::default() }),
    ]);
    let expected = "\
3 certificates unchanged; next is contoso/a on 2027-06-01 (-v lists them).
On their targets: 3 foreign, 1 claimed and 1 undeclared credential left alone, 1 predecessor kept.
Plan: nothing to do, 3 later.
";
    assert_eq!(plan(&world, View::default()), expected);
    let listed = plan(&world, View { unchanged: true, ..View::default() });
    assert!(listed.contains("  . 2 foreign, 1 claimed and 1 undeclared credential left alone\n"), "{listed}");
    assert!(!listed.contains("On their targets"), "{listed}");
}

#[test]
fn an_emulated_tenant_is_stamped_at_the_head_and_in_the_last_line() {
    let world = Plan { emulator: true, ..plan_of(vec![rotation()]) };
    let shown = plan(&world, View::default());
    assert!(shown.starts_with("emulator: nothing here is Microsoft Entra ID\n"), "{shown}");
    assert!(shown.ends_with("0 blocked. (emulator)\n"), "{shown}");
}

#[test]
fn a_hostile_name_cannot_hide_a_line() {
    let mut hostile = rotation();
    hostile.title = "nice\r\u{1b}[2K\u{202e}eman".into();
    let shown = plan(&plan_of(vec![hostile]), View::default());
    assert!(shown.contains("(nice\\u{d}\\u{1b}[2K\\u{202e}eman, application"), "{shown}");
    assert!(!shown.contains(['\r', '\u{1b}', '\u{202e}']), "{shown}");
}

#[test]
fn what_is_refused_or_only_a_part_is_said() {
    let refusal = crate::plan::reason::Refusal::Budget {
        setting: "max_retire".into(),
        tenant: "contoso".parse().unwrap(),
        value: 7,
        limit: 5,
        declared: "20% but at least 5".into(),
    };
    let world = Plan { refusals: vec![refusal], complete: false, ..plan_of(vec![]) };
    let expected = "\
refused  the plan would retire 7 in tenant contoso, and max_retire allows 5 (20% but at least 5); raise max_retire of the \
tenant, or allow it for this run with --max-retire 7

Only a part of the declaration was planned (--only).
Plan: nothing to do, 0 later.
";
    assert_eq!(plan(&world, View::default()), expected);
}

#[test]
fn notes_name_what_they_are_about_and_when() {
    let about = sha1(0xab);
    let cases = [
        (
            Note::new(NoteKind::Later, "retire").at(at("2026-12-20T10:00:00Z")).about(about),
            "retire ABABABAB… on 2026-12-20 10:00 UTC",
        ),
        (
            Note::new(NoteKind::Later, "is kept while the hold is in force").about(about),
            "ABABABAB… is kept while the hold is in force",
        ),
        (
            Note::new(NoteKind::Later, "rotate, in the next window").at(at("2026-12-20T00:00:00Z")),
            "rotate on 2026-12-20, in the next window",
        ),
        (Note::new(NoteKind::Waiting, "a rotation is due").about(about), "a rotation is due (ABABABAB…)"),
        (Note::new(NoteKind::Info, "on hold"), "on hold"),
    ];
    for (note, expected) in cases {
        assert_eq!(note_words(&note), expected);
    }
}

#[test]
fn a_removal_is_marked_as_one() {
    let credential = CredentialRef {
        key_id: crate::ids::KeyId(uuid::Uuid::from_u128(7)),
        sha1: Thumbprints { sha1: sha1(0x9f), sha256: Sha256([0; 32]) }.sha1,
        end: Some(at("2027-01-01T00:00:00Z")),
    };
    let since = at("2026-11-19T00:00:00Z");
    let mut leaving = certificate("contoso/a", "A");
    leaving.steps.push(planned(Step::Retire { credential }, Because::OverlapOver { since }));
    let shown = plan(&plan_of(vec![leaving]), View::default());
    assert!(shown.contains("  - retire   9F9F9F9F… (end 2027-01-01)\n      because its successor is in use and the overlap ended on 2026-11-19\n"), "{shown}");
    assert!(
        shown.ends_with("Plan: 0 to issue, 0 to repair, 1 to retire now, 0 later, 0 waiting, 0 blocked.\n"),
        "{shown}"
    );
}
