//! The promises, watched from outside: by what the directory, the stores and the places hold, never by what the planner says.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use certroll::desired::Desired;
use certroll::ids::KeyId;
use certroll::period::Period;
use certroll::store::StoreWriter as _;
use certroll::store::file::FileStore;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::world::{Entry, World};

/// Two processes whose clocks are off in opposite directions may count an overlap so much too short.
const SLACK: SignedDuration = SignedDuration::from_mins(25);

/// No fault of the emulator here makes sign-in learn of a credential later, beside the minutes that asking again takes.
const SLOWEST_PROPAGATION: SignedDuration = SignedDuration::from_mins(15);

/// A key somebody could have read.
#[derive(Debug, Clone)]
struct Offer {
    /// The target it was made for.
    target: String,
    first: Timestamp,
    /// The last moment at which it could be read from the store.
    last: Timestamp,
    /// The last moment at which each place had it.
    delivered: BTreeMap<String, Timestamp>,
    /// Its credential's end, once the directory had it.
    end: Option<Timestamp>,
}

/// A key on its way to a target.
#[derive(Debug, Clone)]
pub struct Published {
    address: String,
    rotation: String,
    /// Derived from target and thumbprint.
    pub key_id: String,
}

/// What is remembered to judge by.
#[derive(Debug, Default)]
pub struct Oracles {
    pub violations: Vec<String>,
    /// By certificate and thumbprint.
    offers: BTreeMap<String, BTreeMap<String, Offer>>,
    /// By certificate: thumbprint and moment a person confirmed.
    acknowledged: BTreeMap<String, Vec<(String, Timestamp)>>,
    /// Keys whose credential a stranger took off: nobody can be held to them until they are repaired.
    taken: BTreeSet<String>,
    /// By thumbprint: when a credential that a stranger took off came back.
    repaired: BTreeMap<String, Timestamp>,
    /// By certificate and thumbprint: when the credential ends.
    ends: BTreeMap<(String, String), Timestamp>,
    /// By certificate and thumbprint: the target it was made for.
    targets: BTreeMap<(String, String), String>,
    /// Keys that the file or a run revokes.
    revoked: BTreeSet<String>,
    /// By rotation: the keys that were ever published for it.
    published: BTreeMap<String, BTreeSet<String>>,
    pub rotations: u64,
    promoted: BTreeSet<String>,
    /// Certificates the last plan called blocked: somebody has to act.
    pub blocked: BTreeSet<String>,
}

impl Oracles {
    pub fn taken_by_a_stranger(&mut self, sha1: &str) {
        self.taken.insert(sha1.to_uppercase());
    }

    pub fn revoke(&mut self, sha1: &str) {
        self.revoked.insert(sha1.to_uppercase());
    }

    pub fn is_excused(&self, sha1: &str) -> bool {
        self.taken.contains(sha1) || self.revoked.contains(sha1)
    }

    /// Whether what a stranger took off has just come back: sign-in learns of it as late as of a new one.
    pub fn is_just_repaired(&self, sha1: &str, now: Timestamp) -> bool {
        self.repaired.get(sha1).is_some_and(|at| now.duration_since(*at) < SLOWEST_PROPAGATION)
    }

    /// The target whose credential goes with a key that could once be read.
    pub fn target_of(&self, certificate: &str, sha1: &str) -> Option<String> {
        self.targets.get(&(certificate.to_owned(), sha1.to_owned())).cloned()
    }

    /// When the credential of a key ends, once the directory had it: a policy may cut it shorter than the certificate.
    pub fn end_of(&self, certificate: &str, sha1: &str) -> Option<Timestamp> {
        self.ends.get(&(certificate.to_owned(), sha1.to_owned())).copied()
    }

    /// A store is lost, and with it the memory of what was published: without state of its own certroll cannot know better.
    pub fn forget_rotations(&mut self) {
        self.published.clear();
    }

