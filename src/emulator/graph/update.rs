//! Creating objects and changing their properties.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::clock::whole_seconds;
use crate::emulator::graph::access::Caller;
use crate::emulator::graph::entries::{self, Rules};
use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::route::Selector;
use crate::emulator::graph::{policies, read, render, trouble};
use crate::emulator::wire::{Call, Exchange, Reply};
use crate::emulator::world::{Kind, Object};

/// Properties that only the service sets.
const READ_ONLY: &[&str] =
    &["id", "appId", "createdDateTime", "deletedDateTime", "publisherDomain", "disabledByMicrosoftStatus"];

/// `PATCH` of one object.
pub(crate) fn patch(
    exchange: &mut Exchange<'_>,
    call: &Call,
    caller: &Caller,
    kind: Kind,
    selector: &Selector,
) -> Outcome {
    let before = read::find_now(exchange, caller.tenant, kind, selector)?;
    caller.may_write(&before)?;
    let body = super::body(call)?;
    let mut after = before.clone();
    for (name, value) in &body {
        match name.as_str() {
            "keyCredentials" => {
                let settings = exchange.world.meta.settings.clone();
                let number = exchange.world.new_number();
                let seed = exchange.world.meta.seed;
                let rules = Rules { settings: &settings, now: exchange.now, seed, number };
                after.keys = entries::replaced(&before.keys, value, &rules)?;
            }
            "passwordCredentials" => patch_passwords(&mut after, value)?,
            name if READ_ONLY.contains(&name) => {
                return Err(Refusal::bad_request(format!(
                    "Property '{name}' is read-only and cannot be set."
                )));
            }
            name if name.starts_with("@odata.") => {}
            name if render::is_property(kind, name) && name != "emulatorExtension" => {
                after.properties.insert(name.to_owned(), value.clone());
            }
            name => return Err(Refusal::bad_request(format!("Invalid property '{name}'."))),
        }
    }
    commit(exchange, caller.tenant, &before, after)?;
    Ok(Reply::empty(204))
}

/// Checks what concerns the object as a whole, and stores it.
pub(crate) fn commit(
    exchange: &mut Exchange<'_>,
    tenant: Uuid,
    before: &Object,
    mut after: Object,
) -> Result<(), Refusal> {
    let credentials_change = before.keys != after.keys || before.passwords != after.passwords;
    if credentials_change {
        editable(exchange, tenant, before, &after)?;
    }
    sign_entries_have_passwords(&after)?;
    encryption_key_exists(&after)?;
    policies::check(exchange, tenant, before, &after)?;
    trouble::note_removed(&exchange.world.meta.faults, before, &mut after, exchange.now);
    exchange.world.store(tenant, after);
    Ok(())
}

/// `passwordCredentials` can only be resent as they are; on a service principal entries may be left out.
fn patch_passwords(object: &mut Object, value: &Value) -> Result<(), Refusal> {
    let refused = || {
        Refusal::bad_request(
            "Updates to passwordCredentials property is not allowed in this API. Use addPassword and removePassword.",
        )
    };
    let written = value.as_array().ok_or_else(refused)?;
    let named =
        |entry: &Value| entry.get("keyId").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
    let known = written.iter().all(|entry| {
        named(entry).is_some_and(|id| object.passwords.iter().any(|password| password.key_id() == Some(id)))
    });
    if !known || (object.kind == Kind::Application && written.len() != object.passwords.len()) {
        return Err(refused());
    }
    object.passwords.retain(|password| written.iter().any(|entry| named(entry) == password.key_id()));
    Ok(())
}

fn sign_entries_have_passwords(object: &Object) -> Result<(), Refusal> {
    let orphan = object.keys.iter().find(|key| {
        key.text("usage") == Some("Sign")
            && !object.passwords.iter().any(|other| other.key_id() == key.key_id())
    });
    match orphan {
        None => Ok(()),
        Some(_) => Err(Refusal::bad_request(
            "A KeyCredential with usage Sign must have a PasswordCredential with the same KeyId.",
        )),
    }
}

