//! The id behind a tenant's domain name.

use reqwest::Url;
use serde::Deserialize;
use uuid::Uuid;

use super::aadsts::TokenError;
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use super::retry::{given_up, silence, tell_of, wait_after};
use crate::net::{Attempts, RetrySettings, printable};

/// The tenant's id. A GUID is one already; for a verified domain the login service's discovery document names it. No token is sent.
pub(super) async fn tenant_id(line: &Line, tenant: &str) -> Result<Uuid, EntraError> {
    if let Ok(id) = tenant.parse() {
        return Ok(id);
    }
    let doing = format!("looking up tenant {tenant}");
    let url = line.endpoints.discovery_url(tenant)?;
    let settings = RetrySettings::default();
    let mut attempts = Attempts::new(&settings);
    loop {
        let request = http::Request::get(url.as_str()).header("accept", "application/json").body(Vec::new());
        let request = request
            .map_err(|error| EntraError::new(ErrorKind::Settings, &doing, &printable(&error.to_string())))?;
        let (error, wait) = match line.send(request).await {
            Ok(answer) if answer.status().is_success() => return id_in(&doing, answer.body()),
            Ok(answer) => {
                let error = refusal(&doing, &url, &answer, line);
                let wait = wait_after(&mut attempts, &error, &*line.random);
                (error, wait)
            }
            Err(lost) => (silence(&doing, &lost), attempts.after_silence(&lost, &*line.random)),
        };
        match wait {
            Some(wait) => {
                tell_of(&error, wait);
                line.clock.sleep(wait).await;
            }
            None => return Err(given_up(&attempts, error)),
        }
    }
}

fn refusal(doing: &str, url: &Url, answer: &http::Response<Vec<u8>>, line: &Line) -> EntraError {
    let status = answer.status().as_u16();
    let said = TokenError::parse(status, answer.headers(), answer.body(), line.clock.now(), &[]);
    let kind = match status {
        429 => ErrorKind::Throttled,
        408 | 500..=599 => ErrorKind::Unavailable,
        400 | 404 => ErrorKind::NotFound,
        _ => ErrorKind::InvalidAnswer,
    };
    said.into_error(kind, doing, url)
}

/// The GUID in the path of `issuer`.
fn id_in(doing: &str, body: &[u8]) -> Result<Uuid, EntraError> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let issuer = serde_json::from_slice::<Discovery>(body).ok().map(|discovery| discovery.issuer);
    let url = issuer.and_then(|issuer| Url::parse(&issuer).ok());
    let id = url.and_then(|url| url.path_segments()?.find_map(|segment| segment.parse().ok()));
    let reason = "the discovery document names no tenant id";
    id.ok_or_else(|| EntraError::new(ErrorKind::InvalidAnswer, doing, reason))
}
