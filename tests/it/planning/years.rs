//! Years of runs: plans are carried out by prediction, some stop half-way, clocks jump, people and places answer late.

use std::collections::{BTreeMap, BTreeSet};

use certroll::desired::{Prove, Timing};
use certroll::ids::{KeyId, RotationId, Sha1};
use certroll::observed::{Current, DeliveryState, Holding, KeyState, Shape, StoreState};
use certroll::period::{Lead, Period};
use certroll::plan::step::Step;
use jiff::Timestamp;
use jiff::civil::{Weekday, time};
use proptest::prelude::*;
use proptest::sample::select;

use super::observed::*;
use super::rows::{check_any, plan_of, step, tell};

/// What one run meets.
#[derive(Debug, Clone)]
struct Run {
    /// Hours since the last one; at most a week.
    after_hours: i64,
    /// Steps it gets done, if it does not get to the end.
    stops_after: Option<usize>,
    /// Whether the person who acknowledges has done so by now.
    acknowledges: bool,
    /// Whether somebody has overwritten the delivery place.
    tampers: bool,
    /// Whether somebody has deleted the current credential.
    deletes: bool,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (
        1..=168i64,
        prop::option::weighted(0.3, 0..6usize),
        prop::bool::weighted(0.6),
        prop::bool::weighted(0.03),
        prop::bool::weighted(0.02),
    )
        .prop_map(|(after_hours, stops_after, acknowledges, tampers, deletes)| Run {
            after_hours,
            stops_after,
            acknowledges,
            tampers,
            deletes,
        });
    prop::collection::vec(run, 250)
}

#[derive(Debug, Clone)]
struct Declaration {
    timing: Timing,
    overlap_days: u16,
    validity: &'static str,
    shape: Shape,
    acknowledge: bool,
    windows: bool,
    delivery: bool,
    keep_retired: u32,
    spread_days: u16,
}

fn declarations() -> impl Strategy<Value = Declaration> {
    let timing = select(vec![
        (Timing::RotationPeriod(period("180d")), "P1Y"),
        (Timing::RotationPeriod(period("P3M")), "P6M"),
        (Timing::RenewBefore(Lead::Period(period("45d"))), "P1Y"),
        (Timing::RenewBefore(Lead::Percent(30)), "P6M"),
        (Timing::RotationPeriod(period("60d")), "P2Y"),
    ]);
    let any = prop::bool::ANY;
    (timing, 16..=40u16, select(vec![POINTER, TWO_SLOT, APPEND_IS_LIVE]), any, any, any, 0..3u32, 0..10u16)
        .prop_map(
            |(
                (timing, validity),
                overlap_days,
                shape,
                acknowledge,
                windows,
                delivery,
                keep_retired,
                spread_days,
            )| {
                Declaration {
                    timing,
                    overlap_days,
                    validity,
                    shape,
                    acknowledge,
                    windows,
                    delivery,
                    keep_retired,
                    spread_days,
                }
            },
        )
}

/// The world, and what only a real one would know.
struct Life {
    world: World,
    /// Serial number of the next certificate: real ones are never the same twice.
    issued: u32,
    /// Every key that was ever published, by rotation.
    published: BTreeMap<RotationId, BTreeSet<Sha1>>,
    /// What the consumer signs in with. It changes over only at the end of its time.
    consumer: Option<Sha1>,
    /// What a stranger took off the target: nobody can be held to that.
    deleted: BTreeSet<Sha1>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    /// With a run a week the current generation never expires, the slowest consumer is never locked out, and no rotation has two keys.
    #[test]
    fn p1_and_p5_hold_over_years_of_runs_that_stop_and_go_on(declaration in declarations(), runs in runs()) {
        let mut life = Life::begin(&declaration);
        let mut stopped_before = true;
        for (index, run) in runs.iter().enumerate() {
            // A run that was stopped is followed by one that is not: two in a row would be less than one a week.
            let stops = run.stops_after.filter(|_| !stopped_before);
            stopped_before = stops.is_some();
            let verdict = life.pass(run, stops);
            prop_assert!(
                verdict.is_ok(), "run {index} at {}: {}\n{}",
                life.world.now, verdict.unwrap_err(), tell(&life.world, &plan_of(&life.world))
            );
        }
    }
}

