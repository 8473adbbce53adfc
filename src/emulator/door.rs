//! The other door: powers that no client has, for tests, for seeding and for playing.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::emulator::change::{Change, NewApplication, NewServicePrincipal};
use crate::emulator::clock::{moved, seven_digits, whole_seconds};
use crate::emulator::error::EmulatorError;
use crate::emulator::graph::{self, Keys, blank};
use crate::emulator::wire::members;
use crate::emulator::world::{
    KeyCredential, Kind, Object, PasswordCredential, StoredOperator, Tenant, TenantFacts, World,
};
use crate::emulator::{Emulator, certificate, ids, seed};

/// What the tool's own identity may do unless a test says otherwise.
const OPERATOR_PERMISSIONS: &[&str] = &["Application.ReadWrite.All", "Policy.Read.All"];

/// The tool's own identity in a tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its client id.
    pub client_id: Uuid,
    /// Its client secret; not printed by `Debug`.
    pub client_secret: String,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Emulator {
    /// Makes sure that the tenant exists.
    pub fn ensure_tenant(&self, tenant: Uuid, domain: Option<&str>) {
        let exists = self.look(|world| {
            world
                .tenants
                .get(&tenant)
                .is_some_and(|found| domain.is_none() || found.facts.domain.as_deref() == domain)
        });
        if !exists {
            self.alter(|world| ensure_tenant(world, tenant, domain));
        }
    }

    /// All tenants, with their domains.
    pub fn tenants(&self) -> Vec<(Uuid, Option<String>)> {
        self.look(|world| {
            world.tenants.values().map(|tenant| (tenant.facts.id, tenant.facts.domain.clone())).collect()
        })
    }

    /// The tenant there is, or a new one.
    pub fn default_tenant(&self) -> Uuid {
        if let Some((tenant, _)) = self.tenants().first() {
            return *tenant;
        }
        self.alter(|world| {
            let tenant = world.new_id();
            ensure_tenant(world, tenant, None);
            tenant
        })
    }

    /// The tool's own identity in a tenant, which is made if need be; the same every time.
    pub fn operator(&self, tenant: Uuid) -> Operator {
        self.ensure_tenant(tenant, None);
        let known = |world: &World| world.tenants.get(&tenant).and_then(|found| found.facts.operator.clone());
        let stored = match self.look(known) {
            Some(stored) => stored,
            None => self.alter(|world| known(world).unwrap_or_else(|| make_operator(world, tenant))),
        };
        Operator { client_id: stored.client_id, client_secret: stored.secret }
    }

    /// Puts an application into a tenant, with a service principal unless told otherwise. Answers its object id
    /// and its client id.
    pub fn create_application(
        &self,
        tenant: Uuid,
        new: NewApplication,
    ) -> Result<(Uuid, Uuid), EmulatorError> {
        self.ensure_tenant(tenant, None);
        self.alter(|world| create_application(world, tenant, new))
    }

    /// Puts a service principal into a tenant. Answers its object id and its client id.
    pub fn create_service_principal(
        &self,
        tenant: Uuid,
        new: NewServicePrincipal,
    ) -> Result<(Uuid, Uuid), EmulatorError> {
        self.ensure_tenant(tenant, None);
        self.alter(|world| create_service_principal(world, tenant, new))
    }

    /// Seeds applications by the thousand; every third carries a certificate of somebody else.
    pub fn seed(&self, tenant: Uuid, applications: usize) -> Vec<seed::Seeded> {
        self.ensure_tenant(tenant, None);
        self.alter(|world| {
            let now = world.meta.clock.now();
            seed::applications(world, tenant, applications, now)
        })
    }

    /// Changes something behind everybody's back.
    pub fn change(&self, tenant: Uuid, change: Change) -> Result<(), EmulatorError> {
        self.alter(|world| apply(world, tenant, change))
    }

    /// Removes a certificate behind everybody's back; `credential` is a key id or a thumbprint.
    pub fn delete_credential(
        &self,
        tenant: Uuid,
        object: Uuid,
        credential: &str,
    ) -> Result<(), EmulatorError> {
        let change = Change::DeleteCredential { object, kind: None, credential: credential.to_owned() };
        self.change(tenant, change)
    }

    /// Replaces the permissions of the tool's own identity.
    pub fn grant_operator(&self, tenant: Uuid, permissions: &[&str]) -> Result<(), EmulatorError> {
        let client_id = self.operator(tenant).client_id;
        let permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        self.change(tenant, Change::Grant { client_id, permissions })
    }

    /// An object as it really is, certificates included; `id` is an object id or a client id.
    pub fn object(&self, tenant: Uuid, kind: Kind, id: Uuid) -> Option<Value> {
        self.look(|world| {
            let directory = world.tenants.get(&tenant)?;
            let object = directory.live(kind, id).or_else(|| directory.live_by_app_id(kind, id))?;
            Some(Value::Object(graph::render_object(object, None, Keys::Shown, false)))
        })
    }

    /// All objects of a kind as they really are, sorted by object id.
    pub fn objects(&self, tenant: Uuid, kind: Kind) -> Vec<Value> {
        self.look(|world| {
            let objects =
                world.tenants.get(&tenant).into_iter().flat_map(|directory| directory.objects(kind).values());
            let live = objects.filter(|object| object.deleted.is_none());
            live.map(|object| Value::Object(graph::render_object(object, None, Keys::Shown, false))).collect()
        })
    }
}

