//! Decision (c), row by row; and what stores, policies, windows and freezes do to the other two.

use certroll::desired::{Prove, Timing};
use certroll::observed::{DeliveryState, LifetimePolicy, StoreState};
use certroll::period::Lead;
use jiff::civil::{Weekday, time};

use super::observed::*;
use super::rows::Row;
use super::rows_current::{due, healthy};
use super::rows_others::overlap_over;

const SLOT: &str = "github_actions contoso/infra M365_PFX";

pub(crate) fn rows() -> Vec<Row> {
    [deliveries(), deliveries_and_overlap(), shapes(), policies(), windows()].concat()
}

/// A healthy certificate with one delivery place, to which it was delivered with marker "7".
fn delivered(state: Option<DeliveryState>) -> World {
    world().with(current("old", "2027-02-01").delivered(SLOT, "2027-02-01", "7")).delivery(SLOT, state)
}

fn marker(text: &str) -> Option<DeliveryState> {
    Some(DeliveryState::Marker(text.into()))
}

fn unreadable() -> Option<DeliveryState> {
    Some(DeliveryState::Unreadable { reason: "403 Forbidden".into() })
}

fn never_tells() -> Option<DeliveryState> {
    Some(DeliveryState::NeverTells { reason: "a plan runs no program".into() })
}

const AGAIN: &[&str] = &["deliver old to github_actions contoso/infra M365_PFX: delivery differs"];

fn deliveries() -> Vec<Row> {
    vec![
        Row {
            story: "a write-only place whose change marker is as we left it is left alone, and how far that goes is said",
            world: || delivered(marker("7")),
            steps: &[],
            notes: &["info M365_PFX is compared by its marks of change"],
        },
        Row {
            story: "a write-only place that somebody else changed is delivered to again",
            world: || delivered(marker("8")),
            steps: AGAIN,
            notes: &[],
        },
        Row {
            story: "an empty place is delivered to again",
            world: || delivered(Some(DeliveryState::Absent)),
            steps: AGAIN,
            notes: &[],
        },
        Row {
            story: "a place that holds the current one is left alone",
            world: || delivered(Some(DeliveryState::Holds(thumbprints("old")))),
            steps: &[],
            notes: &[],
        },
        Row {
            story: "a place that holds another one is delivered to again",
            world: || delivered(Some(DeliveryState::Holds(thumbprints("other")))),
            steps: AGAIN,
            notes: &[],
        },
        Row {
            story: "a place that never tells is delivered to again when nobody knows since when the current one is current",
            world: || {
                world()
                    .with(current("old", "2027-02-01").delivered(SLOT, "2027-02-01", "7").promotion_unknown())
                    .delivery(SLOT, never_tells())
            },
            steps: &[
                "record promotion of old: promotion unknown",
                "deliver old to github_actions contoso/infra M365_PFX: delivery differs",
            ],
            notes: &[],
        },
        Row {
            story: "a place that cannot be compared is said to be so, and left alone",
            world: || delivered(unreadable()),
            steps: &[],
            notes: &["warning M365_PFX cannot be compared 403 Forbidden"],
        },
        Row {
            story: "a place that never tells anybody is left alone once it was delivered to, and that is said",
            world: || delivered(never_tells()),
            steps: &[],
            notes: &["info M365_PFX cannot be compared a plan runs no program"],
        },
        Row {
            story: "a place that never tells anybody is delivered to when that was never confirmed",
            world: || healthy().delivery(SLOT, never_tells()),
            steps: AGAIN,
            notes: &[],
        },
        Row {
            story: "a place whose delivery was never confirmed is delivered to",
            world: || healthy().delivery(SLOT, marker("7")),
            steps: AGAIN,
            notes: &[],
        },
        Row {
            story: "a place whose delivery was never confirmed and that cannot be compared is delivered to",
            world: || healthy().delivery(SLOT, unreadable()),
            steps: AGAIN,
            notes: &[],
        },
        Row {
            story: "another form of a delivery is delivered again and does not rotate",
            world: || delivered(marker("7")).declare(|declared| declared.deliveries[0].form = pfx()),
            steps: AGAIN,
            notes: &["later old 2027-07-30"],
        },
        Row {
            story: "a rotation delivers by itself, once",
            world: || {
                world()
                    .with(current("old", "2026-09-01").delivered(SLOT, "2026-09-01", "7"))
                    .delivery(SLOT, marker("8"))
            },
            steps: &[
                "issue: due",
                "publish",
                "prove",
                "promote",
                "deliver to github_actions contoso/infra M365_PFX",
            ],
            notes: &["later old retire 14 d last delivery"],
        },
        Row {
            story: "a hold holds no delivery back, for a rollback has to reach every place",
            world: || {
                delivered(Some(DeliveryState::Absent)).declare(|declared| declared.hold = hold("2027-03-31"))
            },
            steps: &["deliver old to github_actions contoso/infra M365_PFX: delivery differs"],
            notes: &["info hold 2027-03-31"],
        },
        Row {
            story: "a freeze holds a delivery back",
            world: || {
                delivered(marker("8"))
                    .declare(|declared| declared.freeze = vec![freeze("2027-03-01", "2027-03-01")])
            },
            steps: &[],
            notes: &["later 2027-03-02T00:00:00Z freeze"],
        },
    ]
}

