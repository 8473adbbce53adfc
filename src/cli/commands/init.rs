//! `init`: a starter file. Never overwrites one.

use std::path::PathBuf;

use crate::cli::args::{Global, InitArgs};
use crate::cli::exit::Ending;
use crate::cli::files;
use crate::cli::json::pretty;
use crate::cli::text::clean;
use crate::cli::world::World;
use crate::desired::file::STARTER;
use crate::error::{Error, Kind};

/// What the starter file is called in a folder.
const FILE_NAME: &str = "certroll.yaml";

/// Writes the starter file.
pub fn run(args: &InitArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let path = destination(args, global, world)?;
    files::create(&world.path(&path), &path, STARTER.as_bytes())
        .map_err(|error| error.hint("name another path: certroll init other.yaml"))?;
    let path = path.display().to_string();
    if global.is_json() {
        world.stdout.write(&pretty(&serde_json::json!({ "written": path })));
    } else {
        let path = clean(&path);
        world.stdout.write(&format!("Wrote {path}. Next: edit it, then certroll validate -f {path}\n"));
    }
    Ok(Ending::Fine)
}

/// Where to: the one path that is given, whether as an argument or with `-f`, as for every other command.
fn destination(args: &InitArgs, global: &Global, world: &World) -> Result<PathBuf, Error> {
    let mut named = args.path.iter().chain(&global.files);
    let path = named.next().cloned().unwrap_or_else(|| PathBuf::from(FILE_NAME));
    if named.next().is_some() {
        return Err(Error::new(Kind::Usage, "reading the command line")
            .because("init writes one file, and more than one path is given")
            .hint("name it once: certroll init -f FILE"));
    }
    let path = if world.path(&path).is_dir() { path.join(FILE_NAME) } else { path };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Ok(path),
        _ => Err(Error::new(Kind::Usage, "reading the command line")
            .because(format!("{} would not be read in a folder: a declaration ends in .yaml", path.display()))
            .hint("name a file that ends in .yaml, or a folder that is there")),
    }
}
