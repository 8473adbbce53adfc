//! `drift`: declared against live. Built on readers only; it can change nothing.

use crate::cli::args::{DriftArgs, Global, Selection};
use crate::cli::exit::Ending;
use crate::cli::planning::{Ask, look};
use crate::cli::world::World;
use crate::cli::{drift_text, json, unread, view};
use crate::error::Error;
use crate::report::drift::drift;

/// Looks, and says what differs.
pub async fn run(args: &DriftArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let selection = Selection { only: args.only.clone(), ..Selection::default() };
    let ask = Ask::looking(&selection, args.parallelism);
    let prepared = look(&ask, global, world).await?;
    if let Err(error) = prepared.check() {
        // What differs is told all the same: drift carries nothing out.
        tracing::warn!("plan and apply refuse this: {}", error.causes.join(": "));
    }
    let found = drift(&prepared.desired, &prepared.observed, &prepared.plan, &prepared.policy);
    if global.is_json() {
        world.stdout.write(&json::pretty(&json::drift(&found)));
    } else {
        let view = view(global, world);
        world.stdout.write(&drift_text::drift(&found, view.colour, view.unchanged));
    }
    let unread = unread::tell(&prepared.unread, global, world);
    let drifted = if found.has_drift() { Ending::Changes } else { Ending::Fine };
    let somebody = if found.needs_somebody() { Ending::NeedsSomebody } else { Ending::Fine };
    Ok(drifted.and(somebody).unless_detailed(args.detailed_exitcode).and(unread))
}
