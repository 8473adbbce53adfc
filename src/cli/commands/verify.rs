//! `verify`: fresh reads, key against certificate, sign-ins. Never believes an earlier run.

use std::sync::Arc;

use serde_json::json;

use crate::backends::shipped::ShippedReaders;
use crate::cli::args::{Global, Selection, VerifyArgs};
use crate::cli::brief::words;
use crate::cli::exit::Ending;
use crate::cli::human::{EMULATOR_STAMP, View};
use crate::cli::json::pretty;
use crate::cli::planning::{Ask, look};
use crate::cli::text::{Ink, Text, counted};
use crate::cli::world::World;
use crate::cli::{progress, unread, view};
use crate::error::Error;
use crate::report::verify::{Means, Verdict, Verified, verify};
use crate::settings::Settings;

/// Verifies and tells.
pub async fn run(args: &VerifyArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let selection = Selection { only: args.addresses.clone(), ..Selection::default() };
    let ask = Ask::looking(&selection, args.parallelism);
    let prepared = look(&ask, global, world).await?;
    let provers = ShippedReaders::new(&prepared.ground.connections);
    let means = Means {
        provers: &provers,
        clock: Arc::clone(&prepared.ground.clock),
        random: Arc::clone(&world.random),
    };
    if !prepared.ground.in_process {
        progress::note(&signing_in(&prepared.policy.settings), global, world);
    }
    let verified = verify(&prepared.desired, &prepared.observed, &prepared.policy, &means).await;
    let emulator = prepared.ground.emulator;
    if global.is_json() {
        let value = json!({
            "format_version": "1.0",
            "date": prepared.plan.now,
            "emulator": emulator,
            "ok": verified.iter().all(|one| ending(&one.verdict) == Ending::Fine),
            "certificates": verified,
        });
        world.stdout.write(&pretty(&value));
    } else {
        world.stdout.write(&text(&verified, emulator, view(global, world)));
    }
    let unread = unread::tell(&prepared.unread, global, world);
    Ok(verified.iter().map(|one| ending(&one.verdict)).fold(unread, Ending::and))
}

fn signing_in(settings: &Settings) -> String {
    let Settings { sign_ins, sign_in_interval, .. } = settings;
    format!("Signing in with every current key, {sign_ins} times in a row, {sign_in_interval:#} apart …")
}

fn ending(verdict: &Verdict) -> Ending {
    match verdict {
        Verdict::Verified { .. } | Verdict::Present { .. } => Ending::Fine,
        Verdict::NotYet { .. } => Ending::Partial,
        Verdict::Failed { .. } | Verdict::Unknown { .. } => Ending::Error,
    }
}

fn text(verified: &[Verified], emulator: bool, view: View) -> String {
    let mut text = Text::new(view.colour);
    if emulator {
        text.put(Ink::Attention, EMULATOR_STAMP).end().gap();
    }
    for one in verified {
        lines(&mut text, one, view.whole);
    }
    let count = |test: fn(&Verdict) -> bool| verified.iter().filter(|one| test(&one.verdict)).count();
    let works = count(|verdict| matches!(verdict, Verdict::Verified { .. }));
    let present = count(|verdict| matches!(verdict, Verdict::Present { .. }));
    let others = verified.len() - works - present;
    let checked = counted(verified.len(), "certificate", "certificates");
    let summary = format!(
        "Verify: {checked}: {works} verified, {present} present but not provable from here, {others} not."
    );
    text.gap().put(Ink::Heading, &summary).plain(if emulator { " (emulator)" } else { "" }).end();
    text.into_string()
}

fn lines(text: &mut Text, one: &Verified, whole: bool) {
    let (ink, word, reason, hint) = match &one.verdict {
        Verdict::Verified { correlation_ids } => {
            let reason = format!("key matches, {} sign-ins in a row", correlation_ids.len());
            (Ink::Makes, "verified", reason, None)
        }
        Verdict::Present { reason } => (Ink::Plain, "present", reason.clone(), None),
        Verdict::NotYet { reason } => (Ink::Attention, "not yet", reason.clone(), None),
        Verdict::Failed { reason, hint } => (Ink::Bad, "failed", reason.clone(), hint.clone()),
        Verdict::Unknown { reason, hint } => (Ink::Bad, "not known", reason.clone(), hint.clone()),
    };
    let thumbprint = one.thumbprint.map(|sha1| format!(" {}…", sha1.short())).unwrap_or_default();
    let end = one.end.map(|end| format!(" until {}", end.strftime("%Y-%m-%d"))).unwrap_or_default();
    text.put(Ink::Heading, &one.address.to_string()).plain(&format!("{thumbprint}{end}  "));
    text.put(ink, word).line(&format!(": {}", words(&reason, whole)));
    if let Some(hint) = hint {
        text.line(&format!("    try: {hint}"));
    }
}
