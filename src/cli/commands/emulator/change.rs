//! What changes an emulator behind everybody's back: its clock, its troubles, what it holds.
#![allow(clippy::disallowed_methods, reason = "reads fault files that the command line names")]

use std::fs;
use std::io::Write;
use std::path::Path;

use http::Method;
use serde_json::json;

use super::args::{BreakCommand, ClockArgs, ClockMove};
use super::door::Door;
use super::{EmulatorCliError, EmulatorEnv};
use crate::emulator::{Change, Faults};

pub(super) async fn break_something(
    command: BreakCommand,
    env: &EmulatorEnv,
) -> Result<(), EmulatorCliError> {
    let (target, change) = match command {
        BreakCommand::Change { change, tenant, state } => {
            let change = serde_json::from_str::<Change>(&change)
                .map(|change| json!(change))
                .map_err(|error| EmulatorCliError::Usage(format!("the change makes no sense: {error}")))?;
            let path = tenant.map_or_else(|| "change".to_owned(), |tenant| format!("change?tenant={tenant}"));
            Door::new(&state, env)?.json(Method::POST, &path, Some(change)).await?;
            return Ok(());
        }
        BreakCommand::DeleteCredential { target, thumbprint } => {
            (target, json!({"change": "delete_credential", "credential": thumbprint}))
        }
        BreakCommand::AddCredential { target, name } => {
            (target, json!({"change": "add_foreign_credential", "display_name": name}))
        }
        BreakCommand::DeleteApplication(target) => (target, json!({"change": "delete"})),
        BreakCommand::RestoreApplication(target) => (target, json!({"change": "restore"})),
        BreakCommand::Disable(target) => {
            (target, json!({"change": "set", "properties": {"isDisabled": true}}))
        }
        BreakCommand::Enable(target) => {
            (target, json!({"change": "set", "properties": {"isDisabled": null}}))
        }
        BreakCommand::Lock(target) => {
            let lock = json!({"isEnabled": true, "allProperties": true});
            (target, json!({"change": "set", "properties": {"servicePrincipalLockConfiguration": lock}}))
        }
    };
    let door = Door::new(&target.state, env)?;
    let (tenant, object) = door.find(&target.application).await?;
    let mut change = change;
    change["object"] = json!(object);
    let path = tenant.map_or_else(|| "change".to_owned(), |tenant| format!("change?tenant={tenant}"));
    door.json(Method::POST, &path, Some(change)).await?;
    Ok(())
}

pub(super) async fn clock(
    args: ClockArgs,
    env: &EmulatorEnv,
    out: &mut dyn Write,
) -> Result<(), EmulatorCliError> {
    let door = Door::new(&args.state, env)?;
    let mut change = json!({"freeze": args.freeze, "run": args.run});
    match &args.change {
        None => {}
        Some(ClockMove::To(at)) => change["set"] = json!(at),
        Some(ClockMove::By(span)) => change["advance"] = json!(span.to_string()),
    }
    let moves = args.change.is_some() || args.freeze || args.run;
    let shown = match moves {
        true => door.json(Method::POST, "clock", Some(change)).await?,
        false => door.json(Method::GET, "clock", None).await?,
    };
    writeln!(out, "{}", shown["now"].as_str().unwrap_or_default())?;
    Ok(())
}

pub(super) fn read_faults(path: &Path, env: &EmulatorEnv) -> Result<Faults, EmulatorCliError> {
    let text = fs::read_to_string(env.cwd.join(path)).map_err(|source| EmulatorCliError::File {
        doing: "reading",
        path: path.to_path_buf(),
        source,
    })?;
    serde_json::from_str(&text)
        .map_err(|error| EmulatorCliError::Input(format!("{} is no faults file: {error}", path.display())))
}
