//! Flags and their help text, as types. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::cli::commands::emulator::EmulatorCommand;
use crate::ids::{Address, Thumbprint};
use crate::plan::policy::Pattern;

/// Keeps the certificates on Microsoft Entra ID applications as a Git repository says they should be.
#[derive(Debug, Parser)]
#[command(name = "certroll", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The table of exit codes, as help and manual show it.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    fine; nothing to do is fine, and so is a running overlap
  1    error
  2    changes or drift (only with --detailed-exitcode)
  3    nothing certroll can do, but somebody must act (only with --detailed-exitcode)
  4    refused: stale plan, guard, or a limit on how much one run may change
  5    applied in part, or not visible yet; run it again
  64   the command line makes no sense
  130  interrupted";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Declaration files or folders (without their subfolders); repeatable [default: .]
    #[arg(short = 'f', long = "file", value_name = "PATH", global = true)]
    pub files: Vec<PathBuf>,
    /// How results are written to standard output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, global = true)]
    pub format: OutputFormat,
    /// Short for --format json
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,
    /// No colour, as with the variable NO_COLOR
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: unchanged certificates and, with -vv, every request
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// How log lines are written to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
    /// Where secret_file: names are looked up
    #[arg(long, value_name = "DIR", global = true)]
    pub secrets_dir: Option<PathBuf>,
    /// The operator's file of connections that declarations may name, also CERTROLL_CONNECTIONS
    #[arg(long, value_name = "FILE", global = true)]
    pub connections: Option<PathBuf>,
    /// Set one of certroll's numbers for this run, such as prove_deadline=15m; repeatable. A saved plan keeps those it was made with
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_value, global = true)]
    pub settings: Vec<(String, String)>,
    /// State file of emulated tenants, also CERTROLL_STATE [default: .certroll/emulator.json]
    #[arg(long, value_name = "FILE", global = true)]
    pub state: Option<PathBuf>,
}

impl Global {
    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json || self.format == OutputFormat::Json
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    Text,
    /// For programs; apply writes one event a line
    Json,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a starter file; never overwrites one
    Init(InitArgs),
    /// Check everything that can be checked offline
    Validate,
    /// Show what apply would do, and why
    Plan(PlanArgs),
    /// Do what the plan says
    Apply(ApplyArgs),
    /// Compare declared with live; can change nothing
    Drift(DriftArgs),
    /// Read afresh, match key and certificate, and sign in with every current key
    Verify(VerifyArgs),
    /// Say which identity is used, what it may do, and whether everything declared can be reached; only looks
    Doctor(DoctorArgs),
    /// Write down that a consumer has the new key
    Ack(AckArgs),
    /// Show a saved plan again
    Show(ShowArgs),
    /// A pretend directory and login service, for trying things out and for tests
    #[command(subcommand)]
    Emulator(EmulatorCommand),
    /// Print the JSON schema of a file format
    Schema(SchemaArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print a manual page
    Man(ManArgs),
    /// Print the version
    Version,
    /// Not a command of certroll: see `removed:`
    #[command(hide = true)]
    Destroy(Whatever),
    /// Not a command of certroll: see `adopt:`
    #[command(hide = true)]
    Import(Whatever),
}

/// Anything at all, so that the answer is about the command and not about its arguments.
#[derive(Debug, Args)]
pub struct Whatever {
    /// Ignored.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub anything: Vec<String>,
}

/// What plan and apply have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Only these certificates: an address, a glob such as contoso/*, or label:KEY=VALUE; repeatable
    #[arg(long, alias = "target", value_name = "ADDRESS")]
    pub only: Vec<Pattern>,
    /// Rotate now, replacing the generation with this thumbprint; does nothing once that is done
    #[arg(long, value_name = "ADDRESS=THUMBPRINT", value_parser = replace)]
    pub replace: Vec<(Address, Thumbprint)>,
    /// Retire what --replace names in the same run, after the proof of its successor
    #[arg(long, requires = "replace")]
    pub revoke_previous: bool,
    /// Make the predecessor current again; needs a hold: in the file
    #[arg(long, value_name = "ADDRESS")]
    pub rollback: Vec<Address>,
    /// For this run, allow so many certificates to be issued per tenant
    #[arg(long, value_name = "COUNT")]
    pub max_issue: Option<usize>,
    /// For this run, allow so many credentials to be retired per tenant
    #[arg(long, value_name = "COUNT")]
    pub max_retire: Option<usize>,
}

