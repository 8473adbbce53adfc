//! Drift, rule by rule: a story, the world it happens in, and the findings that count. Information is asked for by name.

use crate::support::observed;
use certroll::desired::{Ignore, Issuer, Retire, RotatorMatch};
use certroll::observed::{Damage, LifetimePolicy, Reserved, StoreState, TargetState, Untouchable};
use certroll::plan::reason::NoteKind;
use certroll::plan::{Plan, planner};
use certroll::report::drift::{Drift, Rule, Severity, drift};
use jiff::SignedDuration;

use observed::*;

/// A story, its world, and its findings as `severity rule label`; information begins with `info` and may be left out.
struct Row {
    story: &'static str,
    world: fn() -> World,
    findings: &'static [&'static str],
}

fn plan_of(world: &World) -> Plan {
    planner::plan(&world.desired, &world.observed, &world.policy, world.now)
}

fn found_in(world: &World) -> Drift {
    drift(&world.desired, &world.observed, &plan_of(world), &world.policy)
}

fn lines(drift: &Drift) -> Vec<String> {
    let labels = ["old", "new", "stranger", "stray", "by product"];
    let label = |finding: &certroll::report::drift::Finding| {
        let named =
            finding.thumbprint.and_then(|found| labels.into_iter().find(|label| sha1(label) == found));
        named.map(|label| format!(" {label}")).unwrap_or_default()
    };
    let word = |finding: &certroll::report::drift::Finding| match finding.ignored {
        Some(_) => "ignored",
        None => finding.severity.as_str(),
    };
    drift.findings.iter().map(|one| format!("{} {}{}", word(one), one.rule, label(one))).collect()
}

fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for row in rows {
        let all = lines(&found_in(&(row.world)()));
        let told: Vec<&String> = all
            .iter()
            .filter(|line| !line.starts_with("info") || row.findings.contains(&line.as_str()))
            .collect();
        if told != row.findings.iter().collect::<Vec<_>>() {
            wrong.push(format!("{}: {all:?}, and not {:?}", row.story, row.findings));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn damaged(certain: bool) -> World {
    let mut world = healthy();
    let store = world.observed.stores.get_mut(&address(ADDRESS)).unwrap();
    store.damage.push(Damage { text: "cloudm.pfx was changed".into(), certain });
    world
}

/// Published on 2027-02-01, due in July.
fn healthy() -> World {
    world().with(current("new", "2027-02-01"))
}

#[test]
fn what_is_as_declared_is_no_drift() {
    check(&[
        Row { story: "healthy", world: healthy, findings: &[] },
        Row {
            story: "a running overlap",
            world: || world().with(former("old", "2026-08-01")).with(current("new", "2027-02-20")),
            findings: &[],
        },
        Row {
            story: "somebody else's credential is told and not held against anybody",
            world: || healthy().credential(foreign("stranger", "2027-01-01")),
            findings: &["info foreign stranger"],
        },
        Row {
            story: "half of a SAML pair is nobody's business",
            world: || {
                healthy().credential(reserved(foreign("stranger", "2027-01-01"), Reserved::SamlSigning))
            },
            findings: &[],
        },
    ]);
}

#[test]
fn what_differs_has_a_rule_of_its_own() {
    check(&[
        Row { story: "nothing anywhere", world, findings: &["warning not-issued"] },
        Row {
            story: "consumers read it, Entra lost it",
            world: || world().with(current("new", "2027-02-01").unpublished()),
            findings: &["alert missing new"],
        },
        Row {
            story: "our marker and our key id, in no store",
            world: || healthy().credential(orphan("backup", "stray", "2027-01-01")),
            findings: &["warning orphan stray", "warning planned stray"],
        },
        Row {
            story: "our marker with somebody's key id",
            world: || healthy().credential(claimed("backup", "stray", "2027-01-01")),
            findings: &["warning claimed stray"],
        },
        Row {
            story: "our marker for a name nobody declares",
            world: || healthy().credential(orphan("gone", "stray", "2027-01-01")),
            findings: &["warning undeclared stray"],
        },
        Row {
            story: "somebody renamed our credential",
            world: || {
                let mut world = healthy();
                let credential = world.target_mut().credentials.first_mut().unwrap();
                credential.display_name = Some("tidied up".into());
                world
            },
            findings: &["warning changed new"],
        },
        Row {
            story: "the file asks for another key",
            world: || healthy().declare(|declared| declared.key = certroll::certificate::KeyKind::Rsa4096),
            findings: &["warning declaration-differs new"],
        },
        Row {
            story: "a revoked one that can still sign in",
            world: || {
                world()
                    .with(former("old", "2026-08-01"))
                    .with(current("new", "2027-02-20"))
                    .declare(|declared| declared.revoked = [thumbprint("old")].into())
            },
            findings: &["alert revoked-live old"],
        },
        Row {
            story: "a policy that allows less than the file asks for",
            world: || {
                healthy().target(|target| {
                    let policy_id = "short".to_owned();
                    target.lifetime_policy = Some(LifetimePolicy { policy_id, max_seconds: 90 * 86_400 });
                })
            },
            findings: &["warning policy"],
        },
        Row {
            story: "a policy that allows less than a provider's file is for",
            world: || {
                let file = provider_file("2029.cer", "2027-02-20", "P2Y");
                world()
                    .credential(live(&file, Some("backup")))
                    .target(|target| {
                        let policy_id = "short".to_owned();
                        target.lifetime_policy =
                            Some(LifetimePolicy { policy_id, max_seconds: 400 * 86_400 });
                    })
                    .declare(|declared| {
                        (declared.issuer, declared.store) =
                            (Issuer::ExternalPublicKey { files: vec![file] }, None);
                    })
            },
            findings: &["warning policy"],
        },
        Row {
            story: "nobody can sign in with the application",
            world: || healthy().target(|target| target.sign_in_impossible = Some("it is disabled".into())),
            findings: &["warning sign-in-impossible"],
        },
    ]);
}

#[test]
fn what_an_apply_would_do_is_told_once_by_the_rule_that_says_why_or_as_planned() {
    check(&[
        Row {
            story: "a rotation that is due",
            world: || world().with(current("new", "2026-08-01")),
            findings: &["warning due new"],
        },
        Row {
            story: "a predecessor whose overlap is over",
            world: || world().with(former("old", "2026-08-01")).with(current("new", "2027-02-01")),
            findings: &["warning planned old"],
        },
        Row {
            story: "a removed entry that is still live",
            world: || {
                healthy().credential(orphan("gone", "stray", "2027-01-01")).removed("contoso/gone", true)
            },
            findings: &["warning planned stray"],
        },
        Row {
            story: "a removed entry that shall stay",
            world: || {
                healthy().credential(orphan("gone", "stray", "2027-01-01")).removed("contoso/gone", false)
            },
            findings: &[],
        },
        Row {
            story: "a provider's newer file beside the older one that is live",
            world: || {
                let (old, new) = (
                    provider_file("2026.cer", "2026-12-01", "P1Y"),
                    provider_file("2027.cer", "2027-02-01", "P1Y"),
                );
                let world = world().credential(live(&old, None));
                world.declare(|declared| {
                    (declared.issuer, declared.store) =
                        (Issuer::ExternalPublicKey { files: vec![old, new] }, None);
                })
            },
            findings: &["warning planned"],
        },
        Row {
            story: "an expired public key of a provider that no file lists any more",
            world: || {
                let (old, new) = (
                    provider_file("2026.cer", "2026-01-01", "P1Y"),
                    provider_file("2027.cer", "2027-02-01", "P1Y"),
                );
                let world =
                    world().credential(live(&old, Some("backup"))).credential(live(&new, Some("backup")));
                world.declare(|declared| {
                    (declared.issuer, declared.store) =
                        (Issuer::ExternalPublicKey { files: vec![new] }, None);
                })
            },
            findings: &["warning planned"],
        },
        Row {
            story: "a promotion whose time an earlier run did not record",
            world: || world().with(current("new", "2027-02-01").promotion_unknown()),
            findings: &["warning planned new"],
        },
        Row {
            story: "a key that stopped on its way",
            world: || {
                let begun = plan_of(&world()).certificates.remove(0).steps.remove(0).step;
                let rotation = begun.generation().unwrap().rotation_id.unwrap();
                world().with(staged("new", "2027-02-28", rotation))
            },
            findings: &["warning not-issued"],
        },
        Row {
            story: "a place whose form the file changed",
            world: || {
                world()
                    .with(current("new", "2027-02-01").delivered("file a", "2027-02-01", "1"))
                    .delivery("file a", Some(certroll::observed::DeliveryState::Marker("1".into())))
                    .declare(|declared| declared.deliveries[0].form = pfx())
            },
            findings: &["warning delivery-differs"],
        },
    ]);
}

/// Two machines with a file store each, or a fresh clone: what one of them made is an orphan to the other.
#[test]
fn a_live_orphan_is_warned_about_where_a_new_key_would_take_its_place() {
    let fresh = || world().credential(orphan("backup", "stray", "2027-01-01"));
    let warned = |world: &World| {
        let notes = plan_of(world).certificates.remove(0).notes;
        notes
            .into_iter()
            .filter(|note| note.kind == NoteKind::Warning)
            .map(|note| note.about)
            .collect::<Vec<_>>()
    };
    assert_eq!(warned(&fresh()), [Some(sha1("stray"))]);
    // The first run made a key: until the orphan is gone there is still time to look.
    let overlapping = fresh().with(current("new", "2027-02-25"));
    assert_eq!(warned(&overlapping), [Some(sha1("stray"))]);
    // Somebody has looked: it is on hold, never retired, or revoked. And an expired one signs nobody in.
    assert_eq!(warned(&fresh().declare(|declared| declared.hold = hold("2027-04-01"))), []);
    assert_eq!(warned(&fresh().declare(|declared| declared.retire = Retire::Never)), []);
    assert_eq!(warned(&fresh().declare(|declared| declared.revoked = [thumbprint("stray")].into())), []);
    assert_eq!(warned(&fresh().at("2028-02-01")), []);
    let found = found_in(&fresh());
    let orphan = found.findings.iter().find(|finding| finding.rule == Rule::Orphan).unwrap();
    let hint = orphan.hint.as_deref().unwrap();
    assert!(hint.contains("another machine") && hint.contains("retire: never"), "{hint}");
}

#[test]
fn dates_warn_first_and_alert_later() {
    check(&[
        Row {
            story: "31 days before the end",
            world: || world().with(current("new", "2027-02-01")).at("2028-01-01"),
            findings: &["warning due new"],
        },
        Row {
            story: "30 days before the end",
            world: || world().with(current("new", "2027-02-01")).at("2028-01-02T01:00:00Z"),
            findings: &["warning expiring new", "warning due new"],
        },
        Row {
            story: "14 days before the end",
            world: || world().with(current("new", "2027-02-01")).at("2028-01-18T01:00:00Z"),
            findings: &["alert expiring new", "warning due new"],
        },
        Row {
            story: "after the end",
            world: || world().with(current("new", "2027-02-01")).at("2028-02-02"),
            findings: &["alert expired new"],
        },
    ]);
}

#[test]
fn what_cannot_be_told_is_said_and_nothing_is_guessed_from_it() {
    check(&[
        Row {
            story: "no such application",
            world: || healthy().found(TargetState::Missing { similar: Vec::new() }),
            findings: &["alert target-missing"],
        },
        Row {
            story: "several of that name",
            world: || healthy().found(TargetState::Ambiguous { candidates: Vec::new() }),
            findings: &["alert target-ambiguous"],
        },
        Row {
            story: "deleted",
            world: || healthy().found(TargetState::SoftDeleted { object_id: OBJECT, deleted_at: None }),
            findings: &["alert target-deleted"],
        },
        Row {
            story: "unreadable",
            world: || healthy().found(TargetState::Unreadable { trouble: unreadable("503") }),
            findings: &["alert target-unreadable"],
        },
        Row {
            story: "a managed identity",
            world: || healthy().target(|target| target.untouchable = Some(Untouchable::ManagedIdentity)),
            findings: &["warning target-untouchable"],
        },
        Row {
            story: "a store that does not answer hides what is on the target",
            world: || healthy().store(StoreState::Unreadable { reason: "permission denied".into() }),
            findings: &["alert store-unreadable"],
        },
        Row {
            story: "what consumers read is damaged",
            world: || damaged(true),
            findings: &["alert store-damaged new"],
        },
        Row {
            story: "somebody wrote what consumers read",
            world: || damaged(false),
            findings: &["warning store-touched new"],
        },
        Row {
            story: "clocks that differ",
            world: || {
                let mut world = healthy();
                world.tenant_mut().clock_skew = Some(SignedDuration::from_mins(3));
                world
            },
            findings: &["warning clock"],
        },
    ]);
}

#[test]
fn a_provider_and_a_product_are_watched() {
    check(&[
        Row {
            story: "a provider's file that is not on the target",
            world: || {
                world().declare(|declared| {
                    let files = vec![provider_file("2026.cer", "2026-12-01", "P1Y")];
                    (declared.issuer, declared.store) = (Issuer::ExternalPublicKey { files }, None);
                })
            },
            findings: &["warning not-issued"],
        },
        Row {
            story: "a provider's certificate that ends soon is waited for",
            world: || {
                let file = provider_file("2026.cer", "2026-03-10", "P1Y");
                world().credential(live(&file, None)).declare(|declared| {
                    (declared.issuer, declared.store) =
                        (Issuer::ExternalPublicKey { files: vec![file] }, None);
                })
            },
            findings: &["alert expiring", "warning waiting"],
        },
        Row {
            story: "what a product made by itself is its own, the rest is somebody else's",
            world: || {
                let mut made = foreign("by product", "2027-01-01");
                made.display_name = Some("Product 7".into());
                world().credential(made).credential(foreign("stranger", "2027-01-01")).declare(|declared| {
                    let matching = RotatorMatch::DisplayName("Product*".into());
                    (declared.issuer, declared.store) = (Issuer::ExternalRotator { matching }, None);
                })
            },
            findings: &["info foreign stranger"],
        },
    ]);
}

fn ignoring(rule: Rule, until: Option<&str>) -> World {
    world()
        .with(current("new", "2027-02-01").unpublished())
        .declare(|declared| declared.ignore = vec![ignored(rule, until)])
}

fn ignored(rule: Rule, until: Option<&str>) -> Ignore {
    let until = until.map(|day| day.parse().unwrap());
    Ignore { rule, reason: "being replaced".into(), owner: None, until }
}

/// The entry stands at the tenant.
fn ignoring_in_the_tenant(rule: Rule, until: Option<&str>) -> World {
    let mut world = world().with(current("new", "2027-02-01").unpublished());
    world.desired.tenants.values_mut().for_each(|tenant| tenant.ignore = vec![ignored(rule, until)]);
    world
}

#[test]
fn what_is_ignored_is_told_as_such_until_its_last_day() {
    check(&[
        Row {
            story: "ignored for ever",
            world: || ignoring(Rule::Missing, None),
            findings: &["ignored missing new"],
        },
        Row {
            story: "on its last day",
            world: || ignoring(Rule::Missing, Some("2027-03-01")),
            findings: &["ignored missing new"],
        },
        Row {
            story: "on the day after",
            world: || ignoring(Rule::Missing, Some("2027-02-28")),
            findings: &["alert missing new", "info ignore-ended"],
        },
        Row {
            story: "another rule",
            world: || ignoring(Rule::Expired, None),
            findings: &["alert missing new"],
        },
        Row {
            story: "in the whole tenant, on the last day",
            world: || ignoring_in_the_tenant(Rule::Missing, Some("2027-03-01")),
            findings: &["ignored missing new"],
        },
        Row {
            story: "in the whole tenant, on the day after",
            world: || ignoring_in_the_tenant(Rule::Missing, Some("2027-02-28")),
            findings: &["info ignore-ended", "alert missing new"],
        },
    ]);
    let drift = found_in(&ignoring(Rule::Missing, None));
    assert!(!drift.has_drift() && !drift.needs_somebody());
}

#[test]
fn a_certificate_warns_and_alerts_when_its_own_declaration_says() {
    // Published on 2027-02-01 for a year: on the first of March it has 336 days left.
    fn leads(warn: &str, alert: &str) -> World {
        healthy().declare(|declared| {
            declared.warn_before = warn.parse().unwrap();
            declared.alert_before = alert.parse().unwrap();
        })
    }
    check(&[
        Row { story: "before both", world: || leads("300d", "200d"), findings: &[] },
        Row {
            story: "after the first",
            world: || leads("340d", "200d"),
            findings: &["warning expiring new"],
        },
        Row { story: "after both", world: || leads("350d", "340d"), findings: &["alert expiring new"] },
    ]);
}

#[test]
fn a_credential_of_others_is_told_once_for_all_certificates_on_its_target() {
    let world =
        healthy().with_certificate("contoso/second", OBJECT).credential(foreign("stranger", "2027-01-01"));
    let drift = found_in(&world);
    let foreign = drift.findings.iter().filter(|finding| finding.rule == Rule::Foreign).count();
    assert_eq!(foreign, 1, "{:?}", lines(&drift));
}

#[test]
fn whose_turn_it_is_is_told_apart_from_what_differs() {
    // Promoted on the first of the month; the overlap is 14 days.
    for (now, overdue) in [("2027-03-02", false), ("2027-03-14", false), ("2027-03-20", true)] {
        let mut world =
            world().with(current("new", "2027-03-01")).declare(|declared| declared.acknowledge = true);
        world.now = at(now);
        let drift = found_in(&world);
        assert!(!drift.has_drift(), "{:?}", lines(&drift));
        assert_eq!(drift.needs_somebody(), overdue, "{now}: {:?}", lines(&drift));
        assert!(drift.counted().any(|finding| finding.rule == Rule::Waiting));
        assert!(drift.counted().all(|finding| finding.severity == Severity::Warning));
    }
}
