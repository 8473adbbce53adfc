//! A fixed budget of simulated years, the histories that once failed, and checks that the simulation itself can fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock, an environment and files")]

mod sim;
mod support;
mod together;

use std::collections::BTreeSet;
use std::path::Path;

use sim::coverage::{Coverage, SPEAKERS, phrases, required};
use sim::generate::story;
use sim::life::live;
use sim::shrink::shrink;
use sim::story::Story;

#[test]
fn the_same_seed_gives_the_same_log_byte_for_byte() {
    let (one, other) = (live(&story(1, 1)), live(&story(1, 1)));
    assert_eq!(one.log.join("\n"), other.log.join("\n"));
    assert_eq!(one, other);
}

#[test]
fn years_of_runs_with_deaths_and_trouble_anywhere_keep_every_promise() {
    let mut rotations = 0;
    for seed in 1..=4 {
        let outcome = live(&story(seed, 1));
        let log = outcome.log.join("\n");
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}\n{log}", outcome.violations);
        rotations += outcome.rotations;
    }
    // Not each world by itself: in some of them the keys are a provider's or a product's, and nothing is ours to rotate.
    assert!(rotations > 30, "{rotations}");
}

#[test]
fn no_history_that_once_broke_a_promise_breaks_it_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/stories");
    let mut told = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let story: Story = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let outcome = live(&story);
        let log = outcome.log.join("\n");
        assert!(outcome.violations.is_empty(), "{}: {:#?}\n{log}", path.display(), outcome.violations);
        told += 1;
    }
    assert!(told > 0);
}

#[test]
fn a_history_is_read_back_as_it_was_written() {
    let written = story(3, 1);
    assert_eq!(written.to_string().parse::<Story>().unwrap(), written);
}

/// A small world with a stranger's credential in it; where a broken certroll runs stands in braces.
const BROKEN: &str = "\
seed 1
start 2026-01-05T09:00:00Z
1 +0s object app0
2 +0s stranger app0 does=adds
3 +0s certificate c0 on=app0 store=files validity=60d rotation_period=15d overlap=3d
4 +0s certificate c1 on=app0 store=slots validity=60d rotation_period=15d overlap=3d
5 +1h run{first}
6 +1h plan saved{plan}
7 +16d run reviewed=saved{reviewed}
8 +16d run{last}
";

fn broken_in(promise: Option<u32>) -> Story {
    let spot = match promise {
        Some(3 | 6) => "{first}",
        Some(7 | 8) => "{plan}",
        Some(4) => "{reviewed}",
        _ => "{last}",
    };
    let does = promise.map(|promise| format!(" breaks={promise}")).unwrap_or_default();
    let mut text = BROKEN.replace(spot, &does);
    for spot in ["{first}", "{plan}", "{reviewed}", "{last}"] {
        text = text.replace(spot, "");
    }
    text.parse().unwrap()
}

#[test]
fn each_oracle_notices_a_certroll_that_breaks_its_promise() {
    let quiet = live(&broken_in(None));
    assert!(quiet.violations.is_empty(), "{:#?}\n{}", quiet.violations, quiet.log.join("\n"));
    for promise in 1..=8 {
        let outcome = live(&broken_in(Some(promise)));
        let begins = format!("P{promise} ");
        let noticed = outcome.violations.iter().any(|violation| violation.starts_with(&begins));
        assert!(noticed, "{begins}: {:#?}\n{}", outcome.violations, outcome.log.join("\n"));
    }
}

#[test]
fn a_failing_history_shrinks_to_what_makes_it_fail() {
    let long = broken_in(Some(2));
    let short = shrink(&long, 200);
    assert!(short.events.len() < long.events.len(), "{short}");
    assert!(short.to_string().contains("breaks=2"), "{short}");
    assert!(live(&short).violations.iter().any(|violation| violation.starts_with("P2 ")), "{short}");
}

#[test]
fn what_must_be_met_is_taken_from_the_shipped_code_and_a_zero_is_told() {
    let missing = Coverage::default().missing();
    assert_eq!(missing.len(), required().len());
    for name in ["because: revoked", "step: publish: done", "outcome: proven", "phase: staged", "exit: 130"] {
        assert!(missing.iter().any(|missing| missing == name), "{name} in {missing:#?}");
    }
    assert!(phrases().iter().any(|phrase| phrase.contains("another machine may be using it")));
}

#[test]
fn every_file_of_the_planner_that_makes_notes_is_listened_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan");
    let mut speakers = BTreeSet::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains("NoteKind::")
                && !["mod.rs", "reason.rs"].iter().any(|name| path.ends_with(name))
            {
                speakers.insert(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let known: BTreeSet<String> = SPEAKERS.iter().map(|name| (*name).to_owned()).collect();
    let unheard: Vec<&String> = speakers.difference(&known).collect();
    assert!(unheard.is_empty(), "{unheard:?}");
}
