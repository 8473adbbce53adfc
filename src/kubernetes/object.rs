//! Secrets as they are sent and received, who owns which field of one, and what a refusal says.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use super::MANAGER;
use crate::edges::{Trouble, TroubleKind};
use crate::net::Answer;

/// An object without its values.
#[derive(Deserialize)]
pub(super) struct Partial {
    #[serde(default)]
    pub(super) kind: String,
    pub(super) metadata: ObjectMeta,
}

/// What is known of a Secret without its values.
#[derive(Debug, Clone)]
pub(crate) struct Meta(pub(super) ObjectMeta);

/// A Secret with its values.
#[derive(Deserialize)]
pub(crate) struct Values {
    metadata: ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Drop for Values {
    fn drop(&mut self) {
        self.data.values_mut().for_each(Zeroize::zeroize);
    }
}

impl Values {
    pub(crate) fn meta(&self) -> Meta {
        Meta(self.metadata.clone())
    }

    /// A value; `None` where there is none that can be read.
    pub(crate) fn value(&self, field: &str) -> Option<Zeroizing<Vec<u8>>> {
        STANDARD.decode(self.data.get(field)?).ok().map(Zeroizing::new)
    }

    /// All values.
    pub(crate) fn all(&self) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
        self.data.keys().filter_map(|field| self.value(field))
    }
}

impl Meta {
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.0.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// The version all writes are compared with.
    pub(crate) fn resource_version(&self) -> Option<&str> {
        self.0.resource_version.as_deref()
    }

    fn managed(&self) -> &[ManagedFieldsEntry] {
        self.0.managed_fields.as_deref().unwrap_or_default()
    }

    /// The fields under `data`; `None` where nobody keeps account of them.
    pub(crate) fn data_fields(&self) -> Option<BTreeSet<String>> {
        let managed = self.managed();
        (!managed.is_empty()).then(|| managed.iter().flat_map(data_fields).collect())
    }

    /// Whether certroll wrote all of these fields, and nobody wrote another value since.
    pub(crate) fn is_ours<'f>(&self, mut fields: impl Iterator<Item = &'f str>) -> bool {
        let own: BTreeSet<String> =
            self.managed().iter().filter(|entry| is_own(entry)).flat_map(data_fields).collect();
        fields.all(|field| own.contains(field))
    }

    /// Who else owns one of these fields: manager and fields.
    pub(crate) fn others<'f>(
        &self,
        fields: impl Iterator<Item = &'f str>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let fields: BTreeSet<&str> = fields.collect();
        let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for entry in self.managed().iter().filter(|entry| !is_own(entry)) {
            let theirs: BTreeSet<String> =
                data_fields(entry).filter(|field| fields.contains(field.as_str())).collect();
            if !theirs.is_empty() {
                let manager = entry.manager.clone().unwrap_or_else(|| "somebody without a name".to_owned());
                others.entry(manager).or_default().extend(theirs);
            }
        }
        others
    }

    /// Whether somebody says that the Secret can or cannot be changed.
    pub(crate) fn may_be_immutable(&self) -> bool {
        self.managed().iter().filter_map(fields_of).any(|fields| fields.get("f:immutable").is_some())
    }

    /// Changes whenever somebody changes a value, to the second.
    pub(crate) fn data_history(&self) -> String {
        let mut written: Vec<String> = self
            .managed()
            .iter()
            .filter(|entry| data_fields(entry).next().is_some())
            .map(|entry| {
                let fields: Vec<String> = data_fields(entry).collect();
                let manager = entry.manager.as_deref().unwrap_or_default();
                let time = entry.time.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
                format!("{manager} {time} {}", fields.join(","))
            })
            .collect();
        written.sort();
        format!("{} {}", self.0.uid.as_deref().unwrap_or_default(), written.join("; "))
    }
}

fn is_own(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
}

fn fields_of(entry: &ManagedFieldsEntry) -> Option<&serde_json::Value> {
    entry.fields_v1.as_ref().map(|fields| &fields.0)
}

fn data_fields(entry: &ManagedFieldsEntry) -> impl Iterator<Item = String> {
    let data = fields_of(entry).and_then(|fields| fields.get("f:data")).and_then(|data| data.as_object());
    data.into_iter().flat_map(|data| data.keys()).filter_map(|key| key.strip_prefix("f:").map(str::to_owned))
}

