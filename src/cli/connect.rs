//! Which tenants a run speaks to, and how: the network with certroll's own sign-in, or an emulator.
//!
//! An emulator is never a false green: `CERTROLL_EMULATOR` is an error unless every tenant of the run is declared
//! `cloud: emulator`, and real and emulated tenants do not share a run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::backends::reach::{HttpsTransports, Reach, Transports};
use crate::backends::shipped::{Connection, Connections};
use crate::cli::args::Global;
use crate::cli::planning::settings;
use crate::cli::seed;
use crate::cli::served;
use crate::cli::world::World;
use crate::cli::{declaration, files};
use crate::connections::{self, Operator};
use crate::desired::{Cloud, Desired, Tenant};
use crate::edges::{Trouble, TroubleKind};
use crate::emulator::Emulator;
use crate::entra::cloud::EMULATOR_URL;
use crate::entra::{
    EmulatorClock, EmulatorTransport, EndpointOverrides, Endpoints, EntraError, ErrorKind, GraphClient,
    GraphSettings, HttpsOptions, HttpsTransport, Line, OwnCredential, Transport, Trust, from_connection,
    from_environment,
};
use crate::error::{Error, Kind};
use crate::ids::Name;
use crate::key::{Secret, SignatureAlgorithm};
use crate::net::{self, RetrySettings};
use crate::runtime::{Clock, Random};

/// Where the state of emulated tenants lies when nobody says.
const STATE_DEFAULT: &str = ".certroll/emulator.json";

/// What a run is connected to.
pub struct Ground {
    /// The way to each tenant and store.
    pub connections: Connections,
    /// The clock of the run: the machine's, or the emulator's.
    pub clock: Arc<dyn Clock>,
    /// Calls to stores, issuers and delivery places under way. A call is one or more requests, and those have slots of their own: a
    /// call that held the slot its request waits for would wait for ever.
    pub slots: Arc<Semaphore>,
    /// Whether the tenants are emulated.
    pub emulator: bool,
    /// Whether they are emulated in this process, where waiting moves their clock.
    pub in_process: bool,
}

/// Where the tenants of a run live.
enum Place {
    Microsoft { trust: Trust },
    InProcess(Emulator),
    Server { url: String, trust: Trust },
}

/// Connects the tenants that the run is about.
pub async fn ground(
    desired: &Desired,
    tenants: &BTreeSet<Name>,
    parallelism: u16,
    meant: Option<bool>,
    global: &Global,
    world: &World,
) -> Result<Ground, Error> {
    let about: Vec<&Tenant> = tenants.iter().filter_map(|name| desired.tenants.get(name)).collect();
    is_as_meant(&about, meant)?;
    let place = place(&about, meant.is_some(), global, world)?;
    let emulator = !matches!(place, Place::Microsoft { .. });
    let clock: Arc<dyn Clock> = match &place {
        Place::InProcess(emulator) => Arc::new(EmulatorClock::new(emulator.clone())),
        Place::Microsoft { .. } => Arc::clone(&world.clock),
        Place::Server { url, trust } => {
            let unusable = |error: EntraError| Error::new(Kind::Input, "preparing HTTPS").caused_by(&error);
            let transport = https(trust.clone()).map_err(unusable)?;
            served::clock(url, transport.as_ref(), Arc::clone(&world.clock)).await?
        }
    };
    let slots = || Arc::new(Semaphore::new(usize::from(parallelism)));
    let assertion = settings(global)?.assertion;
    let way = Way { place, world, assertion, clock: Arc::clone(&clock), in_flight: slots() };
    // Who says whether emulated tenants are meant is who writes.
    let reach = way.reach(desired, global)?.with_plugins(meant.is_some());
    let connections =
        Connections::new(desired, reach.clone(), |tenant| match tenants.contains(&tenant.name) {
            true => way.to(tenant, &reach.operator),
            false => Err(Trouble::new(
                TroubleKind::Internal,
                format!("connecting tenant {}", tenant.name),
                "this run is not about it",
            )),
        });
    let in_process = matches!(way.place, Place::InProcess(_));
    Ok(Ground { connections, clock, slots: slots(), emulator, in_process })
}

