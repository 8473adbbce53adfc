//! Populating a directory: applications by the thousand, and certificates that belong to somebody else.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::certificate;
use crate::emulator::clock::{moved, seven_digits, whole_seconds};
use crate::emulator::graph::blank;
use crate::emulator::wire::members;
use crate::emulator::world::{KeyCredential, Kind, Object, World};

/// A self-signed certificate (RSA 2048, 2000 to 2049) whose private key was thrown away. Its signature does not
/// matter here: the serial number is overwritten to make many certificates of one.
const TEMPLATE: &[u8] = include_bytes!("foreign.cer");

/// Where the serial number lies in the template: 16 bytes from here.
const SERIAL_AT: usize = 15;

/// Most applications that are seeded at once. An object takes some kilobytes of memory.
pub const SEEDED_MAX: usize = 100_000;

/// Every so many seeded applications carry a certificate of somebody else.
const FOREIGN_EVERY: usize = 3;

/// One application that was seeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeded {
    /// Its client id.
    pub app_id: Uuid,
    /// Its object id.
    pub object_id: Uuid,
    /// Its display name.
    pub display_name: String,
}

/// A certificate nobody here has the key of, distinct for each serial number.
pub(crate) fn foreign_certificate(serial: Uuid) -> Vec<u8> {
    let mut der = TEMPLATE.to_vec();
    let mut bytes = *serial.as_bytes();
    // Positive, and of full length.
    bytes[0] = (bytes[0] & 0x3F) | 0x40;
    if let Some(place) = der.get_mut(SERIAL_AT..SERIAL_AT + bytes.len()) {
        place.copy_from_slice(&bytes);
    }
    der
}

/// An entry with such a certificate, valid from a month before `now` for a year.
pub(crate) fn foreign_credential(name: &str, key_id: Uuid, serial: Uuid, now: Timestamp) -> KeyCredential {
    let der = foreign_certificate(serial);
    let month = SignedDuration::from_hours(24 * 30);
    let year = SignedDuration::from_hours(24 * 365);
    // Fractions of a second, as on entries whose dates the service has set: whoever cuts them off is found out.
    let start = moved(moved(now, -month), SignedDuration::from_nanos(274_261_800));
    let entry = json!({
        "customKeyIdentifier": certificate::base64(&certificate::sha1(&der)),
        "displayName": name,
        "endDateTime": whole_seconds(moved(start, year)),
        "key": null,
        "keyId": key_id.to_string(),
        "startDateTime": seven_digits(start),
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
    });
    KeyCredential {
        entry: members(entry),
        key: Some(certificate::base64(&der)),
        added: Timestamp::UNIX_EPOCH,
    }
}

/// Adds `count` applications with their service principals to a tenant; every third carries a certificate of
/// somebody else.
pub(crate) fn applications(world: &mut World, tenant: Uuid, count: usize, now: Timestamp) -> Vec<Seeded> {
    let already = world.tenants.get(&tenant).map_or(0, |found| found.applications.len());
    let mut seeded = Vec::with_capacity(count);
    for index in 0..count {
        let (object_id, app_id, principal_id) = (world.new_id(), world.new_id(), world.new_id());
        let display_name = format!("Seeded application {:05}", already + index);
        let mut application = blank(Kind::Application, object_id, app_id);
        name(&mut application, &display_name, now);
        if index % FOREIGN_EVERY == 0 {
            let (key_id, serial) = (world.new_id(), world.new_id());
            application.keys.push(foreign_credential("legacy-ci", key_id, serial, now));
        }
        let mut principal = blank(Kind::ServicePrincipal, principal_id, app_id);
        name(&mut principal, &display_name, now);
        owned_by(&mut principal, tenant);
        world.place(tenant, application);
        world.place(tenant, principal);
        seeded.push(Seeded { app_id, object_id, display_name });
    }
    seeded
}

/// Gives an object its name and its age.
pub(crate) fn name(object: &mut Object, display_name: &str, now: Timestamp) {
    let mut set = |property: &str, value: String| {
        object.properties.insert(property.to_owned(), Value::from(value));
    };
    set("displayName", display_name.to_owned());
    set("createdDateTime", whole_seconds(moved(now, -SignedDuration::from_hours(24 * 400))));
    if object.kind == Kind::ServicePrincipal {
        set("appDisplayName", display_name.to_owned());
    }
}

/// Says in which tenant a service principal's application is registered.
pub(crate) fn owned_by(principal: &mut Object, tenant: Uuid) {
    let names = vec![principal.app_id.to_string()];
    principal.properties.insert("appOwnerOrganizationId".to_owned(), Value::from(tenant.to_string()));
    principal.properties.insert("servicePrincipalNames".to_owned(), Value::from(names));
}
