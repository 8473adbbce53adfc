//! The planner, judged by the design. Expected steps and notes are written down from the design's tables; nothing here asks the
//! planner's own reasons what is right.

use crate::support::observed;

mod documents;
mod drifting;
mod guarded;
mod properties;
mod rows;
mod rows_current;
mod rows_others;
mod rows_places;
mod rows_provider;
mod rows_underway;
mod runs;
mod shown;
mod together;
mod worlds;
mod years;

use rows::{Row, check};

fn all_rows() -> Vec<Row> {
    [
        rows_current::rows(),
        rows_others::rows(),
        rows_underway::rows(),
        rows_places::rows(),
        rows_provider::rows(),
    ]
    .concat()
}

/// All rows in one test, so that a new reason cannot change an old answer unseen.
#[test]
fn every_row_gets_its_answer() {
    let all = all_rows();
    let failures: Vec<String> = all.iter().filter_map(|row| check(row).err()).collect();
    assert!(failures.is_empty(), "{} of {} rows:\n\n{}", failures.len(), all.len(), failures.join("\n\n"));
}

#[test]
fn au_02_and_au_03_a_providers_certificate_is_taken_up_when_it_is_newer_and_the_former_goes_once_confirmed() {
    let wrong: Vec<String> = rows_provider::rows().iter().filter_map(|row| check(row).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn rows_have_different_names() {
    let all = all_rows();
    let names: std::collections::BTreeSet<_> = all.iter().map(|row| row.story).collect();
    assert_eq!(names.len(), all.len());
}
