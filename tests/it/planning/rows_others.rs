//! Decision (b), row by row: every other generation and credential of the certificate.

use certroll::desired::{Prove, Retire};
use certroll::ids::KeyId;
use certroll::observed::{Credential, DeliveryState, Identifier, KeyState, Reserved};

use super::observed::*;
use super::rows::Row;

/// A predecessor whose successor was promoted on 2027-02-01; the overlap ended on 2027-02-15.
pub(crate) fn overlap_over() -> World {
    world().with(former("old", "2026-08-01")).with(current("new", "2027-02-01"))
}

/// A predecessor whose successor was promoted on 2027-02-20; the overlap ends on 2027-03-06.
pub(crate) fn overlap_runs() -> World {
    world().with(former("old", "2026-08-01")).with(current("new", "2027-02-20"))
}

/// The consumer could not use the new one: the old one was made current again on 2027-02-01. The overlap ended on 2027-02-15.
fn put_back(old: Made) -> World {
    world()
        .with(old.promoted("2027-02-01"))
        .with(former("new", "2027-01-20").rejected())
        .declare(|declared| declared.acknowledge = true)
}

const RETIRED: &[&str] = &["prove new: before removal", "retire old: overlap over"];
const PRUNED: &[&str] = &["prove new: before removal", "retire old: expired predecessor"];

pub(crate) fn rows() -> Vec<Row> {
    [overlap(), confirmations(), orphans(), hands_off(), keys()].concat()
}

