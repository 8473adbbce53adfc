//! A directory to begin with, read from a JSON file: applications as people find them, with certificates whose dates are
//! counted in days from the moment the file is read, so that an example is as fresh in five years as it is today.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::emulator::change::{Change, NewApplication};
use crate::emulator::clock::{moved, whole_seconds};
use crate::emulator::{Emulator, EmulatorError, certificate, seed};

/// The file's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Start {
    /// What the tenant holds.
    pub applications: Vec<StartApplication>,
}

/// An application to begin with, and its service principal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartApplication {
    /// Client id.
    pub app_id: Uuid,
    /// Display name.
    pub display_name: String,
    /// Certificates on the application. Their keys were thrown away.
    #[serde(default)]
    pub certificates: Vec<StartCertificate>,
    /// Whether its service principal carries a SAML signing pair.
    #[serde(default)]
    pub saml: bool,
}

/// A certificate to begin with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartCertificate {
    /// The credential's display name.
    pub display_name: String,
    /// The certificate's serial number: the same number gives the same certificate and thumbprint everywhere.
    pub serial: Uuid,
    /// Start of the credential.
    pub started_days_ago: u16,
    /// End of the credential; negative when it has expired.
    pub ends_in_days: i16,
}

impl Emulator {
    /// Puts what the file describes into a tenant, which is made if it is not there.
    pub fn start_with(&self, tenant: Uuid, start: &Start) -> Result<(), EmulatorError> {
        let now = self.now();
        for application in &start.applications {
            let entries =
                application.certificates.iter().map(|certificate| entry(certificate, now)).collect();
            self.create_application(
                tenant,
                NewApplication {
                    app_id: Some(application.app_id),
                    display_name: application.display_name.clone(),
                    key_credentials: entries,
                    ..NewApplication::default()
                },
            )?;
            if application.saml {
                self.add_saml(tenant, application)?;
            }
        }
        Ok(())
    }

    fn add_saml(&self, tenant: Uuid, application: &StartApplication) -> Result<(), EmulatorError> {
        let principals = self.objects(tenant, crate::emulator::Kind::ServicePrincipal);
        let app_id = application.app_id.to_string();
        let of_it = principals.iter().find(|principal| principal.get("appId") == Some(&json!(app_id)));
        let object = of_it.and_then(|principal| principal.get("id")?.as_str()?.parse().ok());
        let object = object.ok_or_else(|| EmulatorError::refused("the service principal was not made"))?;
        let display_name = format!("CN={} SAML", application.display_name);
        self.change(tenant, Change::AddSamlPair { object, display_name })
    }

    /// Whether nothing was ever put into it.
    pub fn is_untouched(&self) -> bool {
        self.tenants().is_empty()
    }
}

fn entry(start: &StartCertificate, now: Timestamp) -> Value {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let der = seed::foreign_certificate(start.serial);
    let mut entry = Map::new();
    entry.insert("displayName".to_owned(), json!(start.display_name));
    entry.insert("key".to_owned(), json!(certificate::base64(&der)));
    entry.insert(
        "startDateTime".to_owned(),
        json!(whole_seconds(moved(now, -days(start.started_days_ago.into())))),
    );
    entry.insert("endDateTime".to_owned(), json!(whole_seconds(moved(now, days(start.ends_in_days.into())))));
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    use crate::emulator::{Emulator, Start};

    #[test]
    fn dates_are_counted_from_the_moment_it_is_read_and_thumbprints_are_always_the_same() {
        let now: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let emulator = Emulator::in_memory(now, 1);
        let tenant = Uuid::from_u128(7);
        assert!(emulator.is_untouched());
        let start: Start = serde_json::from_value(json!({ "applications": [{
            "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d", "display_name": "CloudM", "saml": true,
            "certificates": [{ "display_name": "old", "serial": "00000000-0000-0000-0000-000000000001",
                               "started_days_ago": 353, "ends_in_days": 12 }] }] }))
        .unwrap();
        emulator.start_with(tenant, &start).unwrap();
        let applications = emulator.objects(tenant, crate::emulator::Kind::Application);
        let entry = &applications[0]["keyCredentials"][0];
        assert_eq!(entry["endDateTime"], "2026-12-02T00:00:00Z");
        let principals = emulator.objects(tenant, crate::emulator::Kind::ServicePrincipal);
        assert_eq!(principals[0]["keyCredentials"].as_array().unwrap().len(), 2);
        assert!(!emulator.is_untouched());
    }
}
