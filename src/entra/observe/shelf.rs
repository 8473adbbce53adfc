//! The objects of one kind, fetched the cheapest way: whole list pages of 999, or by key (`appId in` fifteen at a time, the
//! rest in batches of twenty).
//!
//! Fetching N of M objects costs at most `min(⌈M/999⌉, ⌈N/15⌉) + 3` requests: one to count, when that can matter; by key, one more
//! because app ids and other keys round up separately; and one to look around for what is missing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::desired::SelectBy;
use crate::edges::{Trouble, TroubleKind};
use crate::entra::batch::BATCH_MAX;
use crate::entra::error::{EntraError, ErrorKind};
use crate::entra::http::{GraphClient, READ_APPLICATIONS, parse};
use crate::entra::odata::{IN_MAX, PAGE_MAX, app_id_in, collection, literal, query};
use crate::entra::wire::{Broken, Object, Page};
use crate::ids::TargetKind;
use crate::observed::Candidate;

/// Requests prepared at a time. How many are in flight is the semaphore's business; this only bounds memory.
const PREPARED_MAX: usize = 64;

/// What is asked of a shelf when nothing will be written to its objects: their entries are left out of the answer, which makes it
/// small and cheap.
const FACTS: &str = "id,appId,displayName,accountEnabled,servicePrincipalType,appOwnerOrganizationId,tokenEncryptionKeyId,preferredTokenSigningKeyThumbprint";
const FACTS_OF_APPLICATIONS: &str =
    "id,appId,displayName,tokenEncryptionKeyId,servicePrincipalLockConfiguration";

/// How objects are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Keys,
    Listed,
}

/// The objects of one kind that have been read.
pub(super) struct Shelf<'a> {
    client: &'a GraphClient,
    pub kind: TargetKind,
    way: Way,
    with_entries: bool,
    objects: BTreeMap<Uuid, Object>,
    by_app_id: BTreeMap<Uuid, Uuid>,
    by_name: BTreeMap<String, BTreeSet<Uuid>>,
    by_unique_name: BTreeMap<String, Uuid>,
    /// Keys whose reading failed, by key.
    troubles: BTreeMap<SelectBy, Trouble>,
    asked: BTreeSet<SelectBy>,
    broken: Vec<Broken>,
    /// What looking around found: to be shown, never to be worked on.
    nearby: BTreeSet<Candidate>,
}

impl<'a> Shelf<'a> {
    /// An empty shelf. `with_entries` when objects of this kind are targets.
    pub(super) fn new(client: &'a GraphClient, kind: TargetKind, with_entries: bool) -> Shelf<'a> {
        Shelf {
            client,
            kind,
            way: Way::Keys,
            with_entries,
            objects: BTreeMap::new(),
            by_app_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_unique_name: BTreeMap::new(),
            troubles: BTreeMap::new(),
            asked: BTreeSet::new(),
            broken: Vec::new(),
            nearby: BTreeSet::new(),
        }
    }

    /// Decides how to fetch, given how many objects will be asked for by app id and otherwise. Lists the tenant at once if that is
    /// cheaper; `targets` are those whose entries are wanted.
    pub(super) async fn open(
        &mut self,
        app_ids: usize,
        others: usize,
        targets: &BTreeSet<SelectBy>,
    ) -> Result<(), EntraError> {
        let by_key = requests_by_key(app_ids, others);
        // Below three, counting and listing cannot be cheaper than just asking.
        if by_key < 3 {
            return Ok(());
        }
        match self.count().await {
            Ok(objects) if objects.div_ceil(PAGE_MAX) < by_key => self.list(targets).await,
            Ok(_) => Ok(()),
            // Some tenants (B2C) have no `$count`; asking by key works in all.
            Err(error) => settle(Err(error)).map(|_| ()),
        }
    }

    async fn count(&self) -> Result<usize, EntraError> {
        let doing = format!("counting the tenant's {}s", self.kind);
        let mut call =
            self.client.get(&format!("{}/$count", collection(self.kind)), &doing, READ_APPLICATIONS)?;
        call.eventual = true;
        let body = self.client.read(&call).await?;
        // Sent as text, at times with a byte order mark.
        let text = String::from_utf8_lossy(&body);
        let digits = text.trim_start_matches('\u{feff}').trim();
        digits
            .parse()
            .map_err(|_| EntraError::new(ErrorKind::InvalidAnswer, &doing, "the answer is no number"))
    }

    async fn list(&mut self, targets: &BTreeSet<SelectBy>) -> Result<(), EntraError> {
        self.way = Way::Listed;
        let doing = format!("listing the tenant's {}s", self.kind);
        let top = PAGE_MAX.to_string();
        let mut options = vec![("$top", top.as_str())];
        if let Some(select) = self.selected() {
            options.push(("$select", select));
        }
        let call = self.client.get(&query(collection(self.kind), &options), &doing, READ_APPLICATIONS)?;
        let client = self.client;
        let kept = |object: &Object| {
            let keys = [
                SelectBy::AppId(object.app_id),
                SelectBy::ObjectId(object.id.object_id),
                SelectBy::DisplayName(object.display_name.clone()),
                SelectBy::UniqueName(object.unique_name.clone().unwrap_or_default()),
            ];
            keys.iter().any(|key| targets.contains(key))
        };
        client
            .pages(call, |member| {
                // Entries are by far the largest part of an object; only those of targets are kept.
                match Object::parse(self.kind, member.get()) {
                    Ok(object) if kept(&object) => self.put(object),
                    Ok(object) => self.put(Object { entries: None, ..object }),
                    Err(broken) => self.broken.push(broken),
                }
            })
            .await
    }

    fn selected(&self) -> Option<&'static str> {
        match (self.with_entries, self.kind) {
            (true, _) => None,
            (false, TargetKind::Application) => Some(FACTS_OF_APPLICATIONS),
            (false, TargetKind::ServicePrincipal) => Some(FACTS),
        }
    }

