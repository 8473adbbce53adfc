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
fn years_of_one_certificate_with_deaths_anywhere_keep_every_promise() {
    for seed in 1..=4 {
        let outcome = live(&story(seed, 2));
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}: {:#?}\n{}",
            outcome.violations,
            outcome.log.join("\n")
        );
        assert!(outcome.rotations > 20, "{}", outcome.rotations);
    }
}
