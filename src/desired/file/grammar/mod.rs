//! The YAML as written: every key, its type and its description. The one place that says what a file may hold; the JSON
//! schema, the check of keys and types and the reading of values are all made from these types.
//!
//! What keys mean together (references, inheritance, periods that must fit) is `resolve`'s business.

mod certificate;
mod delivery;
mod issuer;
mod store;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::{Moment, PercentText, TenantIdText};
use crate::consumer;
use crate::desired::Cloud;
use crate::ids::{Address, Name, Owner, Thumbprint};

pub(super) use certificate::*;
pub(super) use delivery::*;
pub(super) use issuer::*;
pub(super) use store::*;

/// A certroll declaration.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Declaration")]
#[allow(
    dead_code,
    reason = "read part by part, so that one mistake does not hide the others; this gives the schema"
)]
pub(super) struct Document {
    /// The format. First key of every file.
    pub(super) certroll: Version,
    /// Whose declaration this is. Part of the marker on every credential of ours. Once over all files.
    pub(super) owner: Option<Owner>,
    /// The Entra tenants, by name.
    pub(super) tenants: Option<BTreeMap<Name, Tenant>>,
    /// Where private keys live, by name.
    pub(super) stores: Option<BTreeMap<Name, Store>>,
    /// What makes certificates, by name. `self-signed` exists.
    pub(super) issuers: Option<BTreeMap<Name, Issuer>>,
    /// Products that sign in with a certificate, by name. The common ones are built in.
    pub(super) consumers: Option<BTreeMap<Name, consumer::Entry>>,
    /// Values for every certificate of this file that does not set them itself.
    pub(super) defaults: Option<Defaults>,
    /// The certificates, by name. A certificate's address is `tenant/name`, for ever.
    pub(super) certificates: Option<BTreeMap<Name, Certificate>>,
    /// Renames, and moves between targets.
    pub(super) moved: Option<Vec<Moved>>,
    /// What is no longer declared: the only way to have it removed.
    pub(super) removed: Option<Vec<Removed>>,
    /// What people have confirmed. Written by `certroll ack`.
    pub(super) acknowledgements: Option<Vec<Acknowledgement>>,
}

/// The format of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Version")]
pub(super) enum Version {
    #[serde(rename = "v1")]
    V1,
}

/// An Entra tenant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    /// Tenant id (GUID) or a verified domain. Required unless the tenant is emulated.
    pub(super) id: Option<TenantIdText>,
    /// The Microsoft cloud it lives in. Default: public.
    pub(super) cloud: Option<Cloud>,
    /// The operator's connection to use.
    pub(super) connection: Option<Name>,
    /// How many certificates one run may issue: a count, or a percentage of the declared ones. Default: 50.
    pub(super) max_issue: Option<Limit>,
    /// How many credentials one run may retire: a count, or a percentage of the declared certificates. Default: 20 % but at
    /// least 5.
    pub(super) max_retire: Option<Limit>,
    /// Dates between which nothing is written.
    pub(super) freeze: Option<Vec<Freeze>>,
    /// Drift findings not to report.
    pub(super) ignore: Option<Vec<Ignore>>,
}

/// A count, or a percentage such as 20%.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Limit {
    Count(u32),
    Percent(PercentText),
}

/// A rename, or a move between targets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Moved {
    /// The former address.
    pub(super) from: Address,
    /// The declared address.
    pub(super) to: Address,
}

/// What is no longer declared.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Removed {
    /// The former address.
    pub(super) address: Address,
    /// The object that carries its credentials.
    pub(super) target: Target,
    /// Whether its credentials are taken off the target.
    pub(super) retire: bool,
}

/// An object that carries credentials.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// An app registration.
    Application(Selector),
    /// An enterprise application.
    ServicePrincipal(Selector),
}

/// What a person confirmed: the consumer signs in with this generation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// Which certificate.
    pub(super) address: Address,
    /// Which generation of it.
    pub(super) thumbprint: Thumbprint,
    /// Who.
    pub(super) by: String,
    /// When (RFC 3339).
    pub(super) at: Moment,
    /// Free text.
    pub(super) note: Option<String>,
}