/// The successor was promoted on 2027-02-01 and delivered on that day.
fn successor_delivered(moment: &str, state: Option<DeliveryState>) -> World {
    world()
        .with(former("old", "2026-08-01"))
        .with(current("new", "2027-02-01").delivered(SLOT, moment, "7"))
        .delivery(SLOT, state)
}

fn deliveries_and_overlap() -> Vec<Row> {
    vec![
        Row {
            story: "every delivery confirmed lets a predecessor go",
            world: || successor_delivered("2027-02-10", marker("7")),
            steps: &["prove new: before removal", "retire old: overlap over"],
            notes: &[],
        },
        Row {
            story: "the overlap counts from the last delivery when that came last",
            world: || successor_delivered("2027-02-20", marker("7")),
            steps: &[],
            notes: &["later old 2027-03-06T00:00:00Z retire"],
        },
        Row {
            story: "a place that lost the successor keeps the predecessor, and the overlap begins anew",
            world: || successor_delivered("2027-02-10", marker("8")),
            steps: &["deliver new to github_actions contoso/infra M365_PFX: delivery differs"],
            notes: &["waiting old M365_PFX"],
        },
        Row {
            story: "a place that never tells anybody lets a predecessor go once it was delivered to",
            world: || successor_delivered("2027-02-10", never_tells()),
            steps: &["prove new: before removal", "retire old: overlap over"],
            notes: &[],
        },
        Row {
            story: "a place that cannot be compared keeps the predecessor",
            world: || successor_delivered("2027-02-10", unreadable()),
            steps: &[],
            notes: &["waiting old M365_PFX", "warning M365_PFX"],
        },
        Row {
            story: "a place that was not looked at keeps the predecessor",
            world: || successor_delivered("2027-02-10", None),
            steps: &[],
            notes: &["waiting old M365_PFX", "warning M365_PFX"],
        },
        Row {
            story: "a place without a confirmed delivery keeps the predecessor",
            world: || overlap_over().delivery(SLOT, marker("7")),
            steps: &["deliver new to github_actions contoso/infra M365_PFX: delivery differs"],
            notes: &["waiting old M365_PFX"],
        },
    ]
}

/// Promoted at once where the proof comes after, and the run ended before it.
fn unproven(made: &str) -> World {
    world()
        .with(current("young", made).proof_unknown())
        .declare(|declared| declared.prove = Prove::AfterPromotion)
}

