//! The examples of `examples/deliver`: each applies, and then there is nothing to do.

use std::path::Path;

use crate::support::ci;
use crate::support::cli::Bench;

fn applies(name: &str, service: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deliver").join(name);
    for entry in std::fs::read_dir(&example).unwrap() {
        let path = entry.unwrap().path();
        // What somebody left there who tried it out.
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut bench = Bench::new(folder.path());
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deliver");
    let found =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = found.collect();
    found.sort();
    assert_eq!(found, ["azure-devops", "exec", "file", "github", "gitlab"]);
}
