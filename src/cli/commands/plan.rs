//! `plan`: what apply would do, and why. Changes nothing.

use crate::cli::args::{Global, PlanArgs};
use crate::cli::exit::Ending;
use crate::cli::human;
use crate::cli::planning::{Ask, prepare};
use crate::cli::world::World;
use crate::cli::{files, view};
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::document::Document;

/// Plans, shows the plan and saves it if asked to.
pub async fn run(args: &PlanArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let ask = Ask { selection: &args.selection, parallelism: args.parallelism, at: args.now, emulator: None };
    let prepared = prepare(&ask, global, world).await?;
    let document = Document::of(&prepared.plan);
    if let Some(out) = &args.out {
        files::write(&world.path(out), out, document.to_json().as_bytes())?;
    }
    show(&prepared.plan, &document, global, world);
    if let Some(out) = args.out.as_ref().filter(|_| !global.quiet) {
        let out = crate::cli::text::clean(&out.display().to_string()).into_owned();
        world.stderr.write(&format!("Saved to {out}. To carry out exactly this: certroll apply {out}\n"));
    }
    Ok(ending(&prepared.plan).unless_detailed(args.detailed_exitcode))
}

/// Shows a plan, fresh or saved.
pub fn show(plan: &Plan, document: &Document, global: &Global, world: &World) {
    let text = if global.is_json() { document.to_json() } else { human::plan(plan, view(global, world)) };
    world.stdout.write(&text);
}

/// How a run ends that only planned.
fn ending(plan: &Plan) -> Ending {
    let refused = if plan.refusals.iter().any(is_refusal) { Ending::Refused } else { Ending::Fine };
    let changes = if plan.is_empty() { Ending::Fine } else { Ending::Changes };
    let somebody = if plan.needs_somebody() { Ending::NeedsSomebody } else { Ending::Fine };
    refused.and(changes).and(somebody)
}

/// A plan for another moment was asked for: that it cannot be applied is no surprise.
fn is_refusal(refusal: &crate::plan::reason::Refusal) -> bool {
    !matches!(refusal, crate::plan::reason::Refusal::OtherTime)
}
