//! Secrets: values with versions, each with tags of its own. The newest version is what a reader without a version gets.
//!
//! Documented behaviour relied upon (Key Vault REST description, secrets): the list of versions has tags and attributes and no value;
//! `created` is in whole seconds and the list is not ordered by it; a version can be disabled and changed in its tags, never in its value, and
//! cannot be removed alone; a name that was deleted stays taken until it is purged.

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{KeyVault, VaultAsk, moment};
use crate::edges::{Trouble, TroubleKind};

/// Longest value of a tag (Key Vault documentation: tags).
pub(crate) const TAG_MAX: usize = 512;

/// Most tags on a version.
pub(crate) const TAGS_MAX: usize = 15;

/// Longest value, in bytes.
pub(crate) const VALUE_MAX: usize = 25 * 1024;

/// Tags of a version.
pub(crate) type Tags = BTreeMap<String, String>;

/// What is known of a version without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretVersion {
    /// The version's own id.
    pub(crate) id: String,
    pub(crate) enabled: bool,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Whether it is the other side of a certificate object.
    pub(crate) managed: bool,
}

/// A value to be written.
pub(crate) struct NewSecret<'a> {
    pub(crate) value: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) tags: &'a Tags,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    tags: Option<Tags>,
    #[serde(default)]
    managed: Option<bool>,
}

#[derive(Default, Deserialize)]
pub(super) struct Attributes {
    #[serde(default)]
    pub(super) enabled: Option<bool>,
    #[serde(default)]
    pub(super) created: i64,
}

impl From<Item> for SecretVersion {
    fn from(item: Item) -> SecretVersion {
        SecretVersion {
            id: last_part(&item.id),
            enabled: item.attributes.enabled.unwrap_or(true),
            created: moment(item.attributes.created),
            tags: item.tags.unwrap_or_default(),
            managed: item.managed.unwrap_or(false),
        }
    }
}

/// The version in an id such as `https://v.vault.azure.net/secrets/app/4387e9f3`.
pub(super) fn last_part(id: &str) -> String {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

impl KeyVault {
    /// All versions of a secret, oldest first, without their values; none where there is no such secret.
    pub(crate) async fn secret_versions(&self, name: &str) -> Result<Vec<SecretVersion>, Trouble> {
        let doing = format!("reading the versions of secret {name} in {}", self.service.name());
        let path = ["secrets", name, "versions"];
        let ask = VaultAsk { query: &[("maxresults", "25")], ..VaultAsk::new(Method::GET, &path, &doing) };
        let items: Vec<Item> = self.list(&ask).await?;
        let mut versions: Vec<SecretVersion> = items.into_iter().map(SecretVersion::from).collect();
        versions.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(versions)
    }

    /// Whether a secret of one of these names was deleted and can be recovered. `None` too where we may not know.
    pub(crate) async fn deleted_secret(&self, names: &[&str]) -> Result<Option<String>, Trouble> {
        self.deleted("deletedsecrets", names).await
    }

    pub(super) async fn deleted(&self, list: &str, names: &[&str]) -> Result<Option<String>, Trouble> {
        #[derive(Deserialize)]
        struct Deleted {
            id: String,
        }
        let doing = format!("reading what was deleted in {}", self.service.name());
        let path = [list];
        let ask = VaultAsk { query: &[("maxresults", "25")], ..VaultAsk::new(Method::GET, &path, &doing) };
        let deleted: Vec<Deleted> = match self.list(&ask).await {
            Ok(deleted) => deleted,
            // The write would tell.
            Err(trouble) if trouble.kind == TroubleKind::Authorisation => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let found = deleted.iter().map(|one| last_part(&one.id));
        Ok(found.into_iter().find(|one| names.iter().any(|name| name.eq_ignore_ascii_case(one))))
    }

    /// The value of a version. For `apply` and `verify` alone.
    pub(crate) async fn secret(&self, name: &str, version: &str) -> Result<Zeroizing<String>, Trouble> {
        #[derive(Deserialize)]
        struct Bundle {
            value: String,
        }
        let doing = format!("reading secret {name} in {}", self.service.name());
        let path = ["secrets", name, version];
        let bundle: Bundle = self.data(&VaultAsk::new(Method::GET, &path, &doing)).await?;
        Ok(Zeroizing::new(bundle.value))
    }

    /// Writes a version, which is the newest at once.
    pub(crate) async fn set_secret(&self, name: &str, new: &NewSecret<'_>) -> Result<SecretVersion, Trouble> {
        let doing = format!("writing secret {name} in {}", self.service.name());
        if new.value.len() > VALUE_MAX {
            let reason = format!("it has {} bytes, and a secret takes {VALUE_MAX}", new.value.len());
            let trouble = Trouble::new(TroubleKind::Refused, doing.as_str(), reason);
            return Err(trouble.with_hint("use a shorter chain, or a smaller form"));
        }
        let mut attributes = json!({ "enabled": true });
        for (name, at) in [("nbf", new.not_before), ("exp", new.not_after)] {
            if let Some(at) = at {
                attributes[name] = at.as_second().into();
            }
        }
        let mut body = json!({ "contentType": new.content_type, "attributes": attributes, "tags": new.tags });
        body["value"] = Value::String(new.value.to_owned());
        let path = ["secrets", name];
        let ask = VaultAsk { body: Some(&body), ..VaultAsk::new(Method::PUT, &path, &doing) };
        let written = self.data::<Item>(&ask).await;
        if let Some(Value::String(value)) = body.get_mut("value") {
            zeroize::Zeroize::zeroize(value);
        }
        Ok(written?.into())
    }

    /// Sets the tags of a version, and disables it where that is said.
    pub(crate) async fn update_secret(
        &self,
        name: &str,
        version: &str,
        tags: &Tags,
        disable: bool,
    ) -> Result<(), Trouble> {
        let doing = format!("changing version {version} of secret {name} in {}", self.service.name());
        let mut body = json!({ "tags": tags });
        if disable {
            body["attributes"] = json!({ "enabled": false });
        }
        let path = ["secrets", name, version];
        let ask = VaultAsk { body: Some(&body), ..VaultAsk::new(Method::PATCH, &path, &doing) };
        self.data::<Value>(&ask).await.map(drop)
    }
}
