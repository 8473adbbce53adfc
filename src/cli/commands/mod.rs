//! The commands, one file each. Each reads like the picture in the crate's documentation.

pub mod about;
pub mod emulator;

use crate::cli::args::{Cli, Command};
use crate::cli::exit::Ending;
use crate::cli::world::World;
use crate::error::{Error, Kind};

/// Runs the command.
pub async fn run(cli: Cli, world: &mut World) -> Result<Ending, Error> {
    let Cli { global, command } = cli;
    match command {
        Command::Completions(args) => about::completions(args.shell, world),
        Command::Man(args) => about::man(args.command.as_deref(), world),
        Command::Version => about::version(&global, world),
        Command::Destroy(_) => Err(about::not_destroy()),
        Command::Import(_) => Err(about::not_import()),
        _ => Err(Error::new(Kind::Internal, "not there yet")),
    }
}
