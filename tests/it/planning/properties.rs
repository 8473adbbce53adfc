//! The promises over random worlds. The oracles read the worlds themselves; they do not ask the planner why.

use std::collections::BTreeSet;

use certroll::desired::{Declared, Prove, Retire};
use certroll::ids::{KeyId, Sha1, Thumbprint};
use certroll::observed::{Credential, Current, DeliveryState, Holding, KeyState, StoreState};
use certroll::plan::document::Document;
use certroll::plan::step::{Evidence, GenerationRef, Step};
use proptest::prelude::*;

use super::observed::{ADDRESS, World, address, orphan, sha1};
use super::rows::{carry_out, check_any, plan_of, step, tell};
use super::rows_current::healthy;
use super::worlds::{shuffled, worlds};

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    /// P1, for every prefix: nothing that a consumer may still hold goes or is no longer offered, and what could sign in still can.
    #[test]
    fn p1_no_prefix_of_a_plan_locks_a_consumer_out(world in worlds()) {
        let plan = plan_of(&world);
        let verdict = no_lock_out(&world);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), tell(&world, &plan));
    }

    /// P2: no step names what is not ours, and all of it is still there afterwards, as it was received and in its order.
    #[test]
    fn p2_what_is_not_ours_is_never_named_and_stays_as_it_was(world in worlds()) {
        let plan = plan_of(&world);
        let verdict = hands_off(&world);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), tell(&world, &plan));
    }

    /// P5: carried out, a plan leaves nothing to do at the same moment; guard and document accept every plan.
    #[test]
    fn p5_a_plan_that_was_carried_out_leaves_nothing_to_do(world in worlds()) {
        let plan = plan_of(&world);
        let verdict = check_any(&world, &plan);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), tell(&world, &plan));
    }

    /// P5: a run that stops anywhere and is run again ends with nothing to do.
    #[test]
    fn p5_a_plan_that_was_interrupted_is_finished_by_the_next(world in worlds(), stop in 0..8usize) {
        let plan = plan_of(&world);
        let mut stopped = world.clone();
        super::rows::carry_out_first(&mut stopped, &plan, stop);
        let again = plan_of(&stopped);
        let verdict = check_any(&stopped, &again).and_then(|()| no_lock_out(&stopped)).and_then(|()| hands_off(&stopped));
        prop_assert!(
            verdict.is_ok(), "{}\nfirst:\n{}then:\n{}",
            verdict.unwrap_err(), tell(&world, &plan), tell(&stopped, &again)
        );
    }

    /// P1 and P5 where nobody looks on and nothing is published again: the rest of the plan rests on no repair.
    #[test]
    fn p1_and_p5_hold_without_the_repairs(world in worlds()) {
        let world = world.run(|policy| policy.withholds_repair = true);
        let plan = plan_of(&world);
        let repairs = plan.certificates.iter().any(|certificate| certificate.is_repair());
        let verdict = check_any(&world, &plan).and_then(|()| no_lock_out(&world)).and_then(|()| hands_off(&world));
        prop_assert!(!repairs && verdict.is_ok(), "{verdict:?}\n{}", tell(&world, &plan));
    }

    /// P8: the same input gives the same document, in whatever order it is read.
    #[test]
    fn p8_the_order_of_reading_changes_nothing(world in worlds(), removes in any::<bool>(), by in 1..7usize) {
        // What the entry removes is on the object that the certificate is on.
        let world = if removes { world.removed("contoso/stranger", true) } else { world };
        let json = |world: &World| Document::of(&plan_of(world)).to_json();
        let (one, other) = (json(&world), json(&shuffled(&world, by)));
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        prop_assert!(one == other, "{differs:?}");
    }
}

#[test]
fn p8_of_two_credentials_of_a_sibling_that_are_named_the_same_one_is_told() {
    let named = ["one", "other"].map(|label| Thumbprint::Sha1(sha1(label)));
    let world = healthy().declare(|declared| declared.revoked = named.into()).removed("contoso/mail", false);
    let [one, other] = ["one", "other"].map(|label| orphan("mail", label, "2026-08-01"));
    let forth = world.clone().credential(one.clone()).credential(other.clone());
    let back = world.credential(other).credential(one);
    let json = |world: &World| Document::of(&plan_of(world)).to_json();
    assert_eq!(json(&forth), json(&back));
    assert!(json(&forth).contains("nothing is decided about it here"), "{}", json(&forth));
}

