//! Rows about keys that certroll never has: a provider's public keys, and products that rotate by themselves.

use certroll::desired::{Issuer, PublicKeyFile, Retire, RotatorMatch};
use certroll::observed::{Credential, LifetimePolicy, Reserved};

use super::observed::*;
use super::rows::{Row, plan_of, steps_of};

fn old() -> PublicKeyFile {
    provider_file("2026.cer", "2026-04-01", "P1Y")
}

fn new() -> PublicKeyFile {
    provider_file("2027.cer", "2027-02-20", "P1Y")
}

fn dead() -> PublicKeyFile {
    provider_file("2025.cer", "2025-04-01", "P1Y")
}

fn long() -> PublicKeyFile {
    provider_file("2029.cer", "2027-02-20", "P2Y")
}

/// Uploaded by us, with an end that a policy set.
fn cut(file: &PublicKeyFile, end: &str) -> Credential {
    Credential { end: Some(at(end)), ..live(file, Some("backup")) }
}

/// A policy by which a credential may live that many days.
fn allows(days: i64) -> Option<LifetimePolicy> {
    Some(LifetimePolicy { policy_id: "policy".into(), max_seconds: days * 86_400 })
}

fn listing(files: &[fn() -> PublicKeyFile]) -> World {
    let files = files.iter().map(|file| file()).collect();
    world().declare(|declared| {
        declared.issuer = Issuer::ExternalPublicKey { files };
        declared.store = None;
        declared.consumer = consumer("AUCloud");
    })
}

const UPLOADED: &[&str] = &["publish 2027.cer: declared", "prove by reading back 2027.cer"];
const PRUNED: &[&str] =
    &["publish 2027.cer: declared", "prove by reading back 2027.cer", "retire 2025.cer: expired predecessor"];

pub(crate) fn rows() -> Vec<Row> {
    [publishing(), retiring(), rotators()].concat()
}

