//! The writing side: every function here runs under the entry's lock, looks first, and changes what is visible by one rename.

use zeroize::Zeroizing;

use super::contents::{certificate_text, issued, read_key, record_text};
use super::disk::{Fault, Folder, Kind};
use super::layout::{
    CERTIFICATE, CURRENT, GENERATIONS, KEY, RECORD, RENDERED, REQUEST, TEMPORARY, generation_folder, read,
    same, secret_names,
};
use super::rendered::Rendered;
use crate::desired::{Form, Password};
use crate::form::render;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, Generation, Holding, KeyState};
use crate::store::{Pending, StoreErrorKind};

const TEMPORARY_FOLDER: &str = ".tmp-stage";
const TEMPORARY_LINK: &str = ".tmp-current";
const TEMPORARY_FILE: &str = ".tmp-file";

/// An entry's folder, its lock held by the caller.
pub(super) struct Entry<'a> {
    pub(super) folder: &'a Folder,
    pub(super) stem: &'a str,
}

impl Entry<'_> {
    fn holding(&self) -> Result<Holding, Fault> {
        read(self.folder, self.stem).map(|reading| reading.holding)
    }

    fn generations(&self) -> Result<Folder, Fault> {
        self.folder.ensure_folder(GENERATIONS)
    }

    /// Removes what a killed run left behind.
    pub(super) fn sweep(&self) -> Result<(), Fault> {
        sweep_names(self.folder)?;
        if let Some(generations) = self.folder.folder(GENERATIONS)? {
            sweep_names(&generations)?;
            for name in generations.names()? {
                if generations.kind(&name)? == Some(Kind::Folder)
                    && let Some(generation) = generations.folder(&name)?
                {
                    sweep_names(&generation)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn stage(
        &self,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, Fault> {
        if let Some(staged) = self.holding()?.of_rotation(record) {
            return Ok(staged);
        }
        if record.thumbprints != Some(issued.certificate.thumbprints) || !issued.certificate.matches_key(key)
        {
            let reason = "key, certificate and record do not belong together";
            return Err(Fault::new(StoreErrorKind::Refused, reason));
        }
        let handle = handle(record)?;
        let generations = self.generations()?;
        if generations.kind(&handle)?.is_some() {
            let reason = format!("{}/{handle} exists already", generations.path().display());
            return Err(Fault::new(StoreErrorKind::Refused, reason).hint(
                "its key was destroyed, and a certificate is used once; a new rotation makes a new one",
            ));
        }
        self.appear(&generations, handle, key, (CERTIFICATE, certificate_text(issued).as_bytes()), record)
    }

    /// Keeps a key and its signing request until the certificate comes.
    pub(super) fn request(
        &self,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, Fault> {
        if let Some(generation) = self.holding()?.of_rotation(record) {
            let csr = self.requested(&generation)?;
            return Ok(Pending { generation, csr });
        }
        let generations = self.generations()?;
        let handle = free_handle(&generations, record)?;
        let generation = self.appear(&generations, handle, key, (REQUEST, csr), record)?;
        Ok(Pending { generation, csr: csr.to_vec() })
    }

    /// The signing request of a generation.
    pub(super) fn requested(&self, generation: &Generation) -> Result<Vec<u8>, Fault> {
        requested(self.folder, generation)
    }

    /// Puts the certificate beside the key it is for, and then the record, which alone makes it count.
    pub(super) fn attach(
        &self,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, Fault> {
        let holding = self.holding()?;
        let attached = |held: &&Generation| {
            held.handle == generation.handle && held.record.thumbprints == record.thumbprints
        };
        if let Some(attached) = holding.generations.iter().find(attached) {
            return Ok(attached.clone());
        }
        let held = same(&holding, generation)?;
        let folder = generation_folder(self.folder, &held.handle)?;
        if record.thumbprints != Some(issued.certificate.thumbprints) {
            return Err(Fault::new(StoreErrorKind::Refused, "certificate and record do not belong together"));
        }
        if !issued.certificate.matches_key(&read_key(&folder)?) {
            return Err(another_key());
        }
        folder.replace(CERTIFICATE, TEMPORARY_FILE, certificate_text(issued).as_bytes())?;
        folder.replace(RECORD, TEMPORARY_FILE, &record_text(record)?)?;
        Ok(Generation { record: record.clone(), ..held.clone() })
    }

    /// A generation's folder, filled under another name and then named, so that it appears whole.
    fn appear(
        &self,
        generations: &Folder,
        handle: String,
        key: &PrivateKey,
        beside: (&str, &[u8]),
        record: &PublicRecord,
    ) -> Result<Generation, Fault> {
        let fill = || {
            let folder = generations.ensure_folder(TEMPORARY_FOLDER)?;
            folder.write_new(KEY, key.expose_pkcs8())?;
            folder.write_new(beside.0, beside.1)?;
            folder.write_new(RECORD, &record_text(record)?)?;
            folder.sync()?;
            generations.rename(TEMPORARY_FOLDER, generations, &handle)?;
            generations.sync()
        };
        if let Err(fault) = fill() {
            // Leave no key behind if we can; what stays is swept by the next run.
            let _ = generations.remove_folder(TEMPORARY_FOLDER);
            return Err(fault);
        }
        Ok(Generation { handle, record: record.clone(), key: KeyState::Held })
    }

    pub(super) fn promote(
        &self,
        generation: &Generation,
        expected: Option<&Current>,
        form: &Form,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, Fault> {
        let holding = self.holding()?;
        let held = same(&holding, generation)?;
        let sha256 = thumbprint(held)?;
        let folder = generation_folder(self.folder, &held.handle)?;
        if holding.current == Some(Current::Recorded(sha256)) {
            if held.record.phase == RecordedPhase::Promoted && held.record.promoted_at.is_some() {
                return Ok(held.clone());
            }
            return self.put_record(&folder, held, record);
        }
        if holding.current.as_ref() != expected {
            return Err(self.rival(holding.current.as_ref()));
        }
        if held.record.rejected {
            let reason =
                format!("generation {} was rolled back from and is never promoted again", held.handle);
            return Err(Fault::new(StoreErrorKind::Refused, reason));
        }
        if held.key != KeyState::Held {
            return Err(missing(format!("the key of generation {} was destroyed", held.handle)));
        }
        if held.record.promoted_at.is_some() {
            // It was current before. Dying between link and record must leave "promoted at an unknown time", not a time long
            // past from which an overlap would be counted.
            let forgotten = PublicRecord { promoted_at: None, ..held.record.clone() };
            folder.replace(RECORD, TEMPORARY_FILE, &record_text(&forgotten)?)?;
        }
        if folder.kind(KEY)?.is_some() {
            render_form(&folder, self.stem, form, password)?;
        }
        self.folder.replace_link(CURRENT, TEMPORARY_LINK, &format!("{GENERATIONS}/{}", held.handle))?;
        self.put_record(&folder, held, record)
    }

    pub(super) fn write_record(&self, record: &PublicRecord) -> Result<(), Fault> {
        let holding = self.holding()?;
        let same = |g: &&Generation| match record.thumbprints {
            Some(thumbprints) => g.record.thumbprints == Some(thumbprints),
            None => g.record.rotation_id.is_some() && g.record.rotation_id == record.rotation_id,
        };
        // A key that was destroyed while its certificate was awaited leaves a record of the same rotation.
        let best = |g: &&Generation| (g.record.thumbprints == record.thumbprints, g.key == KeyState::Held);
        if let Some(held) = holding.generations.iter().filter(same).max_by_key(best) {
            let folder = generation_folder(self.folder, &held.handle)?;
            return self.put_record(&folder, held, record).map(|_| ());
        }
        match (&holding.current, record.thumbprints) {
            (Some(Current::Unrecorded { thumbprints: Some(found) }), Some(recorded))
                if *found == recorded =>
            {
                self.adopt_current(record)
            }
            (Some(Current::Unrecorded { thumbprints: None }), Some(_)) => {
                let reason =
                    format!("what {} holds cannot be told without its key", self.folder.path().display());
                Err(Fault::new(StoreErrorKind::Refused, reason)
                    .hint(format!("put its certificate beside it as {CURRENT}/{CERTIFICATE}")))
            }
            _ => Err(missing(format!("{} holds no such generation", self.folder.path().display()))),
        }
    }

    fn adopt_current(&self, record: &PublicRecord) -> Result<(), Fault> {
        let target = self.folder.link_target(CURRENT)?.unwrap_or_default();
        let handle = target.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        generation_folder(self.folder, &handle)?.replace(RECORD, TEMPORARY_FILE, &record_text(record)?)
    }

    pub(super) fn remove(&self, generation: &Generation) -> Result<KeyState, Fault> {
        let holding = self.holding()?;
        let held = same(&holding, generation)?;
        let is_current = self.folder.link_target(CURRENT)?.is_some_and(|target| {
            target.trim_end_matches('/').rsplit('/').next() == Some(held.handle.as_str())
        });
        if is_current {
            let reason = format!("generation {} is what consumers read", held.handle);
            return Err(Fault::new(StoreErrorKind::Refused, reason));
        }
        let folder = generation_folder(self.folder, &held.handle)?;
        for name in secret_names(&folder)? {
            folder.unlink(&name)?;
        }
        if folder.kind(RENDERED)?.is_some() {
            folder.unlink(RENDERED)?;
        }
        folder.sync()?;
        let retired = PublicRecord { phase: RecordedPhase::Retired, ..held.record.clone() };
        self.put_record(&folder, held, &retired)?;
        Ok(KeyState::Destroyed)
    }

    fn put_record(
        &self,
        folder: &Folder,
        held: &Generation,
        record: &PublicRecord,
    ) -> Result<Generation, Fault> {
        if record.thumbprints != held.record.thumbprints {
            let reason = format!("the record is of another certificate than generation {}", held.handle);
            return Err(Fault::new(StoreErrorKind::Refused, reason));
        }
        if *record != held.record || folder.read(RECORD)?.as_deref() != Some(&record_text(record)?) {
            folder.replace(RECORD, TEMPORARY_FILE, &record_text(record)?)?;
        }
        Ok(Generation { record: record.clone(), ..held.clone() })
    }

    fn rival(&self, current: Option<&Current>) -> Fault {
        let now = match current {
            None => "nothing".to_owned(),
            Some(Current::Recorded(sha256)) => format!("the certificate with SHA-256 {sha256}"),
            Some(Current::Unrecorded { .. }) => "something without a record".to_owned(),
        };
        let reason =
            format!("{}/{CURRENT} was changed meanwhile: it is now {now}", self.folder.path().display());
        Fault::new(StoreErrorKind::Rival, reason).hint("plan again")
    }
}

/// The signing request in a generation's folder.
pub(super) fn requested(entry: &Folder, generation: &Generation) -> Result<Vec<u8>, Fault> {
    let folder = generation_folder(entry, &generation.handle)?;
    let csr = folder.read(REQUEST)?;
    csr.map(|csr| csr.to_vec())
        .ok_or_else(|| missing(format!("{} holds no {REQUEST}", folder.path().display())))
}

fn another_key() -> Fault {
    let reason = "the certificate is for another key than the one that waits for it";
    Fault::new(StoreErrorKind::Refused, reason).hint("have the request signed as it is now")
}

/// Time and rotation, for a generation without certificate; another one when an earlier key of that rotation was destroyed.
fn free_handle(generations: &Folder, record: &PublicRecord) -> Result<String, Fault> {
    let rotation = record
        .rotation_id
        .ok_or_else(|| Fault::new(StoreErrorKind::Refused, "a request without a rotation cannot be kept"))?;
    let first = format!("{}-{rotation}", record.requested_at.strftime("%Y%m%dT%H%M%SZ"));
    let mut handle = first.clone();
    let mut number = 1;
    while generations.kind(&handle)?.is_some() {
        number += 1;
        handle = format!("{first}-{number}");
    }
    Ok(handle)
}

fn missing(reason: String) -> Fault {
    Fault::new(StoreErrorKind::Missing, reason)
}

fn thumbprint(generation: &Generation) -> Result<crate::ids::Sha256, Fault> {
    match generation.record.thumbprints {
        Some(thumbprints) => Ok(thumbprints.sha256),
        None => Err(missing(format!("generation {} has no certificate yet", generation.handle))),
    }
}

/// Time and thumbprint: sorts by age, says something to a person, and is the same for the same certificate.
fn handle(record: &PublicRecord) -> Result<String, Fault> {
    let thumbprints = record.thumbprints.ok_or_else(|| {
        Fault::new(StoreErrorKind::Refused, "a generation without certificate cannot be staged")
    })?;
    let digits = thumbprints.sha1.to_string().to_lowercase();
    Ok(format!("{}-{digits}", record.requested_at.strftime("%Y%m%dT%H%M%SZ")))
}

/// Renders what consumers will read. A complete, undamaged form with a password of ours is kept: consumers may know
/// it.
fn render_form(folder: &Folder, stem: &str, form: &Form, password: Option<&Secret>) -> Result<(), Fault> {
    let fingerprint = form.fingerprint();
    if form.password == Password::Generate && is_rendered(folder, &fingerprint)? {
        return Ok(());
    }
    if folder.kind(RENDERED)?.is_some() {
        folder.unlink(RENDERED)?;
    }
    for name in secret_names(folder)?.into_iter().filter(|name| name != KEY) {
        folder.unlink(&name)?;
    }
    let (key, issued) = (read_key(folder)?, issued(folder)?);
    let files = render(form, &key, &issued, password, stem)
        .map_err(|error| Fault::new(StoreErrorKind::Refused, error.to_string()))?;
    let mut rendered = Rendered::new(fingerprint);
    for file in &files {
        put(folder, &file.name, &file.contents)?;
        rendered.add(folder, &file.name, &file.contents)?;
    }
    if let (Password::Generate, true, Some(password)) = (&form.password, form.format.is_pfx(), password) {
        let name = format!("{stem}.password");
        put(folder, &name, password.expose().as_bytes())?;
        rendered.add(folder, &name, password.expose().as_bytes())?;
    }
    let done = serde_json::to_vec(&rendered)
        .map_err(|error| Fault::new(StoreErrorKind::Refused, error.to_string()))?;
    folder.replace(RENDERED, TEMPORARY_FILE, &done)
}

/// Writes a file of a folder nobody reads yet.
fn put(folder: &Folder, name: &str, contents: &[u8]) -> Result<(), Fault> {
    folder.unlink(name)?;
    folder.write_new(name, contents)
}

fn is_rendered(folder: &Folder, form: &str) -> Result<bool, Fault> {
    match Rendered::of(folder) {
        Ok(Some(rendered)) => Ok(rendered.form == form && rendered.damaged(folder)?.is_none()),
        Ok(None) => Ok(false),
        Err(fault) if fault.kind == StoreErrorKind::Corrupt => Ok(false),
        Err(fault) => Err(fault),
    }
}

fn sweep_names(folder: &Folder) -> Result<(), Fault> {
    for name in folder.names()?.into_iter().filter(|name| name.starts_with(TEMPORARY)) {
        match folder.kind(&name)? {
            Some(Kind::Folder) => folder.remove_folder(&name)?,
            Some(_) => folder.unlink(&name)?,
            None => {}
        }
    }
    Ok(())
}

/// A copy of a key that a blocking thread can own.
pub(super) fn copy(key: &PrivateKey) -> PrivateKey {
    PrivateKey::from_pkcs8(Zeroizing::new(key.expose_pkcs8().to_vec()))
}
