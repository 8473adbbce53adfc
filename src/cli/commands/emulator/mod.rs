//! `certroll emulator …`: starting the pretend directory, and playing with it.
//!
//! Every command but `serve` works on a state file or on a running server, through the same requests to the emulator's
//! other door.

pub mod args;
mod change;
mod door;
mod seed;
mod serve;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use http::Method;
use serde_json::json;

use crate::cli::json::{fit_to_show, line};
use crate::emulator::EmulatorError;
pub use args::{EmulatorCommand, ServeArgs, StateArgs};
use change::{break_something, clock, read_faults};
use door::Door;
use seed::seed;
use serve::serve;
use show::directory_text;

/// What the commands take from their surroundings.
#[derive(Clone, Debug, Default)]
pub struct EmulatorEnv {
    /// Where files that the command line names are; empty for the working directory of the process.
    pub cwd: PathBuf,
    /// `CERTROLL_STATE`.
    pub state: Option<PathBuf>,
    /// `CERTROLL_EMULATOR`: the URL of a running server.
    pub server: Option<String>,
    /// `CERTROLL_CA_FILE`: the authority to trust when talking to it.
    pub ca_file: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorCliError {
    /// The emulator itself.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// A file named on the command line.
    #[error("{doing} {path}")]
    File {
        /// A gerund.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An argument that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be understood, or something that is not there.
    #[error("{0}")]
    Input(String),
    /// A running server that does not answer as it should.
    #[error("asking the emulator at {url}: {reason}")]
    Remote {
        /// The server.
        url: String,
        /// What went wrong, with its causes.
        reason: String,
    },
    /// Standard output is gone.
    #[error("writing the output")]
    Output(#[from] io::Error),
}

/// Carries out a command. Data goes to `out`, remarks go to `err`.
pub async fn run(
    command: EmulatorCommand,
    env: EmulatorEnv,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), EmulatorCliError> {
    match command {
        EmulatorCommand::Serve(args) => serve(args, &env, out, err).await,
        EmulatorCommand::Clock(args) => clock(args, &env, out).await,
        EmulatorCommand::Seed(args) => seed(args, &env, out).await,
        EmulatorCommand::Journal { clear, state } => {
            let method = if clear { Method::DELETE } else { Method::GET };
            let text = Door::new(&state, &env)?.ask(method, "journal", None).await?;
            if !clear {
                out.write_all(fit_to_show(&text).as_bytes())?;
            }
            Ok(())
        }
        EmulatorCommand::Reset(state) => {
            Door::new(&state, &env)?.ask(Method::POST, "reset", None).await?;
            Ok(())
        }
        EmulatorCommand::Show { json, state } => {
            let shown = Door::new(&state, &env)?.json(Method::GET, "show", None).await?;
            match json {
                true => out.write_all(line(&shown).as_bytes())?,
                false => out.write_all(directory_text(&shown).as_bytes())?,
            }
            Ok(())
        }
        EmulatorCommand::Faults { file, clear, state } => {
            let door = Door::new(&state, &env)?;
            let shown = match (file, clear) {
                (Some(file), _) => {
                    door.json(Method::PUT, "faults", Some(json!(read_faults(&file, &env)?))).await?
                }
                (None, true) => door.json(Method::PUT, "faults", Some(json!({}))).await?,
                (None, false) => door.json(Method::GET, "faults", None).await?,
            };
            out.write_all(line(&shown).as_bytes())?;
            Ok(())
        }
        EmulatorCommand::Break(command) => break_something(command, &env).await,
    }
}
