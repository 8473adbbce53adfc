//! `show`: a saved plan again, by the same code as a fresh one.

use std::path::Path;

use crate::cli::args::{Global, ShowArgs};
use crate::cli::commands::plan;
use crate::cli::exit::Ending;
use crate::cli::files;
use crate::cli::world::World;
use crate::error::{Error, Kind};
use crate::plan::document::{Document, DocumentError};

/// Shows the saved plan.
pub fn run(args: &ShowArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let document = read(&args.plan, world)?;
    plan::show(&document.clone().into_plan(), &document, global, world);
    Ok(Ending::Fine)
}

/// Reads a saved plan.
pub fn read(path: &Path, world: &World) -> Result<Document, Error> {
    let bytes = files::read(&world.path(path), path)?;
    Document::read(&bytes).map_err(|error| {
        let kind = match &error {
            DocumentError::NotAPlan(_) => Kind::Input,
            // A plan, and not one that anybody may rely on.
            DocumentError::Format { .. } | DocumentError::Altered => Kind::Refused,
        };
        Error::new(kind, format!("reading the saved plan {}", path.display())).caused_by(&error)
    })
}