fn ensure_tenant(world: &mut World, tenant: Uuid, domain: Option<&str>) {
    if let std::collections::btree_map::Entry::Vacant(e) = world.tenants.entry(tenant) {
        let facts = TenantFacts {
            id: tenant,
            domain: None,
            default_policy: graph::tenant_default_policy(),
            policies: Default::default(),
            issuers: Default::default(),
            conditional_access: false,
            operator: None,
            grants: Default::default(),
        };
        e.insert(Tenant::empty(facts));
        world.dirty.tenants.insert(tenant);
    }
    if let (Some(domain), Some(facts)) = (domain, world.facts_mut(tenant)) {
        facts.domain = Some(domain.to_owned());
    }
}

fn make_operator(world: &mut World, tenant: Uuid) -> StoredOperator {
    let now = world.meta.clock.now();
    let number = world.new_number();
    let secret = ids::secret(world.meta.seed, "operator", number);
    let (id, app_id, principal_id) = (world.new_id(), world.new_id(), world.new_id());
    let mut application = blank(Kind::Application, id, app_id);
    seed::name(&mut application, "certroll operator", now);
    application.passwords.push(password(
        &json!({"displayName": "emulator", "secretText": secret}),
        now,
        world.new_id(),
    ));
    let mut principal = blank(Kind::ServicePrincipal, principal_id, app_id);
    seed::name(&mut principal, "certroll operator", now);
    seed::owned_by(&mut principal, tenant);
    world.place(tenant, application);
    world.place(tenant, principal);
    let stored = StoredOperator { client_id: app_id, secret };
    if let Some(facts) = world.facts_mut(tenant) {
        facts.operator = Some(stored.clone());
        let permissions = OPERATOR_PERMISSIONS.iter().map(|name| (*name).to_owned()).collect();
        facts.grants.insert(app_id, permissions);
    }
    stored
}

fn password(given: &Value, now: Timestamp, id: Uuid) -> PasswordCredential {
    let mut entry = members(json!({
        "customKeyIdentifier": null, "displayName": null, "endDateTime": "2299-12-31T00:00:00Z", "hint": null,
        "keyId": id.to_string(), "secretText": null, "startDateTime": seven_digits(now),
    }));
    entry.extend(members(given.clone()));
    let secret = entry.insert("secretText".to_owned(), Value::Null);
    let secret = secret.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    entry.insert("hint".to_owned(), Value::from(secret.chars().take(3).collect::<String>()));
    PasswordCredential { entry, secret, added: Timestamp::UNIX_EPOCH }
}

/// An entry as given, with what is absent filled in from the certificate.
fn key_credential(given: &Map<String, Value>, world: &mut World, added: Timestamp) -> KeyCredential {
    let key = given.get("key").and_then(Value::as_str).map(str::to_owned);
    let facts = key.as_deref().and_then(|key| certificate::from_key_value(key).ok());
    let mut entry = Map::new();
    let from_certificate = |value: Option<String>| value.map_or(Value::Null, Value::from);
    let order = [
        "customKeyIdentifier",
        "displayName",
        "endDateTime",
        "key",
        "keyId",
        "startDateTime",
        "type",
        "usage",
    ];
    for name in order {
        let value = match (name, given.get(name)) {
            ("key", _) => Value::Null,
            (_, Some(value)) => value.clone(),
            ("keyId", None) => Value::from(world.new_id().to_string()),
            ("type", None) => Value::from("AsymmetricX509Cert"),
            ("usage", None) => Value::from("Verify"),
            ("customKeyIdentifier", None) => {
                from_certificate(facts.as_ref().map(|facts| certificate::base64(&facts.sha1)))
            }
            ("startDateTime", None) => {
                from_certificate(facts.as_ref().map(|facts| whole_seconds(facts.not_before)))
            }
            ("endDateTime", None) => {
                from_certificate(facts.as_ref().map(|facts| whole_seconds(facts.not_after)))
            }
            (_, None) => Value::Null,
        };
        entry.insert(name.to_owned(), value);
    }
    for (name, value) in given {
        if !entry.contains_key(name) {
            entry.insert(name.clone(), value.clone());
        }
    }
    let key = match facts {
        Some(facts) => Some(certificate::base64(&facts.der)),
        None => key,
    };
    KeyCredential { entry, key, added }
}

