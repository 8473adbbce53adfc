//! The secrets of the test's Key Vault.

use std::collections::BTreeMap;

use certroll::certificate::Certificate;
use http::Response;
use serde_json::{Map, Value, json};

use super::{KeyVaultService, State, answer, error};

#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) content_type: Value,
    pub(super) enabled: bool,
    pub(super) created: i64,
    pub(super) dates: BTreeMap<String, Value>,
    pub(super) tags: Map<String, Value>,
    pub(super) managed: bool,
}

impl Version {
    fn shown(&self, origin: &str, name: &str, whole: bool) -> Value {
        let mut attributes = json!({ "enabled": self.enabled, "created": self.created, "updated": self.created,
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90 });
        for (name, value) in &self.dates {
            attributes[name] = value.clone();
        }
        let mut shown = json!({ "id": format!("{origin}/secrets/{name}/{}", self.id),
            "contentType": self.content_type, "attributes": attributes, "tags": self.tags });
        if self.managed {
            shown["managed"] = true.into();
        }
        if whole {
            shown["value"] = self.value.clone().into();
        }
        shown
    }
}

/// The newest version; the later written one of several of one second, which no reader can know.
pub(super) fn newest(versions: &[Version]) -> Option<&Version> {
    versions.iter().max_by_key(|version| version.created)
}

fn missing(name: &str) -> Response<Vec<u8>> {
    let message = format!("A secret with (name/id) {name} was not found in this key vault.");
    error(404, "SecretNotFound", None, &message)
}

impl State {
    pub(super) fn secret_versions(&self, origin: &str, name: &str) -> Vec<Value> {
        let versions = self.secrets.get(&name.to_lowercase());
        let mut shown: Vec<&Version> = versions.into_iter().flatten().collect();
        shown.sort_by(|a, b| a.id.cmp(&b.id));
        shown.into_iter().map(|version| version.shown(origin, name, false)).collect()
    }

    pub(super) fn read_secret(&self, origin: &str, name: &str, version: Option<&str>) -> Response<Vec<u8>> {
        if let Some(linked) = self.linked_secret(origin, name, version) {
            return linked;
        }
        let versions = self.secrets.get(&name.to_lowercase()).map(Vec::as_slice).unwrap_or_default();
        let found = match version.filter(|version| !version.is_empty()) {
            Some(id) => versions.iter().find(|version| version.id == id),
            None => newest(versions),
        };
        match found {
            None => missing(name),
            Some(found) if !found.enabled => {
                let message = "Operation get is not allowed on a disabled secret.";
                error(403, "Forbidden", Some("SecretDisabled"), message)
            }
            Some(found) => answer(200, &found.shown(origin, name, true)),
        }
    }

    pub(super) fn set_secret(&mut self, origin: &str, name: &str, body: &Value) -> Response<Vec<u8>> {
        if self.deleted_secrets.contains(&name.to_lowercase()) {
            let message = format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this \
                 state, the secret can only be recovered or purged."
            );
            return error(409, "Conflict", Some("ObjectIsDeletedButRecoverable"), &message);
        }
        let Some(value) = body["value"].as_str() else {
            return error(400, "BadParameter", None, "Property 'value' is required.");
        };
        if value.len() > 25 * 1024 {
            return error(400, "BadParameter", None, "The secret value is too large.");
        }
        let tags = body["tags"].as_object().cloned().unwrap_or_default();
        if let Some(refused) = refuse_tags(&tags) {
            return refused;
        }
        let attributes = body["attributes"].as_object().cloned().unwrap_or_default();
        let dates = attributes.iter().filter(|(name, _)| matches!(name.as_str(), "nbf" | "exp"));
        let version = Version {
            id: self.new_id(),
            value: value.to_owned(),
            content_type: body["contentType"].clone(),
            enabled: attributes.get("enabled").and_then(Value::as_bool).unwrap_or(true),
            created: self.tick(),
            dates: dates.map(|(name, value)| (name.clone(), value.clone())).collect(),
            tags,
            managed: false,
        };
        let shown = version.shown(origin, name, true);
        self.secrets.entry(name.to_lowercase()).or_default().push(version);
        answer(200, &shown)
    }

    pub(super) fn update_secret(
        &mut self,
        origin: &str,
        name: &str,
        id: &str,
        body: &Value,
    ) -> Response<Vec<u8>> {
        let versions = self.secrets.get_mut(&name.to_lowercase());
        let found = versions.and_then(|versions| versions.iter_mut().find(|version| version.id == id));
        let Some(found) = found else { return missing(name) };
        if let Some(tags) = body["tags"].as_object() {
            if let Some(refused) = refuse_tags(tags) {
                return refused;
            }
            found.tags = tags.clone();
        }
        if let Some(enabled) = body["attributes"]["enabled"].as_bool() {
            found.enabled = enabled;
        }
        answer(200, &found.shown(origin, name, false))
    }
}

