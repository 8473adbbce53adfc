//! Secrets: values with versions, each with tags of its own. The newest version is what a reader without a version gets.
//!
//! Documented behaviour relied upon (Key Vault REST description, secrets): the list of versions has tags and attributes and no value;
//! `created` is in whole seconds and the list is not ordered by it; a version can be disabled and changed in its tags, never in its value, and
//! cannot be removed alone; a name that was deleted stays taken until it is purged.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Item, KeyVault, Tags, VaultAsk, Version};
use crate::edges::{Trouble, TroubleKind};

/// Longest value, in bytes.
pub(crate) const VALUE_MAX: usize = 25 * 1024;

/// A value to be written.
pub(crate) struct NewSecret<'a> {
    pub(crate) value: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) tags: &'a Tags,
}

impl KeyVault {
    /// All versions of a secret, oldest first, without their values; none where there is no such secret.
    pub(crate) async fn secret_versions(&self, name: &str) -> Result<Vec<Version>, Trouble> {
        let doing = format!("reading the versions of secret {name} in {}", self.service.name());
        self.versions_below(&["secrets", name, "versions"], &doing).await
    }

    /// Whether a secret of one of these names was deleted and can be recovered. `None` too where we may not know.
    pub(crate) async fn deleted_secret(&self, names: &[&str]) -> Result<Option<String>, Trouble> {
        self.deleted("deletedsecrets", names).await
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
    pub(crate) async fn set_secret(&self, name: &str, new: &NewSecret<'_>) -> Result<Version, Trouble> {
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
        self.update(&["secrets", name, version], &doing, tags, disable).await
    }
}
