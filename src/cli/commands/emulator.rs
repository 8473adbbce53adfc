//! `certroll emulator …`: starting the pretend directory, and playing with it.
//!
//! Every command but `serve` works on a state file or on a running server, through the same requests to the emulator's
//! other door.
#![allow(
    clippy::disallowed_methods,
    reason = "reads fault files and writes declarations that the command line names"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::{Emulator, EmulatorError, Faults, Seeded, Server, Settings, control};

/// Where the state lies when nobody says.
const STATE_DEFAULT: &str = ".certroll/emulator.json";

/// How many declared certificates go into one file.
const CERTIFICATES_PER_FILE: usize = 1000;

/// How long a running server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// What can be done with the emulator.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum EmulatorCommand {
    /// Serve the directory and login service over HTTPS on loopback, until a signal
    Serve(ServeArgs),
    /// Show or move the emulator's clock
    Clock(ClockArgs),
    /// Add applications, and if asked write declarations for them
    Seed(SeedArgs),
    /// Print the requests so far, a JSON object a line
    Journal {
        /// Forget them instead
        #[arg(long)]
        clear: bool,
        /// The state to look at
        #[command(flatten)]
        state: StateArgs,
    },
    /// Empty the directory; tenants and their operators stay
    Reset(StateArgs),
    /// Show what the directory really holds
    Show {
        /// As JSON, certificates included
        #[arg(long)]
        json: bool,
        /// The state to look at
        #[command(flatten)]
        state: StateArgs,
    },
    /// Show the troubles being made, or make others
    Faults {
        /// A JSON file of faults; the keys are documented with the emulator
        file: Option<PathBuf>,
        /// Stop all of them
        #[arg(long, conflicts_with = "file")]
        clear: bool,
        /// The state to change
        #[command(flatten)]
        state: StateArgs,
    },
    /// Change something behind everybody's back
    #[command(subcommand)]
    Break(BreakCommand),
}

/// Which state file to work on.
#[derive(Clone, Debug, Default, Args)]
pub struct StateArgs {
    /// The state file [env: CERTROLL_STATE] [default: .certroll/emulator.json]
    #[arg(long = "state", value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to write the certificate of the authority that clients must trust
    #[arg(long, value_name = "FILE")]
    pub ca_out: Option<PathBuf>,
    /// How long to wait before each answer, such as 80ms
    #[arg(long, value_name = "DURATION")]
    pub latency: Option<SignedDuration>,
    /// A JSON file of faults; without it none are made
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Accept what typed clients of other vendors send, where the default is strict
    #[arg(long)]
    pub lenient: bool,
    /// The tenant to print credentials for; made if need be
    #[arg(long, value_name = "GUID")]
    pub tenant: Option<Uuid>,
    /// The state to serve
    #[command(flatten)]
    pub state: StateArgs,
}

/// Options of `clock`.
#[derive(Debug, Args)]
pub struct ClockArgs {
    /// By how much to move it, such as +30d, +36h or +P1Y; or a moment such as 2026-03-01T00:00:00Z, where it stops
    #[arg(value_name = "MOVE", allow_hyphen_values = true)]
    pub change: Option<String>,
    /// Stop it where it is
    #[arg(long, conflicts_with = "run")]
    pub freeze: bool,
    /// Let it run on from where it stands
    #[arg(long)]
    pub run: bool,
    /// The state to change
    #[command(flatten)]
    pub state: StateArgs,
}

/// Options of `seed`.
#[derive(Debug, Args)]
pub struct SeedArgs {
    /// How many applications to add; every third carries a certificate of somebody else
    #[arg(long, value_name = "N")]
    pub applications: usize,
    /// Write declarations for them into this folder
    #[arg(long, value_name = "DIR")]
    pub declare: Option<PathBuf>,
    /// The tenant to add them to
    #[arg(long, value_name = "GUID")]
    pub tenant: Option<Uuid>,
    /// The state to change
    #[command(flatten)]
    pub state: StateArgs,
}

