//! Rows about rotations on their way, about names that change, and about what an operator asks for in an emergency.

use certroll::desired::Prove;
use certroll::ids::RotationId;
use certroll::observed::{KeyState, Reserved};
use certroll::plan::step::Step;

use super::observed::*;
use super::rows::{Row, plan_of};
use super::rows_current::{due, healthy, unrecorded};
use super::rows_others::{overlap_over, overlap_runs};

/// The id of the rotation that this world's plan begins.
pub(crate) fn rotation_of(world: &World) -> RotationId {
    let plan = plan_of(world);
    let steps = plan.certificates.iter().flat_map(|certificate| &certificate.steps);
    let mut ids = steps.filter_map(|planned| match &planned.step {
        Step::Issue { generation, .. } | Step::Request { generation, .. } => generation.rotation_id,
        _ => None,
    });
    ids.next().expect("it begins a rotation")
}

/// A due certificate whose next generation was staged an hour ago and not published.
fn due_and_staged() -> World {
    let id = rotation_of(&due());
    due().with(staged("next", "2027-02-28T23:00:00Z", id))
}

/// The same, published.
fn due_and_published() -> World {
    let id = rotation_of(&due());
    due().with(staged("next", "2027-02-28T23:00:00Z", id).published())
}

const ANOTHER: RotationId = RotationId([7; 16]);

pub(crate) fn rows() -> Vec<Row> {
    [on_its_way(), adoption(), names(), emergencies(), rollbacks()].concat()
}

