//! Everything that is seen of a secret and its waiting name without reading a value.

use crate::ids::{RotationId, Sha256, Thumbprints};
use crate::key_vault::Version;
use crate::observed::record::PublicRecord;
use crate::observed::{Current, Generation, Holding, KeyState};
use crate::store::StoreError;
use crate::store::kept::corrupt;
use crate::store::two_slot::Seen;

use super::notes::{Notes, others};

/// A version and what is noted beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) version: Version,
    /// None for what somebody else wrote.
    pub(super) notes: Option<Notes>,
}

impl Copy {
    fn of(version: Version, is_live: bool) -> Result<Copy, StoreError> {
        let notes = Notes::of(&version.tags)?;
        // Tags can be set beside a certificate of anybody's.
        let fits = |notes: &Notes| match notes.record.thumbprints {
            Some(noted) => version.sha1.is_none_or(|sha1| noted.sha1 == sha1),
            None => !is_live,
        };
        Ok(Copy { notes: notes.filter(fits), version })
    }

    /// Whether its certificate is awaited, or was not looked at yet.
    pub(super) fn is_requested(&self) -> bool {
        self.version.enabled && self.notes.as_ref().is_some_and(|notes| notes.record.thumbprints.is_none())
    }

    /// Whether somebody else wrote what is read there now.
    pub(super) fn is_foreign(&self) -> bool {
        self.version.enabled && others(&self.version.tags).len() == self.version.tags.len()
    }

    fn is_of_rotation(&self, rotation: Option<RotationId>) -> bool {
        rotation.is_some() && self.notes.as_ref().is_some_and(|notes| notes.record.rotation_id == rotation)
    }

    fn is_of(&self, sha256: &Sha256) -> bool {
        self.notes.as_ref().and_then(Notes::sha256) == Some(*sha256)
    }
}

/// Both names, oldest version first.
pub(in crate::store) struct View {
    /// What consumers read.
    pub(super) live: Vec<Copy>,
    /// Where keys are kept: those that wait, and those of generations in `live`.
    pub(super) next: Vec<Copy>,
    /// The thumbprints of the newest, where the service was asked which that is.
    asked: Option<Thumbprints>,
}

impl View {
    pub(super) fn new(live: Vec<Version>, next: Vec<Version>) -> Result<View, StoreError> {
        if live.iter().any(|version| version.managed) {
            return Err(corrupt(
                "it is the other side of a certificate object: say object: certificate, or choose another name",
            ));
        }
        let copies = |versions: Vec<Version>, is_live| {
            let copies = versions.into_iter().map(|version| Copy::of(version, is_live));
            copies.collect::<Result<Vec<Copy>, StoreError>>()
        };
        Ok(View { live: copies(live, true)?, next: copies(next, false)?, asked: None })
    }

    /// Whether the newest version cannot be told by its second.
    pub(super) fn is_tied(&self) -> bool {
        match self.live.as_slice() {
            [.., before, newest] => before.version.created == newest.version.created,
            _ => false,
        }
    }

    /// Whether there is something under the name consumers read that has no record.
    pub(super) fn is_unrecorded(&self) -> bool {
        self.live.last().is_some_and(|newest| newest.notes.is_none())
    }

    /// The service said which version is the newest.
    pub(super) fn is_newest(&mut self, id: &str, thumbprints: Thumbprints) {
        if let Some(at) = self.live.iter().position(|copy| copy.version.id == id) {
            let newest = self.live.remove(at);
            self.live.push(newest);
            self.asked = Some(thumbprints);
        }
    }

    /// The newest version that holds a generation under the name consumers read.
    pub(super) fn newest_live(&self, sha256: &Sha256) -> Option<&Copy> {
        self.live.iter().rev().find(|copy| copy.is_of(sha256))
    }

    /// All its versions under that name.
    pub(super) fn all_live(&self, sha256: &Sha256) -> Vec<&Copy> {
        self.live.iter().filter(|copy| copy.is_of(sha256)).collect()
    }

    /// The versions that keep its key, those that can be read last.
    pub(super) fn kept(&self, sha256: &Sha256) -> Vec<&Copy> {
        let mut kept: Vec<&Copy> = self.next.iter().filter(|copy| copy.is_of(sha256)).collect();
        kept.sort_by_key(|copy| copy.version.enabled);
        kept
    }

    /// All that still hold a key of that rotation without its certificate.
    pub(super) fn requested(&self, rotation: Option<RotationId>) -> Vec<&Copy> {
        self.next.iter().filter(|copy| copy.is_requested() && copy.is_of_rotation(rotation)).collect()
    }

