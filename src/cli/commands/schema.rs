//! `schema`: the JSON schema of a file format, for editors and for other programs.

use crate::cli::args::SchemaName;
use crate::cli::exit::Ending;
use crate::cli::json::pretty;
use crate::cli::world::World;
use crate::error::Error;

/// Prints the schema.
pub fn run(which: SchemaName, world: &World) -> Result<Ending, Error> {
    let schema = match which {
        SchemaName::Certroll => crate::desired::file::schema(),
        SchemaName::Plan => crate::plan::document::schema(),
    };
    world.stdout.write(&pretty(&schema));
    Ok(Ending::Fine)
}
