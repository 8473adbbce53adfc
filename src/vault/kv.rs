//! The KV v2 engine: versions of named values, written whole and compared by version.
//!
//! Documented behaviour relied upon (KV secrets engine version 2, HTTP API): `cas` must equal the current version, 0 where there is
//! none, or the write is refused with 400; `metadata` tells versions and their times without any value; `subkeys` tells the names of
//! fields without their values; a version that was deleted is 404 with metadata in the body, a name that never was 404 with none.

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Vault, VaultAsk, Wrapped, errors_of, refused};
use crate::edges::{Trouble, TroubleKind};
use crate::net::Answer;

/// The engine at one mount.
#[derive(Clone)]
pub(crate) struct Kv {
    pub(crate) vault: std::sync::Arc<Vault>,
    pub(crate) mount: String,
    pub(crate) namespace: Option<String>,
}

/// What is known of a name without its values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Metadata {
    /// Number of the newest version; 0 where there is none.
    pub(crate) current_version: u64,
    /// By number.
    #[serde(default)]
    pub(crate) versions: BTreeMap<u64, Version>,
    /// After how long a version is deleted by itself; `0s` for never.
    #[serde(default)]
    pub(crate) delete_version_after: String,
}

/// What is known of one version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Version {
    /// When it was written: tells it from another of the same number after a name was deleted and made again.
    pub(crate) created_time: String,
    /// When it was or will be deleted; empty for never.
    #[serde(default)]
    pub(crate) deletion_time: String,
    /// Whether its values are gone for good.
    #[serde(default)]
    pub(crate) destroyed: bool,
}

impl Version {
    /// When it was or will be deleted.
    pub(crate) fn deleted_at(&self) -> Option<Timestamp> {
        self.deletion_time.parse().ok()
    }

    /// Whether its values can be read at that moment.
    pub(crate) fn is_held_at(&self, now: Timestamp) -> bool {
        !self.destroyed && self.deleted_at().is_none_or(|at| at > now)
    }
}

/// A version that was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Written {
    pub(crate) version: u64,
    pub(crate) created_time: String,
}

/// The fields of one version.
pub(crate) type Fields = Map<String, Value>;

