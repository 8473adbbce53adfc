//! A program of the operator's own that is given a generation on its standard input.
//!
//! It is run in `apply` alone, without a shell, in the folder of the declaring file, with an allow-listed environment and a time limit.
//! The secret is nowhere but on its standard input; what it prints is repeated only if nothing of the secret is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::settings::{content, doing, list, misfit, password_beside, text};
use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::{Thumbprint, Thumbprints};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::may::May;
use crate::net::printable;
use crate::observed::DeliveryState;

/// How long a program may take.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// How much of each of its streams is kept, in bytes; the rest is read and dropped.
const KEPT_MAX: u64 = 64 * 1024;
/// Shortest line of a secret that is looked for in what it prints, in bytes.
const LINE_MIN: usize = 8;
/// What of certroll's own environment a program is given.
const PASSED_ON: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"];
/// Where programs are looked for when nobody says.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to try when a program is not found.
const WHERE: &str = "the program is found on PATH, or by a path below the folder of the declaration";

/// A program.
#[derive(Debug)]
pub struct ExecDelivery {
    command: Vec<String>,
    check: Option<Vec<String>>,
    password_name: Option<String>,
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    time_limit: Duration,
}

struct Ended {
    status: ExitStatus,
    stdout: Zeroizing<Vec<u8>>,
    stderr: Zeroizing<Vec<u8>>,
}

impl ExecDelivery {
    /// What the declaration says, in the run's environment, of which only the harmless part is passed on. Nothing is started yet.
    pub fn new(delivery: &Delivery, variables: &BTreeMap<String, String>) -> Result<ExecDelivery, Trouble> {
        let passed_on = variables.iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str()));
        let mut environment: BTreeMap<String, String> =
            passed_on.map(|(name, value)| (name.clone(), value.clone())).collect();
        environment.entry("PATH".into()).or_insert_with(|| USUAL_PATH.into());
        environment.insert("CERTROLL_SLOT".into(), delivery.slot.clone());
        environment.insert("CERTROLL_FORMAT".into(), delivery.form.format.as_str().into());
        let command = list(delivery, "command").filter(|command| !command.is_empty());
        let folder = delivery.origin.folder.clone();
        Ok(ExecDelivery {
            command: command.ok_or_else(|| misfit(delivery, "`command` is not declared"))?,
            check: list(delivery, "check").filter(|check| !check.is_empty()),
            password_name: text(delivery, "password_secret"),
            folder: if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder },
            environment,
            time_limit: TIME_LIMIT,
        })
    }

    /// Lets a program take at most so long; 5 min if not said.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> ExecDelivery {
        ExecDelivery { time_limit, ..self }
    }

    /// Runs a program to its end and keeps what it printed.
    async fn run(
        &self,
        command: &[String],
        thumbprints: &Thumbprints,
        input: &[u8],
        doing: &str,
    ) -> Result<Ended, Trouble> {
        let wrong = |kind, reason: String| Trouble::new(kind, doing, reason);
        let program = command.first().map(String::as_str).unwrap_or_default();
        let mut child = self.start(command, thumbprints).map_err(|error| {
            wrong(TroubleKind::Refused, format!("{program} cannot be started: {error}")).with_hint(WHERE)
        })?;
        let mut group = Group(child.id());
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read to the end says what it thinks of it with its exit status.
                let _ = stdin.write_all(input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let all = async { tokio::join!(child.wait(), write, keep(stdout), keep(stderr)) };
        let Ok((status, (), stdout, stderr)) = tokio::time::timeout(self.time_limit, all).await else {
            let limit = self.time_limit.as_secs();
            return Err(wrong(
                TroubleKind::Unavailable,
                format!("{program} did not end within {limit} s and was stopped"),
            ));
        };
        group.0 = None;
        let status = status.map_err(|error| wrong(TroubleKind::Unavailable, error.to_string()))?;
        Ok(Ended { status, stdout, stderr })
    }

    #[allow(clippy::disallowed_methods, reason = "the one delivery that starts a program")]
    fn start(&self, command: &[String], thumbprints: &Thumbprints) -> std::io::Result<Child> {
        let program = command.first().map(String::as_str).unwrap_or_default();
        let program = if program.contains('/') {
            std::path::absolute(self.folder.join(program))?
        } else {
            PathBuf::from(program)
        };
        let mut started = std::process::Command::new(program);
        started.args(command.iter().skip(1)).env_clear().envs(&self.environment);
        started
            .env("CERTROLL_THUMBPRINT", thumbprints.sha1.to_string())
            .env("CERTROLL_THUMBPRINT_SHA256", thumbprints.sha256.to_string());
        started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut started = Command::from(started);
        // A group of its own, so that what it starts ends with it.
        started.current_dir(&self.folder).process_group(0).kill_on_drop(true);
        started.spawn()
    }
}

async fn keep(stream: Option<impl AsyncRead + Unpin>) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(KEPT_MAX as usize));
    if let Some(mut stream) = stream {
        let _ = (&mut stream).take(KEPT_MAX).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    kept
}