fn publishing() -> Vec<Row> {
    vec![
        Row {
            story: "a declared file is published and read back, and the provider is told",
            world: || listing(&[old, new]).credential(live(&old(), Some("backup"))),
            steps: UPLOADED,
            notes: &["hand_off 2027.cer uploaded certroll ack contoso/backup"],
        },
        Row {
            story: "what the provider wants to hear is told with the hand-off",
            world: || {
                listing(&[old, new]).credential(live(&old(), Some("backup"))).declare(|declared| {
                    declared.consumer.as_mut().unwrap().handoff = Some("Write to support".into());
                })
            },
            steps: UPLOADED,
            notes: &["hand_off 2027.cer Write to support"],
        },
        Row {
            story: "an equal thumbprint that is live is satisfied without our marker",
            world: || listing(&[new]).credential(live(&new(), None)),
            steps: &[],
            notes: &["later ask the provider 2028-01-21"],
        },
        Row {
            story: "a first public key warns that the service has not been set up",
            world: || listing(&[new]),
            steps: UPLOADED,
            notes: &["warning no certificate yet"],
        },
        Row {
            story: "several files at once add only what is missing",
            world: || listing(&[old, new]).credential(live(&old(), None)),
            steps: UPLOADED,
            notes: &[],
        },
        Row {
            story: "the same file listed twice is published once",
            world: || listing(&[new, new, old]).credential(live(&old(), None)),
            steps: UPLOADED,
            notes: &[],
        },
        Row {
            story: "a file that has expired is not published",
            world: || listing(&[dead, new]).credential(live(&new(), None)),
            steps: &[],
            notes: &["warning 2025.cer expired 2026-04-01"],
        },
        Row {
            story: "a file that ends no later than what is live is blocked",
            world: || listing(&[old]).credential(live(&new(), Some("backup"))),
            steps: &[],
            notes: &["blocked 2026.cer not end later", "waiting 2027.cer kept"],
        },
        Row {
            story: "a file that is revoked is not published",
            world: || {
                listing(&[old, new]).credential(live(&old(), None)).declare(|declared| {
                    let thumbprints = new().certificate.thumbprints;
                    declared.revoked = [certroll::ids::Thumbprint::Sha256(thumbprints.sha256)].into();
                })
            },
            steps: &[],
            notes: &["later ask the provider 2027-03-02"],
        },
        Row {
            story: "a hold holds a public key back",
            world: || {
                listing(&[old, new])
                    .credential(live(&old(), None))
                    .declare(|declared| declared.hold = hold("2027-04-01"))
            },
            steps: &[],
            notes: &["later 2027.cer publish hold audit 2027-04-02T00:00:00Z"],
        },
        Row {
            story: "a freeze holds a public key back until the overlap would be cut short",
            // What is live ends on 2027-04-01; with 14 days of overlap the new one must be there by 2027-03-18.
            world: || {
                listing(&[old, new])
                    .credential(live(&old(), None))
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-12-31")])
            },
            steps: &[],
            notes: &["later 2027-03-18T00:00:00Z freeze"],
        },
        Row {
            story: "at the point where the overlap would be cut short a freeze holds no public key back",
            world: || {
                listing(&[old, new])
                    .credential(live(&old(), None))
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-12-31")])
                    .at("2027-03-18")
            },
            steps: UPLOADED,
            notes: &[],
        },
        Row {
            story: "thirty days before the newest key ends the provider is waited for",
            world: || listing(&[old]).credential(live(&old(), Some("backup"))).at("2027-03-02"),
            steps: &[],
            notes: &["waiting provider new key 2027-04-01"],
        },
        Row {
            story: "the provider is waited for when the credential ends soon, however long the file is valid",
            world: || listing(&[new]).credential(cut(&new(), "2027-03-20")),
            steps: &[],
            notes: &["waiting provider new key 2027-03-20 2027.cer is valid until 2028-02-20"],
        },
        Row {
            story: "the next key is asked for by the credential's end, not by the file's",
            world: || listing(&[new]).credential(cut(&new(), "2027-05-20")),
            steps: &[],
            notes: &["later ask the provider 2027-04-20"],
        },
        Row {
            story: "what a policy will cut short is asked for by the end it will have",
            // The policy allows 90 days, counted from ten minutes before the upload, and an hour is left over.
            world: || listing(&[new]).target(|target| target.lifetime_policy = allows(90)).at("2027-03-01"),
            steps: &["publish 2027.cer within 90 d: declared", "prove by reading back 2027.cer"],
            notes: &["warning no certificate yet", "later ask the provider 2027-04-29T22:50:00Z"],
        },
        Row {
            story: "a policy that allows less than the file's life and more than the declared one cuts the upload",
            world: || listing(&[long]).target(|target| target.lifetime_policy = allows(500)).at("2027-03-01"),
            steps: &["publish 2029.cer within 500 d: declared", "prove by reading back 2029.cer"],
            notes: &["later ask the provider 2028-06-12"],
        },
        Row {
            story: "a key whose credential has ended before its file is blocked until somebody acts",
            world: || listing(&[new]).credential(cut(&new(), "2027-02-26")),
            steps: &[],
            notes: &[
                "blocked 2027.cer ended on the target on 2027-02-26 2028-02-20 take that credential off",
            ],
        },
        Row {
            story: "an older key that still works does not hide that the newest one's credential has ended",
            world: || {
                listing(&[old, new])
                    .credential(live(&old(), Some("backup")))
                    .credential(cut(&new(), "2027-02-26"))
            },
            steps: &[],
            notes: &["blocked 2027.cer ended on the target on 2027-02-26"],
        },
        Row {
            story: "an older key whose credential has ended before its file is told, and nobody is waited for",
            world: || {
                listing(&[old, new])
                    .credential(cut(&old(), "2027-02-26"))
                    .credential(live(&new(), Some("backup")))
                    .declare(|declared| declared.acknowledge = false)
            },
            steps: &[],
            notes: &["warning 2026.cer ended on the target on 2027-02-26"],
        },
        Row {
            story: "once somebody took the ended credential off, the file is uploaded again",
            world: || listing(&[new]).target(|target| target.lifetime_policy = allows(30)).at("2027-06-01"),
            steps: &["publish 2027.cer within 30 d: declared", "prove by reading back 2027.cer"],
            notes: &["warning no certificate yet", "waiting provider new key 2027-06-30"],
        },
        Row {
            story: "earlier than that the provider is to be asked later",
            world: || listing(&[new]).credential(live(&new(), Some("backup"))),
            steps: &[],
            notes: &["later ask the provider"],
        },
    ]
}

