//! Simulated years out of a seed: `cargo run --release --example simulate -- --seed 1 --years 5 --worlds 100 --report`.
//!
//! Every world is a history of its own (seed, seed + 1, …). A world that breaks a promise is named with its seed and shrunk to the
//! shortest history that still breaks it; that text is a regression test for tests/simulation/stories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool for tests may panic")]
#![allow(clippy::disallowed_methods, reason = "a tool for tests has a clock and an environment")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for tests prints")]

#[path = "../tests/simulation/sim/mod.rs"]
mod sim;
#[path = "../tests/simulation/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Instant;

use sim::coverage::Coverage;
use sim::generate;
use sim::life::live;
use sim::story::Story;

struct Arguments {
    seed: u64,
    years: i64,
    worlds: u64,
    report: bool,
    complete: bool,
    progress: bool,
    log: bool,
    story: bool,
    shrink: bool,
    file: Option<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        seed: 1,
        years: 5,
        worlds: 1,
        report: false,
        complete: false,
        progress: false,
        log: false,
        story: false,
        shrink: false,
        file: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|text| text.parse().ok()).ok_or(format!("{word} needs a number"));
        match word.as_str() {
            "--seed" => found.seed = number()?,
            "--years" => found.years = number()? as i64,
            "--worlds" => found.worlds = number()?,
            "--report" => found.report = true,
            "--complete" => found.complete = true,
            "--progress" => found.progress = true,
            "--log" => found.log = true,
            "--story" => found.story = true,
            "--shrink" => found.shrink = true,
            "--file" => found.file = words.next(),
            _ => return Err(format!("no such option: {word}")),
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!(
                "{problem}\nsimulate [--seed N] [--years N] [--worlds N] [--report] [--complete] [--progress] [--log] [--story] [--shrink] [--file STORY]"
            );
            return ExitCode::from(64);
        }
    };
    let began = Instant::now();
    let (mut coverage, mut rotations, mut failed) = (Coverage::default(), 0, 0);
    for seed in arguments.seed..arguments.seed + arguments.worlds {
        let story: Story = match &arguments.file {
            Some(path) => std::fs::read_to_string(path).unwrap().parse().unwrap(),
            None => generate::story(seed, arguments.years),
        };
        if arguments.story {
            print!("{story}");
        }
        let outcome = live(&story);
        if arguments.log {
            outcome.log.iter().for_each(|line| println!("{line}"));
        }
        if !outcome.violations.is_empty() {
            failed += 1;
            println!("seed {seed}:");
            let mut told = std::collections::BTreeMap::new();
            outcome.violations.iter().for_each(|violation| *told.entry(violation).or_insert(0) += 1);
            told.iter().for_each(|(violation, times)| println!("  {violation} ({times} times)"));
            if arguments.shrink {
                // What is left out may be what the rest speaks of: such a history ends in a panic, which is nobody's news.
                std::panic::set_hook(Box::new(|_| {}));
                println!("{}", sim::shrink::shrink(&story, 2_000));
            }
        }
        if arguments.progress {
            eprintln!("seed {seed}: {} rotations, {:.0} s", outcome.rotations, began.elapsed().as_secs_f64());
        }
        coverage.merge(&outcome.coverage);
        rotations += outcome.rotations;
    }
    let seconds = began.elapsed().as_secs_f64();
    if arguments.report {
        print!("{}", coverage.report());
    }
    println!(
        "{} worlds of {} years, {rotations} rotations, {seconds:.1} s, {failed} with a broken promise",
        arguments.worlds, arguments.years
    );
    if let Some((fault, times)) = coverage.rarest_fault() {
        println!("the rarest fault: {fault}, {times} times");
    }
    let missing = if arguments.complete { coverage.missing() } else { Vec::new() };
    missing.iter().for_each(|name| println!("never met: {name}"));
    if failed == 0 && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