/// What can be broken.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum BreakCommand {
    /// Remove a certificate from an application
    DeleteCredential {
        /// Which application
        #[command(flatten)]
        target: TargetArgs,
        /// Its thumbprint or key id, or the first 8 characters or more of one
        #[arg(long, alias = "key-id", value_name = "THUMBPRINT")]
        thumbprint: String,
    },
    /// Add a certificate of somebody else
    AddCredential {
        /// Which application
        #[command(flatten)]
        target: TargetArgs,
        /// The entry's display name
        #[arg(long)]
        name: Option<String>,
    },
    /// Move an application to the recycle bin
    DeleteApplication(TargetArgs),
    /// Bring it back; name it by id
    RestoreApplication(TargetArgs),
    /// Switch an application off
    Disable(TargetArgs),
    /// Switch it on again
    Enable(TargetArgs),
    /// Lock the credentials of its service principals
    Lock(TargetArgs),
    /// Any other change, as JSON
    Change {
        /// The change, such as {"change":"conditional_access","blocks":true}
        change: String,
        /// The tenant it is about
        #[arg(long, value_name = "GUID")]
        tenant: Option<Uuid>,
        /// The state to change
        #[command(flatten)]
        state: StateArgs,
    },
}

/// The application a change is about.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// Its client id, object id or display name
    #[arg(long, value_name = "APPLICATION")]
    pub application: String,
    /// The state to change
    #[command(flatten)]
    pub state: StateArgs,
}

/// What the commands take from their surroundings.
#[derive(Clone, Debug, Default)]
pub struct EmulatorEnv {
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
    /// A file or argument that cannot be understood.
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
                out.write_all(text.as_bytes())?;
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
                true => writeln!(out, "{shown}")?,
                false => out.write_all(directory_text(&shown).as_bytes())?,
            }
            Ok(())
        }
        EmulatorCommand::Faults { file, clear, state } => {
            let door = Door::new(&state, &env)?;
            let shown = match (file, clear) {
                (Some(file), _) => door.json(Method::PUT, "faults", Some(json!(read_faults(&file)?))).await?,
                (None, true) => door.json(Method::PUT, "faults", Some(json!({}))).await?,
                (None, false) => door.json(Method::GET, "faults", None).await?,
            };
            writeln!(out, "{shown}")?;
            Ok(())
        }
        EmulatorCommand::Break(command) => break_something(command, &env).await,
    }
}

/// The state file that arguments and environment name.
fn state_path(state: &StateArgs, env: &EmulatorEnv) -> PathBuf {
    let named = state.state.clone().or_else(|| env.state.clone());
    named.unwrap_or_else(|| PathBuf::from(STATE_DEFAULT))
}

