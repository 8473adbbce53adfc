//! What the directory says when it does not do what it was asked.

use serde_json::{Value, json};

use crate::emulator::wire::{Exchange, Reply};

/// A refusal, in the words of the service where they are known.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    detail: Option<(&'static str, &'static str)>,
    headers: Vec<(&'static str, String)>,
}

/// The outcome of one request.
pub(crate) type Outcome = Result<Reply, Refusal>;

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), detail: None, headers: Vec::new() }
    }

    /// 400 `Request_BadRequest`.
    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "Request_BadRequest", message)
    }

    /// 400 `Request_UnsupportedQuery`.
    pub(crate) fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "Request_UnsupportedQuery", message)
    }

    pub(crate) fn not_found(id: &str) -> Refusal {
        let message = format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        );
        Refusal::new(404, "Request_ResourceNotFound", message)
    }

    pub(crate) fn no_such_segment(segment: &str) -> Refusal {
        Refusal::new(400, "BadRequest", format!("Resource not found for the segment '{segment}'."))
    }

    pub(crate) fn denied() -> Refusal {
        Refusal::new(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    }

    pub(crate) fn token(message: impl Into<String>) -> Refusal {
        Refusal::new(401, "InvalidAuthenticationToken", message)
            .with_header("WWW-Authenticate", "Bearer realm=\"\", authorization_uri=\"\", client_id=\"\"")
    }

    /// 429; without seconds the `Retry-After` header is left out.
    pub(crate) fn too_many(retry_after_seconds: Option<u64>) -> Refusal {
        let refusal = Refusal::new(429, "TooManyRequests", "Please retry again later.");
        match retry_after_seconds {
            Some(seconds) => refusal.with_header("Retry-After", seconds.to_string()),
            None => refusal,
        }
    }

    /// Adds an entry to `details`: its code, and what it is about.
    pub(crate) fn with_detail(mut self, code: &'static str, target: &'static str) -> Refusal {
        self.detail = Some((code, target));
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn reply(self, exchange: &Exchange<'_>) -> Reply {
        let mut inner = json!({
            "date": exchange.now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            "request-id": exchange.request_id.to_string(),
            "client-request-id": exchange.client_request_id,
        });
        if self.status == 429 {
            // The recorded throttling answer nests a second code and message.
            inner["code"] = Value::from("429");
            inner["status"] = Value::from("429");
            inner["message"] = Value::from("Please retry after");
        }
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some((code, target)) = self.detail {
            error["details"] = json!([{"code": code, "message": error["message"], "target": target}]);
        }
        error["innerError"] = inner;
        let mut reply = Reply::json(self.status, json!({"error": error}));
        reply.headers = self.headers;
        reply
    }
}