fn holding(world: &World) -> Option<&Holding> {
    match &world.observed.stores[&address(ADDRESS)].state {
        StoreState::Known(holding) => Some(holding),
        StoreState::Absent | StoreState::Unreadable { .. } => None,
    }
}

/// What consumers read.
fn offered(world: &World) -> Option<Sha1> {
    match holding(world)?.current.as_ref()? {
        Current::Recorded(sha256) => holding(world)?.generation(sha256)?.record.thumbprints.map(|t| t.sha1),
        Current::Unrecorded { thumbprints } => thumbprints.map(|t| t.sha1),
    }
}

fn can_sign_in(world: &World, sha1: Option<Sha1>) -> bool {
    let usable = |c: &&Credential| c.reserved.is_none() && c.sha1() == sha1 && c.is_valid_at(world.now);
    sha1.is_some() && world.target_ref().credentials.iter().any(|c| usable(&c))
}

/// The certificate a step speaks of: by its thumbprint or, while it was not made when the plan was, by its rotation.
fn meant(world: &World, generation: &GenerationRef) -> Option<Sha1> {
    if let Some(thumbprints) = generation.thumbprints {
        return Some(thumbprints.sha1);
    }
    let generations = &holding(world)?.generations;
    let of_it = generations
        .iter()
        .filter(|g| g.record.rotation_id == generation.rotation_id && g.key == KeyState::Held);
    of_it.filter_map(|g| g.record.thumbprints).map(|t| t.sha1).next_back()
}

/// Whether one of these thumbprints, SHA-1 or SHA-256, is of that certificate.
fn named<'t>(world: &World, thumbprints: impl IntoIterator<Item = &'t Thumbprint>, sha1: Sha1) -> bool {
    let held = holding(world).into_iter().flat_map(|h| &h.generations).filter_map(|g| g.record.thumbprints);
    let both: Vec<_> = held.filter(|t| t.sha1 == sha1).collect();
    thumbprints.into_iter().any(|named| match named {
        Thumbprint::Sha1(named) => *named == sha1,
        Thumbprint::Sha256(named) => both.iter().any(|t| t.sha256 == *named),
    })
}

/// Revoked by the file or by the run: a named override.
fn overridden(world: &World, sha1: Sha1) -> bool {
    let replaced = world.policy.replace.get(&address(ADDRESS)).filter(|_| world.policy.revoke_previous);
    named(world, &world.declared().revoked, sha1) || named(world, replaced, sha1)
}

