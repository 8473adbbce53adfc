//! `apply`: carries a plan out. Without a saved plan it plans, shows, asks, plans again and carries out what was shown.

use std::borrow::Cow;
use std::future::Future;
use std::io::BufRead as _;
use std::sync::Arc;

use crate::apply::events::Events;
use crate::apply::outcome::{self, Report};
use crate::apply::{self, Job, cancellation};
use crate::backends::shipped::ShippedWriters;
use crate::cli::args::{ApplyArgs, Global, Selection};
use crate::cli::commands::{plan, show};
use crate::cli::exit::Ending;
use crate::cli::files::Pending;
use crate::cli::planning::{Ask, Prepared, prepare, settings};
use crate::cli::progress::{Bars, JsonLines, Lines, Quiet};
use crate::cli::secrets::FromOperator;
use crate::cli::text::clean;
use crate::cli::world::World;
use crate::cli::{again, compare, complain, human, json, outcome_text, unread, view};
use crate::error::{Error, Kind};
use crate::plan::Plan;
use crate::plan::policy::Pattern;
use crate::plan::successor::repair_withheld;

/// Who approved what is carried out.
enum Approval {
    /// A person reviewed this plan.
    Reviewed(Box<Plan>),
    /// `--auto-approve`.
    Unattended,
}

/// Plans, lets somebody approve, carries out, tells the outcome.
pub async fn run(args: &ApplyArgs, given: &Global, world: &mut World) -> Result<Ending, Error> {
    check_arguments(args, given, world)?;
    let saved = args.plan.as_ref().map(|path| show::read(path, world)).transpose()?;
    let saved = saved.map(|document| document.into_plan());
    let (selection, global) = match &saved {
        Some(saved) => {
            tell_what_is_asked(saved, given, world);
            is_asked_again(saved, &args.selection)?;
            (selection_of(saved), with_settings_of(saved, given)?)
        }
        None => (args.selection.clone(), given.clone()),
    };
    let global = &global;
    let receipt = args.receipt.as_ref().map(|path| Pending::open(&world.path(path), path)).transpose()?;
    let looking = Ask::looking(&selection, args.parallelism);
    let ask = Ask {
        emulator: Some(args.emulator),
        written: args.receipt.as_deref(),
        reviewed: saved.is_some(),
        ..looking
    };
    let prepared = unless_stopped(prepare(&ask, global, world), world).await?;
    let (prepared, approval) = match saved {
        Some(saved) => {
            compare_with_saved(&saved, &prepared, global, world)?;
            (prepared, Approval::Reviewed(Box::new(saved)))
        }
        None => approve(args, prepared, &ask, global, world).await?,
    };
    refuse_if_not_applyable(&prepared.plan)?;
    unread::tell(&prepared.unread, global, world);
    plan::denied(&prepared, global, world);
    let report = carry_out(&prepared, &approval, args, global, world).await;
    if !global.is_json() {
        world.stdout.write(&outcome_text::outcomes(&report, view(global, world)));
        tell_what_to_commit(&report, world);
        if report.ending() == outcome::Ending::Interrupted {
            world.stdout.write(&format!("\nto go on: {}\n", clean(&again::apply(args, given))));
        }
    }
    let written = receipt.map_or(Ok(()), |receipt| write_receipt(receipt, &report, &prepared));
    let ending = ending(&report);
    Ok(written.map_or_else(|error| ending.and(complain(&error, global, world)), |()| ending))
}

/// Reading changes nothing, so a signal ends it at once.
async fn unless_stopped<T>(look: impl Future<Output = Result<T, Error>>, world: &World) -> Result<T, Error> {
    let mut signals = world.signals.clone();
    tokio::select! {
        seen = look => seen,
        () = crate::cli::interrupted(&mut signals) => Err(stopped_before_anything()),
    }
}

fn stopped_before_anything() -> Error {
    Error::new(Kind::Interrupted, "interrupted").because("nothing had been begun")
}

