//! The commands, one file each. Each reads like the picture in the crate's documentation.

pub mod about;
pub mod ack;
pub mod apply;
pub mod doctor;
pub mod drift;
pub mod emulated;
pub mod emulator;
pub mod init;
pub mod plan;
pub mod schema;
pub mod show;
pub mod validate;
pub mod verify;

use crate::cli::args::{Cli, Command};
use crate::cli::exit::Ending;
use crate::cli::world::World;
use crate::error::Error;

/// Runs the command.
pub async fn run(cli: Cli, world: &mut World) -> Result<Ending, Error> {
    let Cli { global, command } = cli;
    match command {
        Command::Init(args) => init::run(&args, &global, world),
        Command::Validate => validate::run(&global, world),
        Command::Plan(args) => plan::run(&args, &global, world).await,
        Command::Apply(args) => apply::run(&args, &global, world).await,
        Command::Drift(args) => drift::run(&args, &global, world).await,
        Command::Verify(args) => verify::run(&args, &global, world).await,
        Command::Doctor(args) => doctor::run(&args, &global, world).await,
        Command::Ack(args) => ack::run(&args, &global, world).await,
        Command::Show(args) => show::run(&args, &global, world),
        Command::Emulator(command) => emulated::run(command, &global, world).await,
        Command::Schema(args) => schema::run(args.which, world),
        Command::Completions(args) => about::completions(args.shell, world),
        Command::Man(args) => about::man(args.command.as_deref(), world),
        Command::Version => about::version(&global, world),
        Command::Destroy(_) => Err(about::not_destroy()),
        Command::Import(_) => Err(about::not_import()),
    }
}