impl Life {
    fn begin(declaration: &Declaration) -> Life {
        let mut world = world().shape(declaration.shape).declare(|declared| {
            declared.timing = declaration.timing.clone();
            declared.validity = period(declaration.validity);
            declared.overlap = Period::days(declaration.overlap_days);
            declared.spread = Period::days(declaration.spread_days);
            declared.acknowledge = declaration.acknowledge;
            declared.keep_retired = declaration.keep_retired;
            if declaration.shape == APPEND_IS_LIVE {
                declared.prove = Prove::AfterPromotion;
            }
            if declaration.windows {
                declared.windows = vec![certroll::desired::Window {
                    days: vec![Weekday::Tuesday, Weekday::Saturday],
                    from: time(22, 0, 0, 0),
                    to: time(4, 0, 0, 0),
                    zone: "Europe/Berlin".into(),
                }];
            }
        });
        if declaration.delivery {
            world = world.delivery("file a", Some(DeliveryState::Absent));
        }
        Life { world, issued: 0, published: BTreeMap::new(), consumer: None, deleted: BTreeSet::new() }
    }

    /// Time passes, people and strangers act, certroll runs.
    fn pass(&mut self, run: &Run, stops: Option<usize>) -> Result<(), String> {
        self.world.now += hours(run.after_hours);
        self.world_acts(run);
        self.consumer_moves();
        self.can_sign_in(run.deletes)?;
        let plan = plan_of(&self.world);
        check_any(&self.world, &plan)?;
        let steps = &plan.certificates[0].steps;
        for planned in steps.iter().take(stops.unwrap_or(steps.len())) {
            step(&mut self.world, &address(ADDRESS), &planned.step);
            if let Step::Issue { generation, .. } = &planned.step {
                self.make_real(generation.rotation_id.ok_or("issued without a rotation")?)?;
            }
            if matches!(planned.step, Step::Publish { .. }) {
                self.remember_published();
            }
            self.one_key_a_rotation()?;
            self.can_sign_in(false)?;
        }
        if stops.is_some_and(|stops| stops > 0) {
            self.forget_promotion(&steps[..stops.unwrap_or(0).min(steps.len())]);
        }
        let live = self.live();
        if live > 4 { Err(format!("{live} generations are live")) } else { Ok(()) }
    }

    fn holding(&self) -> Option<&Holding> {
        match &self.world.observed.stores[&address(ADDRESS)].state {
            StoreState::Known(holding) => Some(holding),
            StoreState::Absent | StoreState::Unreadable { .. } => None,
        }
    }

    fn offered(&self) -> Option<Sha1> {
        let thumbprints = self.holding()?.current_generation()?.record.thumbprints?;
        Some(thumbprints.sha1)
    }

    fn world_acts(&mut self, run: &Run) {
        let offered = self.offered();
        if let (true, Some(sha1)) = (run.acknowledges && self.world.declared().acknowledge, offered) {
            let mut world = self.world.clone().acknowledged(ADDRESS, "current", &self.world.now.to_string());
            let ack = world.desired.acknowledgements.last_mut().unwrap();
            ack.thumbprint = certroll::ids::Thumbprint::Sha1(sha1);
            self.world = world;
        }
        if run.tampers && !self.world.declared().deliveries.is_empty() {
            let slots = self.world.observed.deliveries.get_mut(&address(ADDRESS)).unwrap();
            slots.insert("file a".into(), DeliveryState::Marker("somebody else's".into()));
        }
        if run.deletes {
            self.deleted.extend(offered);
            self.world.target_mut().credentials.retain(|credential| credential.sha1() != offered);
        }
    }

    /// The slowest consumer there may be: it takes up the new key when somebody says it has, or else when the overlap ends.
    fn consumer_moves(&mut self) {
        let now = self.world.now;
        let Some(offered) = self.offered() else { return };
        let record = &self.holding().unwrap().current_generation().unwrap().record;
        let declared = self.world.declared();
        let acks = &self.world.desired.acknowledgements;
        let word = acks.iter().any(|ack| ack.thumbprint.names_sha1(&offered));
        let over = |since: Timestamp| declared.overlap.after(since) <= now;
        let moves = if declared.acknowledge { word } else { record.promoted_at.is_some_and(over) };
        if self.consumer.is_none() || moves {
            self.consumer = Some(offered);
        }
    }

