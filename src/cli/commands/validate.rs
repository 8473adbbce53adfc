//! `validate`: everything that can be checked offline. All a stranger's pull request gets.

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::declaration;
use crate::cli::exit::Ending;
use crate::cli::json::{declaration_diagnostic, pretty};
use crate::cli::text::{clean, counted};
use crate::cli::world::World;
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::Error;

/// Checks the declaration.
pub fn run(global: &Global, world: &World) -> Result<Ending, Error> {
    let result = declaration::read(global, world);
    if global.is_json() {
        return Ok(as_json(&result.map(|loaded| loaded.warnings), global, world));
    }
    let loaded = result.map_err(|found| {
        declaration::show(&found, global, world);
        declaration::invalid(&found)
    })?;
    declaration::show(&loaded.warnings, global, world);
    let certificates = counted(loaded.desired.certificates.len(), "certificate", "certificates");
    let files = counted(loaded.files.len(), "file", "files");
    let warnings = match loaded.warnings.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning", "warnings")),
    };
    world.stdout.write(&format!("Valid: {certificates} in {files}{warnings}.\n"));
    if global.verbose > 0 {
        loaded.files.iter().for_each(|file| world.stderr.write(&format!("read {}\n", clean(file))));
        for file in &loaded.skipped {
            world.stderr.write(&format!("skipped {} (no certroll key at its top)\n", clean(file)));
        }
    }
    Ok(Ending::Fine)
}

fn as_json(result: &Result<Vec<Diagnostic>, Vec<Diagnostic>>, global: &Global, world: &World) -> Ending {
    let found = match result {
        Ok(found) | Err(found) => found,
    };
    let of = |severity: Severity| found.iter().filter(|one| one.severity == severity).count();
    let shown = declaration::bounded(found, global);
    let value = json!({
        "format_version": "1.0",
        "valid": result.is_ok(),
        "error_count": of(Severity::Error),
        "warning_count": of(Severity::Warning),
        "diagnostics": shown.iter().map(|one| declaration_diagnostic(one)).collect::<Vec<_>>(),
    });
    world.stdout.write(&pretty(&value));
    if result.is_ok() { Ending::Fine } else { Ending::Error }
}
