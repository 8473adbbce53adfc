//! Decision (a), row by row: what becomes of the current generation.

use certroll::certificate::KeyKind;
use certroll::desired::Issuer;
use certroll::ids::RotationId;
use certroll::observed::{Candidate, Current, Holding, StoreState, TargetState, Untouchable};
use uuid::Uuid;

use super::observed::*;
use super::rows::Row;

/// The certificate in the middle of its life: made a month ago, due in five months.
pub(crate) fn healthy() -> World {
    world().with(current("old", "2027-02-01"))
}

/// Made 181 days before [`NOW`]: its rotation period is over.
pub(crate) fn due() -> World {
    world().with(current("old", "2026-09-01"))
}

const ROTATION: [&str; 4] = ["issue: due", "publish", "prove", "promote"];

fn untouchable(what: Untouchable) -> World {
    due().target(|target| target.untouchable = Some(what))
}

fn candidate(display_name: &str) -> Candidate {
    Candidate { display_name: display_name.into(), app_id: OBJECT, object_id: OBJECT }
}

pub(crate) fn rows() -> Vec<Row> {
    [blocked(), going_on(), due_rows(), differing()].concat()
}

fn blocked() -> Vec<Row> {
    vec![
        Row {
            story: "an unreadable store blocks everything, retirement included",
            world: || {
                due()
                    .credential(orphan("backup", "older", "2026-02-01"))
                    .store(StoreState::Unreadable { reason: "permission denied".into() })
            },
            steps: &[],
            notes: &["blocked runner/backup permission denied"],
        },
        Row {
            story: "a missing target is blocked, and names that are close are shown",
            world: || due().found(TargetState::Missing { similar: vec![candidate("Backup 2")] }),
            steps: &[],
            notes: &["blocked no application Backup 2"],
        },
        Row {
            story: "an ambiguous target is blocked, and all matches are shown",
            world: || {
                due().found(TargetState::Ambiguous {
                    candidates: vec![candidate("Veeam"), candidate("Veeam 2")],
                })
            },
            steps: &[],
            notes: &["blocked 2 Veeam app_id"],
        },
        Row {
            story: "a soft-deleted target is blocked, with who can restore it",
            world: || {
                due()
                    .found(TargetState::SoftDeleted { object_id: OBJECT, deleted_at: Some(at("2027-02-20")) })
            },
            steps: &[],
            notes: &["blocked deleted 2027-02-20 restore 30 days"],
        },
        Row {
            story: "a target that cannot be read is blocked",
            world: || {
                due()
                    .found(TargetState::Unreadable { trouble: unreadable("403 Authorization_RequestDenied") })
            },
            steps: &[],
            notes: &["blocked 403 Authorization_RequestDenied"],
        },
        Row {
            story: "another object than the record says is blocked",
            world: || due().record("old", |record| record.target = application(Uuid::from_u128(7))),
            steps: &[],
            notes: &["blocked 00000000-0000-0000-0000-000000000007 moved"],
        },
        Row {
            story: "a managed identity is not ours to edit",
            world: || untouchable(Untouchable::ManagedIdentity),
            steps: &[],
            notes: &["blocked managed identity"],
        },
        Row {
            story: "another tenant's application is not ours to edit",
            world: || untouchable(Untouchable::OtherTenantsApplication(None)),
            steps: &[],
            notes: &["blocked another tenant"],
        },
        Row {
            story: "a locked service principal is not ours to edit",
            world: || untouchable(Untouchable::Locked),
            steps: &[],
            notes: &["blocked lock"],
        },
        Row {
            story: "a service principal that signs on with SAML is not ours to edit",
            world: || untouchable(Untouchable::SamlSignOn),
            steps: &[],
            notes: &["blocked SAML"],
        },
        Row {
            story: "an object of another type is not ours to edit",
            world: || untouchable(Untouchable::OtherType("#microsoft.graph.agentIdentityBlueprint".into())),
            steps: &[],
            notes: &["blocked agentIdentityBlueprint"],
        },
        Row {
            story: "a current generation of another owner is an unknown current",
            world: || due().record("old", |record| record.owner = "other-team".parse().unwrap()),
            steps: &[],
            notes: &["blocked did not make other-team adopt"],
        },
        Row {
            story: "a current generation of another certificate is an unknown current",
            world: || due().record("old", |record| record.name = name("mail")),
            steps: &[],
            notes: &["blocked did not make mail adopt"],
        },
        Row {
            story: "a current generation of another tenant is an unknown current",
            world: || due().record("old", |record| record.tenant_id = Uuid::from_u128(9)),
            steps: &[],
            notes: &["blocked did not make adopt"],
        },
        Row {
            story: "a current entry without a record is an unknown current",
            world: || world().store(unrecorded("theirs")),
            steps: &[],
            notes: &["blocked did not make adopt"],
        },
        Row {
            story: "a current entry whose thumbprint cannot be told is an unknown current, even beside adopt",
            world: || {
                world()
                    .store(StoreState::Known(Holding {
                        current: Some(Current::Unrecorded { thumbprints: None }),
                        generations: Vec::new(),
                    }))
                    .credential(foreign("theirs", "2027-01-01"))
                    .declare(|declared| declared.adopt = vec![adopt("theirs", false)])
            },
            steps: &[],
            notes: &["blocked did not make cannot be told"],
        },
        Row {
            story: "our marker of another name beside nothing asks whether it is a rename",
            world: || world().credential(orphan("backups", "former", "2027-01-01")),
            steps: &[],
            notes: &["blocked rename moved contoso/backups contoso/backup"],
        },
        Row {
            story: "our marker of another name beside a certificate that has something is no rename",
            world: || healthy().credential(orphan("backups", "former", "2027-01-01")),
            steps: &[],
            notes: &["info former not declared left alone"],
        },
        Row {
            story: "the former name of a certificate declared on the same application is no rename",
            world: || {
                world()
                    .credential(orphan("post", "its", "2027-01-01"))
                    .with_certificate("contoso/mail", OBJECT)
                    .moved("contoso/post", "contoso/mail")
                    .only("contoso/backup")
            },
            steps: &["issue: nothing yet", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another owner's marker is no rename",
            world: || {
                world().credential(certroll::observed::Credential {
                    display_name: Some("certroll:other-team/backup · x".into()),
                    ..foreign("theirs", "2027-01-01")
                })
            },
            steps: &["issue: nothing yet", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "the marker of a certificate declared on the same application is no rename",
            world: || {
                world()
                    .with_certificate("contoso/mail", OBJECT)
                    .found(TargetState::Found(Box::new({
                        let mut target = target(OBJECT);
                        target.credentials.push(orphan("mail", "its", "2027-01-01"));
                        target
                    })))
                    .only("contoso/backup")
            },
            steps: &["issue: nothing yet", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a rename that was declined with a removed entry blocks no longer",
            world: || {
                world()
                    .credential(orphan("backups", "former", "2027-01-01"))
                    .removed("contoso/backups", false)
            },
            steps: &["issue: nothing yet", "publish", "prove", "promote"],
            notes: &[],
        },
    ]
}

pub(crate) fn unrecorded(label: &str) -> StoreState {
    StoreState::Known(Holding {
        current: Some(Current::Unrecorded { thumbprints: Some(thumbprints(label)) }),
        generations: Vec::new(),
    })
}

fn going_on() -> Vec<Row> {
    vec![
        Row {
            story: "a revoked current one is rotated now and retired in the same run after the proof",
            world: || healthy().declare(|declared| declared.revoked = [thumbprint("old")].into()),
            steps: &["issue: revoked", "publish", "prove", "promote", "retire old: revoked"],
            notes: &[],
        },
        Row {
            story: "a revoked current one named by its SHA-256 is rotated just the same",
            world: || {
                healthy().declare(|declared| {
                    declared.revoked = [certroll::ids::Thumbprint::Sha256(sha256("old"))].into();
                })
            },
            steps: &["issue: revoked", "publish", "prove", "promote", "retire old: revoked"],
            notes: &[],
        },
        Row {
            story: "a revoked current one waits neither for hold nor window nor freeze nor acknowledgement nor retire never",
            world: || {
                healthy().declare(|declared| {
                    declared.revoked = [thumbprint("old")].into();
                    declared.hold = hold("2027-12-31");
                    declared.freeze = vec![freeze("2027-02-20", "2027-03-20")];
                    declared.acknowledge = true;
                    declared.retire = certroll::desired::Retire::Never;
                })
            },
            steps: &["issue: revoked", "publish", "prove", "promote", "retire old: revoked"],
            notes: &["hand_off certroll ack contoso/backup"],
        },
        Row {
            story: "a current one that is missing from the target is published again and proven",
            world: || world().with(current("old", "2027-02-01").unpublished()),
            steps: &["repair old: missing from target", "prove old: missing from target"],
            notes: &["later old 2027-07-30 rotate"],
        },
        Row {
            story: "a repair waits neither for hold nor window nor freeze",
            world: || {
                world().with(current("old", "2027-02-01").unpublished()).declare(|declared| {
                    declared.hold = hold("2027-12-31");
                    declared.freeze = vec![freeze("2027-02-20", "2027-03-20")];
                })
            },
            steps: &["repair old: missing from target", "prove old: missing from target"],
            notes: &["info hold 2027-12-31 audit"],
        },
        Row {
            story: "a revoked current one that is missing from the target is not published again",
            world: || {
                world()
                    .with(current("old", "2027-02-01").unpublished())
                    .declare(|declared| declared.revoked = [thumbprint("old")].into())
            },
            steps: &["issue: revoked", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "nothing anywhere: issue, publish, prove, promote, deliver",
            world: || world().delivery("file /srv/app", None),
            steps: &["issue: nothing yet", "publish", "prove", "promote", "deliver to file /srv/app"],
            notes: &[],
        },
        Row {
            story: "an absent store beside a live orphan issues a new one and keeps the orphan for the overlap",
            world: || world().credential(orphan("backup", "lost", "2027-01-01")),
            steps: &["issue: no key here", "publish", "prove", "promote"],
            notes: &["later lost retire 14 d"],
        },
        Row {
            story: "a hold is shown with its reason and end, and nothing is rotated",
            world: || due().declare(|declared| declared.hold = hold("2027-03-01")),
            steps: &[],
            notes: &["later old rotate hold audit 2027-03-02T00:00:00Z due on 2027-02-27"],
        },
        Row {
            story: "a hold holds the first generation too",
            world: || world().declare(|declared| declared.hold = hold("2027-03-31")),
            steps: &[],
            notes: &["later issue held back by a hold: audit 2027-04-01"],
        },
        Row {
            story: "a hold keeps even a staged generation that no longer fits",
            world: || {
                due()
                    .with(staged("stale", "2027-02-28T23:00:00Z", RotationId([7; 16])))
                    .declare(|declared| declared.hold = hold("2027-03-31"))
            },
            steps: &[],
            notes: &["later old rotate held back by a hold: audit 2027-04-01"],
        },
        Row {
            story: "a hold that is over holds nothing",
            world: || due().declare(|declared| declared.hold = hold("2027-02-28")),
            steps: &ROTATION,
            notes: &[],
        },
        Row {
            story: "a hold holds even what has expired, for that is what it says",
            world: || {
                world()
                    .with(current("old", "2026-02-01"))
                    .declare(|declared| declared.hold = hold("2027-03-31"))
            },
            steps: &[],
            notes: &["later old rotate hold audit 2027-04-01T00:00:00Z expired 2027-01-31"],
        },
        Row {
            story: "a hold holds a first one back and says until when",
            world: || world().declare(|declared| declared.hold = hold("2027-03-31")),
            steps: &[],
            notes: &["later issue hold audit 2027-04-01T00:00:00Z"],
        },
        Row {
            story: "a hold that holds nothing back is told for completeness",
            world: || healthy().declare(|declared| declared.hold = hold("2027-03-31")),
            steps: &[],
            notes: &["info hold 2027-03-31 audit"],
        },
        Row {
            story: "a healthy one shows the date of its next step",
            world: healthy,
            steps: &[],
            notes: &["later old 2027-07-30T22:59:59Z rotate 2028-01-31"],
        },
    ]
}

fn due_rows() -> Vec<Row> {
    use certroll::desired::Timing;
    use certroll::period::Lead;
    vec![
        Row {
            story: "a rotation period that is over is due",
            world: due,
            steps: &ROTATION,
            notes: &["later old retire 14 d"],
        },
        Row {
            story: "a second before its period is over it is not due",
            // Made at midnight and backdated by an hour; the credential ends a second before the certificate.
            world: || world().with(current("old", "2026-09-02")).at("2027-02-28T22:59:58Z"),
            steps: &[],
            notes: &["later old 2027-02-28T22:59:59Z"],
        },
        Row {
            story: "the second its period is over it is due",
            world: || world().with(current("old", "2026-09-02")).at("2027-02-28T22:59:59Z"),
            steps: &ROTATION,
            notes: &[],
        },
        Row {
            story: "renew_before counts back from the end of the credential",
            world: || {
                world().with(current("old", "2026-03-31")).declare(|declared| {
                    declared.timing = Timing::RenewBefore(Lead::Period(period("30d")));
                })
            },
            steps: &ROTATION,
            notes: &["later old retire 14 d"],
        },
        Row {
            story: "a day before renew_before it is not due",
            world: || {
                world().with(current("old", "2026-04-01")).declare(|declared| {
                    declared.timing = Timing::RenewBefore(Lead::Period(period("30d")));
                })
            },
            steps: &[],
            notes: &["later old 2027-03-01T23:59:59Z"],
        },
        Row {
            story: "renew_before in percent is a share of its life",
            // A fifth of 365 days and the backdated hour is 73 days and 12 minutes; it ends a second before 2027-05-01.
            world: || {
                world().with(current("old", "2026-05-01")).at("2027-02-01").declare(|declared| {
                    declared.timing = Timing::RenewBefore(Lead::Percent(20));
                })
            },
            steps: &[],
            notes: &["later old 2027-02-16T23:47:"],
        },
        Row {
            story: "a credential that was published again late keeps its date",
            world: || {
                let late =
                    ours("backup", "old", application(OBJECT), at("2027-02-20"), at("2027-08-31T23:59:59Z"));
                world().with(current("old", "2026-09-01").published_as(late))
            },
            steps: &ROTATION,
            notes: &[],
        },
        Row {
            story: "a credential that a policy cut short is due by its own end",
            // Published for 60 days only: it must be replaced an overlap before that.
            world: || {
                let cut = ours("backup", "old", application(OBJECT), at("2027-01-01"), at("2027-03-12"));
                world().with(current("old", "2027-01-01").published_as(cut))
            },
            steps: &ROTATION,
            notes: &["later old retire cut short 2027-03-12"],
        },
        Row {
            story: "a current one that has expired is rotated",
            world: || world().with(current("old", "2026-02-01")),
            steps: &["issue: expired", "publish", "prove", "promote", "retire old: expired predecessor"],
            notes: &[],
        },
        Row {
            story: "one that has expired by our clock alone is rotated and stays: the directory's may be ten minutes behind",
            world: || world().with(current("old", "2026-03-01")).at("2027-03-01T00:09:00Z"),
            steps: &["issue: expired", "publish", "prove", "promote"],
            notes: &["later old retire"],
        },
        Row {
            story: "one that has expired by every clock goes with its rotation",
            world: || world().with(current("old", "2026-03-01")).at("2027-03-01T00:10:00Z"),
            steps: &["issue: expired", "publish", "prove", "promote", "retire old: expired predecessor"],
            notes: &[],
        },
        Row {
            story: "an expired one that is missing from the target is not repaired",
            world: || world().with(current("old", "2026-02-01").unpublished()),
            steps: &["issue: expired", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a due one that is unacknowledged waits",
            world: || due().declare(|declared| declared.acknowledge = true),
            steps: &[],
            notes: &["waiting old acknowledged certroll ack contoso/backup"],
        },
        Row {
            story: "a due one that was acknowledged does not wait",
            world: || {
                due().declare(|declared| declared.acknowledge = true).acknowledged(
                    ADDRESS,
                    "old",
                    "2026-09-03",
                )
            },
            steps: &ROTATION,
            notes: &["hand_off certroll ack contoso/backup"],
        },
        Row {
            story: "an unacknowledged one that ends within 30 days waits no longer",
            world: || {
                world().with(current("old", "2026-03-31")).declare(|declared| declared.acknowledge = true)
            },
            steps: &ROTATION,
            notes: &["hand_off certroll ack"],
        },
        Row {
            story: "an unacknowledged one that ends within renew_before waits no longer",
            world: || {
                world().with(current("old", "2026-05-01")).declare(|declared| {
                    declared.acknowledge = true;
                    declared.timing = Timing::RenewBefore(Lead::Period(period("90d")));
                })
            },
            steps: &ROTATION,
            notes: &["hand_off certroll ack"],
        },
        Row {
            story: "three live generations wait",
            world: three_live,
            steps: &[],
            notes: &["waiting 3 generations live"],
        },
        Row {
            story: "three live generations wait no longer when the current one ends within 30 days",
            world: || three_live().at("2027-08-10"),
            steps: &ROTATION,
            notes: &[],
        },
        Row {
            story: "a retirement that makes room for a due rotation comes before it in the same run",
            world: || {
                world()
                    .credential(orphan("backup", "lost", "2026-07-15"))
                    .credential(foreign("theirs", "2026-08-01"))
                    .with(former("first", "2026-08-01"))
                    .with(current("old", "2026-09-01"))
            },
            steps: &[
                "prove old: before removal",
                "retire lost: overlap over",
                "retire first: overlap over",
                "issue: due",
                "publish",
                "prove",
                "promote",
            ],
            notes: &["later old retire 14 d"],
        },
        Row {
            story: "an expired generation is not a live one",
            world: || {
                world()
                    .declare(|declared| declared.retire = certroll::desired::Retire::Never)
                    .with(former("first", "2026-02-01"))
                    .with(former("second", "2026-06-01"))
                    .with(current("old", "2026-09-01"))
            },
            steps: &ROTATION,
            notes: &[],
        },
    ]
}

/// Two predecessors that are never retired, and a current one that is due.
fn three_live() -> World {
    world()
        .declare(|declared| declared.retire = certroll::desired::Retire::Never)
        .with(former("first", "2026-07-01"))
        .with(former("second", "2026-08-01"))
        .with(current("old", "2026-09-01"))
}

fn differing() -> Vec<Row> {
    vec![
        Row {
            story: "another key kind in the file rotates",
            world: || healthy().declare(|declared| declared.key = KeyKind::Rsa4096),
            steps: &["issue: key differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another subject in the file rotates",
            world: || healthy().declare(|declared| declared.subject = "CN=other".into()),
            steps: &["issue: subject differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another issuer in the file rotates",
            world: || {
                healthy().declare(|declared| {
                    declared.issuer = Issuer::CaFile {
                        certificate: "ca.pem".into(),
                        chain: None,
                        key: certroll::desired::Password::Env("CERTROLL_SECRET_CA".into()),
                    };
                })
            },
            steps: &["issue: issuer differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another store form in the file rotates",
            world: || healthy().declare(|declared| declared.store.as_mut().unwrap().form = pfx()),
            steps: &["issue: store form differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another password source in the file rotates",
            world: || {
                healthy().declare(|declared| declared.store.as_mut().unwrap().form = pfx()).record(
                    "old",
                    |record| {
                        record.form =
                            certroll::desired::Form { password: certroll::desired::Password::None, ..pfx() }
                                .fingerprint();
                    },
                )
            },
            steps: &["issue: store form differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another description changes nothing until the next rotation",
            world: || healthy().declare(|declared| declared.description = "Nightly backup".into()),
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "another validity changes nothing until the next rotation",
            world: || healthy().declare(|declared| declared.validity = period("P2Y")),
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "facts the record does not give are no reason to rotate",
            world: || {
                healthy().record("old", |record| {
                    record.key = None;
                    record.subject = String::new();
                    record.issuer = String::new();
                    record.form = String::new();
                })
            },
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
    ]
}
