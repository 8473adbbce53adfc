//! Carries a plan out: one chain of steps per certificate, one outcome each. Decides nothing: every choice is in the steps.
//!
//! ```text
//! plan ──> reviewed? ──> chains ──┬── one client id after another ──> step, step, step ──> report
//!                                 └── others at the same time
//! ```
//!
//! Every step looks first, so that a run can be stopped anywhere and begun again. A chain that waits holds no slot and no key.

mod cancel;
mod chain;
mod context;
mod deliver;
pub mod events;
mod keys;
mod must_show;
pub mod outcome;
mod prove;
mod publish;
pub mod receipt;
mod replace;
mod retire;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use cancel::{Cancel, Canceller, cancellation};

use crate::apply::chain::Chain;
use crate::apply::context::Run;
use crate::apply::events::{Event, Events};
use crate::apply::outcome::{CertificateReport, Report};
use crate::desired::Desired;
use crate::edges::Writers;
use crate::ids::{Address, Thumbprint};
use crate::key::SignatureAlgorithm;
use crate::observed::{Observed, ObservedStore, StoreState, TargetState};
use crate::plan::asked::{Denied, denied, held, on_object};
use crate::plan::document::review_certificate;
use crate::plan::step::Step;
use crate::plan::undone::{Undone, undone};
use crate::plan::{CertificatePlan, Plan};
use crate::runtime::{Clock, Random};
use crate::settings::Settings;

/// Version of the events; the last number grows when something is added.
const EVENTS_FORMAT: &str = "1.0";

/// Everything a run needs.
pub struct Job<'a> {
    /// The declaration the plan was made from.
    pub desired: &'a Desired,
    /// The plan, made a moment ago.
    pub plan: &'a Plan,
    /// The plan somebody reviewed, if that is another one. Only steps that are also in it are carried out.
    pub reviewed: Option<&'a Plan>,
    /// What the plan was made from.
    pub observed: &'a Observed,
    /// What may be written to.
    pub writers: &'a dyn Writers,
    /// Time and waiting.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub random: &'a dyn Random,
    /// The numbers.
    pub settings: &'a Settings,
    /// How the sign-ins that prove a generation are signed.
    pub algorithm: SignatureAlgorithm,
    /// Who is told.
    pub events: &'a dyn Events,
    /// Asks the run to stop.
    pub cancel: &'a Cancel,
    /// Calls to stores, issuers and delivery places under way at a time. Not the semaphore that `writers` take the slots of their requests
    /// from: a call would wait for the slot it holds.
    pub slots: Arc<Semaphore>,
}

/// Carries the plan out and reports what became of it. Does not fail: every failure is some certificate's outcome.
pub async fn apply(job: Job<'_>) -> Report {
    let began = job.clock.now();
    let run = Run::new(&job);
    tell_what_is_planned(&job);
    let undone = undone_steps(&job);
    let groups = groups(&job.plan.certificates);
    let carried_out = join_all(groups.into_iter().map(|group| one_after_another(&run, &undone, group))).await;
    let mut certificates: Vec<CertificateReport> = carried_out.into_iter().flatten().collect();
    certificates.extend(telling::not_planned_any_more(&run, &undone));
    certificates.sort_by(|one, two| one.address.cmp(&two.address));
    let denied = denied(job.plan, job.observed);
    let report = Report {
        emulator: job.plan.emulator,
        interrupted: job.cancel.is_cancelled(),
        began,
        ended: job.clock.now(),
        certificates,
        unread: has_unread(&job),
        denied: !denied.is_empty(),
        to_commit: to_commit(&job, &denied),
    };
    for (address, thumbprint) in &report.to_commit {
        let (address, at) = (address.clone(), report.ended);
        job.events.emit(Event::ToCommit { address, at, revoked: vec![*thumbprint] });
    }
    job.events.emit(Event::ChangeSummary {
        at: report.ended,
        outcomes: report.outcomes(),
        exit_code: report.ending().exit_code(),
    });
    report
}

async fn one_after_another<'a>(
    run: &'a Run<'a>,
    undone: &'a [Undone<'a>],
    group: Vec<&'a CertificatePlan>,
) -> Vec<CertificateReport> {
    let mut reports = Vec::with_capacity(group.len());
    for plan in group {
        let reviewed = reviewed_steps(run.job, plan);
        let undone = undone.iter().find(|undone| undone.reviewed.address == plan.address);
        reports.push(Chain::new(run, plan, reviewed, undone).carry_out().await);
    }
    reports
}

/// What was reviewed and does not happen.
fn undone_steps<'a>(job: &Job<'a>) -> Vec<Undone<'a>> {
    let reviewed = job.reviewed.filter(|_| job.plan.applyable());
    reviewed.map(|reviewed| undone(reviewed, job.plan, job.observed)).unwrap_or_default()
}

