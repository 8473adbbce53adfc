//! What a process is connected to, and a run on it: the shipped observer, planner, guard and applier.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use certroll::apply::outcome::Report;
use certroll::apply::{Cancel, Job, apply, cancellation};
use certroll::backends::shipped::{ShippedReaders, ShippedWriters};
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Declared, Delivery, Desired, Issuer as DeclaredIssuer, Password, StoreBinding};
use certroll::edges::{
    DirectoryReader, DirectoryWriter, Readers, SignInAnswer, SignIns, Trouble as EdgeTrouble, Writers,
};
use certroll::ids::{Name, Thumbprints};
use certroll::issuer::Issuer;
use certroll::issuer::self_signed::SelfSigned;
use certroll::key::{Secret, SignatureAlgorithm, Signer};
use certroll::observe::observe;
use certroll::observed::{Answer, DeliveryState, Observed, StoreState};
use certroll::plan::asked::denied;
use certroll::plan::document::Document;
use certroll::plan::policy::Policy;
use certroll::plan::step::Step;
use certroll::plan::{Plan, guard, planner};
use certroll::runtime::{Clock, Random};
use certroll::store::{StoreReader, StoreWriter};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::coverage::tag;
use super::oracles::MUTE;
use super::process::Process;
use super::services::is_shipped;
use super::stores::Guarded;

/// What a process is connected to.
pub struct Ground {
    pub(super) process: Arc<Process>,
    pub(super) readers: ShippedReaders,
    pub(super) writers: ShippedWriters,
    pub(super) kube: Arc<dyn StoreWriter>,
    /// Calls to stores and places under way.
    pub(super) slots: Arc<Semaphore>,
    pub(super) desired: Arc<Desired>,
}

impl Ground {
    fn guarded(&self, entry: &StoreBinding) -> Result<Arc<Guarded>, EdgeTrouble> {
        let inner = match entry.store.as_str() {
            "kube" => self.kube.clone(),
            store if is_shipped(store) => Writers::store(&self.writers, entry)?,
            _ => self.process.local_store(entry),
        };
        Ok(Arc::new(Guarded { process: self.process.clone(), inner }))
    }
}

impl Readers for Ground {
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreReader>, EdgeTrouble> {
        let store: Arc<dyn StoreReader> = self.guarded(entry)?;
        Ok(store)
    }

    fn answer(&self, declared: &Declared, csr: &[u8], known: &BTreeSet<Thumbprints>) -> Answer {
        Readers::answer(&self.readers, declared, csr, known)
    }

    fn delivery(&self, _: &Delivery) -> Result<Arc<dyn DeliveryReader>, EdgeTrouble> {
        Ok(Arc::new(self.process.world.places.reached_through(self.process.trouble.clone())))
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryReader>, EdgeTrouble> {
        Readers::directory(&self.readers, tenant)
    }
}

/// A delivery place; before and after each delivery is a point.
struct GuardedPlace(Arc<Process>);

#[async_trait]
impl DeliveryReader for GuardedPlace {
    async fn observe(&self, delivery: &Delivery) -> DeliveryState {
        if delivery.slot.ends_with(MUTE) {
            return DeliveryState::NeverTells { reason: "nobody can look there".to_owned() };
        }
        self.0.world.places.reached_through(self.0.trouble.clone()).observe(delivery).await
    }
}

#[async_trait]
impl DeliveryWriter for GuardedPlace {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &certroll::key::PrivateKey,
        issued: &certroll::issuer::Issued,
        password: Option<&Secret>,
    ) -> Result<String, certroll::delivery::DeliveryError> {
        self.0.point("before a delivery").await;
        let place = self.0.world.places.reached_through(self.0.trouble.clone());
        let answer = place.deliver(delivery, key, issued, password).await;
        if answer.is_err() {
            self.0.world.state().coverage.hit("fault", "delivery refused");
        }
        self.0.world.watch_all();
        self.0.alive().await;
        self.0.point("after a delivery").await;
        answer
    }
}

impl Writers for Ground {
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreWriter>, EdgeTrouble> {
        let store: Arc<dyn StoreWriter> = self.guarded(entry)?;
        Ok(store)
    }

    fn delivery(&self, _: &Delivery) -> Result<Arc<dyn DeliveryWriter>, EdgeTrouble> {
        Ok(Arc::new(GuardedPlace(self.process.clone())))
    }

    fn issuer(&self, declared: &Declared) -> Result<Arc<dyn Issuer>, EdgeTrouble> {
        Ok(match declared.issuer {
            DeclaredIssuer::SelfSigned => Arc::new(SelfSigned),
            DeclaredIssuer::Csr { .. } => return Writers::issuer(&self.writers, declared),
            _ => self.process.world.ca.clone() as Arc<dyn Issuer>,
        })
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryWriter>, EdgeTrouble> {
        Writers::directory(&self.writers, tenant)
    }

    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, EdgeTrouble> {
        if self.process.breaks(6) {
            return Ok(Arc::new(Credulous));
        }
        Writers::sign_ins(&self.writers, tenant)
    }

    fn secret(&self, password: &Password) -> Result<Option<Secret>, EdgeTrouble> {
        self.writers.secret(password)
    }
}

/// Believes that everybody can sign in.
struct Credulous;

#[async_trait]
impl SignIns for Credulous {
    async fn try_sign_in(&self, _: Uuid, _: &dyn Signer, _: SignatureAlgorithm) -> SignInAnswer {
        SignInAnswer::Accepted { correlation_id: Uuid::nil().to_string() }
    }
}

/// Why a process ended without a report.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "made once a run")]
pub enum Ended {
    Died,
    /// Exit 1 before anything was planned.
    CouldNotPlan(String),
    Reported(Report, Plan),
}

impl Ground {
    pub async fn observe(&self) -> Result<Observed, String> {
        let observation = observe(&self.desired, self, None, &self.slots).await;
        let tenants = observation.observed.tenants.len();
        match observation.troubles.values().next() {
            // As the command line does: when nothing at all can be read there is no plan.
            Some(trouble) if observation.troubles.len() == tenants => Err(trouble.to_string()),
            _ => Ok(observation.observed),
        }
    }

