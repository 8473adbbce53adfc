//! `emulator`: hands its own commands what they take from outside.

use std::path::PathBuf;

use crate::cli::args::Global;
use crate::cli::commands::emulator::{self, EmulatorCliError, EmulatorCommand, EmulatorEnv};
use crate::cli::connect::state_path;
use crate::cli::exit::Ending;
use crate::cli::world::World;
use crate::error::{Error, Kind};

/// Runs one of the emulator's commands.
pub async fn run(command: EmulatorCommand, global: &Global, world: &World) -> Result<Ending, Error> {
    let env = EmulatorEnv {
        cwd: world.cwd.clone(),
        state: Some(world.path(&state_path(global, world))),
        server: world.var("CERTROLL_EMULATOR").map(str::to_owned),
        ca_file: world.var("CERTROLL_CA_FILE").map(|path| world.path(&PathBuf::from(path))),
    };
    let doing = match &command {
        EmulatorCommand::Serve(_) => "serving the emulator",
        EmulatorCommand::Clock(_) => "reading or moving the emulator's clock",
        EmulatorCommand::Seed(_) => "filling the emulator",
        EmulatorCommand::Journal { .. } => "reading the emulator's journal",
        EmulatorCommand::Reset(_) => "emptying the emulator",
        EmulatorCommand::Show { .. } => "showing what the emulator holds",
        EmulatorCommand::Faults { .. } => "making troubles in the emulator",
        EmulatorCommand::Break(_) => "changing something in the emulator",
    };
    let (mut out, mut err) = (world.stdout.clone(), world.stderr.clone());
    let result = emulator::run(command, env, &mut out, &mut err).await;
    result.map_err(|error| Error::new(kind(&error), doing).caused_by(&error))?;
    Ok(Ending::Fine)
}

fn kind(error: &EmulatorCliError) -> Kind {
    match error {
        EmulatorCliError::Usage(_) => Kind::Usage,
        EmulatorCliError::Input(_) => Kind::Input,
        EmulatorCliError::Remote { .. } => Kind::Network,
        EmulatorCliError::Emulator(_) | EmulatorCliError::File { .. } | EmulatorCliError::Output(_) => {
            Kind::Local
        }
    }
}
