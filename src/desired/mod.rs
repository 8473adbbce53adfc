//! The declaration as meant: checked, typed, inherited, without duplicates. Pure values.
//!
//! `desired::file` reads the YAML as written and makes these; nothing here knows of files or text positions beyond
//! [`Origin`], which lets a later error point back into the file.

mod certificate;
pub mod file;
mod form;
mod issuer;
mod store;
mod tenant;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Address, Name, Owner, Thumbprint};

pub use certificate::{
    Adopt, Consumer, Declared, Delivery, Freeze, Hold, Ignore, Prove, Retire, SelectBy, TargetSelector,
    Timing, Window,
};
pub use form::{Form, Format, Password, PfxProfile, SECRET_VARIABLE_PREFIX};
pub use issuer::{Issuer, PublicKeyFile, RotatorMatch, answer_file, request_file};
pub use store::{Store, StoreBinding, StoreKind, StoreOptions};
pub use tenant::{Cloud, Limit, Tenant};

/// Everything the files declare.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Whose declaration this is.
    pub owner: Owner,
    /// The declared tenants.
    pub tenants: BTreeMap<Name, Tenant>,
    /// The declared stores.
    pub stores: BTreeMap<Name, Store>,
    /// The declared certificates.
    pub certificates: BTreeMap<Address, Declared>,
    /// Renames and moves between targets.
    pub moved: Vec<Moved>,
    /// What is no longer declared and should go.
    pub removed: Vec<Removed>,
    /// What people have confirmed.
    pub acknowledgements: Vec<Acknowledgement>,
}

/// Where in the files something is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// Path as given on the command line.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The file's folder, which paths in it are below. Differs from machine to machine and is written nowhere.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A rename or a move between targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The former address.
    pub from: Address,
    /// The declared address it leads to, by however many renames. Of the same tenant.
    pub to: Address,
    /// Where it is declared.
    pub origin: Origin,
}

/// What is no longer declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The former address.
    pub address: Address,
    /// The object that carries its credentials.
    pub target: TargetSelector,
    /// Whether its credentials are taken off the target.
    pub retire: bool,
    /// Where it is declared.
    pub origin: Origin,
}

/// What a person confirmed: the consumer signs in with this generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// Which certificate.
    pub address: Address,
    /// Which generation of it.
    pub thumbprint: Thumbprint,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