/// How many requests are in flight.
#[derive(Debug, Clone, Copy, Args)]
pub struct Parallelism {
    /// Requests in flight at a time
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallelism: u16,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where to write it; -f means the same, and in a folder the file is called certroll.yaml [default: certroll.yaml]
    pub path: Option<PathBuf>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which certificates, and overrides.
    #[command(flatten)]
    pub selection: Selection,
    /// Requests in flight.
    #[command(flatten)]
    pub parallelism: Parallelism,
    /// Save the plan to this file, for review and for apply
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// End with 2 when there are changes, with 3 when somebody must act
    #[arg(long, alias = "detailed-exit-code")]
    pub detailed_exitcode: bool,
    /// Plan as if it were this moment (RFC 3339, or a date in UTC); such a plan can only be looked at
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub now: Option<Timestamp>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A saved plan: only steps that are in it are carried out
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Which certificates, and overrides.
    #[command(flatten)]
    pub selection: Selection,
    /// Requests in flight.
    #[command(flatten)]
    pub parallelism: Parallelism,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Also repair without being asked: publish a current certificate again that is missing from its target
    #[arg(long)]
    pub allow_repair: bool,
    /// Write what was done, with its evidence, to this file
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// The tenants are emulated, and that is meant
    #[arg(long)]
    pub emulator: bool,
}

/// Arguments of `drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Only these certificates: an address, a glob such as contoso/*, or label:KEY=VALUE; repeatable
    #[arg(long, alias = "target", value_name = "ADDRESS")]
    pub only: Vec<Pattern>,
    /// Requests in flight.
    #[command(flatten)]
    pub parallelism: Parallelism,
    /// End with 2 when there is drift, with 3 when somebody must act
    #[arg(long, alias = "detailed-exit-code")]
    pub detailed_exitcode: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which certificates: addresses, globs or label:KEY=VALUE [default: all]
    #[arg(value_name = "ADDRESS")]
    pub addresses: Vec<Pattern>,
    /// Requests in flight.
    #[command(flatten)]
    pub parallelism: Parallelism,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only these certificates, their tenants and stores: an address, a glob such as contoso/*, or label:KEY=VALUE; repeatable [default: all, and every declared tenant]
    #[arg(long, alias = "target", value_name = "ADDRESS")]
    pub only: Vec<Pattern>,
    /// Requests in flight.
    #[command(flatten)]
    pub parallelism: Parallelism,
}

/// Arguments of `ack`.
#[derive(Debug, Args)]
pub struct AckArgs {
    /// The certificate whose consumer has the new key
    pub address: Address,
    /// Who confirmed it [default: the variable USER, LOGNAME or USERNAME]
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// Anything worth keeping, such as a ticket number
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// The generation it has [default: the current one]
    #[arg(long, value_name = "THUMBPRINT")]
    pub thumbprint: Option<Thumbprint>,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The saved plan
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which format
    #[arg(value_enum, default_value_t = SchemaName::Certroll)]
    pub which: SchemaName,
}

/// File formats that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    /// The declaration
    Certroll,
    /// A saved plan, and plan --json
    Plan,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command whose page is wanted [default: certroll itself]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, such as prove_deadline=15m".to_owned()),
    }
}

fn replace(text: &str) -> Result<(Address, Thumbprint), String> {
    let (address, thumbprint) =
        text.split_once('=').ok_or("write ADDRESS=THUMBPRINT, such as contoso/backup=9F2C…")?;
    let address = address.parse::<Address>().map_err(|e| e.to_string())?;
    let thumbprint = thumbprint.parse::<Thumbprint>().map_err(|e| e.to_string())?;
    Ok((address, thumbprint))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    text.parse::<jiff::civil::Date>()
        .ok()
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|midnight| midnight.timestamp())
        .ok_or_else(|| "write RFC 3339 such as 2026-11-20T12:00:00Z, or a date such as 2026-11-20".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_date_means_midnight_in_utc() {
        assert_eq!(moment("2026-11-20").unwrap().to_string(), "2026-11-20T00:00:00Z");
        assert_eq!(moment("2026-11-20T12:30:00+01:00").unwrap().to_string(), "2026-11-20T11:30:00Z");
        assert!(moment("tomorrow").is_err());
    }
}