    fn put(&mut self, object: Object) {
        let id = object.id.object_id;
        self.by_app_id.insert(object.app_id, id);
        self.by_name.entry(object.display_name.clone()).or_default().insert(id);
        if let Some(name) = &object.unique_name {
            self.by_unique_name.insert(name.clone(), id);
        }
        self.objects.insert(id, object);
    }

    fn take(&mut self, member: &RawValue) {
        match Object::parse(self.kind, member.get()) {
            Ok(object) => self.put(object),
            Err(broken) => self.broken.push(broken),
        }
    }

    /// Makes sure that every one of those keys has been asked for. A failure that concerns everybody is an error; one of a single
    /// request is kept for the keys it was about.
    pub(super) async fn fetch(&mut self, keys: impl IntoIterator<Item = SelectBy>) -> Result<(), EntraError> {
        let new: BTreeSet<SelectBy> = keys.into_iter().filter(|key| !self.asked.contains(key)).collect();
        self.asked.extend(new.iter().cloned());
        if self.way == Way::Listed {
            return Ok(());
        }
        let mut app_ids = Vec::new();
        let mut others = Vec::new();
        for key in new {
            match key {
                SelectBy::AppId(id) => app_ids.push(id),
                SelectBy::ObjectId(_) | SelectBy::UniqueName(_) | SelectBy::DisplayName(_) => {
                    others.push(key)
                }
            }
        }
        self.fetch_by_app_id(&app_ids).await?;
        self.fetch_others(&others).await
    }

    async fn fetch_by_app_id(&mut self, app_ids: &[Uuid]) -> Result<(), EntraError> {
        let client = self.client;
        let doing = format!("reading {}s by app id", self.kind);
        let chunks = app_ids.chunks(IN_MAX).map(|chunk| (chunk.to_vec(), self.path(&app_id_in(chunk))));
        let chunks: Vec<(Vec<Uuid>, String)> = chunks.collect();
        let doing = doing.as_str();
        let read = stream::iter(chunks).map(|(chunk, path)| async move {
            let mut members = Vec::new();
            let call = client.get(&path, doing, READ_APPLICATIONS)?;
            let outcome = client.pages(call, |member| members.push(member.to_owned())).await;
            settle(outcome).map(|trouble| (chunk, members, trouble))
        });
        let read: Vec<_> = read.buffer_unordered(PREPARED_MAX).try_collect().await?;
        for (chunk, members, trouble) in read {
            members.iter().for_each(|member| self.take(member));
            if let Some(trouble) = trouble {
                self.troubles.extend(chunk.into_iter().map(|id| (SelectBy::AppId(id), trouble.clone())));
            }
        }
        Ok(())
    }