fn overlap() -> Vec<Row> {
    vec![
        Row {
            story: "a predecessor whose overlap is over is retired after its successor was proven again",
            world: overlap_over,
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "a predecessor whose overlap runs is kept, and the day it goes is told",
            world: overlap_runs,
            steps: &[],
            notes: &["later old 2027-03-06T00:00:00Z retire"],
        },
        Row {
            story: "a second before the overlap is over nothing is retired",
            world: || overlap_runs().at("2027-03-05T23:59:59Z"),
            steps: &[],
            notes: &["later old 2027-03-06T00:00:00Z"],
        },
        Row {
            story: "a second after the overlap is over the predecessor is retired",
            world: || overlap_runs().at("2027-03-06T00:00:01Z"),
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "an older key that was made current again by hand does not end the overlap of the newer one",
            world: || world().with(former("newer", "2027-02-25")).with(current("old", "2026-12-01")),
            steps: &[],
            notes: &["later newer 2027-03-11T00:00:00Z retire"],
        },
        Row {
            story: "an orphan that began after the current one was promoted is kept for an overlap of its own",
            world: || {
                world().with(current("old", "2026-12-01")).credential(orphan(
                    "backup",
                    "elsewhere",
                    "2027-02-25",
                ))
            },
            steps: &[],
            notes: &["warning elsewhere another machine", "later elsewhere 2027-03-1"],
        },
        Row {
            story: "an overlap of a calendar month lasts a calendar month",
            world: || {
                overlap_over().declare(|declared| declared.overlap = period("P1M")).at("2027-02-28T23:59:59Z")
            },
            steps: &[],
            notes: &["later old 2027-03-01T00:00:00Z retire"],
        },
        Row {
            story: "without an overlap the predecessor goes in the run after the promotion",
            world: due_without_overlap,
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &["later old retire 0 d"],
        },
        Row {
            story: "a promotion time that is unknown means the overlap has not begun, and is written",
            world: || {
                world()
                    .with(former("old", "2026-08-01"))
                    .with(current("new", "2026-12-01").promotion_unknown())
            },
            steps: &["record promotion of new: promotion unknown"],
            notes: &["later old promotion recorded"],
        },
        Row {
            story: "a promotion time that is unknown is written while a due rotation waits",
            world: || {
                world()
                    .with(current("new", "2026-08-30").promotion_unknown())
                    .declare(|declared| declared.acknowledge = true)
            },
            steps: &["record promotion of new: promotion unknown"],
            notes: &["waiting new acknowledged"],
        },
        Row {
            story: "retire never keeps a predecessor and says so",
            world: || overlap_over().declare(|declared| declared.retire = Retire::Never),
            steps: &[],
            notes: &["info old never"],
        },
        Row {
            story: "a hold keeps a predecessor",
            world: || overlap_over().declare(|declared| declared.hold = hold("2027-03-31")),
            steps: &[],
            notes: &["later old retire hold audit 2027-04-01T00:00:00Z", "info hold 2027-03-31"],
        },
        Row {
            story: "a predecessor is kept while nobody can sign in",
            world: || {
                overlap_over()
                    .target(|target| target.sign_in_impossible = Some("it has no service principal".into()))
            },
            steps: &[],
            notes: &["waiting old nobody can sign in no service principal"],
        },
        Row {
            story: "a predecessor is kept while its successor is not valid yet",
            world: || {
                let later =
                    ours("backup", "new", application(OBJECT), at("2027-03-02"), at("2028-01-31T23:59:59Z"));
                world()
                    .with(former("old", "2026-08-01"))
                    .with(current("new", "2027-02-01").published_as(later))
            },
            steps: &[],
            notes: &["waiting old cannot sign in"],
        },
        Row {
            story: "an expired predecessor is pruned while the overlap runs, for it signs nobody in",
            world: || world().with(former("old", "2026-02-15")).with(current("new", "2027-02-20")),
            steps: PRUNED,
            notes: &[],
        },
        Row {
            story: "an expired predecessor is pruned without acknowledgement and delivery",
            world: || {
                world()
                    .with(former("old", "2026-02-15"))
                    .with(current("new", "2027-02-20").delivered("file a", "2027-02-20", "1"))
                    .delivery("file a", Some(DeliveryState::Marker("1".into())))
                    .declare(|declared| declared.acknowledge = true)
            },
            steps: PRUNED,
            notes: &["waiting new acknowledged certroll ack"],
        },
        Row {
            story: "retire never keeps an expired predecessor",
            world: || {
                world()
                    .with(former("old", "2026-02-15"))
                    .with(current("new", "2027-02-20"))
                    .declare(|declared| declared.retire = Retire::Never)
            },
            steps: &[],
            notes: &["info old never"],
        },
        Row {
            story: "an expired predecessor is kept while the current one cannot be proven",
            world: || {
                world()
                    .with(former("old", "2026-02-15"))
                    .with(current("new", "2027-02-20"))
                    .target(|target| target.sign_in_impossible = Some("it is disabled".into()))
            },
            steps: &[],
            notes: &["waiting old it is disabled"],
        },
        Row {
            story: "after a repair the predecessor whose overlap is over is retired",
            world: || {
                world().with(former("old", "2026-08-01")).with(current("new", "2027-02-01").unpublished())
            },
            steps: &[
                "repair new: missing from target",
                "prove new: missing from target",
                "retire old: overlap over",
            ],
            notes: &[],
        },
        Row {
            story: "a predecessor listed under revoked goes while the overlap runs",
            world: || {
                overlap_runs().declare(|declared| {
                    declared.revoked = [thumbprint("old")].into();
                    declared.hold = hold("2027-12-31");
                    declared.acknowledge = true;
                })
            },
            steps: &["prove new: before removal", "retire old: revoked"],
            notes: &["info hold"],
        },
        Row {
            story: "a credential that only revoked names goes too",
            world: || {
                healthy()
                    .credential(foreign("stolen", "2027-01-01"))
                    .declare(|declared| declared.revoked = [thumbprint("stolen")].into())
            },
            steps: &["prove old: before removal", "retire stolen: revoked"],
            notes: &[],
        },
        Row {
            story: "a revoked credential is kept while nothing could take its place",
            world: || {
                overlap_runs()
                    .declare(|declared| declared.revoked = [thumbprint("old")].into())
                    .target(|target| target.sign_in_impossible = Some("it is disabled".into()))
            },
            steps: &[],
            notes: &["waiting old it is disabled"],
        },
    ]
}

