//! Flags and arguments of `certroll emulator …`, as types. No behaviour.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Span, Timestamp};
use uuid::Uuid;

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
    #[arg(value_name = "MOVE", allow_hyphen_values = true, value_parser = clock_move)]
    pub change: Option<ClockMove>,
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

/// Where the clock is moved to.
#[derive(Clone, Debug)]
pub enum ClockMove {
    /// So far; calendar units count in UTC.
    By(Span),
    /// To this moment, where it stops.
    To(Timestamp),
}

fn clock_move(text: &str) -> Result<ClockMove, String> {
    let to = text.parse().map(ClockMove::To);
    let by = text.strip_prefix('+').unwrap_or(text).parse().map(ClockMove::By);
    to.or(by).map_err(|_| {
        "it moves by a duration such as +30d, +36h or +P1Y, or to a moment such as 2026-03-01T00:00:00Z"
            .to_owned()
    })
}

fn seeded(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count <= crate::emulator::SEEDED_MAX);
    count.ok_or_else(|| format!("write a count of at most {}", crate::emulator::SEEDED_MAX))
}

/// Options of `seed`.
#[derive(Debug, Args)]
pub struct SeedArgs {
    /// How many applications to add; every third carries a certificate of somebody else
    #[arg(long, value_name = "N", value_parser = seeded)]
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