/// What `--revoke-previous` is about and the file does not name yet. Told whether or not this run still had to do anything: until it is
/// committed, only the command line knows that the key is not to be trusted.
fn to_commit(job: &Job<'_>, denied: &[Denied]) -> BTreeMap<Address, Thumbprint> {
    let asked = &job.plan.asked;
    let replaced = asked.replace.iter().filter(|_| asked.revoke_previous);
    let replaced = replaced.filter(|(address, _)| denied.iter().all(|denied| denied.address != **address));
    let open = replaced.filter(|(address, thumbprint)| {
        let listed = job.desired.certificates.get(address).map(|declared| &declared.revoked);
        let same = same_certificate(job, address, thumbprint);
        !same.is_empty() && listed.is_none_or(|listed| listed.iter().all(|one| !same.contains(one)))
    });
    open.map(|(address, thumbprint)| (address.clone(), *thumbprint)).collect()
}

/// The thumbprints of the certificate that is named by one of them; none when nobody here knows it.
fn same_certificate(job: &Job<'_>, address: &Address, named: &Thumbprint) -> Vec<Thumbprint> {
    match held(job.observed, address, named) {
        Some(both) => vec![Thumbprint::Sha1(both.sha1), Thumbprint::Sha256(both.sha256)],
        None if on_object(job.observed, address, named).is_empty() => Vec::new(),
        None => vec![*named],
    }
}

/// Whether the object or the store of a planned certificate could not be read.
fn has_unread(job: &Job<'_>) -> bool {
    let is_planned = |address: &Address| job.plan.certificates.iter().any(|plan| plan.address == *address);
    let is_unread = |state: &TargetState| matches!(state, TargetState::Unreadable { .. });
    let is_closed = |store: &ObservedStore| matches!(store.state, StoreState::Unreadable { .. });
    let mut stores = job.observed.stores.iter();
    let mut tenants = job.observed.tenants.iter();
    stores.any(|(address, store)| is_closed(store) && is_planned(address))
        || tenants.any(|(name, tenant)| {
            let removed = job.desired.removed.iter().filter(|removed| removed.address.tenant == *name);
            let removed = removed.map(|removed| &removed.address).zip(&tenant.removed);
            let mut states = tenant.targets.iter().chain(removed);
            states.any(|(address, state)| is_unread(state) && is_planned(address))
        })
}

/// Tenant and client id; a chain without an object is a group of its own.
type GroupKey = (Option<(Uuid, Uuid)>, usize);

/// Chains on one client id belong together: an application and its service principal share sign-in, and their writes must not meet.
/// Groups with a repair begin first; within a group repairs, then chains that publish, so that a removal sees what was published.
fn groups(certificates: &[CertificatePlan]) -> Vec<Vec<&CertificatePlan>> {
    let mut groups: BTreeMap<GroupKey, Vec<&CertificatePlan>> = BTreeMap::new();
    for (index, plan) in certificates.iter().enumerate() {
        let key = match &plan.target {
            Some(target) => (Some((target.tenant_id, target.app_id)), 0),
            None => (None, index),
        };
        groups.entry(key).or_default().push(plan);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    for group in &mut groups {
        group.sort_by_key(|plan| urgency(plan));
    }
    groups.sort_by_key(|group| group.first().map(|plan| (!plan.is_repair(), &plan.address)));
    groups
}

fn urgency(plan: &CertificatePlan) -> u8 {
    let publishes = plan.steps.iter().any(|planned| matches!(planned.step, Step::Publish { .. }));
    match (plan.is_repair(), publishes) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

/// How many steps of the chain, from its first, are also in the reviewed plan. The chain ends before the first that is not: what
/// comes after it was reviewed on the understanding that it happens.
fn reviewed_steps(job: &Job<'_>, fresh: &CertificatePlan) -> usize {
    if !job.plan.applyable() {
        return 0;
    }
    match job.reviewed {
        Some(reviewed) => review_certificate(reviewed, fresh).allowed,
        None => fresh.steps.len(),
    }
}

fn tell_what_is_planned(job: &Job<'_>) {
    job.events.emit(Event::Version {
        certroll: env!("CARGO_PKG_VERSION").to_owned(),
        format: EVENTS_FORMAT.to_owned(),
        emulator: job.plan.emulator,
    });
    for plan in &job.plan.certificates {
        for planned in plan.steps.iter().take(reviewed_steps(job, plan)) {
            job.events.emit(Event::PlannedChange {
                address: plan.address.clone(),
                action: planned.step.verb().to_owned(),
                what: planned.step.to_string(),
                step: planned.step.clone(),
            });
        }
    }
}