    async fn fetch_others(&mut self, keys: &[SelectBy]) -> Result<(), EntraError> {
        if keys.is_empty() {
            return Ok(());
        }
        let doing = format!("reading {}s", self.kind);
        let paths: Vec<String> = keys.iter().map(|key| self.path_of(key)).collect();
        let answers = self.client.read_many(&paths, &doing, READ_APPLICATIONS).await;
        for (key, answer) in keys.iter().zip(answers) {
            let understood = answer.and_then(|body| match key {
                SelectBy::ObjectId(_) => Ok(vec![body]),
                _ => parse::<Page>(&doing, body.get().as_bytes()).map(|page| page.value),
            });
            match understood {
                Ok(members) => members.iter().for_each(|member| self.take(member)),
                // Only Graph itself can say that an object is not there, and a search always has an answer. Anything else that
                // answers 404 (a proxy, a wrong host) says nothing about the object.
                Err(error) if is_proof_of_absence(key, &error) => {}
                Err(error) => {
                    if let Some(trouble) = settle(Err(error))? {
                        self.troubles.insert(key.clone(), trouble);
                    }
                }
            }
        }
        Ok(())
    }

    fn path(&self, filter: &str) -> String {
        let mut options = vec![("$filter", filter)];
        if let Some(select) = self.selected() {
            options.push(("$select", select));
        }
        query(collection(self.kind), &options)
    }

    fn path_of(&self, key: &SelectBy) -> String {
        match key {
            SelectBy::ObjectId(id) => match self.selected() {
                Some(select) => query(&format!("{}/{id}", collection(self.kind)), &[("$select", select)]),
                None => format!("{}/{id}", collection(self.kind)),
            },
            SelectBy::AppId(id) => self.path(&format!("appId eq '{id}'")),
            SelectBy::UniqueName(name) => self.path(&format!("uniqueName eq {}", literal(name))),
            SelectBy::DisplayName(name) => self.path(&format!("displayName eq {}", literal(name))),
        }
    }

    /// The object with that app id, if it has been read.
    pub(super) fn with_app_id(&self, app_id: &Uuid) -> Option<&Object> {
        self.by_app_id.get(app_id).and_then(|id| self.objects.get(id))
    }

    /// Why a key could not be read, if it could not.
    pub(super) fn trouble(&self, key: &SelectBy) -> Option<Trouble> {
        let same = |broken: &&Broken| match key {
            SelectBy::AppId(id) => broken.app_id == Some(*id),
            SelectBy::ObjectId(id) => broken.object_id == Some(*id),
            SelectBy::DisplayName(name) => broken.display_name.as_ref() == Some(name),
            SelectBy::UniqueName(_) => false,
        };
        let broken = self.broken.iter().find(same);
        let not_understood = broken.map(|broken| {
            let reason = format!("its description cannot be understood: {}", broken.reason);
            Trouble::new(TroubleKind::Invalid, format!("reading a {}", self.kind), reason)
        });
        self.troubles.get(key).cloned().or(not_understood)
    }

    /// Whether a member of an answer was so broken that nobody can tell which object it was. Then nothing is proven missing.
    pub(super) fn has_nameless(&self) -> bool {
        self.broken.iter().any(|broken| {
            broken.object_id.is_none() && broken.app_id.is_none() && broken.display_name.is_none()
        })
    }

    /// Every object that has the key. Display names are compared to the letter; the service's own comparison ignores case.
    pub(super) fn find(&self, key: &SelectBy) -> Vec<&Object> {
        match key {
            SelectBy::AppId(id) => self.with_app_id(id).into_iter().collect(),
            SelectBy::ObjectId(id) => self.objects.get(id).into_iter().collect(),
            SelectBy::UniqueName(name) => {
                self.by_unique_name.get(name).and_then(|id| self.objects.get(id)).into_iter().collect()
            }
            SelectBy::DisplayName(name) => {
                let named = self.by_name.get(name).into_iter().flatten();
                let named: Vec<&Object> = named.filter_map(|id| self.objects.get(id)).collect();
                let ordinary: Vec<&Object> =
                    named.iter().copied().filter(|o| o.other_type.is_none()).collect();
                if ordinary.is_empty() { named } else { ordinary }
            }
        }
    }