fn shapes() -> Vec<Row> {
    vec![
        Row {
            story: "a store whose writes are live at once needs prove after_promotion",
            world: || due().shape(APPEND_IS_LIVE),
            steps: &[],
            notes: &["blocked live at once after_promotion"],
        },
        Row {
            story: "a store whose writes are live at once requests, settles and promotes before the proof",
            world: || due().shape(APPEND_IS_LIVE).declare(|declared| declared.prove = Prove::AfterPromotion),
            steps: &["request: due", "issue", "publish", "settle", "promote", "prove"],
            notes: &[],
        },
        Row {
            story: "prove after_promotion works where it is not needed",
            world: || due().declare(|declared| declared.prove = Prove::AfterPromotion),
            steps: &["issue: due", "publish", "settle", "promote", "prove"],
            notes: &[],
        },
        Row {
            story: "what was promoted before its proof and never signed in is proven by the next run",
            world: || unproven("2027-02-28T12:00:00Z"),
            steps: &["prove young: not proven yet"],
            notes: &["later young 2027-08-27"],
        },
        Row {
            story: "what was promoted before its proof a day ago and never signed in needs somebody to look",
            world: || unproven("2027-02-27T23:50:00Z"),
            steps: &["prove young: not proven yet"],
            notes: &["blocked young 2027-02-27 nobody has signed in service principal"],
        },
        Row {
            story: "a missing proof is made up for under a hold",
            world: || unproven("2027-02-28T12:00:00Z").declare(|declared| declared.hold = hold("2027-12-31")),
            steps: &["prove young: not proven yet"],
            notes: &["info hold"],
        },
        Row {
            story: "a missing proof is made up for in a freeze",
            world: || {
                unproven("2027-02-28T12:00:00Z")
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-25", "2027-03-02")])
            },
            steps: &["prove young: not proven yet"],
            notes: &[],
        },
        Row {
            story: "a missing proof comes before the deliveries that its run did not reach",
            world: || unproven("2027-02-28T12:00:00Z").delivery("file a", Some(DeliveryState::Absent)),
            steps: &["prove young: not proven yet", "deliver young to file a: delivery differs"],
            notes: &[],
        },
        Row {
            story: "one proof serves what was promoted before it and what is retired after it",
            world: || {
                world()
                    .with(former("old", "2026-09-01"))
                    .with(current("young", "2027-02-01").proof_unknown())
                    .declare(|declared| declared.prove = Prove::AfterPromotion)
            },
            steps: &["prove young: not proven yet", "retire old: overlap over"],
            notes: &["blocked young nobody has signed in"],
        },
        Row {
            story: "a missing proof waits for nobody when another key takes its place",
            world: || {
                due()
                    .declare(|declared| declared.prove = Prove::AfterPromotion)
                    .record("old", |record| record.proven_at = None)
            },
            steps: &["issue: due", "publish", "settle", "promote", "prove"],
            notes: &[],
        },
        Row {
            story: "what was published again after its proof is proven again",
            world: || healthy().record("old", |record| record.proven_at = Some(at("2027-01-30"))),
            steps: &["prove old: repair not proven"],
            notes: &["blocked old nobody has signed in", "later old rotate"],
        },
        Row {
            story: "a missing proof that nobody can give is told",
            world: || {
                unproven("2027-02-28T12:00:00Z")
                    .target(|target| target.sign_in_impossible = Some("there is no service principal".into()))
            },
            steps: &[],
            notes: &["blocked young nobody can sign in there is no service principal"],
        },
        Row {
            story: "a published generation that nobody could sign in with for a day needs somebody to look",
            world: || {
                let id = super::rows_underway::rotation_of(&due());
                due().with(staged("next", "2027-02-27T23:50:00Z", id).published())
            },
            steps: &["prove next: resumed", "promote next"],
            notes: &["blocked next 2027-02-27 nobody has signed in service principal"],
        },
        Row {
            story: "a certificate that a person signs is requested first",
            world: || {
                world().declare(|declared| {
                    declared.issuer = certroll::desired::Issuer::Csr { directory: "requests".into() };
                })
            },
            steps: &["request: nothing yet"],
            notes: &["waiting for a certificate in requests/"],
        },
        Row {
            story: "a store with two slots goes the way of every store that can stage",
            world: || due().shape(TWO_SLOT),
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "where nobody can sign in the new one is published and nothing is promoted",
            world: || {
                due().target(|target| target.sign_in_impossible = Some("it has no service principal".into()))
            },
            steps: &["issue: due", "publish"],
            notes: &["blocked nobody can sign in no service principal"],
        },
        Row {
            story: "where nobody can sign in reading back is enough if the file says so",
            world: || {
                due()
                    .target(|target| target.sign_in_impossible = Some("it has no service principal".into()))
                    .declare(|declared| declared.prove = Prove::ReadBack)
            },
            steps: &["issue: due", "publish", "prove by reading back", "promote"],
            notes: &[],
        },
        Row {
            story: "warnings of store and target are shown",
            world: || {
                let mut world = healthy().target(|target| target.warnings.push("sign-in is disabled".into()));
                world.store_mut().warnings.push("the folder is readable by others".into());
                world
            },
            steps: &[],
            notes: &["warning sign-in is disabled", "warning readable by others"],
        },
        Row {
            story: "an absent store beside nothing on the target is a beginning",
            world: || world().store(StoreState::Absent),
            steps: &["issue: nothing yet", "publish", "prove", "promote"],
            notes: &[],
        },
    ]
}

fn with_policy(world: World, days: i64) -> World {
    world.target(|target| {
        target.lifetime_policy =
            Some(LifetimePolicy { policy_id: "restrict-180".into(), max_seconds: days * 86_400 });
    })
}

fn policies_unread(mut world: World) -> World {
    world.tenant_mut().policies_unread = Some("403 Forbidden".into());
    world
}