/// The newer key is live, the older one was dropped from the list.
pub(crate) fn dropped() -> World {
    listing(&[new]).credential(live(&old(), Some("backup"))).credential(live(&new(), Some("backup")))
}

pub(crate) fn acknowledged(world: World, moment: &str) -> World {
    let mut world = world.acknowledged(ADDRESS, "unused", moment);
    let sha1 = new().certificate.thumbprints.sha1;
    world.desired.acknowledgements[0].thumbprint = certroll::ids::Thumbprint::Sha1(sha1);
    world
}

fn retiring() -> Vec<Row> {
    vec![
        Row {
            story: "a file dropped from the list is kept until the provider confirms the newer one",
            world: dropped,
            steps: &[],
            notes: &["waiting 2026.cer confirms 2027-04-01 certroll ack"],
        },
        Row {
            story: "a confirmed newer key whose overlap runs keeps the older one",
            world: || acknowledged(dropped(), "2027-02-25"),
            steps: &[],
            notes: &["later 2026.cer 2027-03-11T00:00:00Z retire"],
        },
        Row {
            story: "a confirmed newer key whose overlap is over lets the older one go",
            world: || acknowledged(dropped(), "2027-02-25").at("2027-03-12"),
            steps: &["prove by reading back 2027.cer: before removal", "retire 2026.cer: acknowledged"],
            notes: &[],
        },
        Row {
            story: "an older key that is still listed stays, confirmed or not",
            world: || {
                acknowledged(
                    listing(&[old, new])
                        .credential(live(&old(), Some("backup")))
                        .credential(live(&new(), Some("backup"))),
                    "2027-02-21",
                )
                .at("2027-03-20")
            },
            steps: &[],
            notes: &[],
        },
        Row {
            story: "an older key that is not ours stays, dropped and confirmed",
            world: || {
                acknowledged(
                    listing(&[new]).credential(live(&old(), None)).credential(live(&new(), Some("backup"))),
                    "2027-02-21",
                )
                .at("2027-03-20")
            },
            steps: &[],
            notes: &[],
        },
        Row {
            story: "a dropped key that has expired is pruned without anybody's word",
            world: || {
                listing(&[new])
                    .credential(live(&dead(), Some("backup")))
                    .credential(live(&new(), Some("backup")))
            },
            steps: &[
                "prove by reading back 2027.cer: before removal",
                "retire 2025.cer: expired predecessor",
            ],
            notes: &[],
        },
        Row {
            story: "a dropped key that has expired is pruned by the run that publishes the newer one",
            world: || listing(&[new]).credential(live(&dead(), Some("backup"))),
            steps: PRUNED,
            notes: &[],
        },
        Row {
            story: "a revoked key of the provider goes as soon as a newer one is live",
            world: || {
                dropped().declare(|declared| {
                    let thumbprints = old().certificate.thumbprints;
                    declared.revoked = [certroll::ids::Thumbprint::Sha1(thumbprints.sha1)].into();
                })
            },
            steps: &["prove by reading back 2027.cer: before removal", "retire 2026.cer: revoked"],
            notes: &[],
        },
        Row {
            story: "a revoked key of the provider goes in the run that publishes the newer one",
            world: || {
                listing(&[old, new]).credential(live(&old(), Some("backup"))).declare(|declared| {
                    let thumbprints = old().certificate.thumbprints;
                    declared.revoked = [certroll::ids::Thumbprint::Sha1(thumbprints.sha1)].into();
                })
            },
            steps: &[
                "publish 2027.cer: declared",
                "prove by reading back 2027.cer",
                "retire 2026.cer: revoked",
            ],
            notes: &[],
        },
        Row {
            story: "a revoked key of the provider stays while there is no newer one",
            world: || {
                listing(&[old]).credential(live(&old(), Some("backup"))).declare(|declared| {
                    let thumbprints = old().certificate.thumbprints;
                    declared.revoked = [certroll::ids::Thumbprint::Sha1(thumbprints.sha1)].into();
                })
            },
            steps: &[],
            notes: &["waiting 2026.cer no newer key", "waiting provider new key"],
        },
        Row {
            story: "retire never keeps a dropped key",
            world: || {
                acknowledged(dropped(), "2027-02-21")
                    .at("2027-03-20")
                    .declare(|declared| declared.retire = Retire::Never)
            },
            steps: &[],
            notes: &["info 2026.cer never"],
        },
        Row {
            story: "a dropped key is kept while the newest file is not live",
            world: || {
                acknowledged(listing(&[new]).credential(live(&old(), Some("backup"))), "2027-02-01")
                    .declare(|declared| declared.hold = hold("2027-04-01"))
            },
            steps: &[],
            notes: &["waiting 2026.cer no newer key", "later 2027.cer publish hold 2027-04-02"],
        },
    ]
}