fn write_receipt(receipt: Pending, report: &Report, prepared: &Prepared) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&report.receipt(&prepared.desired.owner))
        .map_err(|error| Error::new(Kind::Internal, "writing the receipt").caused_by(&error))?;
    receipt.commit(json::fit_to_show(&format!("{text}\n")).as_bytes())
}

/// What can be told before anything is read.
fn check_arguments(args: &ApplyArgs, global: &Global, world: &World) -> Result<(), Error> {
    let usage = |problem: &str| Error::new(Kind::Usage, "reading the command line").because(problem);
    if args.plan.is_some() && !args.selection.only.is_empty() {
        return Err(usage(
            "a saved plan already says which certificates are planned: --only does not go with it",
        ));
    }
    let asks = args.plan.is_none() && !args.auto_approve;
    if asks && global.is_json() {
        return Err(usage("--format json cannot ask: give a saved plan or --auto-approve"));
    }
    if asks && !(world.stdin_is_terminal && world.stderr.is_terminal()) {
        return Err(usage(
            "there is nobody to ask: without a terminal, apply needs a saved plan or --auto-approve",
        )
        .hint("certroll plan --out plan.json, review it, certroll apply plan.json"));
    }
    Ok(())
}

/// A saved plan also says what its run was asked for, which no declaration shows.
fn tell_what_is_asked(saved: &Plan, global: &Global, world: &World) {
    if !saved.asked.is_empty() && !global.quiet && !global.is_json() {
        world
            .stderr
            .write(&format!("The saved plan was asked for with {}.\n", saved.asked.flags().join(" ")));
    }
}

/// What takes a safeguard away is not done because a file says so, which may have been changed since the review: whoever applies the
/// plan asks for it too.
fn is_asked_again(saved: &Plan, selection: &Selection) -> Result<(), Error> {
    let (asked, given) = (saved.asked.flags(), again::asked_by(selection).flags());
    if let Some(extra) = given.iter().find(|flag| !asked.contains(flag)) {
        return Err(Error::new(Kind::Usage, "reading the command line")
            .because(format!("the saved plan was made without {extra}"))
            .hint("plan again with it: certroll plan --out FILE"));
    }
    let needed = saved.asked.taking_safeguards_away().flags();
    if needed.iter().all(|flag| given.contains(flag)) {
        return Ok(());
    }
    let needed = needed.join(" ");
    Err(Error::new(Kind::Refused, "carrying out the saved plan")
        .because(format!("it was asked for with {needed}, which a file alone cannot ask for"))
        .hint(format!("if that is meant, say it again: certroll apply PLAN {needed}")))
}

/// The selection that makes the saved plan again.
fn selection_of(saved: &Plan) -> Selection {
    let all =
        || saved.certificates.iter().map(|certificate| Pattern::Address(certificate.address.to_string()));
    Selection {
        only: if saved.complete { Vec::new() } else { all().collect() },
        replace: saved
            .asked
            .replace
            .iter()
            .map(|(address, thumbprint)| (address.clone(), *thumbprint))
            .collect(),
        revoke_previous: saved.asked.revoke_previous,
        rollback: saved.asked.rollback.iter().cloned().collect(),
        max_issue: saved.asked.max_issue,
        max_retire: saved.asked.max_retire,
    }
}

/// A saved plan is carried out with the settings it was made with. `--set` beside it may repeat them; anything else would be a run
/// that nobody reviewed.
fn with_settings_of(saved: &Plan, global: &Global) -> Result<Global, Error> {
    let kept: Vec<(String, String)> =
        saved.asked.settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let of_plan = Global { settings: kept, ..global.clone() };
    let both =
        Global { settings: [of_plan.settings.clone(), global.settings.clone()].concat(), ..global.clone() };
    if settings(&both)? == settings(&of_plan)? {
        return Ok(of_plan);
    }
    let made: Vec<String> =
        of_plan.settings.iter().map(|(name, value)| format!("--set {name}={value}")).collect();
    let made = if made.is_empty() { "no --set".to_owned() } else { made.join(" ") };
    Err(Error::new(Kind::Usage, "reading the command line")
        .because(format!("the saved plan was made with {made}, and --set asks for something else"))
        .hint("leave --set out, or plan again with it"))
}

