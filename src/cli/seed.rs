//! What an emulated tenant begins with: `emulator-seed.json` beside the declaration, or beside any file of it
//! that is named. It is read when the tenant is not in the state file yet, and never again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::cli::files;
use crate::cli::world::World;
use crate::emulator::{
    Change, Emulator, EmulatorError, NewApplication, NewServicePrincipal, Start, StartApplication,
};
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
struct Seed {
    path: PathBuf,
    written: Written,
}

/// The seed files of a declaration.
#[derive(Debug)]
pub struct Seeds(Vec<Seed>);

/// Reads the seed file of each of these folders, where there is one.
pub fn read(folders: &[PathBuf], world: &World) -> Result<Seeds, Error> {
    let mut seeds = Vec::new();
    for folder in folders {
        let path = folder.strip_prefix(".").unwrap_or(folder).join(FILE_NAME);
        let Some(bytes) = files::read_if_there(&world.path(&path), &path)? else { continue };
        let written = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(Kind::Input, format!("reading {}", path.display())).caused_by(&error)
        })?;
        seeds.push(Seed { path, written });
    }
    Ok(Seeds(seeds))
}

impl Seeds {
    /// Whether any file speaks of that tenant.
    pub fn speak_of(&self, name: &Name) -> bool {
        self.0.iter().any(|seed| seed.written.tenants.contains_key(name))
    }

    /// Puts what the files say into tenants that have nothing yet. A new state file also gets the first clock that is given.
    pub fn plant(&self, emulator: &Emulator, tenants: &[(&Name, Uuid)], is_new: bool) -> Result<(), Error> {
        if let Some(clock) = self.0.iter().find_map(|seed| seed.written.clock).filter(|_| is_new) {
            emulator.set_clock(clock);
        }
        for (name, tenant) in tenants {
            emulator.ensure_tenant(*tenant, None);
            for seed in &self.0 {
                let Some(of_tenant) = seed.written.tenants.get(*name) else { continue };
                of_tenant.clone().plant(emulator, *tenant).map_err(|error| {
                    let doing = format!("populating the emulator from {}", seed.path.display());
                    Error::new(Kind::Input, doing).caused_by(&error)
                })?;
            }
        }
        Ok(())
    }
}

impl TenantSeed {
    fn plant(self, emulator: &Emulator, tenant: Uuid) -> Result<(), EmulatorError> {
        emulator.start_with(tenant, &Start { applications: self.existing })?;
        for application in self.applications {
            emulator.create_application(tenant, application)?;
        }
        for service_principal in self.service_principals {
            emulator.create_service_principal(tenant, service_principal)?;
        }
        self.changes.into_iter().try_for_each(|change| emulator.change(tenant, change))
    }
}
