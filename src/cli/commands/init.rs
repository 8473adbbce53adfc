//! `init`: a starter file. Never overwrites one.

use crate::cli::args::{Global, InitArgs};
use crate::cli::exit::Ending;
use crate::cli::files;
use crate::cli::json::pretty;
use crate::cli::text::clean;
use crate::cli::world::World;
use crate::desired::file::STARTER;
use crate::error::Error;

/// Writes the starter file.
pub fn run(args: &InitArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    files::create(&world.path(&args.path), &args.path, STARTER.as_bytes())
        .map_err(|error| error.hint("name another path: certroll init other.yaml"))?;
    let path = args.path.display().to_string();
    if global.is_json() {
        world.stdout.write(&pretty(&serde_json::json!({ "written": path })));
    } else {
        let path = clean(&path);
        world.stdout.write(&format!("Wrote {path}. Next: edit it, then certroll validate -f {path}\n"));
    }
    Ok(Ending::Fine)
}