    /// A certificate goes by another name now.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(offers) = self.offers.remove(from) {
            self.offers.insert(to.to_owned(), offers);
        }
        if let Some(words) = self.acknowledged.remove(from) {
            self.acknowledged.insert(to.to_owned(), words);
        }
        renamed(&mut self.targets, from, to);
        renamed(&mut self.ends, from, to);
    }

    pub fn acknowledge(&mut self, certificate: &str, sha1: &str, at: Timestamp) {
        self.acknowledged.entry(certificate.to_owned()).or_default().push((sha1.to_uppercase(), at));
    }

    /// Until when a consumer may hold that key; none while it may for ever.
    fn held_until(
        &self,
        certificate: &str,
        sha1: &str,
        overlap: &Period,
        acknowledges: bool,
        slots: &[String],
    ) -> Option<Timestamp> {
        let offer = self.offers.get(certificate)?.get(sha1)?;
        // A place that is declared no longer has no consumers any more: its owner said so.
        let delivered = slots.iter().filter_map(|slot| offer.delivered.get(slot)).copied();
        let mut since = delivered.chain([offer.last]).max()?;
        if acknowledges {
            let words = self.acknowledged.get(certificate)?.iter();
            let newer =
                words.filter(|(named, at)| named != sha1 && *at >= offer.first).map(|(_, at)| *at).min()?;
            since = since.max(newer);
        }
        Some(overlap.after(since))
    }
}

impl World {
    /// Looks at one certificate, after anything that may have changed its credentials or its store.
    pub fn watch(&self, certificate: &str) {
        let (target, slots, overlap, acknowledges) = {
            let state = self.state();
            let Some(keys) = state.declaration.certificates.get(certificate) else { return };
            if !keys.contains_key("store") {
                return;
            }
            let slots: Vec<String> =
                keys.get("deliver").map(|all| all.split(',').map(slot).collect()).unwrap_or_default();
            let overlap: Period = keys.get("overlap").map_or("14d", String::as_str).parse().unwrap();
            let acknowledges = keys.get("acknowledge").is_some_and(|word| word == "required");
            (keys["on"].clone(), slots, overlap, acknowledges)
        };
        let now = self.now();
        let holds =
            |slot: &String| Some((slot.clone(), self.places.holds(slot)?.sha1.to_string().to_uppercase()));
        let delivered: Vec<(String, String)> = slots.iter().filter_map(holds).collect();
        let mut offered: BTreeSet<String> = delivered.iter().map(|(_, sha1)| sha1.clone()).collect();
        let current = self.offered(certificate);
        offered.extend(current.clone());
        if current.is_none() {
            offered.extend(self.state().elsewhere.get(certificate).cloned());
        } else {
            // From now on consumers read the store.
            self.state().elsewhere.remove(certificate);
        }
        let on = self.offers_on(certificate, &target);
        let mut broken = Vec::new();
        {
            let mut state = self.state();
            let oracles = &mut state.oracles;
            if let Some(current) = &current
                && oracles.promoted.insert(current.clone())
            {
                oracles.rotations += 1;
            }
            let offers = oracles.offers.entry(certificate.to_owned()).or_default();
            for sha1 in &offered {
                // What was another certificate's was made for that one's object.
                let before = oracles.targets.iter().find(|((_, known), _)| known == sha1);
                let target = before.map_or(&target, |(_, target)| target);
                // One that was judged before ended when it ended.
                let end = oracles.ends.get(&(certificate.to_owned(), sha1.clone())).copied();
                let fresh =
                    Offer { target: target.clone(), first: now, last: now, delivered: BTreeMap::new(), end };
                let offer = offers.entry(sha1.clone()).or_insert(fresh);
                let places: Vec<&String> =
                    delivered.iter().filter(|(_, there)| there == sha1).map(|(slot, _)| slot).collect();
                if places.is_empty() || current.as_ref() == Some(sha1) {
                    offer.last = now;
                }
                places.into_iter().for_each(|slot| _ = offer.delivered.insert(slot.clone(), now));
                let known = (certificate.to_owned(), sha1.clone());
                oracles.targets.entry(known).or_insert_with(|| offer.target.clone());
            }
            let known: Vec<(String, Offer)> =
                offers.iter().map(|(k, offer)| (k.clone(), offer.clone())).collect();
            for (sha1, offer) in known {
                // A target that is deleted or disabled says nothing of our doing.
                let Some(Some(entries)) = on.get(&offer.target) else { continue };
                let end = entries
                    .iter()
                    .filter(|e| e.sha1.as_deref() == Some(&sha1))
                    .map(|e| e.end)
                    .max()
                    .flatten();
                if let Some(end) = end {
                    oracles.ends.insert((certificate.to_owned(), sha1.clone()), end);
                    if let Some(offer) =
                        oracles.offers.get_mut(certificate).and_then(|all| all.get_mut(&sha1))
                    {
                        offer.end = Some(end);
                    }
                    if oracles.taken.remove(&sha1) {
                        oracles.repaired.insert(sha1, now);
                    }
                    continue;
                }
                let expired = offer.end.is_some_and(|end| end <= now);
                if oracles.is_excused(&sha1) {
                    continue;
                }
                if !expired && offered.contains(&sha1) {
                    broken.push((sha1.clone(), "it can be read and its credential is not there"));
                } else if !expired {
                    let until = oracles.held_until(certificate, &sha1, &overlap, acknowledges, &slots);
                    if until.is_none_or(|until| now + SLACK < until) {
                        broken.push((sha1.clone(), "its credential went while somebody may hold it"));
                    }
                }
                // Judged once: what is declared later does not count for it.
                if let Some(offers) = oracles.offers.get_mut(certificate) {
                    offers.remove(&sha1);
                }
            }
        }
        for (sha1, what) in broken {
            let name = self.name(&sha1);
            self.violation(format!("P1 {certificate}: {name}: {what}"));
        }
    }

