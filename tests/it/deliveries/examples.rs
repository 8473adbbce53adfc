//! The examples of `examples/deliver`: each applies, and then there is nothing to do.

use crate::support::ci;
use crate::support::cli::{Bench, ROTATED, applies, examples_in};

fn delivers(name: &str, service: Option<&str>) {
    let played = service.map(ci::serve);
    let reach =
        |bench: &mut Bench| bench.env.extend(played.iter().flat_map(|(_, variables)| variables.clone()));
    applies(&format!("deliver/{name}"), reach, &ROTATED);
}

#[test]
fn the_example_file_works() {
    delivers("file", None);
}

#[test]
fn the_example_exec_works() {
    delivers("exec", None);
}

#[test]
fn the_example_github_works() {
    delivers("github", Some("github"));
}

#[test]
fn the_example_gitlab_works() {
    delivers("gitlab", Some("gitlab"));
}

#[test]
fn the_example_azure_devops_works() {
    delivers("azure-devops", Some("azure_devops"));
}

#[test]
fn every_example_is_run() {
    assert_eq!(examples_in("deliver"), ["azure-devops", "exec", "file", "github", "gitlab"]);
}
