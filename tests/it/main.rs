//! One test binary.

mod issuers;
