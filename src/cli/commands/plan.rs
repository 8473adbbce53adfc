//! `plan`: what apply would do, and why. Changes nothing.

use crate::cli::args::{Global, PlanArgs};
use crate::cli::exit::Ending;
use crate::cli::files::{self, Pending};
use crate::cli::human;
use crate::cli::json::fit_to_show;
use crate::cli::planning::{Ask, Prepared, prepare};
use crate::cli::world::World;
use crate::cli::{again, complain, unread, view};
use crate::error::{Error, Kind};
use crate::plan::Plan;
use crate::plan::asked::{self, Denied};
use crate::plan::document::Document;

/// Plans, shows the plan and saves it if asked to.
pub async fn run(args: &PlanArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let out = args.out.as_ref().map(|out| Pending::open(&world.path(out), out)).transpose()?;
    let looking = Ask::looking(&args.selection, args.parallelism);
    let ask = Ask { at: args.now, written: args.out.as_deref(), ..looking };
    let prepared = prepare(&ask, global, world).await?;
    let document = Document::of(&prepared.plan);
    show(&prepared.plan, &document, global, world);
    let ending = ending(&prepared).unless_detailed(args.detailed_exitcode);
    let ending =
        ending.and(unread::tell(&prepared.unread, global, world)).and(denied(&prepared, global, world));
    if let Some(Err(error)) = out.map(|out| save(out, &document)) {
        return Ok(ending.and(complain(&error, global, world)));
    }
    if let Some(out) = args.out.as_ref().filter(|_| !global.quiet) {
        let apply = again::apply_saved(out, &prepared.plan.asked, prepared.ground.emulator, global);
        let text = format!("Saved to {}. To carry out exactly this: {apply}", out.display());
        world.stderr.write(&format!("{}\n", crate::cli::text::clean(&text)));
    }
    Ok(ending)
}

fn save(out: Pending, document: &Document) -> Result<(), Error> {
    let text = fit_to_show(&document.to_json());
    if files::is_too_large(text.as_bytes()) {
        return Err(Error::new(Kind::Local, "saving the plan")
            .because("it would be too large to be read again")
            .hint("plan parts of the declaration, each with --only"));
    }
    out.commit(text.as_bytes())
}

/// Says what was asked for by name and cannot be done.
pub fn denied(prepared: &Prepared, global: &Global, world: &World) -> Ending {
    let denied = asked::denied(&prepared.plan, &prepared.observed);
    let endings = denied.into_iter().map(|Denied { address, doing, reason, hint }| {
        let error = Error::new(Kind::Refused, format!("{doing} {address}")).because(reason);
        complain(&hint.into_iter().fold(error, Error::hint), global, world)
    });
    endings.fold(Ending::Fine, Ending::and)
}

/// Shows a plan, fresh or saved.
pub fn show(plan: &Plan, document: &Document, global: &Global, world: &World) {
    let text = if global.is_json() {
        fit_to_show(&document.to_json())
    } else {
        human::plan(plan, view(global, world))
    };
    world.stdout.write(&text);
}

/// How a run ends that only planned.
fn ending(prepared: &Prepared) -> Ending {
    let plan = &prepared.plan;
    let refused = if plan.refusals.iter().any(is_refusal) { Ending::Refused } else { Ending::Fine };
    let changes = if plan.changes_anything() { Ending::Changes } else { Ending::Fine };
    let somebody = if plan.needs_somebody() { Ending::NeedsSomebody } else { Ending::Fine };
    refused.and(changes).and(somebody)
}

/// A plan for another moment was asked for: that it cannot be applied is no surprise.
fn is_refusal(refusal: &crate::plan::reason::Refusal) -> bool {
    !matches!(refusal, crate::plan::reason::Refusal::OtherTime)
}