    /// What consumers read, and what the slowest of them still uses, can sign in.
    fn can_sign_in(&self, deleted: bool) -> Result<(), String> {
        let Some(offered) = self.offered().filter(|_| !deleted) else { return Ok(()) };
        let valid = |sha1| {
            let credentials = &self.world.target_ref().credentials;
            credentials.iter().any(|c| c.sha1() == Some(sha1) && c.is_valid_at(self.world.now))
        };
        let repairing = self.holding().and_then(Holding::current_generation).is_some_and(|g| {
            let ends = g.record.not_after.is_some_and(|end| end <= self.world.now);
            !ends && !self.world.target_ref().credentials.iter().any(|c| c.sha1() == Some(offered))
        });
        if !valid(offered) && !repairing {
            return Err("what consumers read has expired".into());
        }
        let Some(used) = self.consumer.filter(|used| *used != offered && !self.deleted.contains(used)) else {
            return Ok(());
        };
        // Runs that never meet a window cut an overlap short, and the plan says so; certroll removes nothing before its time.
        let excused = !self.world.declared().windows.is_empty() && self.has_ended(used);
        if valid(used) || excused { Ok(()) } else { Err("the slowest consumer is locked out".into()) }
    }

    fn has_ended(&self, sha1: Sha1) -> bool {
        let records = self.holding().into_iter().flat_map(|holding| &holding.generations).map(|g| &g.record);
        let mut of_it = records.filter(|record| record.thumbprints.is_some_and(|t| t.sha1 == sha1));
        // The credential ends a second before its certificate.
        let now = self.world.now + jiff::SignedDuration::from_secs(1);
        of_it.any(|record| record.not_after.is_some_and(|end| end <= now))
    }

    /// Prediction names a certificate by its rotation; a real one is never the same twice.
    fn make_real(&mut self, rotation: RotationId) -> Result<(), String> {
        self.issued += 1;
        let made = thumbprints(&format!("made {}", self.issued));
        let target = self.world.target_ref().id;
        let generations = &mut self.world.holding_mut().generations;
        let of_it = |record: &certroll::observed::record::PublicRecord| record.rotation_id == Some(rotation);
        let generation = generations.iter_mut().rfind(|g| of_it(&g.record) && g.key == KeyState::Held);
        let record = &mut generation.ok_or("issued nothing")?.record;
        record.thumbprints = Some(made);
        record.key_id = Some(KeyId::derive(&target, &made.sha1));
        Ok(())
    }

    fn remember_published(&mut self) {
        let on_target: BTreeSet<_> =
            self.world.target_ref().credentials.iter().filter_map(|c| c.sha1()).collect();
        let records = self.holding().into_iter().flat_map(|holding| &holding.generations).map(|g| &g.record);
        let published = records.filter_map(|record| Some((record.rotation_id?, record.thumbprints?.sha1)));
        let published: Vec<_> = published.filter(|(_, sha1)| on_target.contains(sha1)).collect();
        for (rotation, sha1) in published {
            self.published.entry(rotation).or_default().insert(sha1);
        }
    }

    fn one_key_a_rotation(&self) -> Result<(), String> {
        match self.published.iter().find(|(_, keys)| keys.len() > 1) {
            Some((rotation, keys)) => Err(format!("rotation {rotation} published {} keys", keys.len())),
            None => Ok(()),
        }
    }

    /// Where records are not written together with what they describe, a run may stop between the two.
    fn forget_promotion(&mut self, done: &[certroll::plan::PlannedStep]) {
        let stopped_there = matches!(done.last().map(|planned| &planned.step), Some(Step::Promote { .. }));
        let atomic = self.world.store_mut().shape.atomic_records;
        if stopped_there && !atomic {
            let holding = self.world.holding_mut();
            let Some(Current::Recorded(current)) = holding.current.clone() else { return };
            let of_it = |g: &&mut certroll::observed::Generation| {
                g.record.thumbprints.is_some_and(|thumbprints| thumbprints.sha256 == current)
            };
            if let Some(generation) = holding.generations.iter_mut().find(of_it) {
                generation.record.promoted_at = None;
                generation.record.phase = certroll::observed::record::RecordedPhase::Staged;
            }
        }
    }

    fn live(&self) -> usize {
        let now = self.world.now;
        self.world.target_ref().credentials.iter().filter(|c| c.is_valid_at(now)).count()
    }
}