    /// The generations whose certificate is awaited. Of several of one rotation the first counts, whoever looks; none where there is a
    /// version with the certificate.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&Copy, &Notes)> {
        self.next.iter().enumerate().filter_map(|(at, copy)| {
            let notes = copy.notes.as_ref().filter(|_| copy.is_requested())?;
            let same =
                |other: &&Copy| other.version.enabled && other.is_of_rotation(notes.record.rotation_id);
            let before = self.next[..at].iter().any(|other| same(&other));
            let attached = self.next.iter().filter(same).any(|other| !other.is_requested());
            (!before && !attached).then_some((copy, notes))
        })
    }

    /// The version whose record counts, and whether it stands under the name consumers read.
    pub(super) fn recorded(&self, sha256: &Sha256) -> Option<(bool, &Copy)> {
        let live = self.newest_live(sha256).map(|copy| (true, copy));
        live.or_else(|| self.kept(sha256).last().map(|copy| (false, *copy)))
    }

    fn key_state(&self, sha256: &Sha256) -> KeyState {
        let kept = self.kept(sha256);
        let enabled = match kept.is_empty() {
            false => kept.iter().any(|copy| copy.version.enabled),
            // Made elsewhere: what consumers read is all there is.
            true => self.all_live(sha256).iter().any(|copy| copy.version.enabled),
        };
        if enabled { KeyState::Held } else { KeyState::Disabled }
    }

    /// What consumers read now.
    pub(super) fn current(&self) -> Result<Option<Current>, StoreError> {
        let Some(newest) = self.live.last() else { return Ok(None) };
        let as_new: Vec<&Copy> =
            self.live.iter().filter(|copy| copy.version.created == newest.version.created).collect();
        let known = newest.notes.as_ref().and_then(Notes::sha256);
        if self.asked.is_none()
            && as_new.iter().any(|copy| copy.notes.as_ref().and_then(Notes::sha256) != known)
        {
            return Err(corrupt(
                "two versions were written in the same second, and which one consumers read cannot be told: write the value that is meant again",
            ));
        }
        if !newest.version.enabled {
            let id = &newest.version.id;
            return Err(corrupt(&format!(
                "version {id}, the newest, is disabled: consumers read nothing. Enable it, or write the value that is meant"
            )));
        }
        Ok(Some(match known {
            Some(sha256) => Current::Recorded(sha256),
            None => Current::Unrecorded { thumbprints: self.asked },
        }))
    }
}

impl Seen for View {
    fn holding(&self) -> Result<Holding, StoreError> {
        let mut seen: Vec<Sha256> = Vec::new();
        let mut generations = Vec::new();
        for sha256 in self.live.iter().chain(&self.next).filter_map(|copy| copy.notes.as_ref()?.sha256()) {
            if seen.contains(&sha256) {
                continue;
            }
            seen.push(sha256);
            let notes = self.recorded(&sha256).and_then(|(_, copy)| copy.notes.as_ref());
            if let Some(notes) = notes {
                let key = self.key_state(&sha256);
                generations.push(Generation {
                    handle: sha256.to_string(),
                    record: notes.record.clone(),
                    key,
                });
            }
        }
        generations.extend(self.waiting().map(|(copy, notes)| Generation {
            handle: copy.version.id.clone(),
            record: notes.record.clone(),
            key: KeyState::Held,
        }));
        generations
            .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
        Ok(Holding { current: self.current()?, generations })
    }

    /// Of several generations of one rotation the one that waited first counts, whoever looks.
    fn staged(&self, record: &PublicRecord) -> Result<Option<Generation>, StoreError> {
        let of =
            self.next.iter().filter(|copy| copy.version.enabled && copy.is_of_rotation(record.rotation_id));
        let first = of.filter_map(|copy| copy.notes.as_ref()?.sha256()).next();
        let holding = self.holding()?;
        Ok(first.and_then(|sha256| holding.generation(&sha256).cloned()))
    }

    /// Its own; of one whose certificate came, the newest that was kept.
    fn request(&self, generation: &Generation) -> Result<Option<Vec<u8>>, StoreError> {
        let rotation = generation.record.rotation_id;
        let own = self.next.iter().filter(|copy| copy.version.id == generation.handle);
        let of = own.chain(self.next.iter().rev().filter(|copy| copy.is_of_rotation(rotation)));
        let mut requests = of.filter_map(|copy| copy.notes.as_ref()).map(|notes| &notes.request);
        Ok(requests.find(|request| !request.is_empty()).cloned())
    }
}
