//! What an emulated tenant begins with: `emulator-seed.json` beside the declaration. It is read when the tenant is not in the
//! state file yet, and never again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::cli::files;
use crate::cli::world::World;
use crate::emulator::{Change, Emulator, NewApplication, NewServicePrincipal, Start, StartApplication};
use crate::error::{Error, Kind};
use crate::ids::Name;

/// The file's name.
pub const FILE_NAME: &str = "emulator-seed.json";

/// What tenants begin with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What the emulator's clock shows when the state file is made; it runs on from there.
    clock: Option<Timestamp>,
    /// By the tenant's name in the declaration.
    #[serde(default)]
    tenants: BTreeMap<Name, TenantSeed>,
}

/// What one tenant begins with, as the directory spells it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TenantSeed {
    /// Applications with certificates dated from the day the file is read.
    existing: Vec<StartApplication>,
    applications: Vec<NewApplication>,
    service_principals: Vec<NewServicePrincipal>,
    changes: Vec<Change>,
}

/// A seed file that was read.
#[derive(Debug)]
pub struct Seeds {
    path: PathBuf,
    written: Written,
}

/// Reads the seed file of that folder, if there is one.
pub fn read(folder: Option<&Path>, world: &World) -> Result<Option<Seeds>, Error> {
    let Some(folder) = folder else { return Ok(None) };
    let path = folder.join(FILE_NAME);
    let Some(bytes) = files::read_if_there(&world.path(&path), &path)? else { return Ok(None) };
    let written = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(Kind::Input, format!("reading {}", path.display())).caused_by(&error))?;
    Ok(Some(Seeds { path, written }))
}

impl Seeds {
    /// Puts what the file says into a tenant that has nothing yet. A new state file also gets the file's clock.
    pub fn plant(&self, emulator: &Emulator, name: &Name, tenant: Uuid, is_new: bool) -> Result<(), Error> {
        if let Some(clock) = self.written.clock.filter(|_| is_new) {
            emulator.set_clock(clock);
        }
        let seed = self.written.tenants.get(name).cloned().unwrap_or_default();
        let planted = || {
            emulator.start_with(tenant, &Start { applications: seed.existing })?;
            for application in seed.applications {
                emulator.create_application(tenant, application)?;
            }
            for service_principal in seed.service_principals {
                emulator.create_service_principal(tenant, service_principal)?;
            }
            seed.changes.into_iter().try_for_each(|change| emulator.change(tenant, change))
        };
        planted().map_err(|error: crate::emulator::EmulatorError| {
            Error::new(Kind::Input, format!("populating the emulator from {}", self.path.display()))
                .caused_by(&error)
        })
    }
}
