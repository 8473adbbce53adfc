//! `emulator seed`: applications, and declarations for them.
#![allow(
    clippy::disallowed_methods,
    reason = "writes declarations into a folder that the command line names"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;

use http::Method;
use serde_json::json;

use super::args::SeedArgs;
use super::door::Door;
use super::{EmulatorCliError, EmulatorEnv};
use crate::emulator::Seeded;

/// How many declared certificates go into one file.
const CERTIFICATES_PER_FILE: usize = 1000;

pub(super) async fn seed(
    args: SeedArgs,
    env: &EmulatorEnv,
    out: &mut dyn Write,
) -> Result<(), EmulatorCliError> {
    let door = Door::new(&args.state, env)?;
    let wanted = json!({"applications": args.applications, "tenant": args.tenant});
    let shown = door.json(Method::POST, "seed", Some(wanted)).await?;
    let tenant = shown["tenant"].as_str().unwrap_or_default();
    let seeded: Vec<Seeded> = serde_json::from_value(shown["applications"].clone())
        .map_err(|error| EmulatorCliError::Input(format!("the emulator's answer cannot be read: {error}")))?;
    let files = match &args.declare {
        Some(folder) => declare(&env.cwd.join(folder), tenant, &seeded)?,
        None => 0,
    };
    writeln!(out, "{}", json!({"tenant": tenant, "applications": seeded.len(), "files": files}))?;
    Ok(())
}

/// Writes declarations for seeded applications; answers how many files.
fn declare(folder: &Path, tenant: &str, seeded: &[Seeded]) -> Result<usize, EmulatorCliError> {
    let failed = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| EmulatorCliError::File { doing, path, source }
    };
    fs::create_dir_all(folder).map_err(failed("creating the folder", folder))?;
    let path = folder.join("certroll.yaml");
    fs::write(&path, globals(tenant)).map_err(failed("writing", &path))?;
    for (index, some) in seeded.chunks(CERTIFICATES_PER_FILE).enumerate() {
        let path = folder.join(format!("certificates-{:04}.yaml", index + 1));
        fs::write(&path, certificates(some)).map_err(failed("writing", &path))?;
    }
    Ok(1 + seeded.len().div_ceil(CERTIFICATES_PER_FILE))
}

fn globals(tenant: &str) -> String {
    format!(
        "certroll: v1\n\
         owner: platform-team\n\
         \n\
         tenants:\n\
         \x20 emulated: {{ id: {tenant}, cloud: emulator }}\n\
         \n\
         stores:\n\
         \x20 runner: {{ kind: file, directory: secrets }}\n"
    )
}

fn certificates(seeded: &[Seeded]) -> String {
    let mut text = String::from(
        "certroll: v1\n\ndefaults:\n  validity: P1Y\n  rotation_period: 180d\n  overlap: 14d\n  store: runner\n\ncertificates:\n",
    );
    for application in seeded {
        let number = application.display_name.rsplit(' ').next().unwrap_or_default();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  seeded-{number}:\n    application: {{ app_id: {} }}", application.app_id);
    }
    text
}
