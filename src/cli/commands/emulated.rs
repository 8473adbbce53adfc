//! `emulator`: hands its own commands what they take from outside.

use std::path::PathBuf;

use crate::cli::args::Global;
use crate::cli::commands::emulator::{self, EmulatorCommand, EmulatorEnv};
use crate::cli::connect::state_path;
use crate::cli::exit::Ending;
use crate::cli::world::World;
use crate::error::{Error, Kind};

/// Runs one of the emulator's commands.
pub async fn run(command: EmulatorCommand, global: &Global, world: &World) -> Result<Ending, Error> {
    let env = EmulatorEnv {
        state: Some(world.path(&state_path(global, world))),
        server: world.var("CERTROLL_EMULATOR").map(str::to_owned),
        ca_file: world.var("CERTROLL_CA_FILE").map(|path| world.path(&PathBuf::from(path))),
    };
    let (mut out, mut err) = (world.stdout.clone(), world.stderr.clone());
    let result = emulator::run(command, env, &mut out, &mut err).await;
    result.map_err(|error| Error::new(Kind::Local, "running the emulator").caused_by(&error))?;
    Ok(Ending::Fine)
}