fn no_lock_out(before: &World) -> Result<(), String> {
    let plan = plan_of(before);
    let mut world = before.clone();
    let mut proven: BTreeSet<Sha1> = BTreeSet::new();
    let mut settled: BTreeSet<Sha1> = BTreeSet::new();
    for certificate in &plan.certificates {
        for (index, planned) in certificate.steps.iter().enumerate() {
            let wrong = |what: &str| format!("step {} ({}): {what}", index + 1, planned.step.verb());
            if certificate.address == address(ADDRESS) {
                allowed(before, &world, &planned.step, &mut proven, &mut settled)
                    .map_err(|what| wrong(&what))?;
            }
            let could = can_sign_in(&world, offered(&world));
            step(&mut world, &certificate.address, &planned.step);
            // What another certificate's store reads is that one's affair.
            let own = certificate.address == address(ADDRESS);
            if own && could && !can_sign_in(&world, offered(&world)) {
                return Err(wrong("what consumers read could sign in before it and cannot after it"));
            }
        }
    }
    Ok(())
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn allowed(
    before: &World,
    world: &World,
    step: &Step,
    proven: &mut BTreeSet<Sha1>,
    settled: &mut BTreeSet<Sha1>,
) -> Result<(), String> {
    let declared = before.declared();
    let target = world.target_ref();
    match step {
        Step::Prove { generation, evidence } => {
            let sha1 = meant(world, generation).ok_or("proves nothing")?;
            ensure(
                target.client_credentials().any(|c| c.sha1() == Some(sha1)),
                "proves what is not published",
            )?;
            let wanted = match declared.prove {
                Prove::ReadBack => matches!(evidence, Evidence::ReadBack),
                Prove::SignIn | Prove::AfterPromotion => matches!(evidence, Evidence::SignIn { .. }),
            };
            ensure(wanted, "proves in another way than the file says")?;
            proven.insert(sha1);
        }
        Step::Settle { generation, .. } => {
            settled.extend(meant(world, generation));
        }
        Step::Promote { generation, before_proof, .. } => {
            let sha1 = meant(world, generation).ok_or("promotes nothing")?;
            let early = *before_proof && declared.prove == Prove::AfterPromotion && settled.contains(&sha1);
            ensure(proven.contains(&sha1) || early, "promotes what was not proven")?;
            ensure(can_sign_in(world, Some(sha1)), "promotes what cannot sign in")?;
            ensure(!named(world, &declared.revoked, sha1), "promotes what is revoked")?;
        }
        Step::Publish { generation, .. } => {
            let sha1 = meant(world, generation).ok_or("publishes nothing")?;
            ensure(!named(world, &declared.revoked, sha1), "publishes what is revoked")?;
        }
        Step::Deliver { generation, .. } => {
            ensure(
                meant(world, generation) == offered(world),
                "delivers something else than consumers read",
            )?;
        }
        Step::Retire { credential } => {
            let gone = target.credentials.iter().find(|c| c.key_id == Some(credential.key_id));
            let gone = gone.ok_or("retires what is not there")?;
            may_go(before, world, gone, proven)?;
        }
        Step::Destroy { generation, .. } | Step::Discard { generation, .. } => {
            let sha1 = meant(world, generation);
            ensure(sha1.is_none() || sha1 != offered(world), "destroys the key consumers read")?;
            let live = target.credentials.iter().any(|c| sha1.is_some() && c.sha1() == sha1);
            ensure(!live, "destroys a key whose credential is there")?;
        }
        Step::Request { .. } | Step::Issue { .. } | Step::Record { .. } | Step::Reject { .. } => {}
    }
    Ok(())
}

/// Whether that credential may be taken off: proof in this run, and time, deliveries and people, or a named override.
fn may_go(before: &World, world: &World, gone: &Credential, proven: &BTreeSet<Sha1>) -> Result<(), String> {
    let declared = before.declared();
    let sha1 = gone.sha1().ok_or("retires what has no thumbprint")?;
    let successor = offered(world).ok_or("retires without a successor")?;
    ensure(successor != sha1, "retires what consumers read")?;
    ensure(proven.contains(&successor), "retires without a proof of the successor in the same run")?;
    ensure(can_sign_in(world, Some(successor)), "retires while the successor cannot sign in")?;
    if overridden(before, sha1) {
        return Ok(());
    }
    ensure(declared.retire != Retire::Never, "retires although the file says never")?;
    ensure(declared.hold.is_none(), "retires on hold")?;
    if gone.is_expired_at(world.now) {
        return Ok(());
    }
    ensure(offered(before) == Some(successor), "retires before consumers can have the successor")?;
    let in_use = in_use_since(before, declared, successor)?;
    ensure(declared.overlap.after(in_use) <= before.now, "retires before the overlap is over")
}

/// Since when everybody has the current one: promoted, delivered everywhere, acknowledged where somebody must.
fn in_use_since(before: &World, declared: &Declared, current: Sha1) -> Result<jiff::Timestamp, String> {
    let generations = &holding(before).ok_or("no store")?.generations;
    let record = generations.iter().map(|g| &g.record);
    let record =
        record.into_iter().find(|r| r.thumbprints.is_some_and(|t| t.sha1 == current)).ok_or("no record")?;
    let promoted = record.promoted_at.ok_or("retires although the promotion is not recorded")?;
    let mut since = promoted;
    for delivery in &declared.deliveries {
        let delivered =
            record.delivered.get(&delivery.slot).ok_or("retires although a delivery is not confirmed")?;
        let holds = match &before.observed.deliveries[&address(ADDRESS)][&delivery.slot] {
            DeliveryState::Holds(held) => held.sha1 == current,
            DeliveryState::Marker(marker) => *marker == delivered.marker,
            DeliveryState::NeverTells { .. } => true,
            DeliveryState::Absent | DeliveryState::Unreadable { .. } => false,
        };
        ensure(holds, "retires although a place does not have the successor")?;
        since = since.max(delivered.at);
    }
    let acks = before.desired.acknowledgements.iter().filter(|ack| ack.address == address(ADDRESS));
    // What certroll found in use was in use before anybody could be asked. Else only who had it could say that they use it, give or
    // take five minutes that clocks may differ.
    let found = record.rotation_id.is_none() && record.promoted_at == Some(record.requested_at);
    let had_it = |at: jiff::Timestamp| found || at >= promoted - jiff::SignedDuration::from_mins(5);
    let acks = acks.filter(|ack| named(before, [&ack.thumbprint], current)).map(|ack| ack.at);
    let ack = acks.filter(|at| had_it(*at)).min();
    let asked = declared.acknowledge && !found;
    if asked || declared.unused_for.is_some() || declared.prove == Prove::ReadBack {
        let ack = ack.ok_or("retires without the word of a person")?;
        if asked {
            since = since.max(ack);
        }
    }
    Ok(since)
}

/// Ours to remove, judged by marker, derived key id and the file's own words.
fn is_removable(world: &World, credential: &Credential) -> bool {
    let Some(sha1) = credential.sha1() else { return false };
    let names = if world.desired.moved.is_empty() { vec!["backup"] } else { vec!["backup", "former"] };
    let title = credential.display_name.as_deref().unwrap_or_default();
    let marked = names.iter().any(|name| title.starts_with(&format!("certroll:platform-team/{name} ")));
    let derived = credential.key_id == Some(KeyId::derive(&world.target_ref().id, &sha1));
    let adopted = world.declared().adopt.iter().map(|adopt| &adopt.thumbprint);
    credential.reserved.is_none()
        && ((marked && derived) || named(world, adopted, sha1) || overridden(world, sha1))
}

fn hands_off(before: &World) -> Result<(), String> {
    let plan = plan_of(before);
    let mut going: BTreeSet<KeyId> = BTreeSet::new();
    let steps =
        plan.certificates.iter().flat_map(|c| c.steps.iter().map(move |planned| (&c.address, planned)));
    for (of, planned) in steps {
        match &planned.step {
            Step::Retire { credential } if *of != address(ADDRESS) => {
                let title =
                    before.target_ref().credentials.iter().find(|c| c.key_id == Some(credential.key_id));
                let title = title.and_then(|c| c.display_name.clone()).unwrap_or_default();
                ensure(
                    title.starts_with("certroll:platform-team/mail "),
                    "a sibling retires what is not its own",
                )?;
                going.insert(credential.key_id);
            }
            Step::Retire { credential } => {
                going.insert(credential.key_id);
                let found =
                    before.target_ref().credentials.iter().find(|c| c.key_id == Some(credential.key_id));
                if let Some(found) = found {
                    ensure(
                        is_removable(before, found),
                        &format!("retires {:?}, which is not ours", found.display_name),
                    )?;
                }
            }
            Step::Publish { dropping, .. } => {
                for id in dropping {
                    going.insert(*id);
                    let found = before.target_ref().credentials.iter().find(|c| c.key_id == Some(*id));
                    let found = found.ok_or("drops what is not there")?;
                    let listed = before.declared().drop_expired_foreign.contains(id);
                    let dead = found.is_expired_at(before.now) && found.reserved.is_none();
                    ensure(listed && dead, "drops what the file does not name or what is alive")?;
                }
            }
            _ => {}
        }
    }
    let mut after = before.clone();
    carry_out(&mut after, &plan);
    let kept =
        before.target_ref().credentials.iter().filter(|c| c.key_id.is_none_or(|id| !going.contains(&id)));
    let kept: Vec<&str> = kept.map(|c| c.raw.get()).collect();
    let there: Vec<&str> =
        after.target_ref().credentials.iter().map(|c| c.raw.get()).take(kept.len()).collect();
    ensure(there == kept, "something that no step names did not stay as it was")
}