async fn serve(
    args: ServeArgs,
    env: &EmulatorEnv,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), EmulatorCliError> {
    let emulator = Emulator::open(&state_path(&args.state, env))?;
    emulator.set_faults(match &args.faults {
        Some(file) => read_faults(file)?,
        None => Faults::default(),
    });
    emulator.set_settings(if args.lenient { Settings::lenient() } else { Settings::default() });
    let tenant = args.tenant.unwrap_or_else(|| emulator.default_tenant());
    let operator = emulator.operator(tenant);
    let latency = args.latency.unwrap_or_default().unsigned_abs();
    let server = Server::bind(emulator, args.listen, latency).await?;
    if let Some(path) = &args.ca_out {
        server.write_ca(path)?;
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

fn read_faults(path: &Path) -> Result<Faults, EmulatorCliError> {
    let text = fs::read_to_string(path).map_err(|source| EmulatorCliError::File {
        doing: "reading",
        path: path.to_path_buf(),
        source,
    })?;
    serde_json::from_str(&text)
        .map_err(|error| EmulatorCliError::Input(format!("{} is no faults file: {error}", path.display())))
}

async fn clock(args: ClockArgs, env: &EmulatorEnv, out: &mut dyn Write) -> Result<(), EmulatorCliError> {
    let door = Door::new(&args.state, env)?;
    let mut change = json!({"freeze": args.freeze, "run": args.run});
    match args.change.as_deref().map(|text| (text, text.parse::<Timestamp>())) {
        None => {}
        Some((_, Ok(at))) => change["set"] = json!(at),
        Some((by, Err(_))) => change["advance"] = json!(by),
    }
    let moves = args.change.is_some() || args.freeze || args.run;
    let shown = match moves {
        true => door.json(Method::POST, "clock", Some(change)).await?,
        false => door.json(Method::GET, "clock", None).await?,
    };
    writeln!(out, "{}", shown["now"].as_str().unwrap_or_default())?;
    Ok(())
}

async fn seed(args: SeedArgs, env: &EmulatorEnv, out: &mut dyn Write) -> Result<(), EmulatorCliError> {
    let door = Door::new(&args.state, env)?;
    let wanted = json!({"applications": args.applications, "tenant": args.tenant});
    let shown = door.json(Method::POST, "seed", Some(wanted)).await?;
    let tenant = shown["tenant"].as_str().unwrap_or_default();
    let seeded: Vec<Seeded> = serde_json::from_value(shown["applications"].clone())
        .map_err(|error| EmulatorCliError::Input(format!("the emulator's answer cannot be read: {error}")))?;
    let files = match &args.declare {
        Some(folder) => declare(folder, tenant, &seeded)?,
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

async fn break_something(command: BreakCommand, env: &EmulatorEnv) -> Result<(), EmulatorCliError> {
    let (target, change) = match command {
        BreakCommand::Change { change, tenant, state } => {
            let change = serde_json::from_str(&change)
                .map_err(|error| EmulatorCliError::Input(format!("the change is no JSON: {error}")))?;
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

/// The emulator's other door: in this process on a state file, or on a running server.
enum Door {
    Here(Box<Emulator>),
    There { client: reqwest::Client, url: String },
}

impl Door {
    /// An explicit `--state` wins over a server in the environment.
    fn new(state: &StateArgs, env: &EmulatorEnv) -> Result<Door, EmulatorCliError> {
        let Some(url) = env.server.as_ref().filter(|_| state.state.is_none()) else {
            return Ok(Door::Here(Box::new(Emulator::open(&state_path(state, env))?)));
        };
        let url = url.trim_end_matches('/').to_owned();
        let remote = |reason: String| EmulatorCliError::Remote { url: url.clone(), reason };
        let file = env
            .ca_file
            .as_ref()
            .ok_or_else(|| remote("CERTROLL_CA_FILE must name the certificate to trust".to_owned()))?;
        let pem = fs::read(file).map_err(|source| EmulatorCliError::File {
            doing: "reading",
            path: file.clone(),
            source,
        })?;
        let authority = reqwest::Certificate::from_pem(&pem).map_err(|error| remote(causes(&error)))?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| remote(causes(&error)))?;
        Ok(Door::There { client, url })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<String, EmulatorCliError> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let (status, text) = match self {
            Door::Here(emulator) => {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("https://emulator.localhost/_emulator/{path}"))
                    .body(body)
                    .map_err(|error| EmulatorCliError::Input(error.to_string()))?;
                let answer = control(emulator, &request).unwrap_or_default();
                (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
            }
            Door::There { client, url } => {
                let remote = |error: reqwest::Error| EmulatorCliError::Remote {
                    url: url.clone(),
                    reason: causes(&error.without_url()),
                };
                let request = client.request(method, format!("{url}/_emulator/{path}")).body(body);
                let answer = request.send().await.map_err(remote)?;
                (answer.status().as_u16(), answer.text().await.map_err(remote)?)
            }
        };
        if status == 200 {
            return Ok(text);
        }
        let reason = serde_json::from_str::<Value>(&text).ok();
        let reason = reason.as_ref().and_then(|body| body["error"].as_str());
        Err(EmulatorCliError::Input(
            reason.map_or_else(|| format!("the emulator answered {status}"), str::to_owned),
        ))
    }

    async fn json(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, EmulatorCliError> {
        let text = self.ask(method, path, body).await?;
        serde_json::from_str(&text).map_err(|error| {
            EmulatorCliError::Input(format!("the emulator's answer cannot be read: {error}"))
        })
    }

    /// Tenant and object id of an application named by an id or by its display name. An id that is not found is
    /// taken as it is: it may be that of a deleted one.
    async fn find(&self, name: &str) -> Result<(Option<String>, String), EmulatorCliError> {
        let shown = self.json(Method::GET, "show", None).await?;
        let mut found = Vec::new();
        for tenant in shown["tenants"].as_array().into_iter().flatten() {
            for application in tenant["applications"].as_array().into_iter().flatten() {
                let text = |member: &str| application[member].as_str().unwrap_or_default();
                let is_id = |id: &str| id.eq_ignore_ascii_case(name);
                if is_id(text("id")) || is_id(text("appId")) || text("displayName") == name {
                    found.push((tenant["tenant"].as_str().map(str::to_owned), text("id").to_owned()));
                }
            }
        }
        match (found.pop(), found.len(), name.parse::<Uuid>()) {
            (Some(one), 0, _) => Ok(one),
            (Some(_), others, _) => Err(EmulatorCliError::Input(format!(
                "{} applications are called {name:?}; use an id",
                others + 1
            ))),
            (None, _, Ok(id)) => Ok((None, id.to_string())),
            (None, _, Err(_)) => Err(EmulatorCliError::Input(format!(
                "no application is called {name:?}; certroll emulator show lists them"
            ))),
        }
    }
}

/// An error with everything beneath it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

/// The directory for a person to read. Names are escaped: they can hold anything.
fn directory_text(shown: &Value) -> String {
    let frozen = if shown["frozen"] == true { ", standing still" } else { "" };
    let now = shown["now"].as_str().unwrap_or_default();
    let now =
        now.parse::<Timestamp>().map_or(now.to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let mut text = format!("It is {now}{frozen}.\n");
    for tenant in shown["tenants"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "\ntenant {}", tenant["tenant"].as_str().unwrap_or_default());
        for (member, noun) in [("applications", "application"), ("servicePrincipals", "service principal")] {
            let mut objects: Vec<&Value> = tenant[member].as_array().into_iter().flatten().collect();
            objects.sort_by_key(|object| (object["displayName"].as_str(), object["appId"].as_str()));
            for object in objects {
                object_text(&mut text, noun, object);
            }
        }
    }
    text
}

fn object_text(text: &mut String, noun: &str, object: &Value) {
    let keys: &[Value] = object["keyCredentials"].as_array().map_or(&[], Vec::as_slice);
    // Service principals are worth a line only when they carry something.
    if noun != "application" && keys.is_empty() {
        return;
    }
    let name = object["displayName"].as_str().unwrap_or_default();
    let _ = writeln!(text, "  {noun} {name:?}, app id {}", object["appId"].as_str().unwrap_or_default());
    for key in keys {
        let member = |name: &str| key[name].as_str().unwrap_or_default();
        let name = member("displayName");
        let day = |text: &str| text.get(..10).unwrap_or(text).to_owned();
        let (start, end) = (day(member("startDateTime")), day(member("endDateTime")));
        let _ = writeln!(text, "    {} {name:?}, {start} to {end}, {}", thumbprint(key), member("usage"));
    }
}

/// The SHA-1 thumbprint where the entry has it in the usual form, else the key id.
fn thumbprint(key: &Value) -> String {
    let bytes = key["customKeyIdentifier"].as_str().and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) if bytes.len() == 20 => bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        }),
        _ => key["keyId"].as_str().unwrap_or("(no id)").to_owned(),
    }
}