fn fill(
    world: &mut World,
    object: &mut Object,
    keys: &[Value],
    passwords: &[Value],
    properties: Map<String, Value>,
) {
    let now = world.meta.clock.now();
    for given in keys {
        let credential = key_credential(&members(given.clone()), world, Timestamp::UNIX_EPOCH);
        object.keys.push(credential);
    }
    for given in passwords {
        let id = world.new_id();
        object.passwords.push(password(given, now, id));
    }
    object.properties.extend(properties);
}

fn taken(world: &World, tenant: Uuid, kind: Kind, id: Uuid, app_id: Uuid) -> Result<(), EmulatorError> {
    let directory = world.tenants.get(&tenant);
    let exists = directory.is_some_and(|directory| {
        directory.objects(kind).contains_key(&id) || directory.live_by_app_id(kind, app_id).is_some()
    });
    match exists {
        true => Err(EmulatorError::refused(format!("a {} {id} ({app_id}) exists already", kind.type_name()))),
        false => Ok(()),
    }
}

fn create_application(
    world: &mut World,
    tenant: Uuid,
    new: NewApplication,
) -> Result<(Uuid, Uuid), EmulatorError> {
    let now = world.meta.clock.now();
    let id = new.id.unwrap_or_else(|| world.new_id());
    let app_id = new.app_id.unwrap_or_else(|| world.new_id());
    taken(world, tenant, Kind::Application, id, app_id)?;
    let mut object = blank(Kind::Application, id, app_id);
    seed::name(&mut object, &new.display_name, now);
    object.federated = new.federated;
    object.owners = new.owners;
    fill(world, &mut object, &new.key_credentials, &new.password_credentials, new.properties);
    world.place(tenant, object);
    if !new.without_service_principal {
        let principal = world.new_id();
        let mut object = blank(Kind::ServicePrincipal, principal, app_id);
        seed::name(&mut object, &new.display_name, now);
        seed::owned_by(&mut object, tenant);
        world.place(tenant, object);
    }
    Ok((id, app_id))
}

fn create_service_principal(
    world: &mut World,
    tenant: Uuid,
    new: NewServicePrincipal,
) -> Result<(Uuid, Uuid), EmulatorError> {
    let now = world.meta.clock.now();
    let id = new.id.unwrap_or_else(|| world.new_id());
    let app_id = new.app_id.unwrap_or_else(|| world.new_id());
    taken(world, tenant, Kind::ServicePrincipal, id, app_id)?;
    let mut object = blank(Kind::ServicePrincipal, id, app_id);
    seed::name(&mut object, &new.display_name, now);
    seed::owned_by(&mut object, tenant);
    object.owners = new.owners;
    fill(world, &mut object, &new.key_credentials, &new.password_credentials, new.properties);
    world.place(tenant, object);
    Ok((id, app_id))
}

/// The object a change names, deleted or not.
fn named(world: &World, tenant: Uuid, object: Uuid, kind: Option<Kind>) -> Result<Object, EmulatorError> {
    let kind = kind.unwrap_or(Kind::Application);
    let missing = || EmulatorError::refused(format!("no {} {object} in tenant {tenant}", kind.type_name()));
    let directory = world.tenants.get(&tenant).ok_or_else(missing)?;
    let by_app_id =
        || directory.by_app_id.get(&(kind, object))?.iter().find_map(|id| directory.objects(kind).get(id));
    directory.objects(kind).get(&object).or_else(by_app_id).cloned().ok_or_else(missing)
}

