//! One test binary.

mod issuers;
mod planning;
