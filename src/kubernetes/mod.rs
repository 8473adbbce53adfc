//! Kubernetes Secrets over the API server's own HTTP interface: metadata without values, values, and three ways to write.
//!
//! Documented behaviour relied upon (Kubernetes API concepts, Server-Side Apply): a read that accepts `PartialObjectMetadata` is answered
//! without `data`; a patch with a `metadata.resourceVersion` that is not the newest is refused with 409; an apply is refused with 409
//! where another manager owns a field with another value, and leaves alone what it does not name; leaving out a field that was
//! applied before removes it; `managedFields` tells who owns which field without its value.

pub mod connect;
pub(crate) mod fields;
pub(crate) mod object;
mod transport;

use std::sync::Arc;

use futures_util::future::join_all;
use http::{Method, header};
use serde::Serialize;
use serde_json::json;

pub use self::connect::Cluster;
use self::object::{Meta, Partial, Values, Write, refused, says};
use crate::edges::{Trouble, TroubleKind};
use crate::may::May;
use crate::net::{Answer, Ask};

/// How our own fields are signed.
pub(crate) const MANAGER: &str = "certroll";

/// Asks for an object without its values.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// The Secrets of one namespace.
#[derive(Clone)]
pub(crate) struct Secrets {
    cluster: Arc<Cluster>,
    namespace: String,
}

/// A right that is needed: what is done, to the Secret of that name or to any.
pub(crate) struct Needed<'a> {
    pub(crate) verb: &'a str,
    pub(crate) name: Option<&'a str>,
}

/// What the server says of one.
enum Reviewed {
    Allowed,
    Lacks(String),
    NotTold,
}

impl Secrets {
    pub(crate) fn new(cluster: Arc<Cluster>, namespace: &str) -> Secrets {
        Secrets { cluster, namespace: namespace.to_owned() }
    }

    /// Who signs in to the cluster, for messages.
    pub(crate) fn signs_in(&self) -> String {
        self.cluster.signs_in()
    }

    /// A Secret's place, for messages.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// What is known of a Secret without its values; `None` where there is none.
    pub(crate) async fn metadata(&self, name: &str) -> Result<Option<Meta>, Trouble> {
        let doing = format!("looking at Secret {}", self.place(name));
        let answer = self.get(name, METADATA_ONLY, &doing).await?;
        self.found(&answer)?.then(|| partial(&answer, &doing)).transpose()
    }