fn watching(pattern: &str) -> World {
    world().declare(|declared| {
        declared.issuer = Issuer::ExternalRotator { matching: RotatorMatch::DisplayName(pattern.into()) };
        declared.store = None;
        declared.consumer = consumer("Veeam");
    })
}

fn rotators() -> Vec<Row> {
    vec![
        Row {
            story: "a product that rotates by itself is watched, and nothing of it is removed",
            world: || {
                watching("CN=veeam-*")
                    .credential(foreign("veeam-1", "2025-01-01"))
                    .credential(foreign("veeam-2", "2026-08-01"))
                    .credential(foreign("veeam-3", "2027-01-01"))
            },
            steps: &[],
            notes: &[
                "info veeam-1 expired left alone",
                "info veeam-2 left alone",
                "later veeam-3 2027-12-01",
            ],
        },
        Row {
            story: "a product that should have rotated is waited for",
            world: || watching("CN=veeam-*").credential(foreign("veeam-1", "2026-03-20")),
            steps: &[],
            notes: &["waiting veeam-1 Veeam rotate 2027-03-19"],
        },
        Row {
            story: "a product whose newest certificate has expired is waited for",
            world: || watching("CN=veeam-*").credential(foreign("veeam-1", "2026-01-01")),
            steps: &[],
            notes: &["waiting veeam-1 expired 2026-12-31"],
        },
        Row {
            story: "a product that has made nothing yet is waited for",
            world: || watching("CN=veeam-*").credential(foreign("theirs", "2027-01-01")),
            steps: &[],
            notes: &["waiting Veeam nothing on the target matches"],
        },
        Row {
            story: "a product's certificate is matched by thumbprint too",
            world: || {
                watching("").credential(foreign("theirs", "2027-01-01")).declare(|declared| {
                    let matching = RotatorMatch::Thumbprints([thumbprint("theirs")].into());
                    declared.issuer = Issuer::ExternalRotator { matching };
                })
            },
            steps: &[],
            notes: &["later theirs"],
        },
        Row {
            story: "a SAML certificate is no product's, whatever its name",
            world: || {
                watching("CN=veeam-*")
                    .credential(reserved(foreign("veeam-1", "2027-01-01"), Reserved::SamlSigning))
            },
            steps: &[],
            notes: &["waiting nothing on the target matches"],
        },
    ]
}

/// One listed file is blocked, and another that was dropped may go.
fn blocked_and_dropped() -> World {
    let listed = listing(&[old, new]).credential(live(&new(), Some("backup")));
    acknowledged(listed.credential(live(&dead(), Some("backup"))), "2027-02-25").at("2027-03-12")
}

#[test]
fn a_plan_that_retires_changes_something_whatever_else_is_blocked() {
    let world = blocked_and_dropped();
    let plan = plan_of(&world);
    assert_eq!(
        steps_of(&world, &plan),
        ["prove by reading back 2027.cer: before removal", "retire 2025.cer: expired predecessor"]
    );
    assert!(plan.needs_somebody() && plan.changes_anything());
}
