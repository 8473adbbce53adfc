//! Asking somebody else than the login service for a token: the machine's identity endpoint, a CI system.

use http::Request;
use zeroize::{Zeroize, Zeroizing};

use super::error::{EntraError, ErrorKind};
use super::line::Line;
use super::retry::{given_up, silence};
use crate::net::{Attempts, RetrySettings, printable, retry_after, without_secrets};

/// What is asked. Built anew for each try.
pub(super) struct Question<'a> {
    /// A gerund and a name.
    pub doing: &'a str,
    /// What no error may repeat.
    pub secrets: &'a [&'a str],
    /// What to try when it is refused.
    pub hint: &'a str,
    /// Which statuses ask to come again.
    pub is_busy: fn(u16) -> bool,
}

/// 429 and the service's own trouble.
pub(super) fn busy(status: u16) -> bool {
    status == 429 || status >= 500
}

/// The body of the answer that grants.
pub(super) async fn ask(
    line: &Line,
    retry: &RetrySettings,
    question: &Question<'_>,
    request: impl Fn() -> Result<Request<Vec<u8>>, http::Error>,
) -> Result<Zeroizing<Vec<u8>>, EntraError> {
    let mut attempts = Attempts::new(retry);
    loop {
        let request = request().map_err(|error| {
            EntraError::new(ErrorKind::Settings, question.doing, &printable(&error.to_string()))
        })?;
        let (error, wait) = match line.send_elsewhere(request).await {
            Ok(answer) if answer.status().is_success() => return Ok(Zeroizing::new(answer.into_body())),
            Ok(mut answer) => {
                let error = refusal(line, question, &answer);
                answer.body_mut().zeroize();
                let is_busy = (question.is_busy)(answer.status().as_u16());
                let wait = is_busy.then(|| attempts.after_busy(error.retry_after, &*line.random)).flatten();
                (error, wait)
            }
            Err(lost) => {
                let error = silence(question.doing, &lost).with_hint(question.hint);
                (error, attempts.after_silence(&lost, &*line.random))
            }
        };
        match wait {
            Some(wait) => line.clock.sleep(wait).await,
            None => return Err(given_up(&attempts, error)),
        }
    }
}

fn refusal(line: &Line, question: &Question<'_>, answer: &http::Response<Vec<u8>>) -> EntraError {
    let status = answer.status().as_u16();
    let kind = match status {
        429 => ErrorKind::Throttled,
        300..=399 => ErrorKind::InvalidAnswer,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Authentication,
    };
    let said = String::from_utf8_lossy(answer.body());
    let said = serde_json::from_slice::<serde_json::Value>(answer.body())
        .ok()
        .and_then(text)
        .unwrap_or_else(|| said.into_owned());
    let mut error = EntraError::new(kind, question.doing, &without_secrets(&said, question.secrets));
    error.status = Some(status);
    error.retry_after = retry_after(answer.headers(), line.clock.now());
    error.with_hint(question.hint)
}

/// The text of an error in the forms that identity endpoints and CI systems use.
fn text(body: serde_json::Value) -> Option<String> {
    let of = |name: &str| body.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    of("error_description").or_else(|| of("message")).or_else(|| of("error"))
}