/// `apply` says with `--emulator` that emulated tenants are meant, so that nobody takes one for the other.
fn is_as_meant(about: &[&Tenant], meant: Option<bool>) -> Result<(), Error> {
    let emulated = |tenant: &&&Tenant| tenant.cloud == Cloud::Emulator;
    match meant {
        Some(false) => about.iter().find(emulated).map_or(Ok(()), |tenant| {
            Err(Error::new(Kind::Usage, "reading the command line")
                .because(format!(
                    "tenant {} is emulated, and an emulator proves nothing about Entra",
                    tenant.name
                ))
                .hint("add --emulator if that is meant"))
        }),
        Some(true) => about.iter().find(|tenant| !emulated(tenant)).map_or(Ok(()), |tenant| {
            Err(Error::new(Kind::Usage, "reading the command line").because(format!(
                "--emulator was given, and tenant {} is not declared cloud: emulator",
                tenant.name
            )))
        }),
        None => Ok(()),
    }
}

fn place(about: &[&Tenant], writes: bool, global: &Global, world: &World) -> Result<Place, Error> {
    let (emulated, real): (Vec<&Tenant>, Vec<&Tenant>) =
        about.iter().partition(|tenant| tenant.cloud == Cloud::Emulator);
    let server = world.var("CERTROLL_EMULATOR");
    match (emulated.first(), real.first()) {
        (Some(emulated), Some(real)) => Err(Error::new(Kind::Input, "choosing the tenants of this run")
            .because(format!("{} is emulated and {} is not", emulated.name, real.name))
            .hint(format!("run each for itself, such as with --only '{}/*'", real.name))),
        (_, Some(real)) if server.is_some() => {
            Err(Error::new(Kind::Input, "choosing the tenants of this run")
                .because(format!(
                    "CERTROLL_EMULATOR is set, and tenant {} is not declared cloud: emulator",
                    real.name
                ))
                .hint("unset CERTROLL_EMULATOR, or leave the tenant out with --only"))
        }
        (None, _) => Ok(Place::Microsoft { trust: trust(Trust::SystemAnd, world)? }),
        (Some(_), None) => match server {
            Some(url) => Ok(Place::Server { url: url.to_owned(), trust: trust(Trust::Only, world)? }),
            None if world.var("CERTROLL_CA_FILE").is_some() => {
                Err(Error::new(Kind::Input, "connecting to the emulator")
                    .because("CERTROLL_CA_FILE is set without CERTROLL_EMULATOR")
                    .hint("set CERTROLL_EMULATOR to the server's URL, or unset CERTROLL_CA_FILE"))
            }
            None => in_process(&emulated, writes, global, world).map(Place::InProcess),
        },
    }
}

/// What `CERTROLL_CA_FILE` names: beside the system's authorities for Entra, where a proxy may inspect TLS; alone for an emulator, which
/// has no other.
fn trust(kind: fn(Vec<u8>) -> Trust, world: &World) -> Result<Trust, Error> {
    let Some(path) = world.var("CERTROLL_CA_FILE").map(Path::new) else { return Ok(Trust::System) };
    let trust = files::read(&world.path(path), path).map(kind);
    let trust = trust.and_then(|trust| {
        let checked = HttpsTransport::new(HttpsOptions { trust: trust.clone(), ..HttpsOptions::default() });
        checked.map(|_| trust).map_err(|error| {
            Error::new(Kind::Input, format!("reading {}", path.display())).because(&error.reason)
        })
    });
    trust.map_err(|error| error.hint("CERTROLL_CA_FILE names certificate authorities to trust, in PEM form"))
}

/// Where the state file of emulated tenants is.
pub fn state_path(global: &Global, world: &World) -> PathBuf {
    let named = global.state.clone().or_else(|| world.var("CERTROLL_STATE").map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(STATE_DEFAULT))
}