fn apply(world: &mut World, tenant: Uuid, change: Change) -> Result<(), EmulatorError> {
    let now = world.meta.clock.now();
    let no_tenant = || EmulatorError::refused(format!("no tenant {tenant}"));
    match change {
        Change::Delete { object, kind } => {
            let object = named(world, tenant, object, kind)?;
            graph::bin(world, tenant, object, now);
        }
        Change::Restore { object, kind } => {
            let object = named(world, tenant, object, kind)?;
            graph::unbin(world, tenant, object);
        }
        Change::DeleteCredential { object, kind, credential } => {
            let before = named(world, tenant, object, kind)?;
            let mut after = before.clone();
            after.keys.retain(|key| !is_named(key, &credential));
            if after.keys.len() == before.keys.len() {
                return Err(EmulatorError::refused(format!("{object} has no credential {credential}")));
            }
            graph::note_removed(&world.meta.faults, &before, &mut after, now);
            world.store(tenant, after);
        }
        Change::AddForeignCredential { object, kind, display_name } => {
            let mut object = named(world, tenant, object, kind)?;
            let (key_id, serial) = (world.new_id(), world.new_id());
            let name = display_name.as_deref().unwrap_or("legacy-ci");
            object.keys.push(seed::foreign_credential(name, key_id, serial, now));
            world.store(tenant, object);
        }
        Change::AddCredential { object, kind, entry } => {
            let mut object = named(world, tenant, object, kind)?;
            let credential = key_credential(&entry, world, now);
            object.keys.push(credential);
            world.store(tenant, object);
        }
        Change::AddSamlPair { object, display_name } => {
            let object = named(world, tenant, object, Some(Kind::ServicePrincipal))?;
            add_saml_pair(world, tenant, object, &display_name, now);
        }
        Change::Set { object, kind, properties } => {
            let mut object = named(world, tenant, object, kind)?;
            object.properties.extend(properties);
            world.store(tenant, object);
        }
        Change::Own { object, kind, owners } => {
            let mut object = named(world, tenant, object, kind)?;
            object.owners = owners;
            world.store(tenant, object);
        }
        Change::AssignPolicies { object, kind, policies } => {
            let mut object = named(world, tenant, object, kind)?;
            object.policies = policies;
            world.store(tenant, object);
        }
        Change::AddFederated { object, mut credential } => {
            let mut object = named(world, tenant, object, None)?;
            credential.insert("added".to_owned(), Value::from(now.to_string()));
            object.federated.push(Value::Object(credential));
            world.store(tenant, object);
        }
        Change::Grant { client_id, permissions } => {
            let facts = world.facts_mut(tenant).ok_or_else(no_tenant)?;
            facts.grants.insert(client_id, permissions);
        }
        Change::SetDefaultPolicy { policy } => {
            let facts = world.facts_mut(tenant).ok_or_else(no_tenant)?;
            if let Some(present) = facts.default_policy.as_object_mut() {
                present.extend(policy);
            }
        }
        Change::SetPolicy { id, mut policy } => {
            let facts = world.facts_mut(tenant).ok_or_else(no_tenant)?;
            policy.insert("id".to_owned(), Value::from(id.to_string()));
            facts.policies.insert(id, Value::Object(policy));
        }
        Change::ConditionalAccess { blocks } => {
            world.facts_mut(tenant).ok_or_else(no_tenant)?.conditional_access = blocks;
        }
        Change::TrustIssuer { issuer, keys } => {
            world.facts_mut(tenant).ok_or_else(no_tenant)?.issuers.insert(issuer, keys);
        }
    }
    Ok(())
}

fn add_saml_pair(world: &mut World, tenant: Uuid, mut object: Object, name: &str, now: Timestamp) {
    let (serial, sign, verify) = (world.new_id(), world.new_id(), world.new_id());
    let der = seed::foreign_certificate(serial);
    let number = world.new_number();
    let end = moved(now, jiff::SignedDuration::from_hours(24 * 365 * 3));
    let pair = graph::saml_pair(&der, name, sign, verify, now, end, world.meta.seed, number);
    object.keys.extend([pair.sign, pair.verify]);
    object.passwords.push(pair.password);
    world.store(tenant, object);
}

/// Whether text names a credential: its key id or a thumbprint, or the first eight characters or more of one.
fn is_named(credential: &KeyCredential, text: &str) -> bool {
    let wanted = text.to_uppercase();
    let begins = |whole: String| wanted.len() >= 8 && whole.to_uppercase().starts_with(&wanted);
    let thumbprints = credential.key.as_deref().and_then(|key| certificate::from_key_value(key).ok());
    credential.text("keyId").is_some_and(|id| begins(id.to_owned()))
        || thumbprints.is_some_and(|facts| {
            begins(certificate::hex(&facts.sha1)) || begins(certificate::hex(&facts.sha256))
        })
}