/// A value on its way: bytes that are written as base64.
pub(crate) struct Bytes(pub(crate) Zeroizing<Vec<u8>>);

impl Bytes {
    fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(&*self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.base64())
    }
}

/// What is written of a Secret.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Write {
    api_version: &'static str,
    kind: &'static str,
    metadata: WrittenMeta,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    secret_type: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<String, Option<Bytes>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct WrittenMeta {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
    annotations: BTreeMap<String, String>,
}

impl Write {
    /// With these annotations.
    pub(crate) fn new(annotations: impl IntoIterator<Item = (&'static str, String)>) -> Write {
        let annotations = annotations.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let metadata = WrittenMeta { annotations, ..WrittenMeta::default() };
        Write { api_version: "v1", kind: "Secret", metadata, ..Write::default() }
    }

    /// Of that type.
    pub(crate) fn typed(self, secret_type: &'static str) -> Write {
        Write { secret_type: Some(secret_type), ..self }
    }

    /// With a value.
    pub(crate) fn set(mut self, field: String, value: Zeroizing<Vec<u8>>) -> Write {
        self.data.insert(field, Some(Bytes(value)));
        self
    }

    /// Without a value. For patches.
    pub(crate) fn remove(mut self, field: String) -> Write {
        self.data.insert(field, None);
        self
    }

    pub(super) fn named(mut self, name: &str) -> Write {
        name.clone_into(&mut self.metadata.name);
        self
    }

    pub(super) fn seen(mut self, seen: Option<&Meta>) -> Write {
        self.metadata.resource_version = seen.and_then(Meta::resource_version).map(str::to_owned);
        self
    }

    /// The values as they are sent, which no message may repeat.
    pub(super) fn values(&self) -> impl Iterator<Item = Zeroizing<String>> {
        self.data.values().flatten().map(Bytes::base64)
    }
}

/// What a server says when it refuses: `Status`.
#[derive(Deserialize)]
pub(super) struct Said {
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
struct Details {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    field: String,
}

impl Said {
    /// Whether a Secret is meant that is not there, and not the namespace.
    pub(super) fn is_not_found(&self) -> bool {
        self.reason == "NotFound" && self.details.as_ref().is_some_and(|details| details.kind == "secrets")
    }

    fn is_ownership_conflict(&self) -> bool {
        self.conflicts().next().is_some()
    }

    /// The Secret is of another type. The conflict comes first, but taking the field over would not help: the type never changes.
    fn is_of_another_type(&self) -> bool {
        self.conflicts().any(|cause| cause.field == ".type")
    }

    fn conflicts(&self) -> impl Iterator<Item = &Cause> {
        let causes = self.details.iter().flat_map(|details| &details.causes);
        causes.filter(|cause| cause.reason == "FieldManagerConflict")
    }
}

/// What the server says, if it is the API server that says it.
pub(super) fn says(answer: &Answer) -> Option<Said> {
    answer.json::<Said>().ok().filter(|said| said.kind == "Status")
}

/// The trouble of an answer that is no success.
pub(super) fn refused(answer: &Answer) -> Trouble {
    let Some(said) = says(answer) else { return answer.trouble(answer.kind(), None, None) };
    let trouble = |kind: TroubleKind| {
        let code = format!("{} {}", answer.status, said.reason);
        answer.trouble(kind, Some(code.trim()), Some(&said.message))
    };
    let immutable = "it cannot be changed: delete it, or let the store name another Secret, then run again";
    match answer.status {
        401 => trouble(TroubleKind::Authentication)
            .with_hint("check the user of the kubeconfig, or the service account this runs as"),
        403 => trouble(TroubleKind::Authorisation)
            .with_hint("the role lacks this verb on this Secret: get to plan; get, patch and create to apply"),
        404 => trouble(TroubleKind::Missing).with_hint("check the namespace; certroll makes none"),
        409 if said.is_of_another_type() => trouble(TroubleKind::Refused).with_hint(immutable),
        409 if said.is_ownership_conflict() => trouble(TroubleKind::Conflict).with_hint(
            "stop that manager from writing these fields, then hand them over once: kubectl apply --server-side --force-conflicts \
             --field-manager=certroll",
        ),
        409 => trouble(TroubleKind::Conflict)
            .with_hint("somebody else wrote to this Secret: look at who, then run again"),
        422 if said.message.contains("immutable") => trouble(TroubleKind::Refused).with_hint(immutable),
        _ => trouble(answer.kind()),
    }
}