/// Opens the emulator on its state file, and populates tenants it does not have yet: all of them or, after an error, none. A tenant that
/// no seed file speaks of is made by what writes; who only looks sees an empty one and leaves nothing behind, or the seed
/// file that was forgotten would never be read.
fn in_process(tenants: &[&Tenant], writes: bool, global: &Global, world: &World) -> Result<Emulator, Error> {
    let shown = state_path(global, world);
    let path = world.path(&shown);
    let is_new = !path.exists();
    let seeds = seed::read(&declaration::folders(global, world), world)?;
    let named = tenants.iter().map(|tenant| tenant_id(tenant).map(|id| (&tenant.name, id)));
    let tenants: Vec<(&Name, Uuid)> = named.collect::<Result<_, Error>>()?;
    let in_memory = || {
        let emulator = Emulator::in_memory(world.clock.now(), 0);
        emulator.unfreeze();
        emulator
    };
    if is_new {
        // A state file that was made for nothing would not be a new one the next time.
        seeds.plant(&in_memory(), &tenants, true)?;
        if !writes && !tenants.iter().any(|(name, _)| seeds.speak_of(name)) {
            let emulator = in_memory();
            seeds.plant(&emulator, &tenants, true)?;
            return Ok(emulator);
        }
    }
    let doing = || format!("opening the emulator's state file {}", shown.display());
    let emulator =
        Emulator::open(&path).map_err(|error| Error::new(Kind::Local, doing()).caused_by(&error))?;
    let known: BTreeSet<Uuid> = emulator.tenants().into_iter().map(|(id, _)| id).collect();
    let unknown = tenants.iter().copied().filter(|(_, id)| !known.contains(id));
    let (kept, passing): (Vec<_>, Vec<_>) = unknown.partition(|(name, _)| writes || seeds.speak_of(name));
    if !kept.is_empty() {
        emulator.at_once(|copy| seeds.plant(copy, &kept, is_new))?;
    }
    for (name, _) in kept.iter().filter(|(name, _)| seeds.speak_of(name)) {
        tracing::info!("tenant {name} of the emulator begins as {} says", seed::FILE_NAME);
    }
    if writes {
        return Ok(emulator);
    }
    // Waiting moves the clock: of a copy, where somebody only looks.
    let emulator = emulator.apart();
    seeds.plant(&emulator, &passing, false)?;
    Ok(emulator)
}

fn tenant_id(tenant: &Tenant) -> Result<Uuid, Error> {
    tenant.id.parse().map_err(|_| {
        Error::new(Kind::Input, format!("opening tenant {}", tenant.name))
            .because("an emulated tenant in process is named by GUID")
            .hint("leave id: out; certroll derives one from the name")
    })
}

/// Makes the connection to one tenant.
struct Way<'a> {
    place: Place,
    world: &'a World,
    assertion: SignatureAlgorithm,
    clock: Arc<dyn Clock>,
    /// Requests in flight, to whomever.
    in_flight: Arc<Semaphore>,
}