/// Shows how the fresh plan differs from the saved one. Only steps that are in both are carried out.
fn compare_with_saved(saved: &Plan, fresh: &Prepared, global: &Global, world: &World) -> Result<(), Error> {
    let refused = |reason: String| {
        Error::new(Kind::Refused, "comparing with the saved plan")
            .because(reason)
            .hint("plan again: certroll plan --out FILE")
    };
    if saved.owner != fresh.plan.owner {
        return Err(refused(format!(
            "it was made for owner {}, and this declaration is {}'s",
            saved.owner, fresh.plan.owner
        )));
    }
    if saved.emulator != fresh.plan.emulator {
        let (was, is) = if saved.emulator { ("an emulator", "Entra") } else { ("Entra", "an emulator") };
        return Err(refused(format!("it was made on {was}, and this run is on {is}")));
    }
    refuse_if_not_applyable(saved)?;
    if global.is_json() {
        for difference in compare::objects(saved, &fresh.plan) {
            world.stderr.write(&json::line(&difference));
        }
    } else if let Some(differences) = compare::plans(saved, &fresh.plan) {
        world.stderr.write(&differences);
    }
    Ok(())
}

fn refuse_if_not_applyable(plan: &Plan) -> Result<(), Error> {
    if plan.applyable() {
        return Ok(());
    }
    let error = Error::new(Kind::Refused, "the plan may not be applied");
    Err(plan.refusals.iter().fold(error, |error, refusal| error.because(refusal)))
}

/// Shows the plan and has it approved.
async fn approve(
    args: &ApplyArgs,
    prepared: Prepared,
    ask: &Ask<'_>,
    global: &Global,
    world: &mut World,
) -> Result<(Prepared, Approval), Error> {
    if !global.is_json() {
        let view = view(global, world);
        world.stdout.write(&format!("{}\n", human::plan(&prepared.plan, view)));
    }
    if args.auto_approve || prepared.plan.is_empty() || !prepared.plan.applyable() {
        return Ok((prepared, Approval::Unattended));
    }
    if !says_yes(world).await? {
        return Err(Error::new(Kind::Input, "not applied: the answer was not \"yes\""));
    }
    // The answer may have taken an hour. What is carried out is planned now, and only what was shown.
    let fresh = unless_stopped(prepare(ask, global, world), world).await?;
    if let Some(differences) = compare::plans(&prepared.plan, &fresh.plan) {
        world.stderr.write(&differences);
    }
    Ok((fresh, Approval::Reviewed(Box::new(prepared.plan))))
}

/// The one question certroll asks. A signal ends the wait for the answer.
async fn says_yes(world: &mut World) -> Result<bool, Error> {
    world.stderr.write("Apply this plan? Only \"yes\" is taken as yes: ");
    let mut stdin = std::mem::replace(&mut world.stdin, Box::new(std::io::empty()));
    // On a thread of its own: reading from a terminal cannot be called off.
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        stdin.read_line(&mut answer).map(|_| answer)
    });
    let answer = async {
        let trouble = |error: &(dyn std::error::Error + 'static)| {
            Error::new(Kind::Local, "reading the answer").caused_by(error)
        };
        answer.await.map_err(|error| trouble(&error))?.map_err(|error| trouble(&error))
    };
    Ok(unless_stopped(answer, world).await?.trim() == "yes")
}