impl Kv {
    fn ask<'a>(&'a self, method: Method, path: &'a [&'a str], doing: &'a str) -> VaultAsk<'a> {
        VaultAsk { method, path, query: &[], namespace: self.namespace.as_deref(), body: None, doing }
    }

    /// Whether the mount is KV version 2. `None` where the token may not know: then the first write, of no secret, tells.
    pub(crate) async fn is_version_2(&self) -> Result<Option<bool>, Trouble> {
        #[derive(Deserialize)]
        struct Mount {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            options: Option<BTreeMap<String, String>>,
        }
        let doing = format!("looking at mount {}", self.mount);
        let path = ["sys", "internal", "ui", "mounts", self.mount.as_str()];
        let answer = self.vault.ask(&self.ask(Method::GET, &path, &doing)).await?;
        match answer.status {
            200 => {
                let mount = answer.json::<Wrapped<Mount>>()?.data;
                let version = mount.options.as_ref().and_then(|options| options.get("version"));
                Ok(Some(mount.kind == "kv" && version.is_some_and(|version| version == "2")))
            }
            400 | 403 | 404 => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    /// What is known of a name without its values; nothing where there is none.
    pub(crate) async fn metadata(&self, name: &str) -> Result<Metadata, Trouble> {
        let doing = format!("reading the versions of {}/{name}", self.mount);
        let path = [self.mount.as_str(), "metadata", name];
        let answer = self.vault.ask(&self.ask(Method::GET, &path, &doing)).await?;
        match answer.status {
            200 => Ok(answer.json::<Wrapped<Metadata>>()?.data),
            404 if is_absent(&answer) => Ok(Metadata::default()),
            _ => Err(refused(&answer)),
        }
    }

    /// The names of the fields of a version, without their values; nothing where it is gone.
    pub(crate) async fn field_names(&self, name: &str, version: u64) -> Result<Vec<String>, Trouble> {
        #[derive(Deserialize)]
        struct Subkeys {
            #[serde(default)]
            subkeys: Option<Fields>,
        }
        let doing = format!("reading the field names of {}/{name}", self.mount);
        let path = [self.mount.as_str(), "subkeys", name];
        let version = version.to_string();
        let query = [("version", version.as_str()), ("depth", "1")];
        let ask = VaultAsk { query: &query, ..self.ask(Method::GET, &path, &doing) };
        let answer = self.vault.ask(&ask).await?;
        match answer.status {
            200 => {
                let found = answer.json::<Wrapped<Subkeys>>()?.data.subkeys.unwrap_or_default();
                Ok(found.into_iter().map(|(name, _)| name).collect())
            }
            404 if is_absent(&answer) => Ok(Vec::new()),
            _ => Err(refused(&answer)),
        }
    }

    /// The fields of a version with their values, the newest where none is named; `None` where it is gone or never was.
    pub(crate) async fn read(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<(u64, Fields)>, Trouble> {
        #[derive(Deserialize)]
        struct Read {
            data: Option<Fields>,
            metadata: At,
        }
        #[derive(Deserialize)]
        struct At {
            version: u64,
        }
        let doing = format!("reading {}/{name}", self.mount);
        let path = [self.mount.as_str(), "data", name];
        let version = version.map(|version| version.to_string());
        let query: Vec<(&str, &str)> = version.iter().map(|version| ("version", version.as_str())).collect();
        let ask = VaultAsk { query: &query, ..self.ask(Method::GET, &path, &doing) };
        let answer = self.vault.ask(&ask).await?;
        match answer.status {
            200 => {
                let read = answer.json::<Wrapped<Read>>()?.data;
                Ok(read.data.map(|fields| (read.metadata.version, fields)))
            }
            404 if is_absent(&answer) => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    /// Writes a version, if `seen` is still the newest; a rival's write is [`TroubleKind::Conflict`].
    pub(crate) async fn write(&self, name: &str, seen: u64, fields: &Fields) -> Result<Written, Trouble> {
        let doing = format!("writing {}/{name}", self.mount);
        let path = [self.mount.as_str(), "data", name];
        let body = json!({ "options": { "cas": seen }, "data": fields });
        let ask = VaultAsk { body: Some(&body), ..self.ask(Method::POST, &path, &doing) };
        let answer = self.vault.ask(&ask).await?;
        if answer.is_success() {
            // An engine of version 1 takes the whole request for a value and says nothing.
            let written = answer.json::<Wrapped<Written>>();
            return written.map(|wrapped| wrapped.data).map_err(|_| not_version_2(&doing, &self.mount));
        }
        let said = errors_of(&answer);
        if said.iter().any(|error| error.contains("check-and-set parameter did not match")) {
            let trouble = answer.trouble(TroubleKind::Conflict, None, Some(&said.join("; ")));
            return Err(trouble.with_hint("somebody else wrote to this path: look at who, then run again"));
        }
        Err(refused(&answer))
    }

    /// Destroys the values of a version. One that is gone already is done.
    pub(crate) async fn destroy(&self, name: &str, version: u64) -> Result<(), Trouble> {
        let doing = format!("destroying version {version} of {}/{name}", self.mount);
        let path = [self.mount.as_str(), "destroy", name];
        let body = json!({ "versions": [version] });
        let ask = VaultAsk { body: Some(&body), ..self.ask(Method::PUT, &path, &doing) };
        let answer = self.vault.ask(&ask).await?;
        match answer.status {
            200..=299 => Ok(()),
            404 if is_absent(&answer) => Ok(()),
            _ => Err(refused(&answer)),
        }
    }
}

/// Whether a 404 says that nothing is there: in Vault's own words. A proxy or another service has other ones.
fn is_absent(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Said {
        errors: Option<Vec<Value>>,
        data: Option<Value>,
    }
    let said = answer.json::<Said>();
    said.is_ok_and(|said| said.errors.map_or(said.data.is_some(), |errors| errors.is_empty()))
}

/// Said of a mount that is KV version 1.
pub(crate) fn not_version_2(doing: &str, mount: &str) -> Trouble {
    let reason = format!("mount {mount} is not a KV engine of version 2");
    Trouble::new(TroubleKind::Refused, doing, reason)
        .with_hint("name a mount of version 2, or upgrade it: vault kv enable-versioning")
}