    /// The entries of each target that what could be read was made for; none of one that is not there.
    fn offers_on(&self, certificate: &str, target: &str) -> BTreeMap<String, Option<Vec<Entry>>> {
        let mut targets: BTreeSet<String> = [target.to_owned()].into();
        if let Some(offers) = self.state().oracles.offers.get(certificate) {
            targets.extend(offers.values().map(|offer| offer.target.clone()));
        }
        let entries = |target: String| {
            let found = self.is_there(&target).then(|| self.entries(&target));
            (target, found)
        };
        targets.into_iter().map(entries).collect()
    }

    /// The certificate whose key lives in that entry of a store.
    pub fn watch_entry(&self, entry: &str) {
        let certificates: Vec<String> = {
            let state = self.state();
            let all = state.declaration.certificates.iter();
            let here = all.filter(|(name, keys)| keys.get("entry").unwrap_or(name) == entry);
            here.map(|(name, _)| name.clone()).collect()
        };
        certificates.iter().for_each(|certificate| self.watch(certificate));
    }

    pub fn watch_all(&self) {
        let names: Vec<String> = self.state().declaration.certificates.keys().cloned().collect();
        names.iter().for_each(|name| self.watch(name));
    }

    /// Judges one write by the read that fed it. `named` are the key ids the plan names for removal.
    pub fn judge_write(
        &self,
        read: Option<&[Box<RawValue>]>,
        body: &[Box<RawValue>],
        named: &BTreeSet<String>,
    ) {
        self.state().coverage.hit("write", "judged");
        let Some(read) = read else {
            self.violation("P2 a write was fed by no read");
            return;
        };
        let sent: BTreeSet<&str> = body.iter().map(|entry| entry.get()).collect();
        for entry in read.iter().filter(|entry| !sent.contains(entry.get())) {
            let value: serde_json::Value = serde_json::from_str(entry.get()).unwrap_or_default();
            let key_id = value["keyId"].as_str().unwrap_or_default().to_owned();
            let altered = body.iter().any(|sent| key_id_of(sent) == key_id);
            if altered {
                self.violation(format!("P2 an entry went back altered: {}", value["displayName"]));
            } else if !named.contains(&key_id) {
                self.violation(format!(
                    "P2 an entry was left out that no step names: {}",
                    value["displayName"]
                ));
            }
        }
    }

    /// The keys that a body is to publish, by the rotations they were made for.
    pub fn to_publish(&self, desired: &Desired, body: &[Box<RawValue>]) -> Vec<Published> {
        let mut found = Vec::new();
        for entry in body {
            let value: serde_json::Value = serde_json::from_str(entry.get()).unwrap_or_default();
            if value["key"].is_null() {
                continue;
            }
            let key_id: Option<KeyId> = value["keyId"].as_str().and_then(|id| id.parse().ok());
            for declared in desired.certificates.values() {
                let generations = declared.store.as_ref().map(|binding| self.generations(desired, binding));
                let mut generations = generations.into_iter().flatten();
                let made = generations.find(|g| g.record.key_id.is_some() && g.record.key_id == key_id);
                let record = made.map(|made| made.record);
                if let Some((Some(rotation), Some(key_id))) = record.map(|made| (made.rotation_id, key_id)) {
                    let (address, rotation) = (declared.address.to_string(), rotation.to_string());
                    found.push(Published { address, rotation, key_id: key_id.to_string() });
                }
            }
        }
        found
    }