fn on_its_way() -> Vec<Row> {
    vec![
        Row {
            story: "a staged generation of this rotation is published, proven and promoted",
            world: due_and_staged,
            steps: &["publish next: resumed", "prove next", "promote next"],
            notes: &[],
        },
        Row {
            story: "a published generation of this rotation is proven and promoted",
            world: due_and_published,
            steps: &["prove next: resumed", "promote next"],
            notes: &[],
        },
        Row {
            story: "a rotation on its way goes on under a hold",
            world: || due_and_published().declare(|declared| declared.hold = hold("2027-12-31")),
            steps: &["prove next: resumed", "promote next"],
            notes: &[],
        },
        Row {
            story: "a rotation on its way waits for the end of a freeze",
            world: || {
                due_and_published()
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-25", "2027-03-02")])
            },
            steps: &[],
            notes: &["later 2027-03-03T00:00:00Z freeze year end"],
        },
        Row {
            story: "a staged generation of another rotation is discarded before a new one is made",
            world: || due().with(staged("stale", "2027-02-28T23:00:00Z", ANOTHER)),
            steps: &["discard stale: no longer fits", "issue: due", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a staged generation that no longer fits is discarded although nothing is due",
            world: || healthy().with(staged("stale", "2027-02-28T23:00:00Z", ANOTHER)),
            steps: &["discard stale: no longer fits"],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "a published generation of another rotation retires like a predecessor",
            world: || {
                world()
                    .with(current("old", "2027-02-01"))
                    .with(staged("stale", "2027-02-10", ANOTHER).published())
            },
            steps: &[
                "prove old: before removal",
                "retire stale: overlap over",
                "destroy stale: no longer fits",
            ],
            notes: &[],
        },
        Row {
            story: "a staged generation that was revoked is discarded, and the rotation begins anew",
            world: || due_and_staged().declare(|declared| declared.revoked = [thumbprint("next")].into()),
            steps: &["discard next: no longer fits", "issue: due", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a published generation that was revoked goes, and the rotation begins anew",
            world: || due_and_published().declare(|declared| declared.revoked = [thumbprint("next")].into()),
            steps: &[
                "issue: due",
                "publish",
                "prove",
                "promote",
                "retire next: revoked",
                "destroy next: no longer fits",
            ],
            notes: &[],
        },
        Row {
            story: "a staged generation with too little life left is discarded",
            world: || {
                let id = rotation_of(&due());
                due().with(staged("next", "2026-09-01T01:00:00Z", id))
            },
            steps: &["discard next: no longer fits", "issue: due", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a published generation with too little life left retires, and another rotation begins",
            world: || {
                let id = rotation_of(&due());
                due().with(staged("next", "2026-09-01T01:00:00Z", id).published())
            },
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &["later next retire"],
        },
        Row {
            story: "a published generation whose key is gone retires, and another rotation begins",
            world: || {
                let id = rotation_of(&due());
                due().with(staged("next", "2027-02-28T23:00:00Z", id).published().key(KeyState::Disabled))
            },
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &["later next retire"],
        },
        Row {
            story: "a first generation that was staged goes on",
            world: || {
                let id = rotation_of(&world());
                world().with(staged("next", "2027-02-28", id))
            },
            steps: &["publish next: resumed", "prove next", "promote next"],
            notes: &[],
        },
        Row {
            story: "another specification in the file discards what was staged for the former one",
            world: || due_and_staged().declare(|declared| declared.subject = "CN=other".into()),
            steps: &["discard next: no longer fits", "issue: due", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "another description, overlap, label or window does not discard what is on its way",
            world: || {
                due_and_staged().declare(|declared| {
                    declared.description = "Nightly".into();
                    declared.overlap = period("30d");
                    declared.labels.insert("team".into(), "backup".into());
                    declared.warn_before = period("60d");
                })
            },
            steps: &["publish next: resumed", "prove next", "promote next"],
            notes: &[],
        },
        Row {
            story: "a missing current one is repaired before the rotation on its way goes on",
            world: || {
                let id = rotation_of(&due());
                world()
                    .with(current("old", "2026-09-01").unpublished())
                    .with(staged("next", "2027-02-28T23:00:00Z", id).published())
            },
            steps: &[
                "repair old: missing from target",
                "prove old: missing from target",
                "prove next: resumed",
                "promote next",
            ],
            notes: &[],
        },
    ]
}

fn adoption() -> Vec<Row> {
    vec![
        Row {
            story: "an adopted entry in the store gets a record and nothing else before it is due",
            world: || adopted_in_store("2027-02-01"),
            steps: &["record adoption of theirs: adopted"],
            notes: &["later theirs 2027-07-30"],
        },
        Row {
            story: "an adopted entry in the store that is due is recorded and rotated",
            world: || adopted_in_store("2026-09-01"),
            steps: &["record adoption of theirs: adopted", "issue: due", "publish", "prove", "promote"],
            notes: &["later theirs retire"],
        },
        Row {
            story: "an adopted entry is not recorded in a freeze",
            world: || {
                adopted_in_store("2027-02-01")
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-25", "2027-03-02")])
            },
            steps: &[],
            notes: &["later 2027-03-03"],
        },
        Row {
            story: "an adopted and recorded entry is healthy, and nobody has to acknowledge what is in use already",
            world: || {
                world().with(current("old", "2027-02-01").adopted()).declare(|declared| {
                    declared.adopt = vec![adopt("old", false)];
                    declared.acknowledge = true;
                })
            },
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "an adopted one whose key lives elsewhere is followed by date",
            world: || {
                world()
                    .credential(foreign("theirs", "2027-02-01"))
                    .declare(|declared| declared.adopt = vec![adopt("theirs", true)])
            },
            steps: &[],
            notes: &["later theirs 2027-07-30"],
        },
        Row {
            story: "an adopted one whose key lives elsewhere is rotated into the store when due",
            world: || {
                world()
                    .credential(foreign("theirs", "2026-09-01"))
                    .declare(|declared| declared.adopt = vec![adopt("theirs", true)])
            },
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &["later theirs retire 14 d"],
        },
        Row {
            story: "an adopted one whose key the store does not hold is blocked, with the way to say so",
            world: || {
                world()
                    .credential(foreign("theirs", "2026-09-01"))
                    .declare(|declared| declared.adopt = vec![adopt("theirs", false)])
            },
            steps: &[],
            notes: &["blocked adopted does not hold its key elsewhere"],
        },
        Row {
            story: "an adopted entry whose credential nobody can find is blocked, for its dates are unknown",
            world: || {
                world()
                    .store(unrecorded("theirs"))
                    .declare(|declared| declared.adopt = vec![adopt("theirs", false)])
            },
            steps: &[],
            notes: &["blocked adopted"],
        },
        Row {
            story: "an adopted and recorded one that went missing is repaired",
            world: || {
                world()
                    .with(current("old", "2027-02-01").adopted().unpublished())
                    .declare(|declared| declared.adopt = vec![adopt("old", false)])
            },
            steps: &["repair old: missing from target", "prove old: missing from target"],
            notes: &[],
        },
        Row {
            story: "an adopted one that is revoked is recorded, rotated and retired in one run",
            world: || {
                adopted_in_store("2027-02-01")
                    .declare(|declared| declared.revoked = [thumbprint("theirs")].into())
            },
            steps: &[
                "record adoption of theirs: adopted",
                "issue: revoked",
                "publish",
                "prove",
                "promote",
                "retire theirs: revoked",
            ],
            notes: &[],
        },
        Row {
            story: "a SAML certificate is not adopted",
            world: || {
                world()
                    .credential(reserved(foreign("saml", "2027-02-01"), Reserved::SamlSigning))
                    .declare(|declared| declared.adopt = vec![adopt("saml", true)])
            },
            steps: &["issue: nothing yet", "publish", "prove", "promote"],
            notes: &[],
        },
    ]
}

/// The store holds a key that certroll did not make, the target has its certificate, and the file adopts it.
fn adopted_in_store(made: &str) -> World {
    world()
        .store(unrecorded("theirs"))
        .credential(foreign("theirs", made))
        .declare(|declared| declared.adopt = vec![adopt("theirs", false)])
}

fn names() -> Vec<Row> {
    vec![
        Row {
            story: "a renamed certificate goes on with what it had",
            world: || {
                world().with(current("old", "2027-02-01").named("backups")).moved("contoso/backups", ADDRESS)
            },
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "a rename nobody declared is an unknown current",
            world: || world().with(current("old", "2027-02-01").named("backups")),
            steps: &[],
            notes: &["blocked did not make backups"],
        },
        Row {
            story: "a predecessor under the former name goes after the overlap",
            world: || {
                world()
                    .with(former("old", "2026-08-01").named("backups"))
                    .with(current("new", "2027-02-01"))
                    .moved("contoso/backups", ADDRESS)
            },
            steps: &["prove new: before removal", "retire old: overlap over"],
            notes: &[],
        },
        Row {
            story: "a key that lies under the former name is looked for there, and nothing is made beside it",
            world: || {
                world().credential(orphan("backups", "lost", "2027-02-01")).moved("contoso/backups", ADDRESS)
            },
            steps: &[],
            notes: &["blocked lost it was renamed from backups"],
        },
        Row {
            story: "a key that was lost under the former name, too, is made anew once the file says so",
            world: || {
                world()
                    .credential(orphan("backups", "lost", "2027-02-01"))
                    .moved("contoso/backups", ADDRESS)
                    .declare(|declared| declared.store.as_mut().unwrap().entry = "backups".into())
            },
            steps: &["issue: no key here", "publish", "prove", "promote"],
            notes: &["later lost retire"],
        },
        Row {
            story: "an acknowledgement under the former name counts",
            world: || {
                world()
                    .with(former("old", "2026-08-01").named("backups"))
                    .with(current("new", "2027-02-01").named("backups"))
                    .moved("contoso/backups", ADDRESS)
                    .declare(|declared| declared.acknowledge = true)
                    .acknowledged("contoso/backups", "new", "2027-02-02")
            },
            steps: &["prove new: before removal", "retire old: overlap over"],
            notes: &[],
        },
        Row {
            story: "a certificate renamed twice goes on with what it had",
            world: || {
                world()
                    .with(current("old", "2027-02-01").named("first"))
                    .moved("contoso/first", "contoso/second")
                    .moved("contoso/second", ADDRESS)
            },
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "a former name that is declared again is another certificate's",
            world: || {
                world()
                    .with(current("old", "2027-02-01"))
                    .credential(orphan("mail", "its", "2026-12-01"))
                    .with_certificate("contoso/mail", OBJECT)
                    .moved("contoso/mail", ADDRESS)
                    .only(ADDRESS)
            },
            steps: &[],
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "a name that was moved from another tenant is not a name here",
            world: || {
                world()
                    .with(former("old", "2026-08-01"))
                    .with(current("new", "2027-02-01").named("mail"))
                    .moved("fabrikam/mail", ADDRESS)
            },
            steps: &[],
            notes: &["blocked did not make mail"],
        },
        Row {
            story: "a certificate that moves to another object is rotated there",
            world: || {
                world()
                    .with(current("old", "2027-02-01").named("backups").unpublished())
                    .record("old", |record| record.target = application(uuid::Uuid::from_u128(7)))
                    .moved("contoso/backups", ADDRESS)
                    .moved("contoso/other", "contoso/elsewhere")
            },
            steps: &["issue: target differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a signing request for a former object makes room for one for the new object",
            world: || {
                world()
                    .with(current("old", "2027-02-01").named("backups").unpublished())
                    .with(staged("asked", "2027-02-20", ANOTHER).unsigned())
                    .record("old", |record| record.target = application(uuid::Uuid::from_u128(7)))
                    .record("asked", |record| record.target = application(uuid::Uuid::from_u128(7)))
                    .moved("contoso/backups", ADDRESS)
            },
            steps: &["discard: no longer fits", "issue: target differs", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a removed entry retires what carries our marks and nothing else",
            world: || {
                healthy()
                    .credential(orphan("gone", "its", "2027-01-01"))
                    .credential(claimed("gone", "copy", "2027-01-01"))
                    .credential(reserved(orphan("gone", "saml", "2027-01-01"), Reserved::SamlSigning))
                    .credential(foreign("theirs", "2027-01-01"))
                    .removed("contoso/gone", true)
            },
            steps: &["contoso/gone retire its: removed"],
            notes: &[],
        },
        Row {
            story: "a removed entry with retire false only tells",
            world: || {
                healthy().credential(orphan("gone", "its", "2027-01-01")).removed("contoso/gone", false)
            },
            steps: &[],
            notes: &["info its contoso/gone retire false"],
        },
        Row {
            story: "a removed entry that is the former name of a declared certificate removes nothing",
            world: || {
                world()
                    .with(current("old", "2027-02-01").named("backups"))
                    .moved("contoso/backups", ADDRESS)
                    .removed("contoso/backups", true)
            },
            steps: &[],
            notes: &["blocked moved contoso/backup"],
        },
    ]
}

fn emergencies() -> Vec<Row> {
    fn replacing(world: World, revoke_previous: bool) -> World {
        named(world, "old", revoke_previous)
    }
    fn named(world: World, label: &str, revoke_previous: bool) -> World {
        world.run(|policy| {
            policy.replace.insert(address(ADDRESS), thumbprint(label));
            policy.revoke_previous = revoke_previous;
        })
    }
    vec![
        Row {
            story: "replace rotates what it names, and the overlap runs",
            world: || replacing(healthy(), false),
            steps: &["issue: replace", "publish", "prove", "promote"],
            notes: &["later old retire 14 d"],
        },
        Row {
            story: "replace is nothing when what it names is not current any more",
            world: || replacing(overlap_runs(), false),
            steps: &[],
            notes: &["later old 2027-03-06"],
        },
        Row {
            story: "replace under a hold is told to be blocked by it",
            world: || replacing(healthy(), false).declare(|declared| declared.hold = hold("2027-04-01")),
            steps: &[],
            notes: &["blocked hold 2027-04-01 audit --revoke-previous"],
        },
        Row {
            story: "replace under a hold is nothing when what it names is not current any more",
            world: || replacing(overlap_runs(), false).declare(|declared| declared.hold = hold("2027-04-01")),
            steps: &[],
            notes: &["info hold"],
        },
        Row {
            story: "replace during a freeze is told to be blocked by it",
            world: || {
                replacing(healthy(), false)
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-01", "2027-04-01")])
            },
            steps: &[],
            notes: &["blocked freeze 2027-04-02 00:00 UTC --revoke-previous"],
        },
        Row {
            story: "replace of what somebody else put on the object is blocked, and takes nothing away",
            world: || named(healthy().credential(foreign("theirs", "2027-01-01")), "theirs", false),
            steps: &[],
            notes: &["blocked theirs not this certificate's list it under revoked"],
        },
        Row {
            story: "revoke-previous of what somebody else put on the object is blocked, and takes nothing away",
            world: || named(healthy().credential(foreign("theirs", "2027-01-01")), "theirs", true),
            steps: &[],
            notes: &["blocked theirs not this certificate's list it under revoked"],
        },
        Row {
            story: "revoke-previous of what claims to be ours is blocked, and takes nothing away",
            world: || named(healthy().credential(claimed("backup", "forged", "2027-01-01")), "forged", true),
            steps: &[],
            notes: &["blocked forged carries our marker and not our key id list it under revoked"],
        },
        Row {
            story: "revoke-previous of a SAML certificate is blocked, and takes nothing away",
            world: || {
                let saml = reserved(foreign("saml", "2027-01-01"), Reserved::SamlSigning);
                named(healthy().credential(saml), "saml", true)
            },
            steps: &[],
            notes: &["blocked saml SAML never touches"],
        },
        Row {
            story: "what the file revokes goes, whoever put it there and however it is asked for",
            world: || {
                named(healthy().credential(foreign("theirs", "2027-01-01")), "theirs", true)
                    .declare(|declared| declared.revoked = [thumbprint("theirs")].into())
            },
            steps: &["prove old: before removal", "retire theirs: revoked"],
            notes: &[],
        },
        Row {
            story: "replace with revoke-previous retires in the same run after the proof",
            world: || replacing(healthy(), true),
            steps: &["issue: revoke previous", "publish", "prove", "promote", "retire old: revoke previous"],
            notes: &[],
        },
        Row {
            story: "replace with revoke-previous after the rotation only retires",
            world: || replacing(overlap_runs(), true),
            steps: &["prove new: before removal", "retire old: revoke previous"],
            notes: &[],
        },
        Row {
            story: "replace with revoke-previous waits neither for hold nor freeze",
            world: || {
                replacing(healthy(), true).declare(|declared| {
                    declared.hold = hold("2027-04-01");
                    declared.freeze = vec![freeze("2027-02-01", "2027-04-01")];
                })
            },
            steps: &["issue: revoke previous", "publish", "prove", "promote", "retire old: revoke previous"],
            notes: &[],
        },
        Row {
            story: "a revoked one is kept when nobody can sign in with its successor",
            world: || {
                replacing(healthy(), true)
                    .target(|target| target.sign_in_impossible = Some("it has no service principal".into()))
            },
            steps: &["issue: revoke previous", "publish"],
            notes: &["blocked nobody can sign in no service principal", "waiting old successor"],
        },
        Row {
            story: "a revoked one whose key is only read back is retired in the same run, for it was named",
            world: || replacing(healthy(), true).declare(|declared| declared.prove = Prove::ReadBack),
            steps: &[
                "issue: revoke previous",
                "publish",
                "prove by reading back",
                "promote",
                "retire old: revoke previous",
            ],
            notes: &[],
        },
        Row {
            story: "drop_expired_foreign drops what it names in the write that publishes, if it has expired",
            world: || {
                due()
                    .credential(foreign("dead", "2025-01-01"))
                    .credential(foreign("alive", "2027-01-01"))
                    .credential(reserved(foreign("saml", "2025-01-01"), Reserved::SamlSigning))
                    .declare(|declared| {
                        declared.drop_expired_foreign =
                            ["dead", "alive", "saml", "absent"].map(random_key_id).into();
                    })
            },
            steps: &["issue: due", "publish dropping dead", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "drop_expired_foreign is no reason for a write of its own",
            world: || {
                healthy()
                    .credential(foreign("dead", "2025-01-01"))
                    .declare(|declared| declared.drop_expired_foreign = [random_key_id("dead")].into())
            },
            steps: &[],
            notes: &[],
        },
    ]
}

fn rollbacks() -> Vec<Row> {
    fn asked(world: World) -> World {
        world
            .run(|policy| {
                policy.rollback.insert(address(ADDRESS));
            })
            .declare(|declared| declared.hold = hold("2027-04-01"))
    }
    const BACK: &[&str] = &["prove old: rollback", "reject new: rollback", "promote old: rollback"];
    vec![
        Row {
            story: "a rollback proves the predecessor, rejects the current one and promotes the predecessor",
            world: || asked(overlap_runs()),
            steps: BACK,
            notes: &[],
        },
        Row {
            story: "a rollback waits for no freeze: something is wrong now",
            world: || {
                asked(overlap_runs())
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-03-20")])
            },
            steps: BACK,
            notes: &[],
        },
        Row {
            story: "a rollback without a hold is blocked",
            world: || asked(overlap_runs()).declare(|declared| declared.hold = None),
            steps: &[],
            notes: &["blocked hold"],
        },
        Row {
            story: "a rollback after the predecessor went is blocked",
            world: || {
                asked(
                    world()
                        .with(former("old", "2026-08-01").unpublished())
                        .with(current("new", "2027-02-01")),
                )
            },
            steps: &[],
            notes: &["blocked predecessor"],
        },
        Row {
            story: "a rollback to a revoked predecessor is blocked",
            world: || asked(overlap_runs()).declare(|declared| declared.revoked = [thumbprint("old")].into()),
            steps: &[],
            notes: &["blocked predecessor"],
        },
        Row {
            story: "a rollback to what the same run revokes is blocked",
            world: || {
                asked(overlap_runs()).run(|policy| {
                    policy.replace.insert(address(ADDRESS), thumbprint("old"));
                    policy.revoke_previous = true;
                })
            },
            steps: &[],
            notes: &["blocked predecessor"],
        },
        Row {
            story: "a rollback past a revoked predecessor to an older one is blocked",
            world: || {
                asked(overlap_runs().with(former("older", "2026-06-01")))
                    .declare(|declared| declared.revoked = [thumbprint("old")].into())
            },
            steps: &[],
            notes: &["blocked predecessor"],
        },
        Row {
            story: "a rollback to an expired predecessor is blocked",
            world: || asked(world().with(former("old", "2026-02-15")).with(current("new", "2027-02-20"))),
            steps: &[],
            notes: &["blocked predecessor"],
        },
        Row {
            story: "a rollback to a predecessor whose key is gone is blocked",
            world: || {
                asked(
                    world()
                        .with(former("old", "2026-08-01").key(KeyState::Destroyed))
                        .with(current("new", "2027-02-20")),
                )
            },
            steps: &[],
            notes: &["blocked predecessor"],
        },
        Row {
            story: "a rollback that was done is not done again",
            world: || {
                asked(
                    world()
                        .with(current("old", "2026-08-01").promoted("2027-02-25"))
                        .with(former("new", "2027-02-20").rejected()),
                )
            },
            steps: &[],
            notes: &["later new 2027-03-11", "later old rotate hold"],
        },
        Row {
            story: "a rollback that stopped after the rejection goes on, asked again or not",
            world: || {
                world()
                    .with(former("old", "2026-08-01"))
                    .with(current("new", "2027-02-20").rejected())
                    .declare(|declared| declared.hold = hold("2027-04-01"))
            },
            steps: &["prove old: rejected is current", "promote old: rejected is current"],
            notes: &[],
        },
        Row {
            story: "a rollback that stopped after the store forgot when the predecessor was promoted goes on",
            world: || {
                world()
                    .with(former("old", "2026-08-01"))
                    .record("old", |record| record.promoted_at = None)
                    .with(current("new", "2027-02-20").rejected())
                    .declare(|declared| declared.hold = hold("2027-04-01"))
            },
            steps: &["prove old: rejected is current", "promote old: rejected is current"],
            notes: &[],
        },
        Row {
            story: "a rollback that stopped after the rejection and lost its hold is overtaken by a rotation",
            world: || world().with(former("old", "2026-08-01")).with(current("new", "2027-02-20").rejected()),
            steps: &["issue: rejected is current", "publish", "prove", "promote"],
            notes: &["later old retire", "later new retire"],
        },
        Row {
            story: "a rejected current one is rotated in a freeze too, like a revoked one",
            world: || {
                world()
                    .with(current("new", "2027-02-20").rejected())
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-03-20")])
            },
            steps: &["issue: rejected is current", "publish", "prove", "promote"],
            notes: &["later new retire"],
        },
        Row {
            story: "a rejected current one without a predecessor is rotated now",
            world: || world().with(current("new", "2027-02-20").rejected()),
            steps: &["issue: rejected is current", "publish", "prove", "promote"],
            notes: &["later new retire"],
        },
        Row {
            story: "a rollback delivers the predecessor again",
            world: || {
                asked(
                    world()
                        .with(former("old", "2026-08-01").delivered("file a", "2026-08-01", "1"))
                        .with(current("new", "2027-02-20").delivered("file a", "2027-02-20", "2"))
                        .delivery("file a", Some(certroll::observed::DeliveryState::Marker("2".into()))),
                )
            },
            steps: &[
                "prove old: rollback",
                "reject new: rollback",
                "promote old: rollback",
                "deliver old to file a: rollback",
            ],
            notes: &[],
        },
        Row {
            story: "what was rolled back from retires after the overlap",
            world: || {
                world()
                    .with(current("old", "2026-10-01").promoted("2027-02-01"))
                    .with(former("new", "2027-01-20").rejected())
            },
            steps: &["prove old: before removal", "retire new: overlap over"],
            notes: &[],
        },
        Row {
            story: "a rollback of a certificate whose overlap is over but whose predecessor is still there works",
            world: || asked(overlap_over()),
            steps: &["prove old: rollback", "reject new: rollback", "promote old: rollback"],
            notes: &[],
        },
    ]
}