    /// Looks around once for what is missing: names that begin alike, and ids that are of the other sort. What it finds is only
    /// shown, so failures are ignored. The first twenty missing keys are served.
    pub(super) async fn look_around(&mut self, missing: &BTreeSet<SelectBy>) {
        if self.way == Way::Listed || missing.is_empty() {
            return;
        }
        let look = |key: &SelectBy| match key {
            SelectBy::DisplayName(name) | SelectBy::UniqueName(name) => {
                let begin: String = name.chars().take(name.chars().count().div_ceil(2).max(3)).collect();
                let filter = format!("startswith(displayName,{})", literal(&begin));
                let options =
                    [("$filter", filter.as_str()), ("$top", "20"), ("$select", "id,appId,displayName")];
                query(collection(self.kind), &options)
            }
            // The two ids of an application are often taken for each other.
            SelectBy::AppId(id) => {
                query(&format!("{}/{id}", collection(self.kind)), &[("$select", "id,appId,displayName")])
            }
            SelectBy::ObjectId(id) => {
                let filter = format!("appId eq '{id}'");
                query(
                    collection(self.kind),
                    &[("$filter", filter.as_str()), ("$select", "id,appId,displayName")],
                )
            }
        };
        let keys: Vec<&SelectBy> = missing.iter().take(BATCH_MAX).collect();
        let paths: Vec<String> = keys.iter().map(|key| look(key)).collect();
        let doing = format!("looking for similar {}s", self.kind);
        let answers = self.client.read_many(&paths, &doing, READ_APPLICATIONS).await;
        for body in answers.into_iter().flatten() {
            let members =
                serde_json::from_str::<Page>(body.get()).map_or_else(|_| vec![body], |page| page.value);
            for member in &members {
                if let Ok(object) = Object::parse(self.kind, member.get()) {
                    self.nearby.insert(candidate(&object));
                }
            }
        }
    }

    /// Up to five objects a person may have meant, the likeliest first.
    pub(super) fn similar(&self, key: &SelectBy) -> Vec<Candidate> {
        let near =
            |fits: &dyn Fn(&Candidate) -> bool| self.nearby.iter().filter(|c| fits(c)).cloned().collect();
        let name = match key {
            // The two ids of an application are often taken for each other.
            SelectBy::AppId(id) => match self.objects.get(id) {
                Some(object) => return vec![candidate(object)],
                None => return near(&|found| found.object_id == *id),
            },
            SelectBy::ObjectId(id) => match self.with_app_id(id) {
                Some(object) => return vec![candidate(object)],
                None => return near(&|found| found.app_id == *id),
            },
            SelectBy::DisplayName(name) | SelectBy::UniqueName(name) => name,
        };
        let mut candidates = self.nearby.clone();
        candidates.extend(self.objects.values().map(candidate));
        let likeness = |found: Candidate| Some((likeness_of_names(name, &found.display_name)?, found));
        let mut scored: Vec<(f64, Candidate)> = candidates.into_iter().filter_map(likeness).collect();
        scored.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
        scored.into_iter().take(5).map(|(_, candidate)| candidate).collect()
    }
}

/// Whether the answer to a request for one object by its id proves that there is none.
fn is_proof_of_absence(key: &SelectBy, error: &EntraError) -> bool {
    matches!(key, SelectBy::ObjectId(_)) && error.kind == ErrorKind::NotFound && error.code.is_some()
}

/// Requests it takes to ask for so many objects by key.
fn requests_by_key(app_ids: usize, others: usize) -> usize {
    app_ids.div_ceil(IN_MAX) + others.div_ceil(BATCH_MAX)
}

/// How much alike two names are, 0 to 1.01; `None` when nobody would take one for the other. Comparing takes time, so names of
/// very different length are not compared at all.
fn likeness_of_names(wanted: &str, found: &str) -> Option<f64> {
    if found.is_empty() {
        return None;
    }
    let (lower_wanted, lower_found) = (wanted.to_lowercase(), found.to_lowercase());
    let begins = lower_found.starts_with(&lower_wanted) || lower_wanted.starts_with(&lower_found);
    let (shorter, longer) = (wanted.len().min(found.len()), wanted.len().max(found.len()));
    if !begins && shorter * 5 < longer * 3 {
        return None;
    }
    let alike = strsim::normalized_levenshtein(&lower_wanted, &lower_found);
    if !begins && alike <= 0.6 {
        return None;
    }
    // Case decides only between names that are otherwise equally alike.
    let to_the_letter = strsim::normalized_levenshtein(wanted, found) / 100.0;
    Some(to_the_letter + if begins { alike.max(0.9) } else { alike })
}

pub(super) fn candidate(object: &Object) -> Candidate {
    Candidate {
        display_name: object.display_name.clone(),
        app_id: object.app_id,
        object_id: object.id.object_id,
    }
}

/// Sorts failures: those that concern the whole tenant are errors, those of one request are a reason to call its objects unreadable.
fn settle(outcome: Result<(), EntraError>) -> Result<Option<Trouble>, EntraError> {
    match outcome {
        Ok(()) => Ok(None),
        Err(error) => match error.kind {
            ErrorKind::Authentication
            | ErrorKind::Authorisation
            | ErrorKind::Network
            | ErrorKind::Throttled
            | ErrorKind::Settings => Err(error),
            ErrorKind::NotYet
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Refused(_)
            | ErrorKind::Unavailable
            | ErrorKind::InvalidAnswer => Ok(Some(error.into())),
        },
    }
}