    /// A Secret with its values; `None` where there is none. For `apply` and `verify` alone.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Values>, Trouble> {
        let doing = format!("reading Secret {}", self.place(name));
        let answer = self.get(name, "application/json", &doing).await?;
        self.found(&answer)?.then(|| answer.json()).transpose()
    }

    /// Makes a Secret; one that is there already is [`TroubleKind::Conflict`].
    pub(crate) async fn create(&self, name: &str, write: Write) -> Result<Meta, Trouble> {
        let doing = format!("writing Secret {}", self.place(name));
        self.write(Method::POST, None, "application/json", &write.named(name), &doing).await
    }

    /// Changes what is named of a Secret, if that resource version is still the newest.
    pub(crate) async fn patch(&self, name: &str, seen: &Meta, write: Write) -> Result<Meta, Trouble> {
        let doing = format!("writing Secret {}", self.place(name));
        let write = write.named(name).seen(Some(seen));
        self.write(Method::PATCH, Some(name), "application/merge-patch+json", &write, &doing).await
    }

    /// Makes what is named what certroll owns of a Secret, if that resource version is still the newest. Without one it is made, if nobody
    /// else holds one of the fields.
    pub(crate) async fn apply(&self, name: &str, seen: Option<&Meta>, write: Write) -> Result<Meta, Trouble> {
        let doing = format!("writing Secret {}", self.place(name));
        let write = write.named(name).seen(seen);
        self.write(Method::PATCH, Some(name), "application/apply-patch+yaml", &write, &doing).await
    }

    /// Whether the signed-in user may do that to these Secrets, as the server says of it (SelfSubjectAccessReview, which changes nothing).
    pub(crate) async fn may(&self, needed: &[Needed<'_>]) -> Result<May, Trouble> {
        let mut lacking: Vec<String> = Vec::new();
        for told in join_all(needed.iter().map(|one| self.review(one))).await {
            match told? {
                Reviewed::Allowed => {}
                Reviewed::NotTold => return Ok(May::NotTold),
                Reviewed::Lacks(what) => lacking.push(what),
            }
        }
        Ok(match lacking.as_slice() {
            [] => May::Yes,
            _ => May::no(
                format!("{} may not {}", self.signs_in(), lacking.join("; ")),
                "add that to a Role of the namespace and bind it to that user",
            ),
        })
    }

    async fn review(&self, needed: &Needed<'_>) -> Result<Reviewed, Trouble> {
        #[derive(serde::Deserialize)]
        struct Review {
            status: Status,
        }
        #[derive(serde::Deserialize)]
        struct Status {
            #[serde(default)]
            allowed: bool,
        }
        let what = match needed.name {
            Some(name) => format!("{} Secret {}", needed.verb, self.place(name)),
            None => format!("{} Secrets in {}", needed.verb, self.namespace),
        };
        let doing = format!("asking whether certroll may {what}");
        let service = self.cluster.service().await?;
        let mut attributes =
            json!({ "namespace": self.namespace, "verb": needed.verb, "resource": "secrets" });
        if let Some(name) = needed.name {
            attributes["name"] = name.into();
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        let path = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];
        let ask = Ask::new(Method::POST, service.url(path), &doing);
        let answer = service.send(ask.body("application/json", to_json(&review, &doing)?)).await?;
        match answer.status {
            _ if answer.is_success() => {}
            403 | 404 => return Ok(Reviewed::NotTold),
            _ => return Err(refused(&answer)),
        }
        let Review { status } = answer.json()?;
        Ok(if status.allowed { Reviewed::Allowed } else { Reviewed::Lacks(what) })
    }

    fn path<'s>(&'s self, name: Option<&'s str>) -> impl Iterator<Item = &'s str> {
        ["api", "v1", "namespaces", self.namespace.as_str(), "secrets"].into_iter().chain(name)
    }

    async fn get(&self, name: &str, accept: &str, doing: &str) -> Result<Answer, Trouble> {
        let service = self.cluster.service().await?;
        let ask = Ask::get(service.url(self.path(Some(name))), doing).header(header::ACCEPT, accept);
        Ok(service.send(ask).await?)
    }

    /// Whether the Secret is there. What was answered instead of an answer to that is trouble.
    fn found(&self, answer: &Answer) -> Result<bool, Trouble> {
        match answer.status {
            200 => Ok(true),
            404 if says(answer).is_some_and(|said| said.is_not_found()) => Ok(false),
            _ => Err(refused(answer)),
        }
    }

    async fn write(
        &self,
        method: Method,
        name: Option<&str>,
        content_type: &'static str,
        write: &Write,
        doing: &str,
    ) -> Result<Meta, Trouble> {
        let service = self.cluster.service().await?;
        let mut ask = Ask::new(method, service.url(self.path(name)), doing)
            .query(&[("fieldManager", MANAGER)])
            .header(header::ACCEPT, METADATA_ONLY);
        for value in write.values() {
            ask = ask.hides(&value);
        }
        let body = to_json(write, doing)?;
        let answer = service.send(ask.body(content_type, body)).await?;
        match answer.is_success() {
            true => partial(&answer, doing),
            false => Err(refused(&answer)),
        }
    }
}

fn to_json(body: &impl Serialize, doing: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, Trouble> {
    let body = serde_json::to_vec(body).map_err(|error| {
        Trouble::new(TroubleKind::Internal, doing, format!("the request cannot be written: {error}"))
    })?;
    Ok(zeroize::Zeroizing::new(body))
}

/// The metadata of an answer. One with values in it is not what was asked for, and not looked at.
fn partial(answer: &Answer, doing: &str) -> Result<Meta, Trouble> {
    let partial: Partial = answer.json()?;
    if partial.kind != "PartialObjectMetadata" {
        let reason = "the server sent more than the metadata that was asked for";
        return Err(Trouble::new(TroubleKind::Invalid, doing, reason)
            .with_hint("something between here and the API server drops the Accept header"));
    }
    Ok(Meta(partial.metadata))
}
