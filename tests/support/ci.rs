//! What the CI systems of the tests have in common.

use std::sync::Arc;

use certroll::form::read_pem;
use certroll::net::Transport;
use http::Response;
use serde_json::Value;

use super::azure_devops::AzureDevops;
use super::github::Github;
use super::gitlab::Gitlab;

pub fn answer(status: u16, body: &Value) -> Response<Vec<u8>> {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Response::builder().status(status).header("content-type", "application/json").body(bytes).unwrap()
}

/// What a consumer finds in a value: the thumbprint of a PEM that holds certificate and key, else how long it is.
pub fn told(value: &[u8]) -> String {
    match read_pem(value) {
        Ok(identity) => format!("certificate {} and its key", identity.certificate.thumbprints.sha1),
        Err(_) => format!("{} characters", value.len()),
    }
}

/// A time that goes on by one second with each write.
pub fn time(writes: u32) -> String {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    (start + jiff::SignedDuration::from_secs(writes.into())).to_string()
}

/// The parts of a path as they were before they were escaped.
pub fn segments(path: &str) -> Vec<String> {
    path.trim_matches('/').split('/').map(unescaped).collect()
}

/// The parameters of a query.
pub fn query(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescaped(name), unescaped(&value.replace('+', " ")))).collect()
}

fn unescaped(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap()
}

/// A CI system as a story plays with it.
pub trait Played: Send + Sync {
    /// What a workflow, job or pipeline finds, without the values of secrets.
    fn shown(&self, name: &str) -> String;
    /// Whether it turns everybody away.
    fn stop(&self, stopped: bool);
    /// Somebody else writes a value.
    fn by_hand(&self, name: &str);
}

impl Played for Github {
    fn shown(&self, name: &str) -> String {
        Github::shown(self, name)
    }
    fn stop(&self, stopped: bool) {
        self.answer_all(stopped.then(|| (403, Vec::new())));
    }
    fn by_hand(&self, name: &str) {
        self.write_by_hand(name, b"by hand", None);
    }
}

impl Played for Gitlab {
    fn shown(&self, name: &str) -> String {
        Gitlab::shown(self, name)
    }
    fn stop(&self, stopped: bool) {
        self.answer_all(stopped.then_some(403));
    }
    fn by_hand(&self, name: &str) {
        self.change_by_hand(name, "description", "put here by hand".into());
    }
}

impl Played for AzureDevops {
    fn shown(&self, name: &str) -> String {
        AzureDevops::shown(self, name)
    }
    fn stop(&self, stopped: bool) {
        self.answer_all(stopped.then_some(403));
    }
    fn by_hand(&self, name: &str) {
        self.set_by_hand(name, "by hand", true);
    }
}

/// Serves one, and the variables that lead there.
pub fn serve(kind: &str) -> (Arc<dyn Played>, Vec<(String, String)>) {
    fn start<T: Played + Transport + Default + 'static>() -> (Arc<dyn Played>, String) {
        let service = Arc::new(T::default());
        let address = super::serve::serve(Arc::clone(&service) as Arc<dyn Transport>);
        (service, address)
    }
    let ((played, address), names, token) = match kind {
        "github" => (start::<Github>(), ["GITHUB_API_URL", "GITHUB_TOKEN"], super::github::TOKEN),
        "gitlab" => (start::<Gitlab>(), ["CI_SERVER_URL", "GITLAB_TOKEN"], super::gitlab::TOKEN),
        "azure_devops" => {
            let names = ["CERTROLL_CONN_DEVOPS_ADDRESS", "CERTROLL_CONN_DEVOPS_TOKEN"];
            (start::<AzureDevops>(), names, super::azure_devops::TOKEN)
        }
        other => panic!("no such service: {other}"),
    };
    let values = [address, token.to_owned()];
    (played, names.map(str::to_owned).into_iter().zip(values).collect())
}
