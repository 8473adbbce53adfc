//! `$batch`: up to twenty reads in one round trip. It saves round trips and nothing else: every item is throttled by
//! itself, answers come in any order, and the envelope says 200 whatever became of the items.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::envelope::error_of;
use super::error::{EntraError, ErrorKind};
use super::http::{Call, GraphClient, Least, blame, parse};
use super::pace::Class;
use super::retry::{given_up, wait_after};

/// Items Graph takes in one batch.
pub(super) const BATCH_MAX: usize = 20;

#[derive(Serialize)]
struct Envelope<'a> {
    requests: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: String,
    method: &'static str,
    url: &'a str,
}

#[derive(Deserialize)]
struct Answers {
    responses: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    id: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// What became of one item: its body, or its error.
pub(super) type ItemResult = Result<Box<RawValue>, EntraError>;

impl GraphClient {
    /// Reads many addresses below the version root, in the order given. None of them may select `keyCredentials`: that budget is
    /// counted for each item, and here only the envelope is. What becomes of an envelope becomes of all its items.
    pub(super) async fn read_many(&self, paths: &[String], doing: &str, least: Least) -> Vec<ItemResult> {
        if let [path] = paths {
            return vec![self.read_one(path, doing, least).await];
        }
        let batches = paths.chunks(BATCH_MAX).map(|chunk| async move {
            match self.read_batch(chunk, doing, least).await {
                Ok(results) => results,
                Err(error) => chunk.iter().map(|_| Err(error.clone())).collect(),
            }
        });
        join_all(batches).await.into_iter().flatten().collect()
    }

    async fn read_one(&self, path: &str, doing: &str, least: Least) -> ItemResult {
        let body = self.read(&self.get(path, doing, least)?).await?;
        parse::<Box<RawValue>>(doing, &body)
    }

    /// One batch, and again those of its items that were throttled or failed in passing.
    async fn read_batch(
        &self,
        paths: &[String],
        doing: &str,
        least: Least,
    ) -> Result<Vec<ItemResult>, EntraError> {
        let mut results: Vec<Option<ItemResult>> = paths.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..paths.len()).collect();
        let mut attempts = self.attempts();
        loop {
            let answers = self.batch_once(paths, &open, doing, least).await?;
            for (index, result) in answers {
                results[index] = Some(result);
            }
            open.retain(|index| matches!(&results[*index], None | Some(Err(_))));
            open.retain(|index| match &results[*index] {
                Some(Err(error)) => matches!(error.kind, ErrorKind::Throttled | ErrorKind::Unavailable),
                _ => true,
            });
            let missing =
                || EntraError::new(ErrorKind::InvalidAnswer, doing, "the batch answer leaves an item out");
            // The most patient of the items decides: whoever asks again earlier is counted for nothing.
            let worst = open.iter().filter_map(|index| results[*index].as_ref()?.as_ref().err());
            let worst = worst.max_by_key(|error| error.retry_after).cloned();
            let wait = match &worst {
                Some(error) => wait_after(&mut attempts, error, &*self.line.random),
                None => None,
            };
            match (wait, worst) {
                (Some(wait), Some(error)) => self.wait(&error, wait).await,
                _ => {
                    let last = |result: Option<ItemResult>| result.unwrap_or_else(|| Err(missing()));
                    let counted = |result: ItemResult| result.map_err(|error| given_up(&attempts, error));
                    return Ok(results.into_iter().map(last).map(counted).collect());
                }
            }
        }
    }

    async fn batch_once(
        &self,
        paths: &[String],
        open: &[usize],
        doing: &str,
        least: Least,
    ) -> Result<Vec<(usize, ItemResult)>, EntraError> {
        let requests = open.iter().map(|index| {
            // Relative to the version root, with the leading slash Microsoft's examples have.
            (index.to_string(), format!("/{}", paths[*index]))
        });
        let requests: Vec<(String, String)> = requests.collect();
        let items = requests.iter().map(|(id, url)| Item { id: id.clone(), method: "GET", url });
        let body = serde_json::to_vec(&Envelope { requests: items.collect() });
        let body = body.map_err(|error| EntraError::new(ErrorKind::Settings, doing, &error.to_string()))?;
        let call = Call {
            method: Method::POST,
            url: self.line.endpoints.graph_url("$batch")?,
            body: Some(body),
            class: Class::Read,
            eventual: false,
            doing,
            least,
        };
        let answer = self.read(&call).await?;
        let answers: Answers = parse(doing, &answer)?;
        let ours = |answer: Answer| {
            let index = answer.id.parse::<usize>().ok().filter(|index| open.contains(index))?;
            Some((index, self.item(answer, &call)))
        };
        Ok(answers.responses.into_iter().filter_map(ours).collect())
    }

    fn item(&self, answer: Answer, call: &Call<'_>) -> ItemResult {
        let doing = call.doing;
        let body = answer.body.as_ref().map_or("", |body| body.get());
        if (200..300).contains(&answer.status) {
            let empty =
                || EntraError::new(ErrorKind::InvalidAnswer, doing, "an item of the batch has no body");
            return answer.body.ok_or_else(empty);
        }
        let mut headers = http::HeaderMap::new();
        for (name, value) in &answer.headers {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let name = http::HeaderName::try_from(name.as_str());
            if let (Ok(name), Ok(value)) = (name, http::HeaderValue::try_from(text)) {
                headers.insert(name, value);
            }
        }
        let now = self.line.clock.now();
        let error = error_of(doing, answer.status, &headers, body.as_bytes(), now, &[]);
        let mut error = error.answered_by(&call.url);
        blame(&mut error, call.least);
        Err(error)
    }
}