fn policies() -> Vec<Row> {
    vec![
        Row {
            story: "a lifetime policy shorter than the certificate cuts the credential",
            world: || with_policy(due(), 180),
            steps: &["issue: due", "publish within 180 d", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "a lifetime policy longer than the certificate cuts nothing",
            world: || with_policy(due(), 730),
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &[],
        },
        Row {
            story: "policies that could not be read are told of where something is published",
            world: || policies_unread(due()),
            steps: &["issue: due", "publish", "prove", "promote"],
            notes: &["warning policies could not be read 403 Policy.Read.All"],
        },
        Row {
            story: "policies that could not be read are told of where something is published again",
            world: || policies_unread(world().with(current("old", "2027-02-01").unpublished())),
            steps: &["repair old: missing from target", "prove old: missing from target"],
            notes: &["warning policies could not be read 403 Policy.Read.All"],
        },
        Row {
            story: "a lifetime policy that leaves no room for the overlap is blocked by name",
            world: || with_policy(due(), 14),
            steps: &[],
            notes: &["blocked restrict-180 14 days overlap 14d"],
        },
        Row {
            story: "a lifetime policy that leaves no room for renew_before is blocked by name",
            world: || {
                with_policy(due(), 60)
                    .declare(|declared| {
                        declared.timing = Timing::RenewBefore(Lead::Period(period("90d")));
                    })
                    .at("2027-08-15")
            },
            steps: &[],
            notes: &["blocked restrict-180 60 days renew_before 90d"],
        },
    ]
}

/// Tuesdays and Wednesdays, 02:00 to 05:00 in London. [`NOW`] is a Monday in winter.
fn nightly() -> Vec<certroll::desired::Window> {
    vec![certroll::desired::Window {
        days: vec![Weekday::Tuesday, Weekday::Wednesday],
        from: time(2, 0, 0, 0),
        to: time(5, 0, 0, 0),
        zone: "Europe/London".into(),
    }]
}

fn windows() -> Vec<Row> {
    const ROTATION: &[&str] = &["issue: due", "publish", "prove", "promote"];
    vec![
        Row {
            story: "outside its windows a due rotation waits for the next one",
            world: || due().declare(|declared| declared.windows = nightly()),
            steps: &[],
            notes: &["later 2027-03-02T02:00:00Z rotate window"],
        },
        Row {
            story: "inside a window a due rotation goes on",
            world: || due().declare(|declared| declared.windows = nightly()).at("2027-03-02T02:00:00Z"),
            steps: ROTATION,
            notes: &[],
        },
        Row {
            story: "the moment a window closes is outside it",
            world: || due().declare(|declared| declared.windows = nightly()).at("2027-03-02T05:00:00Z"),
            steps: &[],
            notes: &["later 2027-03-03T02:00:00Z rotate window"],
        },
        Row {
            story: "the first generation waits for a window too",
            world: || world().declare(|declared| declared.windows = nightly()),
            steps: &[],
            notes: &["later 2027-03-02T02:00:00Z"],
        },
        Row {
            story: "a window holds a retirement back",
            world: || overlap_over().declare(|declared| declared.windows = nightly()),
            steps: &[],
            notes: &["later old 2027-03-02T02:00:00Z retire window"],
        },
        Row {
            story: "a window holds the record of a promotion back",
            world: || {
                world()
                    .with(current("old", "2027-02-01").promotion_unknown())
                    .declare(|declared| declared.windows = nightly())
            },
            steps: &[],
            notes: &["later 2027-03-02T02:00:00Z window"],
        },
        Row {
            story: "a hold does not keep the record of a promotion back",
            world: || {
                world()
                    .with(current("old", "2027-02-01").promotion_unknown())
                    .declare(|declared| declared.hold = hold("2027-03-31"))
            },
            steps: &["record promotion of old: promotion unknown"],
            notes: &["info on hold"],
        },
        Row {
            story: "a freeze holds a rotation back and is shown with its reason",
            world: || due().declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-03-20")]),
            steps: &[],
            notes: &["later 2027-03-21T00:00:00Z freeze year end"],
        },
        Row {
            story: "a freeze does not hold a rotation back past the point where the overlap would be cut short",
            // It ends on 2027-09-01, so with 14 days of overlap it must be replaced by 2027-08-18.
            world: || due().declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-12-31")]),
            steps: &[],
            notes: &["later 2027-08-17T23:59:59Z freeze"],
        },
        Row {
            story: "at the point where the overlap would be cut short a freeze holds nothing back",
            world: || {
                due()
                    .declare(|declared| declared.freeze = vec![freeze("2027-02-20", "2027-12-31")])
                    .at("2027-08-17T23:59:59Z")
            },
            steps: ROTATION,
            notes: &[],
        },
        Row {
            story: "a revocation waits for no window",
            world: || {
                healthy().declare(|declared| {
                    declared.windows = nightly();
                    declared.revoked = [thumbprint("old")].into();
                })
            },
            steps: &["issue: revoked", "publish", "prove", "promote", "retire old: revoked"],
            notes: &[],
        },
    ]
}
