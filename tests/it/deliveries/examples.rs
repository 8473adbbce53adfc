//! The examples of `examples/deliver`: each applies, and then there is nothing to do.

use crate::support::ci;
use crate::support::cli::{Bench, examples_in};

fn applies(name: &str, service: Option<&str>) {
    let (_folder, mut bench) = Bench::of_example(&format!("deliver/{name}"));
    let played = service.map(ci::serve);
    bench.env.extend(played.iter().flat_map(|(_, variables)| variables.clone()));
    let validated = bench.run(&["certroll", "validate"]);
    assert_eq!(validated.code, 0, "{}", validated.stderr);
    for expected in ["1 rotated, proven", "nothing to do"] {
        let ran = bench.run(&["certroll", "apply", "--emulator", "--auto-approve"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    }
}

#[test]
fn the_example_file_works() {
    applies("file", None);
}

#[test]
fn the_example_exec_works() {
    applies("exec", None);
}

#[test]
fn the_example_github_works() {
    applies("github", Some("github"));
}

#[test]
fn the_example_gitlab_works() {
    applies("gitlab", Some("gitlab"));
}

#[test]
fn the_example_azure_devops_works() {
    applies("azure-devops", Some("azure_devops"));
}

#[test]
fn every_example_is_run() {
    assert_eq!(examples_in("deliver"), ["azure-devops", "exec", "file", "github", "gitlab"]);
}
