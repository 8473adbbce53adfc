//! A process's way to the emulator: requests take time, and every write is judged by the read that fed it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use certroll::emulator::RivalChange;
use certroll::entra::{EmulatorTransport, Transport, TransportError};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::oracles::{Published, key_id_of};
use super::process::Process;
use super::world::Entry;

/// A process's way to the emulator.
pub(super) struct ProcessTransport(pub(super) Arc<Process>);

#[async_trait]
impl Transport for ProcessTransport {
    async fn send(
        &self,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let process = &self.0;
        let writes = request.method() == http::Method::PATCH;
        if writes && (process.breaks(1) || process.breaks(2)) {
            process.leave_something_out(&mut request);
        }
        if writes {
            process.point("before a write to the directory").await;
        }
        process.alive().await;
        process.world.no_secret_in("an address", &request.uri().to_string());
        if !request.uri().path().contains("/oauth2/") {
            process.world.no_secret_in("a request", &String::from_utf8_lossy(request.body()));
        }
        // There and back; somebody else may come between, most of all while a list is written.
        let millis = process.draw(20, if writes { 1_500 } else { 300 }) as u64;
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        process.world.sync();
        let before = writes.then(|| process.judge(&request));
        let answer = EmulatorTransport::new(process.world.emulator.clone()).send(request.clone()).await;
        process.count(&request, &answer);
        if let Some(before) = before {
            process.wrote(&before, &answer);
            process.point("after a write to the directory").await;
        } else {
            process.note(&request, &answer);
        }
        answer
    }
}

#[derive(serde::Deserialize)]
struct Listing<'a> {
    #[serde(borrow, default)]
    id: Option<&'a str>,
    #[serde(borrow, default, rename = "keyCredentials")]
    credentials: Option<Vec<&'a RawValue>>,
}

/// The object a path ends with.
fn object_of(path: &str) -> Option<Uuid> {
    path.rsplit('/').next()?.parse().ok()
}

impl Process {
    /// Remembers what a read of one object showed: it may feed a write.
    fn note(
        &self,
        request: &http::Request<Vec<u8>>,
        answer: &Result<http::Response<Vec<u8>>, TransportError>,
    ) {
        let (Some(object), Ok(answer)) = (object_of(request.uri().path()), answer) else { return };
        let Ok(listing) = serde_json::from_slice::<Listing<'_>>(answer.body()) else { return };
        if listing.id.and_then(|id| id.parse().ok()) == Some(object)
            && let Some(entries) = listing.credentials
        {
            let entries: Vec<Box<RawValue>> = entries.into_iter().map(|entry| entry.to_owned()).collect();
            if self.shows_the_past(object, &entries) {
                self.world.state().coverage.hit("fault", "stale read");
            }
            self.read.lock().unwrap().insert(object, entries);
        }
    }

    /// What a broken certroll would send: a list without what consumers read now (P1), or without what is somebody else's (P2).
    fn leave_something_out(&self, request: &mut http::Request<Vec<u8>>) {
        let names: Vec<String> = self.world.state().declaration.certificates.keys().cloned().collect();
        let current: BTreeSet<String> = names.iter().filter_map(|name| self.world.offered(name)).collect();
        let Some(target) = object_of(request.uri().path()).and_then(|id| self.world.target_with(id)) else {
            return;
        };
        let mut gone = self.world.entries(&target);
        gone.retain(|entry| match self.breaks(1) {
            true => entry.sha1.as_ref().is_some_and(|sha1| current.contains(sha1)),
            false => !entry.is_ours(),
        });
        let mut body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        if let Some(sent) = body["keyCredentials"].as_array_mut() {
            sent.retain(|entry| !gone.iter().any(|gone| entry["keyId"].as_str() == Some(&gone.key_id)));
        }
        *request.body_mut() = serde_json::to_vec(&body).unwrap();
    }

    fn shows_the_past(&self, object: Uuid, entries: &[Box<RawValue>]) -> bool {
        let target = self.world.target_with(object);
        target.is_some_and(|target| self.world.entries(&target).len() != entries.len())
    }

    /// Looks at a write before it is sent; hands back the object's entries as they are.
    fn judge(&self, request: &http::Request<Vec<u8>>) -> Before {
        #[derive(serde::Deserialize)]
        struct Body {
            #[serde(rename = "keyCredentials")]
            credentials: Vec<Box<RawValue>>,
        }
        let body: Body = serde_json::from_slice(request.body()).unwrap();
        let object = object_of(request.uri().path()).unwrap();
        let read = self.read.lock().unwrap();
        let named = self.named.lock().unwrap();
        let mut published = Vec::new();
        if let Some(desired) = self.desired.lock().unwrap().clone() {
            self.world.judge_write(read.get(&object).map(Vec::as_slice), &body.credentials, &named);
            published = self.world.to_publish(&desired, &body.credentials);
        }
        self.excuse_races(object, read.get(&object).map(Vec::as_slice), &body.credentials);
        let kept = body.credentials.iter().map(|entry| key_id_of(entry)).collect();
        Before { object, entries: self.entries(object), kept, published }
    }

    fn entries(&self, object: Uuid) -> Vec<Entry> {
        self.world.target_with(object).map(|target| self.world.entries(&target)).unwrap_or_default()
    }