/// A program and all it started, by the id of the program. Stopped when dropped: at the time limit, or when the run is.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself meanwhile.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// What a program printed, in one line, unless it repeats a piece of the secret.
fn told(printed: &[u8], secret: &[u8]) -> String {
    if repeats(printed, secret) {
        return "what it printed repeats the secret and is not shown".to_owned();
    }
    let text = String::from_utf8_lossy(printed);
    let last: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = last[last.len().saturating_sub(3)..].join("; ");
    if last.is_empty() { "it printed nothing".to_owned() } else { printable(&last) }
}

/// Whether any longer piece of the secret's lines stands in the text, in whatever spelling.
fn repeats(text: &[u8], secret: &[u8]) -> bool {
    let lines = secret.split(|byte| *byte == b'\n').filter(|line| line.len() >= LINE_MIN);
    // The heads of PEM blocks are no secret.
    let lines: Vec<&[u8]> = lines.filter(|line| !line.starts_with(b"-----")).collect();
    crate::net::repeats(text, &lines)
}

/// The thumbprint in what `check` printed: the first line, alone or after `=` as openssl prints it.
fn thumbprint_in(printed: &[u8]) -> Option<Thumbprint> {
    let text = std::str::from_utf8(printed).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    line.rsplit('=').next()?.trim().replace(':', "").to_uppercase().parse().ok()
}

#[async_trait]
impl DeliveryReader for ExecDelivery {
    /// Runs nothing: looking is harmless.
    async fn observe(&self, _delivery: &Delivery) -> DeliveryState {
        let reason = match self.check {
            Some(_) => "a plan runs no program; its check is run after each delivery",
            None => "a plan runs no program",
        };
        DeliveryState::NeverTells { reason: reason.to_owned() }
    }

    /// Whether there is such a program at all. It is not run.
    async fn may_write(&self, _delivery: &Delivery) -> Result<May, DeliveryError> {
        let program = self.command.first().map(String::as_str).unwrap_or_default();
        let path = self.environment.get("PATH").map(String::as_str).unwrap_or_default();
        let places: Vec<PathBuf> = match program.contains('/') {
            true => vec![self.folder.join(program)],
            false => std::env::split_paths(path).map(|folder| folder.join(program)).collect(),
        };
        let runs = |place: &PathBuf| {
            place.is_file() && rustix::fs::access(place, rustix::fs::Access::EXEC_OK).is_ok()
        };
        Ok(match places.iter().any(runs) {
            true => May::NotTold,
            false => {
                May::no(format!("there is no program {} that can be started", shown(&self.command)), WHERE)
            }
        })
    }
}

#[async_trait]
impl DeliveryWriter for ExecDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError> {
        let doing = doing(delivery);
        let thumbprints = issued.certificate.thumbprints;
        let contents = content(delivery, key, issued, password, "certificate")?;
        let mut input = Zeroizing::new(Vec::with_capacity(contents.len() + 1024));
        let name = self.password_name.as_ref();
        if let (Some(name), Some(password)) = (name, password_beside(delivery, password, name.is_some())) {
            for part in [name.as_str(), "=", password.expose(), "\n"] {
                input.extend_from_slice(part.as_bytes());
            }
        }
        input.extend_from_slice(&contents);
        // A password is looked for by itself too: on its line it stands behind its name.
        let secret = Zeroizing::new(match password {
            Some(password) => [password.expose().as_bytes(), b"\n", &contents].concat(),
            None => contents.to_vec(),
        });
        let ended = self.run(&self.command, &thumbprints, &input, &doing).await?;
        if !ended.status.success() {
            let said = told(&ended.stderr, &secret);
            let reason = format!("{} failed: {said}", shown(&self.command));
            let trouble = Trouble::new(TroubleKind::Unavailable, doing, reason);
            return Err(Trouble { code: Some(ended.status.to_string().into()), ..trouble }.into());
        }
        if let Some(check) = &self.check {
            self.confirm(check, &thumbprints, &secret, &doing).await?;
        }
        Ok(format!("SHA-256 {}", thumbprints.sha256))
    }
}

impl ExecDelivery {
    /// Runs `check`, which has to name the generation that was just delivered.
    async fn confirm(
        &self,
        check: &[String],
        thumbprints: &Thumbprints,
        secret: &[u8],
        doing: &str,
    ) -> Result<(), Trouble> {
        let ended = self.run(check, thumbprints, &[], doing).await?;
        let program = shown(check);
        let failed = |kind, reason: String| {
            let trouble = Trouble::new(kind, doing, reason);
            trouble
                .with_hint("the delivery counts only once check prints the thumbprint of what was delivered")
        };
        if !ended.status.success() {
            let said = told(&ended.stderr, secret);
            return Err(failed(TroubleKind::Unavailable, format!("the check {program} failed: {said}")));
        }
        match thumbprint_in(&ended.stdout) {
            Some(found) if found.names(thumbprints) => Ok(()),
            Some(found) => Err(failed(
                TroubleKind::Conflict,
                format!("the check {program} says that the place holds {found}"),
            )),
            None => Err(failed(TroubleKind::Invalid, format!("the check {program} printed no thumbprint"))),
        }
    }
}

/// The program without its arguments, which may name what nobody else should read about.
fn shown(command: &[String]) -> String {
    let program = command.first().map(String::as_str).unwrap_or_default();
    printable(&Path::new(program).file_name().map(|name| name.to_string_lossy()).unwrap_or_default())
}
