//! Decision (b), row by row: every other generation and credential of the certificate.

use super::observed::*;
use super::rows::Row;

/// A predecessor whose successor was promoted on 2027-02-01; the overlap ended on 2027-02-15.
pub(crate) fn overlap_over() -> World {
    world().with(former("old", "2026-08-01")).with(current("new", "2027-02-01"))
}

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        story: "a predecessor whose overlap is over is retired after its successor was proven again",
        world: overlap_over,
        steps: &["prove new: before removal", "retire old: overlap over"],
        notes: &[],
    }]
}
