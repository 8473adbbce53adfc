//! certroll: connects arguments, environment and streams; so far only `certroll emulator`.
#![allow(clippy::disallowed_methods, reason = "the environment is read here and passed in")]

use std::io::Write as _;
use std::process::ExitCode;

use certroll::cli::commands::emulator::{self, EmulatorCommand, EmulatorEnv};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "certroll", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A pretend directory and login service
    #[command(subcommand)]
    Emulator(EmulatorCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Emulator(command) = Arguments::parse().command;
    let env = EmulatorEnv {
        state: std::env::var_os("CERTROLL_STATE").map(Into::into),
        server: std::env::var("CERTROLL_EMULATOR").ok(),
        ca_file: std::env::var_os("CERTROLL_CA_FILE").map(Into::into),
    };
    let result = emulator::run(command, env, &mut std::io::stdout(), &mut std::io::stderr()).await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error}");
            ExitCode::FAILURE
        }
    }
}
