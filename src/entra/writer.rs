//! Writing one target's credential list. A separate type from the reader, made in `apply` alone.
//!
//! Entra has no compare-and-set for these lists: a write replaces the whole collection, and what is not in it is deleted. So this
//! sends a list only as it was put together from fresh reads, never repeats a write by itself, and says of every failure whether
//! the service may have acted.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{EntraError, ErrorKind, Refusal};
use super::http::{Call, GraphClient, READ_APPLICATIONS, WRITE_APPLICATIONS};
use super::odata::object;
use super::pace::Class;
use super::wire::{Object, credentials};
use crate::certificate::Certificate;
use crate::ids::{KeyId, TargetId};
use crate::net::Sent;
use crate::observed::Credential;

/// Reads and replaces credential lists.
#[derive(Debug)]
pub struct DirectoryWriter {
    client: Arc<GraphClient>,
}

/// A write that did not succeed, by what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The service never saw it.
    #[error("not sent: {0}")]
    NotSent(EntraError),
    /// The service answered and did nothing. Throttled and conflicting writes are among these: read again, build again, then write.
    #[error("{0}")]
    Refused(EntraError),
    /// No answer, or one that tells nothing: the write may have happened. Read before doing anything else.
    #[error("outcome unknown: {0}")]
    UnknownOutcome(EntraError),
}

impl WriteError {
    /// What went wrong.
    pub fn error(&self) -> &EntraError {
        match self {
            WriteError::NotSent(error) | WriteError::Refused(error) | WriteError::UnknownOutcome(error) => {
                error
            }
        }
    }

    /// Whether it is worth reading again, building the list again and writing once more.
    pub fn is_passing(&self) -> bool {
        match self {
            WriteError::UnknownOutcome(_) => true,
            WriteError::NotSent(error) | WriteError::Refused(error) => matches!(
                error.kind,
                ErrorKind::Network
                    | ErrorKind::Throttled
                    | ErrorKind::Conflict
                    | ErrorKind::Unavailable
                    | ErrorKind::Refused(Refusal::RetainedEntryChanged)
            ),
        }
    }
}

impl DirectoryWriter {
    /// A writer on that client.
    pub fn new(client: Arc<GraphClient>) -> DirectoryWriter {
        DirectoryWriter { client }
    }

    /// Waits until the budget of writes would let one out at once. To be called before the reads that feed a write, so that these
    /// are not old by the time it goes out.
    pub async fn ready(&self) {
        self.client.write_ready().await;
    }

    /// The target's credentials now, in the order received. Reads without `$select`: the service then leaves the keys out, as a
    /// write needs them, and the read counts against no budget of its own.
    ///
    /// What is reserved is judged by the object alone; the plan has also seen its counterpart.
    pub async fn read_entries(&self, target: TargetId) -> Result<Vec<Credential>, EntraError> {
        let doing = format!("reading the credentials of {target}");
        let call = self.client.get(&object(&target), &doing, READ_APPLICATIONS)?;
        let body = self.client.read(&call).await?;
        let wrong = |reason: &str| EntraError::new(ErrorKind::InvalidAnswer, &doing, reason);
        let text = std::str::from_utf8(&body).map_err(|_| wrong("the answer is not UTF-8"))?;
        let read = Object::parse(target.kind, text).map_err(|broken| wrong(&broken.reason))?;
        if read.id != target {
            return Err(wrong("the answer is about another object"));
        }
        let entries = read.entries.ok_or_else(|| wrong("the answer leaves out keyCredentials"))?;
        let encryption: Vec<KeyId> = read.token_encryption_key.into_iter().collect();
        Ok(credentials(&entries, &encryption, read.token_signing))
    }

    /// Replaces the target's whole credential list. Refuses to send an empty list, an entry twice, or an entry that repeats the
    /// certificate of an existing credential without being new.
    pub async fn replace_entries(
        &self,
        target: TargetId,
        entries: &[Box<RawValue>],
    ) -> Result<(), WriteError> {
        let doing = format!("writing the credentials of {target}");
        let body = body(entries).map_err(|reason| {
            WriteError::NotSent(EntraError::new(ErrorKind::Refused(Refusal::Invalid), &doing, reason))
        })?;
        self.send(target, body, &doing).await
    }

    /// Leaves the target without any credential. Apart from [`DirectoryWriter::replace_entries`], so that a list that came out empty by
    /// mistake is never taken for one that is meant to be.
    pub async fn remove_all_entries(&self, target: TargetId) -> Result<(), WriteError> {
        let doing = format!("removing the last credential of {target}");
        self.send(target, br#"{"keyCredentials":[]}"#.to_vec(), &doing).await
    }

    async fn send(&self, target: TargetId, body: Vec<u8>, doing: &str) -> Result<(), WriteError> {
        let url = self.client.line.endpoints.graph_url(&object(&target)).map_err(WriteError::NotSent)?;
        let call = Call {
            method: Method::PATCH,
            url,
            body: Some(body),
            class: Class::Write,
            eventual: false,
            doing,
            least: WRITE_APPLICATIONS,
        };
        match self.client.once(&call).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(match failure.sent {
                Sent::Unknown => WriteError::UnknownOutcome(failure.error),
                Sent::No if failure.before || failure.error.status.is_none() => {
                    WriteError::NotSent(failure.error)
                }
                Sent::No => WriteError::Refused(failure.error),
            }),
        }
    }
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "keyId")]
    key_id: Option<String>,
}

/// The body of a write: the list and nothing else. Another member could change something nobody reviewed.
fn body(entries: &[Box<RawValue>]) -> Result<Vec<u8>, &'static str> {
    if entries.is_empty() {
        return Err("an empty list would remove every credential of the object");
    }
    let mut seen = BTreeSet::new();
    for entry in entries {
        let identity: Identity =
            serde_json::from_str(entry.get()).map_err(|_| "an entry is not an object")?;
        if identity.key_id.is_some_and(|id| !seen.insert(id.to_ascii_lowercase())) {
            return Err("two entries have the same key id");
        }
    }
    let mut body = Vec::from(br#"{"keyCredentials":["#);
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(entry.get().as_bytes());
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewEntry<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    usage: &'a str,
    key_id: String,
    display_name: &'a str,
    start_date_time: String,
    end_date_time: String,
    key: String,
}

/// A new entry for a certificate: the public part only. Both dates are given, cut to whole seconds, because the service's defaults
/// are not documented; `customKeyIdentifier` is left to the service, which fills in the thumbprint.
pub fn new_entry(
    key_id: KeyId,
    display_name: &str,
    certificate: &Certificate,
    start: Timestamp,
    end: Timestamp,
) -> Result<Box<RawValue>, EntraError> {
    let entry = NewEntry {
        kind: "AsymmetricX509Cert",
        usage: "Verify",
        key_id: key_id.to_string(),
        display_name,
        start_date_time: whole_seconds(start),
        end_date_time: whole_seconds(end),
        key: STANDARD.encode(certificate.der()),
    };
    serde_json::value::to_raw_value(&entry).map_err(|error| {
        EntraError::new(ErrorKind::Settings, "building a credential entry", &error.to_string())
    })
}

fn whole_seconds(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}
