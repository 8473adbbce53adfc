//! The command line: arguments, streams, exit codes. Reads the environment it is given, prints, and decides nothing that
//! a plan should decide.

pub mod acknowledgements;
pub mod again;
pub mod args;
pub mod brief;
pub mod clock;
pub mod commands;
pub mod compare;
pub mod connect;
pub mod declaration;
pub mod drift_text;
pub mod exit;
pub mod files;
pub mod human;
pub mod json;
pub mod log;
pub mod one_directory;
pub mod outcome_text;
pub mod planning;
pub mod progress;
pub mod secrets;
pub mod seed;
pub mod served;
pub mod text;
pub mod unread;
pub mod world;

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;

use crate::error::{Error, Kind};
use args::{Cli, Command, Global};
use exit::Ending;
use text::{Ink, Text};
use world::World;

/// Runs one command and returns its exit code. `args` begins with the program's name.
pub fn run(args: Vec<OsString>, mut world: World) -> i32 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return not_a_command(&error, &world),
    };
    let dispatch = log::dispatch(&cli.global, world.stderr.clone());
    log::install(&dispatch);
    let ending = on_runtime(&dispatch, cli, &mut world);
    log::uninstall();
    close(&world, ending).code()
}

/// Help and version are results; everything else is a usage error.
fn not_a_command(error: &clap::Error, world: &World) -> i32 {
    let rendered = error.render();
    let styled = |on_terminal: bool| {
        let colour = on_terminal && wants_colour(world);
        if colour { rendered.ansi().to_string() } else { rendered.to_string() }
    };
    let ending = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            world.stdout.write(&styled(world.stdout.is_terminal()));
            Ending::Fine
        }
        _ => {
            world.stderr.write(&styled(world.stderr.is_terminal()));
            Ending::Usage
        }
    };
    close(world, ending).code()
}

/// What the environment says about colour.
fn wants_colour(world: &World) -> bool {
    world.var("NO_COLOR").is_none() && world.var("TERM") != Some("dumb")
}

/// How plans and findings are shown on standard output.
fn view(global: &Global, world: &World) -> human::View {
    let colour = world.stdout.is_terminal() && !global.no_color && wants_colour(world);
    human::View { colour, unchanged: global.verbose > 0, whole: global.verbose > 0 }
}

fn on_runtime(dispatch: &tracing::Dispatch, cli: Cli, world: &mut World) -> Ending {
    let (for_threads, global) = (dispatch.clone(), cli.global.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(move || log::install(&for_threads))
        .on_thread_stop(log::uninstall)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(Kind::Local, "starting threads").caused_by(&error);
            return complain(&error, &global, world);
        }
    };
    let mut signals = world.signals.clone();
    let stops_itself = matches!(cli.command, Command::Apply(_));
    let result = runtime.block_on(async {
        let work = commands::run(cli, world);
        tokio::select! {
            // Only apply has something to bring to an end; everything else just looks.
            () = interrupted(&mut signals), if !stops_itself => Err(Error::new(Kind::Interrupted, "interrupted")),
            result = work => result,
        }
    });
    // A key that is still being made on some thread is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(ending) => ending,
        Err(error) => complain(&error, &global, world),
    }
}

async fn interrupted(signals: &mut tokio::sync::watch::Receiver<u32>) {
    if signals.wait_for(|count| *count > 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tells what went wrong, and how the run ends with that.
fn complain(error: &Error, global: &Global, world: &World) -> Ending {
    if global.is_json() {
        world.stderr.write(&json::line(&json::diagnostic(error)));
    } else {
        let colour = world.stderr.is_terminal() && !global.no_color && wants_colour(world);
        let mut text = Text::new(colour);
        error_lines(&mut text, error);
        world.stderr.write(&text.into_string());
    }
    ending_of(error.kind)
}

/// An error as lines: what was being done, every cause, every hint.
fn error_lines(text: &mut Text, error: &Error) {
    text.put(Ink::Bad, "Error:").plain(" ").line(&error.doing);
    for cause in &error.causes {
        text.plain("Caused by: ").line(cause);
    }
    for hint in &error.hints {
        text.plain("Hint: ").line(hint);
    }
}

/// How a kind of error ends a run.
fn ending_of(kind: Kind) -> Ending {
    match kind {
        Kind::Usage => Ending::Usage,
        Kind::Refused => Ending::Refused,
        Kind::Interrupted => Ending::Interrupted,
        Kind::Input
        | Kind::Network
        | Kind::Authentication
        | Kind::Authorisation
        | Kind::Throttled
        | Kind::Service
        | Kind::Store
        | Kind::Local
        | Kind::Internal => Ending::Error,
    }
}

/// A result that could not be written is an error, whatever the run would have ended with.
fn close(world: &World, ending: Ending) -> Ending {
    match world.stdout.close() {
        Ok(()) => ending,
        Err(error) => {
            world.stderr.write(&format!("Error: writing to standard output\nCaused by: {error}\n"));
            ending.and(Ending::Error)
        }
    }
}