    /// There is no compare-and-set: what another process wrote after our last read is lost by our write. It sees that and repairs it;
    /// until then nobody can be held to it.
    fn excuse_races(&self, object: Uuid, read: Option<&[Box<RawValue>]>, body: &[Box<RawValue>]) {
        let Some(target) = self.world.target_with(object) else { return };
        let ids = |entries: &[Box<RawValue>]| -> BTreeSet<String> {
            entries.iter().map(|entry| key_id_of(entry)).collect()
        };
        let (read, body) = (ids(read.unwrap_or_default()), ids(body));
        for entry in self.world.entries(&target) {
            let lost = !read.contains(&entry.key_id) && !body.contains(&entry.key_id);
            if let Some(sha1) = entry.sha1.filter(|_| lost && self.company.load(Ordering::Relaxed)) {
                let mut state = self.world.state();
                state.oracles.taken_by_a_stranger(&sha1);
                state.coverage.hit("fault", "two processes race");
            }
        }
    }

    /// Entries in the log's words.
    fn shown(&self, entries: &[Entry]) -> String {
        let word = |entry: &Entry| match &entry.sha1 {
            Some(sha1) => self.world.name(sha1),
            None => "?".to_owned(),
        };
        entries.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn wrote(&self, before: &Before, answer: &Result<http::Response<Vec<u8>>, TransportError>) {
        let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        let after = self.entries(before.object);
        let there: BTreeSet<&str> = after.iter().map(|entry| entry.key_id.as_str()).collect();
        if status == Some(204) && before.kept.iter().any(|id| !there.contains(id.as_str())) {
            self.world.state().coverage.hit("fault", "write dropped behind a 204");
        }
        let published = before.published.iter().filter(|new| there.contains(new.key_id.as_str()));
        published.for_each(|new| self.world.one_key_a_rotation(new));
        self.count_rivals(before, &after, status);
        // What we sent back and is gone, or is gone though our write was refused, a stranger took.
        for entry in before.entries.iter().filter(|entry| !there.contains(entry.key_id.as_str())) {
            let refused = status.is_some_and(|status| status >= 300);
            if let Some(sha1) = entry.sha1.as_ref().filter(|_| refused || before.kept.contains(&entry.key_id))
            {
                self.world.state().oracles.taken_by_a_stranger(sha1);
            }
        }
        let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let (was, is) = (self.shown(&before.entries), self.shown(&after));
        self.world.log(format!("  writes [{was}] -> [{is}]: {status}"));
        self.world.watch_all();
    }

    /// Somebody else wrote between our read and our write, as the emulator was told to.
    fn count_rivals(&self, before: &Before, after: &[Entry], status: Option<u16>) {
        self.count_overwritten();
        let still = |entry: &&Entry| after.iter().any(|one| one.key_id == entry.key_id);
        let refused = status.is_some_and(|status| status >= 300);
        let gone = before.entries.iter().filter(|entry| !still(entry));
        let removed = gone.into_iter().any(|entry| refused || before.kept.contains(&entry.key_id));
        if self.world.emulator.faults().rival_writes.is_empty() {
            return;
        }
        if removed {
            self.world.state().coverage.hit("fault", "rival write: removes");
        }
    }

    /// What a rival adds is gone with our write, which was fed by an earlier read: nobody sees it, and the emulator was told when.
    fn count_overwritten(&self) {
        let faults = self.world.emulator.faults();
        let state = &mut *self.world.state();
        state.writes += 1;
        // A write that is turned away is none the emulator counts.
        let arrives = faults.conflicts.is_none()
            && faults.unavailable.is_none()
            && faults.throttled.is_none()
            && faults.connection_refused.is_none();
        let adds = faults.rival_writes.iter().filter(|rival| rival.change == RivalChange::Adds);
        let now = adds.filter(|rival| rival.before_write == state.writes).count() as u64;
        if arrives && now > 0 {
            state.coverage.add("fault", "rival write: adds", now);
        }
    }

    fn count(
        &self,
        request: &http::Request<Vec<u8>>,
        answer: &Result<http::Response<Vec<u8>>, TransportError>,
    ) {
        let side = match request.uri().path().contains("/oauth2/") {
            true => "sign-in",
            false if request.method() == http::Method::PATCH => "write",
            false => "read",
        };
        let what = match answer {
            Err(_) => format!("{side}: no answer"),
            Ok(answer) if answer.status().as_u16() == 429 => format!("{side}: 429"),
            Ok(answer) if answer.status().as_u16() == 409 => format!("{side}: 409"),
            Ok(answer) if side == "sign-in" && answer.status().is_client_error() => {
                let body = String::from_utf8_lossy(answer.body());
                let code = body
                    .split("AADSTS")
                    .nth(1)
                    .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
                format!("sign-in: AADSTS{}", code.unwrap_or_default())
            }
            Ok(answer) if answer.status().is_server_error() => match busy(answer.body()) {
                true => format!("{side}: AADSTS90033"),
                false => format!("{side}: 5xx"),
            },
            Ok(_) => return,
        };
        self.world.state().coverage.hit("fault", what);
    }
}

fn busy(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("AADSTS90033")
}

struct Before {
    object: Uuid,
    entries: Vec<Entry>,
    /// Key ids of all entries that are sent.
    kept: BTreeSet<String>,
    /// The keys among them that are new.
    published: Vec<Published>,
}
