//! A fixed budget of simulated years, and the histories that once failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock, an environment and files")]

mod sim;
mod support;

use sim::generate::story;
use sim::life::live;

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
        let outcome = live(&story(seed, 2));
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}: {:#?}\n{}",
            outcome.violations,
            outcome.log.join("\n")
        );
        rotations += outcome.rotations;
    }
    // Not each world by itself: in some of them the keys are a provider's or a product's, and nothing is ours to rotate.
    assert!(rotations > 100, "{rotations}");
}