/// At most 15, names and values of at most 512 characters.
pub(super) fn refuse_tags(tags: &Map<String, Value>) -> Option<Response<Vec<u8>>> {
    let long = |text: &str| text.chars().count() > 512;
    let too_long = tags.iter().any(|(name, value)| long(name) || value.as_str().is_none_or(long));
    (tags.len() > 15 || too_long)
        .then(|| error(400, "BadParameter", None, "The tags are too many or too long."))
}

impl KeyVaultService {
    /// Somebody writes a secret.
    pub fn set_by_hand(&self, name: &str, value: &str, tags: &[(&str, &str)]) {
        let tags: BTreeMap<&str, &str> = tags.iter().copied().collect();
        let body = json!({ "value": value, "tags": tags });
        let answer = self.state().set_secret("https://x", name, &body);
        assert_eq!(answer.status(), 200);
    }

    /// What a consumer reads: the newest version.
    pub fn consume(&self, name: &str) -> Option<String> {
        let answer = self.state().read_secret("https://x", name, None);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        (answer.status() == 200).then(|| body["value"].as_str().unwrap().to_owned())
    }

    /// Somebody disables the newest version.
    pub fn disable_newest(&self, name: &str) {
        let mut state = self.state();
        let versions = state.secrets.get_mut(&name.to_lowercase()).unwrap();
        let id = newest(versions).unwrap().id.clone();
        versions.iter_mut().find(|version| version.id == id).unwrap().enabled = false;
    }

    /// Somebody who can go round the service puts another value under the tags of the newest version.
    pub fn tamper(&self, name: &str, value: &str) {
        self.state().secrets.get_mut(name).unwrap().last_mut().unwrap().value = value.to_owned();
    }

    /// The secret turns out to be the other side of a certificate.
    pub fn manage(&self, name: &str) {
        self.state().secrets.get_mut(name).unwrap().last_mut().unwrap().managed = true;
    }

    /// Somebody deletes a secret; it can be recovered.
    pub fn delete_secret(&self, name: &str) {
        let mut state = self.state();
        state.secrets.remove(&name.to_lowercase());
        state.deleted_secrets.insert(name.to_lowercase());
    }

    /// Everything that is kept, for comparing.
    pub fn secrets_snapshot(&self) -> String {
        format!("{:?}", self.state().secrets)
    }

    /// What stands in a secret.
    pub fn secret_shown(&self, name: &str) -> String {
        let state = self.state();
        let Some(versions) = state.secrets.get(&name.to_lowercase()) else { return "nothing".to_owned() };
        let disabled = versions.iter().filter(|version| !version.enabled).count();
        let newest = newest(versions).unwrap();
        let content_type = newest.content_type.as_str().unwrap_or("no content type");
        let tags = newest.tags.keys().map(String::as_str).collect();
        in_words((versions.len(), disabled), content_type, &newest.value, tags)
    }
}

/// A secret: how many versions it has and how many of them are disabled, and the newest with a certificate's thumbprint instead of
/// its text.
pub(super) fn in_words(versions: (usize, usize), content_type: &str, value: &str, tags: Vec<&str>) -> String {
    let (own, others): (Vec<&str>, Vec<&str>) =
        tags.into_iter().partition(|tag| tag.starts_with("certroll-"));
    let own = if own.is_empty() { "" } else { "certroll's own, " };
    let (all, disabled) = versions;
    let told = told(value);
    format!("{all} versions, {disabled} disabled\nnewest: {content_type}, {told}\ntags: {own}{others:?}")
}

fn told(value: &str) -> String {
    let object: Option<Map<String, Value>> = serde_json::from_str(value).ok();
    if let Some(object) = object {
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        return format!("JSON with {}", names.join(", "));
    }
    let found = Certificate::all_from_pem(value.as_bytes()).ok().and_then(|all| all.into_iter().next());
    match found {
        Some(certificate) => format!("certificate {}", certificate.thumbprints.sha1),
        None => format!("{} characters", value.len()),
    }
}