fn encryption_key_exists(object: &Object) -> Result<(), Refusal> {
    let Some(wanted) = object.text("tokenEncryptionKeyId") else { return Ok(()) };
    let wanted: Option<Uuid> = wanted.parse().ok();
    match object.keys.iter().any(|credential| credential.key_id() == wanted) {
        true => Ok(()),
        false => {
            Err(Refusal::bad_request("No KeyCredential found with the configured TokenEncryptionKeyId."))
        }
    }
}

/// Whether the credentials of a service principal may be written at all.
fn editable(exchange: &Exchange<'_>, tenant: Uuid, before: &Object, after: &Object) -> Result<(), Refusal> {
    if before.kind != Kind::ServicePrincipal {
        return Ok(());
    }
    let settings = &exchange.world.meta.settings;
    let managed = before.text("servicePrincipalType") == Some("ManagedIdentity");
    if managed && !settings.managed_identities_writable {
        return Err(Refusal::bad_request(
            "Credentials of a service principal of type ManagedIdentity cannot be updated.",
        ));
    }
    let home = home_application(exchange, before);
    let Some((home_tenant, application)) = home else { return Ok(()) };
    if home_tenant == tenant && settings.lock_spares_home_tenant {
        return Ok(());
    }
    let lock = application.value("servicePrincipalLockConfiguration");
    let locked = |name: &str| lock.and_then(|lock| lock.get(name)).and_then(Value::as_bool).unwrap_or(false);
    if !locked("isEnabled") {
        return Ok(());
    }
    let changed = |usage: &str| {
        let of = |object: &Object| -> Vec<_> {
            object
                .keys
                .iter()
                .filter(|key| key.text("usage") == Some(usage))
                .map(|key| key.key_id())
                .collect()
        };
        of(before) != of(after)
    };
    let passwords = before.passwords != after.passwords;
    let all = locked("allProperties");
    let blocked = all
        || (locked("credentialsWithUsageVerify") && (changed("Verify") || passwords))
        || (locked("credentialsWithUsageSign") && changed("Sign"));
    let property = if passwords { "passwordCredentials" } else { "keyCredentials" };
    match blocked {
        true => Err(Refusal::new(
            400,
            "CannotUpdateLockedServicePrincipalProperty",
            format!("Property {property} is invalid."),
        )),
        false => Ok(()),
    }
}

/// The application a service principal belongs to, and the tenant it is registered in.
fn home_application<'a>(exchange: &'a Exchange<'_>, principal: &Object) -> Option<(Uuid, &'a Object)> {
    exchange.world.tenants.iter().find_map(|(tenant, directory)| {
        directory.live_by_app_id(Kind::Application, principal.app_id).map(|object| (*tenant, object))
    })
}

/// `POST` to a collection.
pub(crate) fn create(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, kind: Kind) -> Outcome {
    caller.may_create()?;
    let body = super::body(call)?;
    let object = match kind {
        Kind::Application => new_application(exchange, caller, &body)?,
        Kind::ServicePrincipal => new_service_principal(exchange, caller, &body)?,
    };
    let empty = Object { keys: Vec::new(), passwords: Vec::new(), ..object.clone() };
    commit(exchange, caller.tenant, &empty, object.clone())?;
    let location = format!("{}/v1.0/{}/{}", call.base, kind.collection(), object.id);
    let shown = read::entity(exchange, call, &object, None);
    Ok(Reply::json(201, Value::Object(shown)).with("Location", location))
}

fn new_application(
    exchange: &mut Exchange<'_>,
    caller: &Caller,
    body: &Map<String, Value>,
) -> Result<Object, Refusal> {
    let name = body.get("displayName").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        Refusal::bad_request("A value is required for property 'displayName' of resource 'Application'.")
    })?;
    let (id, app_id) = (exchange.world.new_id(), exchange.world.new_id());
    let mut object = blank(Kind::Application, id, app_id);
    settable(&mut object, body)?;
    object.properties.insert("displayName".to_owned(), Value::from(name));
    object.properties.insert("createdDateTime".to_owned(), Value::from(whole_seconds(exchange.now)));
    object.owners.extend(caller.principal);
    if let Some(written) = body.get("keyCredentials") {
        let with_id = written.as_array().is_some_and(|entries| {
            entries.iter().any(|entry| entry.get("keyId").is_some_and(|id| !id.is_null()))
        });
        if with_id {
            return Err(Refusal::bad_request(
                "The property KeyId is not supported for Create Application flow",
            ));
        }
        let settings = exchange.world.meta.settings.clone();
        let number = exchange.world.new_number();
        let rules = Rules { settings: &settings, now: exchange.now, seed: exchange.world.meta.seed, number };
        object.keys = entries::replaced(&[], written, &rules)?;
    }
    Ok(object)
}