    /// P5: for one rotation id at most one key is ever published. What the directory refuses is not published.
    pub fn one_key_a_rotation(&self, published: &Published) {
        let count = {
            let mut state = self.state();
            let keys = state.oracles.published.entry(published.rotation.clone()).or_default();
            keys.insert(published.key_id.clone());
            keys.len()
        };
        if count > 1 {
            self.violation(format!("P5 {}: a rotation published {count} keys", published.address));
        }
    }

    /// Once all trouble is over, what consumers read signs in.
    pub fn nobody_is_left_behind(&self) {
        let names: Vec<String> = self.state().declaration.certificates.keys().cloned().collect();
        let now = self.now();
        for name in names {
            let (Some(sha1), Some(on)) =
                (self.offered(&name), self.state().declaration.says(&name, "on").map(str::to_owned))
            else {
                continue;
            };
            // After a move, what was made for the former object signs in as that one until the next rotation.
            let on = self.state().oracles.target_of(&name, &sha1).unwrap_or(on);
            let live = self
                .entries(&on)
                .into_iter()
                .any(|entry| entry.sha1.as_deref() == Some(&sha1) && entry.end.is_none_or(|end| now < end));
            if !live && self.is_there(&on) && !self.state().oracles.blocked.contains(&name) {
                let key = self.name(&sha1);
                self.violation(format!("P5 {name}: consumers are left with {key}, which cannot sign in"));
            }
        }
    }

    /// P3: the file store's folders and files are their owner's alone, and no unfinished file outlives the next write.
    pub async fn nothing_is_left_lying(&self) {
        let keys = self.folder().join("keys");
        let desired = self.desired().unwrap();
        for binding in desired.certificates.values().filter_map(|declared| declared.store.as_ref()) {
            if binding.store.as_str() != "files" {
                continue;
            }
            // A write that changes nothing. Where nothing was ever staged there is none: what a full disk left stays for the next writer.
            let store = FileStore::new(keys.clone()).on_this_thread();
            let generations = self.generations(&desired, binding);
            let Some(newest) = generations.last() else { continue };
            if let Err(error) = store.write_record(binding, &newest.record).await {
                self.violation(format!("a record cannot be written again: {error}"));
            }
            let mut found = Vec::new();
            below(&keys.join(binding.entry.as_str()), &mut found);
            for path in found.iter().filter(|path| path.to_string_lossy().contains("/.tmp-")) {
                self.violation(format!("P3 an unfinished file is left: {}", path.display()));
            }
        }
        let mut found = Vec::new();
        below(&keys, &mut found);
        for path in found {
            let about = path.symlink_metadata().unwrap();
            let (mode, may) =
                (about.permissions().mode() & 0o777, if about.is_dir() { 0o700 } else { 0o600 });
            if !about.is_symlink() && mode != may {
                self.violation(format!("P3 mode {mode:o} of {}", path.display()));
            }
        }
    }

    /// P3: no secret in what leaves.
    pub fn no_secret_in(&self, what: &str, text: &str) {
        let found = {
            let state = self.state();
            let keys = super::needles().iter().map(String::as_str);
            keys.chain(state.passwords.iter().map(String::as_str)).any(|secret| text.contains(secret))
        };
        if found {
            self.violation(format!("P3 a secret is in {what}"));
        }
    }
}

/// Everything below a folder.
fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
            below(&path, found);
        }
        found.push(path);
    }
}

fn renamed<T>(known: &mut BTreeMap<(String, String), T>, from: &str, to: &str) {
    let moved: Vec<_> = known.keys().filter(|(name, _)| name == from).cloned().collect();
    for key in moved {
        if let Some(value) = known.remove(&key) {
            known.insert((to.to_owned(), key.1), value);
        }
    }
}

/// The key id of an entry as it was received or sent.
pub fn key_id_of(entry: &RawValue) -> String {
    let value: serde_json::Value = serde_json::from_str(entry.get()).unwrap_or_default();
    value["keyId"].as_str().unwrap_or_default().to_owned()
}

/// How the names of places end that never tell what they hold.
pub const MUTE: &str = "MUTE";

/// The slot of a delivery place of the declaration, by its short name.
pub fn slot(place: &str) -> String {
    format!("github_actions contoso/infra {place}")
}

/// The entries that are nobody's of ours, to be compared later.
pub fn strangers(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().filter(|entry| !entry.is_ours()).cloned().collect()
}
