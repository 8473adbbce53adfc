//! Ten thousand applications: lists stay quick, and a change costs what it changes.

use std::fs;
use std::time::Instant;

use certroll::emulator::Emulator;

use super::world::*;

#[test]
fn ten_thousand_applications_are_listed_written_and_opened_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("emulator.json");
    let emulator = Emulator::open(&path).unwrap();
    emulator.freeze(Some(start()));
    let directory = Directory::over(emulator);
    directory.emulator.seed(TENANT, 10_000);
    let (id, _) = directory.application("orders-api", vec![]);
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let before = Instant::now();
        work();
        println!("{what}: {:?}", before.elapsed());
    };
    let mut next = Some("/v1.0/applications?$top=999&$select=id,appId,keyCredentials".to_owned());
    let mut seen = 0;
    timed("list of 10,000", &mut || {
        while let Some(path) = next.take() {
            let got = directory.get(&path);
            seen += got.values().len();
            next =
                got.body["@odata.nextLink"].as_str().map(|link| link.strip_prefix(BASE).unwrap().to_owned());
        }
    });
    assert_eq!(seen, 10_002);
    let size = || {
        fs::metadata(&path).unwrap().len()
            + fs::metadata(path.with_extension("json.log")).map_or(0, |found| found.len())
    };
    let before = size();
    timed("100 writes", &mut || {
        for round in 0..50 {
            assert_eq!(
                directory.write_keys(id, vec![new_entry(identity(0), &round.to_string())]).status,
                204
            );
            assert_eq!(directory.write_keys(id, vec![]).status, 204);
        }
    });
    // A write adds a line about one object; the state of 10,000 is not written again.
    let per_write = (size() - before) / 100;
    println!("{before} bytes of state, {per_write} bytes a write");
    assert!(per_write < 32 * 1024, "{per_write}");
    timed("opening", &mut || drop(Emulator::open(&path).unwrap()));
}