fn healthy() -> World {
    world().with(current("old", "2027-02-01"))
}

fn due_without_overlap() -> World {
    world().with(current("old", "2026-09-01")).declare(|declared| declared.overlap = period("0d"))
}

/// What keeps a predecessor besides time.
fn confirmations() -> Vec<Row> {
    vec![
        Row {
            story: "a predecessor is kept until somebody acknowledges the successor",
            world: || overlap_over().declare(|declared| declared.acknowledge = true),
            steps: &[],
            notes: &["waiting old certroll ack contoso/backup", "waiting new acknowledged"],
        },
        Row {
            story: "the overlap counts from the acknowledgement when that came last",
            world: || {
                overlap_over().declare(|declared| declared.acknowledge = true).acknowledged(
                    ADDRESS,
                    "new",
                    "2027-02-20T12:00:00Z",
                )
            },
            steps: &[],
            notes: &["later old 2027-03-06T12:00:00Z retire"],
        },
        Row {
            story: "an acknowledged successor whose overlap is over lets the predecessor go",
            world: || {
                overlap_over().declare(|declared| declared.acknowledge = true).acknowledged(
                    ADDRESS,
                    "new",
                    "2027-02-10",
                )
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "an acknowledgement of the predecessor is none of the successor",
            world: || {
                overlap_over().declare(|declared| declared.acknowledge = true).acknowledged(
                    ADDRESS,
                    "old",
                    "2027-02-10",
                )
            },
            steps: &[],
            notes: &["waiting old certroll ack", "waiting new"],
        },
        Row {
            story: "an acknowledgement from before the key was made does not count",
            world: || {
                overlap_over().declare(|declared| declared.acknowledge = true).acknowledged(
                    ADDRESS,
                    "new",
                    "2027-01-31",
                )
            },
            steps: &[],
            notes: &[
                "waiting old certroll ack 2027-01-31 does not count became current only later",
                "waiting new 2027-01-31 does not count",
            ],
        },
        Row {
            story: "an acknowledgement from before it was put back does not count",
            world: || {
                put_back(current("old", "2026-10-01"))
                    .acknowledged(ADDRESS, "old", "2026-10-05")
                    .acknowledged(ADDRESS, "new", "2027-01-25")
            },
            steps: &[],
            notes: &[
                "waiting new certroll ack 2026-10-05 does not count became current only later",
                "waiting old 2026-10-05 does not count",
            ],
        },
        Row {
            story: "an acknowledgement from after it was put back lets the other one go",
            world: || put_back(current("old", "2026-10-01")).acknowledged(ADDRESS, "old", "2027-02-02"),
            steps: &["prove old: before removal", "retire new: overlap over"],
            notes: &[],
        },
        Row {
            story: "an adopted one that was put back is not known to be in use",
            world: || put_back(current("old", "2026-10-01").adopted()),
            steps: &[],
            notes: &["waiting new certroll ack", "waiting old"],
        },
        Row {
            story: "an acknowledgement by a clock a little behind counts",
            world: || {
                overlap_over().declare(|declared| declared.acknowledge = true).acknowledged(
                    ADDRESS,
                    "new",
                    "2027-01-31T23:55:00Z",
                )
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "an acknowledgement of another certificate is none of this one",
            world: || {
                overlap_over().declare(|declared| declared.acknowledge = true).acknowledged(
                    "contoso/mail",
                    "new",
                    "2027-02-10",
                )
            },
            steps: &[],
            notes: &["waiting old certroll ack", "waiting new"],
        },
        Row {
            story: "use that nobody can tell keeps a predecessor",
            world: || overlap_over().declare(|declared| declared.unused_for = Some(period("7d"))),
            steps: &[],
            notes: &["waiting old unused 7d"],
        },
        Row {
            story: "use that nobody can tell is made up for by an acknowledgement",
            world: || {
                overlap_over().declare(|declared| declared.unused_for = Some(period("7d"))).acknowledged(
                    ADDRESS,
                    "new",
                    "2027-02-10",
                )
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "reading back alone never ends an overlap",
            world: || overlap_over().declare(|declared| declared.prove = Prove::ReadBack),
            steps: &[],
            notes: &["waiting read_back acknowledgement certroll ack"],
        },
        Row {
            story: "reading back and an acknowledgement end an overlap",
            world: || {
                overlap_over().declare(|declared| declared.prove = Prove::ReadBack).acknowledged(
                    ADDRESS,
                    "new",
                    "2027-02-10",
                )
            },
            steps: &["prove by reading back new: before removal", "retire old: overlap over"],
            notes: &[],
        },
        Row {
            story: "a repair that is only read back does not end an overlap either",
            world: || {
                world()
                    .with(former("old", "2026-08-01"))
                    .with(current("new", "2027-02-01").unpublished())
                    .declare(|declared| declared.prove = Prove::ReadBack)
            },
            steps: &["repair new: missing from target", "prove by reading back new: missing from target"],
            notes: &["waiting read_back acknowledgement"],
        },
        Row {
            story: "a revoked predecessor goes although its successor is only read back, for the file names it",
            world: || {
                overlap_runs().declare(|declared| {
                    declared.prove = Prove::ReadBack;
                    declared.revoked = [thumbprint("old")].into();
                })
            },
            steps: &["prove by reading back new: before removal", "retire old: revoked"],
            notes: &[],
        },
    ]
}

fn orphans() -> Vec<Row> {
    vec![
        Row {
            story: "an orphan is kept while the overlap runs, like a predecessor",
            world: || {
                world().credential(orphan("backup", "lost", "2026-12-01")).with(current("new", "2027-02-20"))
            },
            steps: &[],
            notes: &["later lost 2027-03-06T00:00:00Z retire"],
        },
        Row {
            story: "an orphan is retired once the overlap is over, like a predecessor",
            world: || {
                world().credential(orphan("backup", "lost", "2026-12-01")).with(current("new", "2027-02-01"))
            },
            steps: &["prove new: before removal", "retire lost: overlap over"],
            notes: &[],
        },
        Row {
            story: "an orphan waits for the acknowledgement, like a predecessor",
            world: || {
                world()
                    .credential(orphan("backup", "lost", "2026-12-01"))
                    .with(current("new", "2027-02-01"))
                    .declare(|declared| declared.acknowledge = true)
            },
            steps: &[],
            notes: &["waiting lost certroll ack", "waiting new"],
        },
        Row {
            story: "an expired orphan is pruned",
            world: || {
                world().credential(orphan("backup", "old", "2026-02-01")).with(current("new", "2027-02-20"))
            },
            steps: PRUNED,
            notes: &[],
        },
        Row {
            story: "an expired orphan beside an absent store is pruned by the run that issues",
            world: || world().credential(orphan("backup", "old", "2026-02-01")),
            steps: &["issue: no key here", "publish", "prove", "promote", "retire old: expired predecessor"],
            notes: &[],
        },
        Row {
            story: "an orphan without an end is under the same conditions",
            world: || {
                let endless = Credential { end: None, ..orphan("backup", "lost", "2026-12-01") };
                world().credential(endless).with(current("new", "2027-02-20"))
            },
            steps: &[],
            notes: &["later lost 2027-03-06"],
        },
        Row {
            story: "several orphans go oldest first",
            world: || {
                world()
                    .credential(orphan("backup", "second", "2026-12-01"))
                    .credential(orphan("backup", "first", "2026-11-01"))
                    .with(current("new", "2027-02-01"))
            },
            steps: &[
                "prove new: before removal",
                "retire first: overlap over",
                "retire second: overlap over",
            ],
            notes: &[],
        },
    ]
}

fn hands_off() -> Vec<Row> {
    vec![
        Row {
            story: "a foreign credential is left alone, expired or not",
            world: || {
                overlap_over()
                    .credential(foreign("theirs", "2027-01-01"))
                    .credential(foreign("dead", "2025-01-01"))
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "a claimed credential is reported and never removed, expired or not",
            world: || {
                healthy().credential(claimed("backup", "copy", "2026-12-01")).credential(claimed(
                    "backup",
                    "dead",
                    "2025-12-01",
                ))
            },
            steps: &[],
            notes: &["info copy claimed", "info dead claimed"],
        },
        Row {
            story: "a credential without a key id is claimed, whatever its name says",
            world: || {
                healthy().credential(Credential { key_id: None, ..orphan("backup", "odd", "2026-01-01") })
            },
            steps: &[],
            notes: &["info odd claimed"],
        },
        Row {
            story: "a credential whose identifier is none of ours is claimed, whatever its name says",
            world: || {
                let odd = Identifier::Opaque("c2VydmVy".into());
                healthy().credential(Credential { identifier: odd, ..orphan("backup", "odd", "2026-01-01") })
            },
            steps: &[],
            notes: &["info claimed"],
        },
        Row {
            story: "a sibling's credential on the same application is its own affair, expired or not",
            world: || {
                overlap_over()
                    .credential(orphan("mail", "its", "2026-01-01"))
                    .with_certificate("contoso/mail", OBJECT)
                    .only(ADDRESS)
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "an undeclared credential is left alone, with the way to have it removed",
            world: || healthy().credential(orphan("gone", "its", "2026-01-01")),
            steps: &[],
            notes: &["info its not declared removed: contoso/gone"],
        },
        Row {
            story: "a SAML pair that shares our predecessor's identifier stays while the predecessor goes",
            world: || {
                let half =
                    |label| Credential { key_id: Some(random_key_id(label)), ..foreign("old", "2026-08-01") };
                overlap_over()
                    .credential(reserved(half("sign"), Reserved::SamlSigning))
                    .credential(reserved(half("verify"), Reserved::SamlSigning))
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "a token-encryption key is not ours to remove, even revoked, adopted and with our marks",
            world: || {
                healthy()
                    .credential(reserved(orphan("backup", "enc", "2026-01-01"), Reserved::TokenEncryption))
                    .declare(|declared| {
                        declared.revoked = [thumbprint("enc")].into();
                        declared.adopt = vec![adopt("enc", true)];
                    })
            },
            steps: &[],
            notes: &[],
        },
        Row {
            story: "a predecessor that somebody published under an id of his own is not ours to remove",
            world: || {
                world()
                    .with(former("old", "2026-08-01").published_as(foreign("old", "2026-08-01")))
                    .with(current("new", "2027-02-01"))
            },
            steps: &[],
            notes: &["info old not ours"],
        },
        Row {
            story: "a predecessor that another owner published is not ours to remove",
            world: || {
                let theirs = Credential {
                    display_name: Some("certroll:other-team/backup · x".into()),
                    ..orphan("backup", "old", "2026-08-01")
                };
                world()
                    .with(former("old", "2026-08-01").published_as(theirs))
                    .with(current("new", "2027-02-01"))
            },
            steps: &[],
            notes: &["info old not ours"],
        },
        Row {
            story: "a key in the entry that was made for another certificate stops everything",
            world: || {
                let theirs = former("theirs", "2025-08-01").named("mail").unpublished().key(KeyState::Held);
                overlap_over().with(theirs).declare(|declared| declared.keep_retired = 0)
            },
            steps: &[],
            notes: &["blocked made for mail"],
        },
        Row {
            story: "a second credential of the predecessor that is not ours stays, and so does its key",
            world: || {
                let twice =
                    Credential { key_id: Some(random_key_id("twice")), ..foreign("old", "2026-08-01") };
                overlap_over().credential(twice).declare(|declared| declared.keep_retired = 0)
            },
            steps: RETIRED,
            notes: &["info old not ours"],
        },
        Row {
            story: "an adopted predecessor is named by the file and goes like any other",
            world: || {
                world()
                    .credential(foreign("old", "2026-08-01"))
                    .with(current("new", "2027-02-01"))
                    .declare(|declared| declared.adopt = vec![adopt("old", true)])
            },
            steps: RETIRED,
            notes: &[],
        },
        Row {
            story: "a marker of ours with a derived id but another owner is foreign",
            world: || {
                let theirs = Credential {
                    display_name: Some("certroll:other-team/backup · x".into()),
                    ..orphan("backup", "theirs", "2026-12-01")
                };
                world().credential(theirs).with(current("new", "2027-02-01"))
            },
            steps: &[],
            notes: &[],
        },
        Row {
            story: "a credential of ours on another object's derived id is claimed",
            world: || {
                let elsewhere = KeyId::derive(&application(uuid::Uuid::from_u128(5)), &sha1("copy"));
                let copied = Credential { key_id: Some(elsewhere), ..orphan("backup", "copy", "2026-01-01") };
                healthy().credential(copied)
            },
            steps: &[],
            notes: &["info copy claimed"],
        },
    ]
}

fn keys() -> Vec<Row> {
    vec![
        Row {
            story: "retired keys beyond keep_retired are destroyed, the newest are kept",
            world: three_retired,
            steps: &["destroy second: beyond keep retired", "destroy first: beyond keep retired"],
            notes: &[],
        },
        Row {
            story: "keep_retired 3 keeps three keys",
            world: || three_retired().declare(|declared| declared.keep_retired = 3),
            steps: &[],
            notes: &[],
        },
        Row {
            story: "keep_retired 0 destroys a key after its credential went in the same run",
            world: || overlap_over().declare(|declared| declared.keep_retired = 0),
            steps: &[
                "prove new: before removal",
                "retire old: overlap over",
                "destroy old: beyond keep retired",
            ],
            notes: &[],
        },
        Row {
            story: "keep_retired 0 destroys a key that expired in the run that replaces it",
            world: || {
                world().with(current("old", "2026-02-01")).declare(|declared| declared.keep_retired = 0)
            },
            steps: &[
                "issue: expired",
                "publish",
                "prove",
                "promote",
                "retire old: expired predecessor",
                "destroy old: beyond keep retired",
            ],
            notes: &[],
        },
        Row {
            story: "a key whose credential is published again in the same run is not destroyed",
            world: || {
                world()
                    .with(current("old", "2026-09-01").unpublished())
                    .declare(|declared| declared.keep_retired = 0)
            },
            steps: &[
                "repair old: missing from target",
                "prove old: missing from target",
                "issue: due",
                "publish",
                "prove",
                "promote",
            ],
            notes: &[],
        },
        Row {
            story: "a key whose credential is still there is not destroyed",
            world: || overlap_runs().declare(|declared| declared.keep_retired = 0),
            steps: &[],
            notes: &["later old 2027-03-06"],
        },
        Row {
            story: "a key that is disabled already is not disabled again",
            world: || {
                world()
                    .with(former("first", "2025-06-01").unpublished().key(KeyState::Disabled))
                    .with(former("second", "2025-12-01").unpublished())
                    .with(current("new", "2027-02-01"))
            },
            steps: &[],
            notes: &[],
        },
        Row {
            story: "on hold no key is destroyed",
            world: || three_retired().declare(|declared| declared.hold = hold("2027-04-01")),
            steps: &[],
            notes: &["info hold"],
        },
        Row {
            story: "in a freeze no key is destroyed",
            world: || {
                three_retired().declare(|declared| declared.freeze = vec![freeze("2027-02-01", "2027-03-10")])
            },
            steps: &[],
            notes: &[],
        },
    ]
}

fn three_retired() -> World {
    world()
        .with(former("first", "2025-06-01").unpublished())
        .with(former("second", "2025-12-01").unpublished())
        .with(former("third", "2026-06-01").unpublished())
        .with(current("new", "2027-02-01"))
}
