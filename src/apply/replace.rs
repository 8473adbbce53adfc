//! The careful write. Entra has no compare-and-set, its reads may be older than its contents, and a write replaces the whole
//! list, so what is left out is deleted:
//!
//! ```text
//! read until equal ──> build the list from that read ──> write ──> read until it shows
//!        ▲                                                 │             │
//!        └── 409, lost answer, somebody else's write ──────┴─────────────┘
//! ```
//!
//! What remains is a write of somebody else between our last read and our write: nobody could see it.

mod expired;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::apply::context::{Run, later};
use crate::apply::outcome::Stop;
use crate::apply::retire::Warrant;
use crate::edges::{DirectoryWriter, Emptying, NewCredential, Trouble, TroubleKind, WriteTrouble};
use crate::ids::{KeyId, TargetId, Thumbprints};
use crate::observed::Credential;
use crate::plan::step::CredentialRef;

/// What a write takes off.
pub(crate) enum Takes<'c> {
    /// Expired credentials of others that the file names under `drop_expired_foreign:`. They sign nobody in.
    Expired(&'c [KeyId]),
    /// One credential, on the strength of a warrant.
    One(&'c CredentialRef, Warrant<'c>),
}

impl Takes<'_> {
    /// Whether what is taken off may be the last.
    fn emptying(&self) -> Emptying {
        match self {
            Takes::Expired(_) => Emptying::Forbidden,
            Takes::One(_, warrant) => warrant.emptying(),
        }
    }
}

/// One write.
pub(crate) struct Change<'c> {
    /// The object.
    pub(crate) target: TargetId,
    /// A gerund and a name, for errors.
    pub(crate) doing: String,
    /// What it adds.
    pub(crate) add: Option<NewCredential>,
    /// What it takes off.
    pub(crate) takes: Takes<'c>,
    /// Generations that the read which feeds the write must show; a read that does not is too old.
    pub(crate) must_show: Vec<Thumbprints>,
}

/// What a careful write came to.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Whether nothing was left to do.
    pub(crate) already: bool,
    /// Writes that were sent.
    pub(crate) writes: u32,
    /// Equal reads that showed it.
    pub(crate) read_backs: u32,
    /// Expired credentials that were dropped.
    pub(crate) dropped: Vec<KeyId>,
    /// Credentials that were kept and that somebody else took off meanwhile.
    pub(crate) disappeared: Vec<KeyId>,
    /// The list as last read.
    pub(crate) list: Vec<Credential>,
}

/// What reading after a write showed.
enum After {
    /// The change, several times in a row.
    Shown(Vec<Credential>),
    /// A list without it that is not the one from before: somebody wrote over it.
    Overwritten,
    /// The list from before, for as long as it is waited for.
    Unchanged,
    /// No two reads agree.
    Unsettled,
}