    fn count_phases(&self, observed: &Observed) {
        let coverage = &mut self.process.world.state().coverage;
        for store in observed.stores.values() {
            let StoreState::Known(holding) = &store.state else { continue };
            for generation in &holding.generations {
                coverage.hit("phase", tag(&generation.record.phase, ""));
            }
        }
    }

    /// A plan, guarded. `at` is another moment than the present.
    pub fn plan(&self, observed: &Observed, policy: &Policy, at: Option<Timestamp>) -> Plan {
        let now = at.unwrap_or_else(|| self.process.clock.now());
        let plan = planner::plan(&self.desired, observed, policy, now);
        for checked in [
            guard::check(&plan, &self.desired, observed, policy),
            guard::settles(&plan, &self.desired, observed, policy),
        ] {
            if let Err(refused) = checked {
                self.process.world.violation(format!("the guard refuses a plan: {refused}"));
            }
        }
        plan
    }

    /// Plans and applies. A `reviewed` plan limits it to what was reviewed.
    pub async fn run(&self, policy: &Policy, reviewed: Option<&Plan>, stop: Option<i64>) -> Ended {
        let process = &self.process;
        let end = async {
            match stop {
                Some(seconds) => tokio::time::sleep(std::time::Duration::from_secs(seconds as u64)).await,
                None => std::future::pending::<()>().await,
            }
        };
        tokio::pin!(end);
        let work = async {
            let observed = tokio::select! {
                biased;
                observed = self.observe() => observed,
                // Nothing is under way while a plan is made: the process just ends.
                () = &mut end => Err("interrupted".to_owned()),
            };
            let observed = match observed {
                Ok(observed) => observed,
                Err(reason) => return Ended::CouldNotPlan(reason),
            };
            self.count_phases(&observed);
            let mut plan = self.plan(&observed, policy, None);
            if process.breaks(5) {
                plan.certificates.iter_mut().for_each(|certificate| certificate.steps.clear());
            }
            process.name_removals(&plan);
            for denied in denied(&plan, &observed) {
                process.world.state().coverage.said(&format!("{} {}", denied.doing, denied.reason));
            }
            let (canceller, cancel) = cancellation();
            let job = Job {
                desired: &self.desired,
                plan: &plan,
                reviewed: reviewed.filter(|_| !process.breaks(4)),
                observed: &observed,
                writers: self,
                clock: &*process.clock,
                random: &*process.random as &dyn Random,
                settings: &policy.settings,
                algorithm: SignatureAlgorithm::Ps256,
                events: &**process,
                cancel: if stop.is_some() { &cancel } else { &Cancel::never() },
                slots: self.slots.clone(),
            };
            let report = {
                let work = apply(job);
                tokio::pin!(work);
                tokio::select! {
                    biased;
                    report = &mut work => report,
                    () = end, if stop.is_some() => {
                        process.world.state().coverage.hit("fault", "stopped by a signal");
                        canceller.cancel();
                        let asked = process.world.now();
                        let report = work.await;
                        if process.world.now().duration_since(asked) > SignedDuration::from_secs(5) {
                            process.world.violation("a run that was asked to stop took longer than 5 s");
                        }
                        report
                    }
                }
            };
            Ended::Reported(report, plan)
        };
        let ended = process.until_dead(work).await.unwrap_or(Ended::Died);
        process.leaves(&ended);
        process.count_mischief();
        ended
    }
}

impl Process {
    fn name_removals(&self, plan: &Plan) {
        let steps = plan.certificates.iter().flat_map(|certificate| &certificate.steps);
        let mut named = self.named.lock().unwrap();
        for planned in steps {
            match &planned.step {
                Step::Retire { credential } => _ = named.insert(credential.key_id.to_string()),
                Step::Publish { dropping, .. } => named.extend(dropping.iter().map(ToString::to_string)),
                _ => {}
            }
        }
    }

    /// P3 over everything the process said.
    fn leaves(&self, ended: &Ended) {
        let told = self.world.told.take();
        self.world.no_secret_in("a log line", &told);
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        for event in &heard {
            self.world.no_secret_in("an event", &serde_json::to_string(event).unwrap());
        }
        match ended {
            Ended::Reported(report, plan) => {
                let owner = &plan.owner;
                self.world.no_secret_in("a receipt", &serde_json::to_string(&report.receipt(owner)).unwrap());
                self.world.no_secret_in("a plan", &Document::of(plan).to_json());
            }
            Ended::CouldNotPlan(reason) => self.world.no_secret_in("an error", reason),
            Ended::Died => {}
        }
    }
}
