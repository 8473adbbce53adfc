//! Who is asking, and whether they may.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::emulator::graph::refusal::Refusal;
use crate::emulator::login::tokens;
use crate::emulator::wire::{Call, Exchange};
use crate::emulator::world::{Kind, Object};

/// The application that holds the token.
pub(crate) struct Caller {
    pub(crate) tenant: Uuid,
    pub(crate) client_id: Uuid,
    /// Its service principal in this tenant.
    pub(crate) principal: Option<Uuid>,
    permissions: BTreeSet<String>,
}

/// Permissions that allow reading applications and service principals.
const READ: &[&str] = &[
    "Application.Read.All",
    "Application.ReadWrite.OwnedBy",
    "Application.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];

/// Permissions that allow reading policies.
const READ_POLICIES: &[&str] =
    &["Policy.Read.All", "Policy.Read.ApplicationConfiguration", "Policy.ReadWrite.ApplicationConfiguration"];

/// Checks the token of a request. Permissions are looked up afresh each time, so taking one away bites at once,
/// where the service would let the token run out.
pub(crate) fn caller(exchange: &Exchange<'_>, call: &Call) -> Result<Caller, Refusal> {
    let header = call.header("authorization").unwrap_or("");
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(Refusal::token("Access token is empty.")),
    };
    let claims = tokens::read(exchange.world, token)
        .ok_or_else(|| Refusal::token("CompactToken validation failed with reason code: 80049228."))?;
    if !tokens::is_graph(&claims.audience, &call.base) {
        return Err(Refusal::token("Access token validation failure. Invalid audience."));
    }
    let now = exchange.now.as_second();
    if now >= claims.expires || now < claims.not_before {
        return Err(Refusal::token("Lifetime validation failed, the token is expired."));
    }
    let tenant = exchange
        .world
        .tenants
        .get(&claims.tenant)
        .ok_or_else(|| Refusal::token("Invalid token: the tenant does not exist."))?;
    let principal = tenant.live_by_app_id(Kind::ServicePrincipal, claims.client_id).map(|object| object.id);
    let permissions = tenant.facts.grants.get(&claims.client_id).cloned().unwrap_or_default();
    Ok(Caller { tenant: claims.tenant, client_id: claims.client_id, principal, permissions })
}

impl Caller {
    fn has(&self, permission: &str) -> bool {
        self.permissions.contains(permission)
    }

    fn has_any(&self, permissions: &[&str]) -> Result<(), Refusal> {
        match permissions.iter().any(|permission| self.has(permission)) {
            true => Ok(()),
            false => Err(Refusal::denied()),
        }
    }

    pub(crate) fn may_read(&self) -> Result<(), Refusal> {
        self.has_any(READ)
    }

    pub(crate) fn may_read_policies(&self) -> Result<(), Refusal> {
        self.has_any(READ_POLICIES)
    }

    pub(crate) fn may_create(&self) -> Result<(), Refusal> {
        self.has_any(&["Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"])
    }

    /// Changing an object needs the wide permission, or the narrow one and ownership.
    pub(crate) fn may_write(&self, object: &Object) -> Result<(), Refusal> {
        let owns = self.principal.is_some_and(|principal| object.owners.contains(&principal));
        match self.has("Application.ReadWrite.All") || (owns && self.has("Application.ReadWrite.OwnedBy")) {
            true => Ok(()),
            false => Err(Refusal::denied()),
        }
    }

    /// An application needs no permission to roll its own key.
    pub(crate) fn may_roll(&self, object: &Object) -> Result<(), Refusal> {
        if object.app_id == self.client_id || self.has("Directory.ReadWrite.All") {
            return Ok(());
        }
        self.may_write(object)
    }
}