/// Carries the change out, or says why not.
pub(crate) async fn carefully(
    run: &Run<'_>,
    directory: &dyn DirectoryWriter,
    change: &Change<'_>,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Written, Stop> {
    let lock = run.lock(change.target);
    let _guard = run.looking(lock.lock()).await?;
    let mut written = Written::default();
    // Everything a feeding read showed. A later read that lacks some of it is older, or somebody took it off.
    let mut seen: Vec<Credential> = Vec::new();
    let mut last = None;
    for attempt in 0..=run.job.settings.write_retries {
        run.looking(directory.ready()).await?;
        let feed = feeding_read(run, directory, change, &seen, attempt).await?;
        let Some(keep) = kept(change, &feed, run.now(), &mut written.dropped)? else {
            return finish_done(run, directory, change, feed, &seen, written).await;
        };
        let new: Vec<_> = feed.iter().filter(|one| !shows(&seen, one)).cloned().collect();
        seen.extend(new);
        let raw: Vec<&RawValue> = keep.iter().map(|credential| &*credential.raw).collect();
        if let Some(new) = &change.add {
            run.wrote(change.target, new.key_id);
        }
        let add = change.add.as_slice();
        let answer =
            run.changing(directory.replace(&change.target, &raw, add, change.takes.emptying())).await?;
        written.writes += 1;
        let lost = match answer {
            Ok(()) => false,
            Err(WriteTrouble::Unknown(trouble)) => {
                last = Some(trouble);
                true
            }
            Err(WriteTrouble::NotDone(trouble)) => {
                if let Some(new) = change.add.as_ref().filter(|_| written.writes == 1) {
                    run.unwrote(change.target, new.key_id);
                }
                let pause = run.backoff(attempt, &trouble)?;
                if trouble.kind == TroubleKind::Refused {
                    // Somebody may have changed the list since it was read, and our entries no longer fit it.
                    run.wait(run.job.settings.read_interval).await?;
                    if same(&read(run, directory, change.target).await?, &feed) {
                        return Err(Stop::Failed(trouble));
                    }
                } else if let Some(stop) = not_passing(run, change, &keep, &trouble) {
                    return Err(stop);
                }
                progress(&format!("{}; trying again", trouble.reason));
                last = Some(trouble);
                run.wait(pause).await?;
                continue;
            }
        };
        match reading_after(run, directory, change, &feed, lost).await? {
            After::Shown(list) => return Ok(shown(run, change, list, &seen, written)),
            After::Unchanged if !lost => return Err(Stop::Failed(dropped(change))),
            After::Unsettled => return Err(Stop::NotYet(unsettled(change))),
            After::Overwritten => {
                progress("somebody else's write undid ours; writing again");
                last = Some(Trouble::new(
                    TroubleKind::Conflict,
                    change.doing.clone(),
                    "somebody else keeps writing the same list and undoes what we write",
                ));
            }
            After::Unchanged => progress("the answer was lost and the write was not done; writing again"),
        }
    }
    let trouble = last.unwrap_or_else(|| unsettled(change));
    Err(Stop::Failed(trouble))
}

/// Nothing is left to do. After a write whose answer was lost or that somebody undid for a while, it is still read back.
async fn finish_done(
    run: &Run<'_>,
    directory: &dyn DirectoryWriter,
    change: &Change<'_>,
    feed: Vec<Credential>,
    seen: &[Credential],
    mut written: Written,
) -> Result<Written, Stop> {
    written.already = written.writes == 0;
    if written.already {
        written.read_backs = run.job.settings.reads_before_write;
        written.list = feed;
        forget_taken(run, change);
        return Ok(written);
    }
    match reading_after(run, directory, change, &[], false).await? {
        After::Shown(list) => Ok(shown(run, change, list, seen, written)),
        After::Overwritten | After::Unchanged | After::Unsettled => Err(Stop::NotYet(unsettled(change))),
    }
}

/// The change shows. What was in the list before and is neither there now nor taken off by us, somebody else took off.
fn shown(
    run: &Run<'_>,
    change: &Change<'_>,
    list: Vec<Credential>,
    seen: &[Credential],
    mut written: Written,
) -> Written {
    forget_taken(run, change);
    let taken = match &change.takes {
        Takes::One(credential, _) => Some(credential.key_id),
        Takes::Expired(_) => None,
    };
    let by_us = |key_id: &KeyId| Some(*key_id) == taken || written.dropped.contains(key_id);
    let gone = seen.iter().filter(|one| !shows(&list, one)).filter_map(|one| one.key_id);
    written.disappeared = gone.filter(|key_id| !by_us(key_id)).collect();
    written.read_backs = run.job.settings.reads_after_write;
    written.list = list;
    written
}

fn forget_taken(run: &Run<'_>, change: &Change<'_>) {
    if let Takes::One(credential, _) = &change.takes {
        run.unwrote(change.target, credential.key_id);
    }
}