impl Way<'_> {
    /// How stores, issuers and delivery places are reached: never an emulator, and never through one's certificate authority.
    fn reach(&self, desired: &Desired, global: &Global) -> Result<Reach, Error> {
        let doing = "reading the operator's connections";
        let named = self.world.var("CERTROLL_CONNECTIONS").map(PathBuf::from);
        let file = match global.connections.clone().or(named) {
            Some(path) => {
                let bytes = Zeroizing::new(files::read(&self.world.path(&path), &path)?);
                let text = std::str::from_utf8(&bytes);
                let text =
                    text.map_err(|_| Error::new(Kind::Input, doing).because("the file is not UTF-8 text"))?;
                Some(Zeroizing::new(text.to_owned()))
            }
            None => None,
        };
        let text = file.as_ref().map(|text| text.as_str());
        let operator = Operator::new(self.world.env.clone(), text, connections::users(desired));
        let operator =
            operator.map_err(|problems| Error::new(Kind::Input, doing).because(problems.join("; ")))?;
        let transports = HttpsTransports::new(Trust::System);
        let unusable = |trouble: Trouble| Error::new(Kind::Input, "preparing HTTPS").because(trouble);
        let way = net::Way {
            transport: transports.transport(None).map_err(unusable)?,
            clock: Arc::clone(&self.world.clock),
            random: Arc::clone(&self.world.random),
            in_flight: Arc::clone(&self.in_flight),
            retry: RetrySettings::default(),
        };
        let clouds = desired.tenants.values().map(|tenant| tenant.cloud);
        Ok(Reach::new(operator, way, Arc::new(transports)).in_clouds(clouds).below(&self.world.cwd))
    }

    fn to(&self, tenant: &Tenant, operator: &Operator) -> Result<Connection, Trouble> {
        let connection = operator.connection(tenant.connection.as_ref())?;
        let line = self.line(tenant, connection)?;
        let credential = self.own_credential(tenant, connection)?;
        let settings = GraphSettings { assertion: self.assertion, ..GraphSettings::default() };
        let client = GraphClient::new(line.clone(), &tenant.id, credential, settings);
        Ok(Connection { line, client })
    }

    fn line(
        &self,
        tenant: &Tenant,
        connection: Option<&connections::Connection>,
    ) -> Result<Line, EntraError> {
        let overrides = match &self.place {
            Place::Microsoft { .. } => self.overrides(connection),
            Place::InProcess(_) => EndpointOverrides {
                login: Some(EMULATOR_URL.to_owned()),
                graph: Some(EMULATOR_URL.to_owned()),
                scope: None,
            },
            Place::Server { url, .. } => {
                EndpointOverrides { login: Some(url.clone()), graph: Some(url.clone()), scope: None }
            }
        };
        let endpoints = Endpoints::resolve(tenant.cloud, &overrides)?;
        let transport: Arc<dyn Transport> = match &self.place {
            Place::InProcess(emulator) => Arc::new(EmulatorTransport::new(emulator.clone())),
            Place::Microsoft { trust } | Place::Server { trust, .. } => https(trust.clone())?,
        };
        let random: Arc<dyn Random> = Arc::clone(&self.world.random);
        Ok(Line::new(transport, Arc::clone(&self.clock), random, endpoints, Arc::clone(&self.in_flight)))
    }

    /// What an operator sets instead of a cloud's own hosts.
    fn overrides(&self, connection: Option<&connections::Connection>) -> EndpointOverrides {
        let set = |setting: &'static str, variable: &str| {
            let named = connection.and_then(|connection| connection.text(setting));
            named.or_else(|| self.world.var(variable)).map(str::to_owned)
        };
        EndpointOverrides {
            login: set("login_host", "AZURE_AUTHORITY_HOST"),
            graph: set("address", "CERTROLL_GRAPH_HOST"),
            scope: set("scope", "CERTROLL_GRAPH_SCOPE"),
        }
    }

    fn own_credential(
        &self,
        tenant: &Tenant,
        connection: Option<&connections::Connection>,
    ) -> Result<OwnCredential, EntraError> {
        if let Place::InProcess(emulator) = &self.place {
            let id = tenant.id.parse::<Uuid>().map_err(|error| {
                EntraError::new(ErrorKind::Settings, "opening an emulated tenant", &error.to_string())
            })?;
            let operator = emulator.operator(id);
            return Ok(OwnCredential {
                tenant: Some(tenant.id.clone()),
                client_id: operator.client_id,
                method: crate::entra::sign_in::Method::Secret(Secret::new(operator.client_secret)),
                source: "the emulator".to_owned(),
            });
        }
        let credential = match connection {
            Some(connection) => from_connection(connection, &self.world.env)?,
            None => from_environment(&self.world.env)?,
        };
        match &credential.tenant {
            Some(meant) if !is_same_tenant(meant, &tenant.id) => {
                let reason = format!(
                    "{} is meant for tenant {meant}, and {} is {}",
                    credential.source, tenant.name, tenant.id
                );
                Err(EntraError::new(ErrorKind::Settings, "choosing certroll's own sign-in", &reason)
                    .with_hint("set AZURE_TENANT_ID to the tenant of this run, or leave other tenants out with --only"))
            }
            _ => Ok(credential),
        }
    }
}

fn https(trust: Trust) -> Result<Arc<dyn Transport>, EntraError> {
    let options = HttpsOptions { trust, ..HttpsOptions::default() };
    let transport = HttpsTransport::new(options)
        .map_err(|error| EntraError::new(ErrorKind::Settings, "preparing HTTPS", &error.to_string()))?;
    Ok(Arc::new(transport))
}

/// Whether two names of a tenant are known to mean different ones: two GUIDs that differ. A domain may be any of them.
fn is_same_tenant(one: &str, two: &str) -> bool {
    match (one.parse::<Uuid>(), two.parse::<Uuid>()) {
        (Ok(one), Ok(two)) => one == two,
        _ => true,
    }
}
