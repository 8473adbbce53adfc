//! One test binary.

mod file;
mod issuers;