/// Reads until as many reads in a row as the settings say are equal and none of them is too old: it shows what this run wrote,
/// what must be visible, what warrants a removal, and what an earlier read of this write showed.
async fn feeding_read(
    run: &Run<'_>,
    directory: &dyn DirectoryWriter,
    change: &Change<'_>,
    seen: &[Credential],
    attempt: u32,
) -> Result<Vec<Credential>, Stop> {
    let settings = run.job.settings;
    // After trouble it looks longer. That also keeps it out of step with troubles that come in a rhythm.
    let enough = settings.reads_before_write.saturating_add(attempt);
    let deadline = later(run.now(), settings.read_deadline);
    let latest =
        later(deadline, settings.read_interval.saturating_mul(i32::try_from(enough).unwrap_or(i32::MAX)));
    let ours = run.written(change.target);
    let mut equal = Equal::default();
    loop {
        let list = read(run, directory, change.target).await?;
        let late = run.now() >= deadline;
        let hidden = hidden_from(change, &ours, &list);
        // What an earlier read showed and this one does not was taken off by somebody, or this read is older. Time tells.
        let older = !seen.iter().all(|one| may_go(change, one) || shows(&list, one));
        let times = match hidden {
            None => equal.count(&list),
            Some(_) => equal.restart(),
        };
        if times >= enough && (!older || late) {
            return Ok(list);
        }
        let counting = older && hidden.is_none() && run.now() < latest;
        if late && !counting {
            let reason = hidden.unwrap_or_else(|| "reads in a row do not agree".to_owned());
            return Err(Stop::NotYet(Trouble::new(TroubleKind::NotYet, change.doing.clone(), reason)));
        }
        run.wait(settings.read_interval).await?;
    }
}

/// What the read should show and does not.
fn hidden_from(change: &Change<'_>, ours: &[KeyId], list: &[Credential]) -> Option<String> {
    let has = |key_id: &KeyId| list.iter().any(|one| one.key_id == Some(*key_id));
    let taken = match &change.takes {
        Takes::One(credential, _) => Some(credential.key_id),
        Takes::Expired(_) => None,
    };
    let added = change.add.as_ref().map(|new| new.key_id);
    let expected = |key_id: &&KeyId| Some(**key_id) != taken && Some(**key_id) != added;
    if let Some(key_id) = ours.iter().filter(expected).find(|key_id| !has(key_id)) {
        return Some(format!("reads do not show credential {key_id}, which this run wrote"));
    }
    // What is to be added is there: nothing will be written, so nothing can be lost.
    if list.iter().any(|one| is_added(change, one)) {
        return None;
    }
    if let Some(hidden) = change.must_show.iter().find(|prints| !list.iter().any(|one| one.is_of(prints))) {
        return Some(format!(
            "reads do not show {}, which is on its way or was made a short while ago",
            hidden.sha1
        ));
    }
    match &change.takes {
        Takes::One(_, warrant) => warrant.hidden_from(list),
        Takes::Expired(_) => None,
    }
}

/// The entries that stay, or nothing when the list already is as it should be.
fn kept<'l>(
    change: &Change<'_>,
    feed: &'l [Credential],
    now: Timestamp,
    dropped: &mut Vec<KeyId>,
) -> Result<Option<Vec<&'l Credential>>, Stop> {
    match &change.takes {
        Takes::Expired(ids) => {
            if feed.iter().any(|one| is_added(change, one)) {
                return Ok(None);
            }
            let goes = |one: &&Credential| {
                let named = one.key_id.is_some_and(|key_id| ids.contains(&key_id));
                named && one.reserved.is_none() && one.is_expired_at(now)
            };
            let (going, staying): (Vec<_>, Vec<_>) = feed.iter().partition(goes);
            *dropped = going.iter().filter_map(|one| one.key_id).collect();
            Ok(Some(staying))
        }
        Takes::One(credential, _) => {
            let Some(found) = feed.iter().find(|one| one.key_id == Some(credential.key_id)) else {
                return Ok(None);
            };
            if found.reserved.is_some() || found.sha1() != Some(credential.sha1) {
                return Err(Stop::Refused(format!(
                    "credential {} is not the certificate {} that the plan names",
                    credential.key_id, credential.sha1
                )));
            }
            Ok(Some(feed.iter().filter(|one| one.key_id != Some(credential.key_id)).collect()))
        }
    }
}

/// Whether the entry is what the change adds: by certificate, under whichever id.
fn is_added(change: &Change<'_>, one: &Credential) -> bool {
    change.add.as_ref().is_some_and(|new| {
        one.reserved.is_none() && (one.key_id == Some(new.key_id) || one.is_of(&new.certificate.thumbprints))
    })
}

/// Whether it is among what the change takes off.
fn may_go(change: &Change<'_>, one: &Credential) -> bool {
    one.key_id.is_some_and(|key_id| match &change.takes {
        Takes::One(credential, _) => credential.key_id == key_id,
        Takes::Expired(ids) => ids.contains(&key_id),
    })
}