fn new_service_principal(
    exchange: &mut Exchange<'_>,
    caller: &Caller,
    body: &Map<String, Value>,
) -> Result<Object, Refusal> {
    let app_id: Option<Uuid> = body.get("appId").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let app_id = app_id.ok_or_else(|| {
        Refusal::bad_request("A value is required for property 'appId' of resource 'ServicePrincipal'.")
    })?;
    let taken = exchange
        .world
        .tenants
        .get(&caller.tenant)
        .is_some_and(|tenant| tenant.live_by_app_id(Kind::ServicePrincipal, app_id).is_some());
    if taken {
        return Err(Refusal::new(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            format!(
                "The service principal cannot be created, updated, or restored because the service principal name {app_id} is already in use."
            ),
        ));
    }
    let id = exchange.world.new_id();
    let mut object = blank(Kind::ServicePrincipal, id, app_id);
    let home = home_application(exchange, &object);
    let (home_tenant, name) = match home {
        Some((tenant, application)) => (tenant, application.value("displayName").cloned()),
        None => {
            return Err(Refusal::bad_request(format!(
                "When using this permission, the backing application of the service principal being created must in \
                 the local tenant. The appId '{app_id}' does not reference a valid application object."
            )));
        }
    };
    settable(&mut object, body)?;
    let name = name.unwrap_or(Value::Null);
    object.properties.insert("displayName".to_owned(), name.clone());
    object.properties.insert("appDisplayName".to_owned(), name);
    object.properties.insert("appOwnerOrganizationId".to_owned(), Value::from(home_tenant.to_string()));
    object.properties.insert("servicePrincipalNames".to_owned(), Value::from(vec![app_id.to_string()]));
    object.properties.insert("createdDateTime".to_owned(), Value::from(whole_seconds(exchange.now)));
    object.owners.extend(caller.principal);
    Ok(object)
}

/// Takes over the plain properties of a creation.
fn settable(object: &mut Object, body: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in body {
        match name.as_str() {
            "keyCredentials" | "appId" | "displayName" => {}
            name if name.starts_with("@odata.") => {}
            name if READ_ONLY.contains(&name) || name == "passwordCredentials" => {
                return Err(Refusal::bad_request(format!(
                    "Property '{name}' is read-only and cannot be set."
                )));
            }
            name if render::is_property(object.kind, name) => {
                object.properties.insert(name.to_owned(), value.clone());
            }
            name => return Err(Refusal::bad_request(format!("Invalid property '{name}'."))),
        }
    }
    Ok(())
}

/// An object with nothing but its ids.
pub(crate) fn blank(kind: Kind, id: Uuid, app_id: Uuid) -> Object {
    Object {
        id,
        app_id,
        kind,
        properties: Map::new(),
        keys: Vec::new(),
        passwords: Vec::new(),
        federated: Vec::new(),
        owners: Default::default(),
        policies: Default::default(),
        removed: Vec::new(),
        deleted: None,
    }
}

/// `GET …/owners`.
pub(crate) fn owners(
    exchange: &mut Exchange<'_>,
    call: &Call,
    caller: &Caller,
    kind: Kind,
    selector: &Selector,
) -> Outcome {
    caller.may_read()?;
    let object = read::find(exchange, caller.tenant, kind, selector)?;
    let owner = |id: &Uuid| serde_json::json!({"@odata.type": "#microsoft.graph.servicePrincipal", "id": id.to_string()});
    Ok(read::collection(call, "directoryObjects", object.owners.iter().map(owner).collect()))
}
