//! `emulator serve`: the directory over HTTPS on loopback, until a signal.

use std::io::Write;

use serde_json::json;

use super::args::ServeArgs;
use super::change::read_faults;
use super::door::state_path;
use super::{EmulatorCliError, EmulatorEnv};
use crate::emulator::{Emulator, Faults, Server, Settings};

/// Serves, and prints one line once it is ready.
pub(super) async fn serve(
    args: ServeArgs,
    env: &EmulatorEnv,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), EmulatorCliError> {
    let emulator = Emulator::open(&state_path(&args.state, env))?;
    emulator.set_faults(match &args.faults {
        Some(file) => read_faults(file, env)?,
        None => Faults::default(),
    });
    emulator.set_settings(if args.lenient { Settings::lenient() } else { Settings::default() });
    let tenant = args.tenant.unwrap_or_else(|| emulator.default_tenant());
    let operator = emulator.operator(tenant);
    let latency = args.latency.unwrap_or_default().unsigned_abs();
    let server = Server::bind(emulator, args.listen, latency).await?;
    if let Some(path) = &args.ca_out {
        server.write_ca(&env.cwd.join(path))?;
    }
    let ready = json!({
        "url": server.url(), "tenant": tenant,
        "client_id": operator.client_id, "client_secret": operator.client_secret,
    });
    writeln!(out, "{ready}")?;
    out.flush()?;
    tokio::select! {
        served = server.run() => match served {
            Err(error) => Err(error.into()),
            Ok(never) => match never {},
        },
        () = stopped() => {
            writeln!(err, "stopped")?;
            Ok(())
        }
    }
}

/// Returns when the process is asked to end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the process in their own way.
        _ => std::future::pending().await,
    }
}