async fn carry_out(
    prepared: &Prepared,
    approval: &Approval,
    args: &ApplyArgs,
    global: &Global,
    world: &World,
) -> Report {
    let events = events(prepared, global, world);
    let writers =
        ShippedWriters::new(&prepared.ground.connections, Arc::new(FromOperator::new(global, world)));
    let (plan, reviewed) = match approval {
        Approval::Reviewed(reviewed) => (Cow::Borrowed(&prepared.plan), Some(Cow::Borrowed(&**reviewed))),
        Approval::Unattended if args.allow_repair => (Cow::Borrowed(&prepared.plan), None),
        Approval::Unattended => unattended(prepared),
    };
    let tells = !global.quiet && !global.is_json() && !prepared.plan.is_empty();
    if prepared.ground.in_process && tells {
        world.stderr.write("On the emulator waiting takes no time: its clock is moved instead.\n");
    }
    let (canceller, cancel) = cancellation();
    let mut signals = world.signals.clone();
    let job = Job {
        desired: &prepared.desired,
        plan: &plan,
        reviewed: reviewed.as_deref(),
        observed: &prepared.observed,
        writers: &writers,
        clock: &*prepared.ground.clock,
        random: &*world.random,
        settings: &prepared.policy.settings,
        algorithm: prepared.policy.settings.assertion,
        events: &*events,
        cancel: &cancel,
        slots: Arc::clone(&prepared.ground.slots),
    };
    let work = apply::apply(job);
    tokio::pin!(work);
    tokio::select! {
        report = &mut work => return report,
        () = crate::cli::interrupted(&mut signals) => canceller.cancel(),
    }
    if !global.is_json() {
        world.stderr.write("Stopping: what is in flight may end. A second signal ends at once.\n");
    }
    work.await
}

fn events(prepared: &Prepared, global: &Global, world: &World) -> Box<dyn Events> {
    if global.is_json() {
        let began = prepared.ground.clock.now();
        return Box::new(JsonLines { to: world.stdout.clone(), emulator: prepared.ground.emulator, began });
    }
    let whole = global.verbose > 0;
    match (global.quiet, world.stderr.is_terminal()) {
        (true, _) => Box::new(Quiet),
        (false, true) => Box::new(Bars::new(whole)),
        (false, false) => Box::new(Lines::new(world.stderr.clone(), whole)),
    }
}

/// An unattended run repairs only with `--allow-repair`: a credential that is missing was perhaps taken away on purpose. The rest of
/// the plan is carried out, a rotation of the same certificate included; what rests on the repair is not. What is carried out, and what
/// it is compared with, so that the rest is told as refused.
fn unattended(prepared: &Prepared) -> (Cow<'_, Plan>, Option<Cow<'_, Plan>>) {
    let shown = Cow::Borrowed(&prepared.plan);
    if !prepared.plan.certificates.iter().any(|one| one.is_repair()) {
        return (shown, None);
    }
    match prepared.without_repairs() {
        Some(plan) => (Cow::Owned(plan), Some(shown)),
        None => (shown, Some(Cow::Owned(leave_out(&prepared.plan)))),
    }
}

/// Without all the steps of whatever is repaired.
fn leave_out(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for certificate in plan.certificates.iter_mut().filter(|one| one.is_repair()) {
        certificate.steps.clear();
        certificate.notes = vec![repair_withheld()];
    }
    plan
}

/// What `--revoke-previous` took away must stay away: the entries to commit.
fn tell_what_to_commit(report: &Report, world: &World) {
    if report.to_commit.is_empty() {
        return;
    }
    world
        .stdout
        .write("\nCommit this, so that it is never published or offered again:\n\n    certificates:\n");
    for (address, thumbprint) in &report.to_commit {
        world.stdout.write(&format!("      {}:\n        revoked: [ \"{thumbprint}\" ]\n", address.name));
    }
}

fn ending(report: &Report) -> Ending {
    match report.ending() {
        outcome::Ending::Fine => Ending::Fine,
        outcome::Ending::Error => Ending::Error,
        outcome::Ending::Refused => Ending::Refused,
        outcome::Ending::InPart => Ending::Partial,
        outcome::Ending::Interrupted => Ending::Interrupted,
    }
}
