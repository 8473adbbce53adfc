//! Reads declarations: YAML as written to [`Desired`] as meant, with every mistake at once.
//!
//! ```text
//! Sources --bytes--> text + tree --grammar--> written --resolve--> Desired
//!   disk               positions    check      items    inherit, refer, compare
//! ```
//!
//! Only `disk` does I/O. What a file may hold stands in `grammar`, once.

mod check;
mod collect;
mod disk;
mod grammar;
mod resolve;
mod rule;
mod schema;
mod sources;
mod starter;
mod text;
mod tree;
mod words;
mod written;

use std::path::PathBuf;

use crate::backends::Backends;
use crate::desired::Desired;
use crate::diagnostic::{Diagnostic, Severity};

pub use disk::Disk;
pub use schema::schema;
pub use sources::{PathKind, SourceError, Sources};
pub use starter::STARTER;

/// Largest file that is read, in bytes. 20,000 certificates need about 5 MB.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What to read, and what may be used.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Files and folders, as given on the command line.
    pub paths: Vec<PathBuf>,
    /// What this version can do. A test may allow everything.
    pub backends: Backends,
}

impl LoadOptions {
    /// These files and folders, with the back ends this version has.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> LoadOptions {
        LoadOptions { paths: paths.into_iter().map(Into::into).collect(), backends: Backends::shipped() }
    }
}

/// A declaration without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it means.
    pub desired: Desired,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// The files that were read, as labelled in diagnostics.
    pub files: Vec<String>,
    /// YAML files of a folder that are no declarations.
    pub skipped: Vec<String>,
}

/// Reads and checks a declaration. All errors come at once, with the warnings, by file and position.
pub fn load(sources: &dyn Sources, options: &LoadOptions) -> Result<Loaded, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let gathered = collect::gather(sources, &options.paths, &mut found);
    let mut written = written::read(&gathered.files, &mut found);
    written.incomplete |= gathered.incomplete;
    let desired = resolve::resolve(sources, &options.backends, written, &mut found);
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    // The same mistake in a default is found once for every certificate it applies to.
    found.dedup_by(|a, b| a.order() == b.order() && a.code == b.code);
    match desired {
        Some(desired) if found.iter().all(|d| d.severity == Severity::Warning) => Ok(Loaded {
            desired,
            warnings: found,
            files: gathered.files.iter().map(|file| file.source.label.clone()).collect(),
            skipped: gathered.skipped,
        }),
        _ => Err(found),
    }
}

/// The candidate that was probably meant, if one is near enough: other case, other separators, or a few letters off.
pub(crate) fn nearest<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(text);
    let allowed = (wanted.chars().count() / 3).max(1);
    // A text of many letters cannot be a slip of the pen, and comparing costs its length times the candidate's.
    if wanted.len() > 100 {
        return None;
    }
    candidates
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= allowed)
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