/// Whether the list shows the same entry.
fn shows(list: &[Credential], entry: &Credential) -> bool {
    list.iter().any(|one| match entry.key_id {
        Some(key_id) => one.key_id == Some(key_id),
        None => one.raw.get() == entry.raw.get(),
    })
}

/// Reads until the change shows as often in a row as the settings say, or until it is clear that it will not. A write whose answer
/// was lost is waited for less long: writing it again is harmless, and the directory refuses a second entry of the same id.
async fn reading_after(
    run: &Run<'_>,
    directory: &dyn DirectoryWriter,
    change: &Change<'_>,
    feed: &[Credential],
    lost: bool,
) -> Result<After, Stop> {
    let settings = run.job.settings;
    let enough = settings.reads_after_write;
    let deadline = later(run.now(), settings.read_deadline);
    let mut equal = Equal::default();
    loop {
        let list = read(run, directory, change.target).await?;
        let times = equal.count(&list);
        let ours = match (&change.add, &change.takes) {
            (Some(_), _) => list.iter().any(|one| is_added(change, one)),
            (None, Takes::One(credential, _)) => {
                !list.iter().any(|one| one.key_id == Some(credential.key_id))
            }
            (None, Takes::Expired(_)) => true,
        };
        let as_before = same(&list, feed);
        if times >= enough && ours {
            return Ok(After::Shown(list));
        }
        if times >= enough && !ours && !as_before {
            return Ok(After::Overwritten);
        }
        if times >= enough && as_before && lost {
            return Ok(After::Unchanged);
        }
        if run.now() >= deadline {
            return Ok(if as_before { After::Unchanged } else { After::Unsettled });
        }
        run.wait(settings.read_interval).await?;
    }
}

/// Counts equal reads in a row.
#[derive(Default)]
struct Equal {
    last: Vec<String>,
    times: u32,
}

impl Equal {
    fn restart(&mut self) -> u32 {
        *self = Equal::default();
        0
    }

    fn count(&mut self, list: &[Credential]) -> u32 {
        let texts = texts(list);
        self.times = if self.times > 0 && texts == self.last { self.times + 1 } else { 1 };
        self.last = texts;
        self.times
    }
}

/// The entries' texts, sorted: the order of a list means nothing.
fn texts(list: &[Credential]) -> Vec<String> {
    let mut texts: Vec<_> = list.iter().map(|one| one.raw.get().to_owned()).collect();
    texts.sort_unstable();
    texts
}

fn same(one: &[Credential], two: &[Credential]) -> bool {
    texts(one) == texts(two)
}

/// Reads the list once, trying again after passing trouble.
pub(crate) async fn read(
    run: &Run<'_>,
    directory: &dyn DirectoryWriter,
    target: TargetId,
) -> Result<Vec<Credential>, Stop> {
    let mut attempt = 0;
    loop {
        match run.looking(directory.credentials(&target)).await? {
            Ok(list) => return Ok(list),
            Err(trouble) if trouble.is_passing() && attempt < run.job.settings.write_retries => {
                run.wait(run.backoff(attempt, &trouble)?).await?;
                attempt += 1;
            }
            Err(trouble) => return Err(Stop::Failed(trouble)),
        }
    }
}

/// What stops the chain, unless trying again may help.
fn not_passing(run: &Run<'_>, change: &Change<'_>, keep: &[&Credential], trouble: &Trouble) -> Option<Stop> {
    match trouble.kind {
        // Our reading was older than the contents: read again.
        TroubleKind::StaleEntry => None,
        TroubleKind::EndDate => Some(expired::entries(run, change, keep, trouble.clone())),
        _ if trouble.is_passing() => None,
        _ => Some(Stop::Failed(trouble.clone())),
    }
}

fn dropped(change: &Change<'_>) -> Trouble {
    Trouble::new(
        TroubleKind::Unavailable,
        change.doing.clone(),
        "the directory accepted the write and does not show it",
    )
    .with_hint("run again; if it stays so, ask Microsoft support with the request ids in the log")
}

fn unsettled(change: &Change<'_>) -> Trouble {
    Trouble::new(
        TroubleKind::NotYet,
        change.doing.clone(),
        "after the write, reads in a row do not agree; the next run looks again",
    )
}

#[cfg(test)]
mod tests;
