//! The file store: a folder on this machine.
//!
//! A *pointer* store. A generation is a folder that appears complete under its final name; `current` is a symbolic link that is
//! replaced in one step. The layout is drawn in `layout.rs`; `docs/stores/file.md` tells what the next run sees after a
//! death at any point. It refuses to keep keys in a Git work tree that does not ignore them.

mod contents;
pub(crate) mod copies;
mod disk;
mod git;
mod ignore;
mod layout;
mod lock;
mod name;
mod rendered;
pub(crate) mod writable;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::desired::StoreBinding;
use crate::issuer::Issued;
use crate::key::{LocalSigner, PrivateKey, Secret, Signer};
use crate::may::May;
use crate::observed::record::PublicRecord;
use crate::observed::{Current, Generation, KeyState, ObservedStore, Removal, Shape, Staging, StoreState};
use crate::store::{Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter};
pub use disk::{Action, Probe};
use disk::{Fault, Folder};
use layout::Reading;
pub use name::entry_problem;
use write::Entry;

/// How long a writer waits for another to let go of an entry, if not said otherwise.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long it waits between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A store in a folder.
#[derive(Clone)]
pub struct FileStore {
    directory: PathBuf,
    lock_wait: Duration,
    probe: Option<Arc<dyn Probe>>,
    work: Work,
}

/// Where file work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// On a thread that may block.
    Aside,
    /// On the caller's own thread.
    Here,
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileStore({})", self.directory.display())
    }
}

impl FileStore {
    /// A store in that folder, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> FileStore {
        FileStore { directory: directory.into(), lock_wait: LOCK_WAIT, probe: None, work: Work::Aside }
    }

    /// Waits at most so long for another writer; 10 s if not said.
    pub fn lock_wait(mut self, wait: Duration) -> FileStore {
        self.lock_wait = wait;
        self
    }

    /// Tells every action to a probe before it happens. For tests.
    pub fn probe(mut self, probe: Arc<dyn Probe>) -> FileStore {
        self.probe = Some(probe);
        self
    }

    /// Does file work on the caller's own thread, so that a simulation on one thread repeats exactly.
    pub fn on_this_thread(mut self) -> FileStore {
        self.work = Work::Here;
        self
    }

    /// Key and certificate of a generation. Writes nothing and takes no lock: a key's file never changes. `purpose` decides
    /// whether the files consumers read are compared first.
    async fn key(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        purpose: Use,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let (place, generation) = (self.place(entry), generation.clone());
        let read = move || {
            let (Some(folder), _) = place.find()? else {
                return Err(Fault::new(StoreErrorKind::Missing, "there is no such entry"));
            };
            let reading = layout::read(&folder, name::stem(&place.entry))?;
            let held = layout::same(&reading.holding, &generation)?;
            if purpose == Use::Sign
                && let Some(thumbprints) = held.record.thumbprints
                && held.record.rotation_id.is_some()
                && reading.holding.current == Some(Current::Recorded(thumbprints.sha256))
            {
                let folder = layout::generation_folder(&folder, &held.handle)?;
                rendered::check_current(&folder, &thumbprints.sha1.to_string())?;
            }
            contents::key_and_certificate(&folder, held)
        };
        let doing = || format!("reading a key of {}/{}", entry.store, entry.entry);
        self.work.does(read).await.map_err(|fault| error(doing(), fault))
    }

    fn place(&self, entry: &StoreBinding) -> Place {
        Place { directory: self.directory.clone(), entry: entry.entry.clone(), probe: self.probe.clone() }
    }

    /// Runs `work` in the entry's folder, made if it is missing, under its lock, which may block.
    async fn locked<T: Send + 'static>(
        &self,
        entry: &StoreBinding,
        verb: &str,
        work: impl FnOnce(&Entry<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let doing = format!("{verb} {}/{}", entry.store, entry.entry);
        self.locked_or_fault(entry, work).await.map_err(|fault| error(doing, fault))
    }

    async fn locked_or_fault<T: Send + 'static>(
        &self,
        entry: &StoreBinding,
        work: impl FnOnce(&Entry<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.place(entry);
        let folder = Arc::new(self.work.does(move || place.make()).await?);
        let mut waited = Duration::ZERO;
        let lock = loop {
            let attempt = folder.clone();
            match self.work.does(move || lock::try_lock(&attempt)).await? {
                Ok(lock) => break lock,
                Err(held) if waited >= self.lock_wait => {
                    return Err(lock::busy(&folder, &held, self.lock_wait.as_secs()));
                }
                Err(_) => {
                    tokio::time::sleep(LOCK_PAUSE).await;
                    waited += LOCK_PAUSE;
                }
            }
        };
        let stem = name::stem(&entry.entry).to_owned();
        self.work
            .does(move || {
                let entry = Entry { folder: &folder, stem: &stem };
                let done = entry.sweep().and_then(|()| work(&entry));
                drop(lock);
                done
            })
            .await
    }
}

/// What a key is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// To prove something: for the current generation that is worth nothing if consumers read something else.
    Sign,
    Export,
}

/// Where an entry lies.
struct Place {
    directory: PathBuf,
    entry: String,
    probe: Option<Arc<dyn Probe>>,
}

impl Place {
    fn check_name(&self) -> Result<(), Fault> {
        match entry_problem(&self.entry) {
            Some(problem) => Err(Fault::new(
                StoreErrorKind::Refused,
                format!("the entry's name {:?} {problem}", self.entry),
            )),
            None => Ok(()),
        }
    }

    /// The entry's folder if there is one, and what a person should know of the folders it lies in.
    fn find(&self) -> Result<(Option<Folder>, Vec<String>), Fault> {
        self.check_name()?;
        let mut warnings: Vec<String> = self.git_trouble()?.into_iter().map(with_hint).collect();
        let mut folder = match Folder::open(&self.directory, self.probe.clone()) {
            Ok(folder) => folder,
            Err(fault) if fault.kind == StoreErrorKind::Missing && !is_link(&self.directory) => {
                return Ok((None, warnings));
            }
            Err(fault) => return Err(fault),
        };
        warnings.extend(exposure(&folder)?);
        for part in self.entry.split('/') {
            let Some(inner) = folder.folder(part)? else { return Ok((None, warnings)) };
            folder = inner;
            warnings.extend(exposure(&folder)?);
        }
        Ok((Some(folder), warnings))
    }

    /// The entry's folder, made if it is missing.
    fn make(&self) -> Result<Folder, Fault> {
        self.check_name()?;
        if let Some(trouble) = self.git_trouble()? {
            return Err(trouble);
        }
        Folder::make_path(&self.directory, self.probe.as_ref())?;
        let mut folder = Folder::open(&self.directory, self.probe.clone())?;
        for part in self.entry.split('/') {
            refuse_other_case(&folder, part)?;
            folder = folder.ensure_folder(part)?;
        }
        Ok(folder)
    }

    fn git_trouble(&self) -> Result<Option<Fault>, Fault> {
        git_fault(&self.directory, &self.directory.join(&self.entry))
    }

    fn read(&self, shape: Shape) -> Result<ObservedStore, Fault> {
        let (folder, mut warnings) = self.find()?;
        let Some(folder) = folder else {
            return Ok(ObservedStore { shape, state: StoreState::Absent, warnings, damage: Vec::new() });
        };
        let Reading { holding, warnings: more, damage } = layout::read(&folder, name::stem(&self.entry))?;
        warnings.extend(more);
        Ok(ObservedStore { shape, state: StoreState::Known(holding), warnings, damage })
    }
}

/// What is wrong with keeping keys in `folder`, below `directory`, if it lies in a Git work tree.
fn git_fault(directory: &Path, folder: &Path) -> Result<Option<Fault>, Fault> {
    let shown = folder.display();
    let fail = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => StoreErrorKind::Denied,
            std::io::ErrorKind::NotADirectory => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Unavailable,
        };
        Fault::new(kind, format!("{shown}: {error}"))
    };
    let (reason, hint) = match git::trouble(folder).map_err(fail)? {
        None => return Ok(None),
        Some(git::Trouble::Inside(git)) => (
            format!("{shown} lies inside the Git folder {}", git.display()),
            "choose a folder outside .git".to_owned(),
        ),
        Some(git::Trouble::NotIgnored(top)) => {
            let line = match git::ignore_line(&top, directory).map_err(fail)? {
                Some(line) => Some(line),
                None => git::ignore_line(&top, folder).map_err(fail)?,
            };
            let top = top.display();
            (
                format!("{shown} lies in the Git work tree {top} and is not ignored there"),
                match line {
                    Some(line) => format!("add {line} to {top}/.gitignore, or keep the store elsewhere"),
                    None => "keep the store elsewhere".to_owned(),
                },
            )
        }
    };
    Ok(Some(Fault::new(StoreErrorKind::Refused, reason).hint(hint)))
}

fn with_hint(fault: Fault) -> String {
    match fault.hint {
        Some(hint) => format!("{}; {hint}", fault.reason),
        None => fault.reason,
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink())
}

/// On file systems that do not tell upper from lower case two such entries would be one.
fn refuse_other_case(folder: &Folder, part: &str) -> Result<(), Fault> {
    let other = folder.names()?.into_iter().find(|name| name.eq_ignore_ascii_case(part) && name != part);
    match other {
        Some(other) => {
            let reason = format!(
                "{} holds {other:?}, which differs from {part:?} only in case",
                folder.path().display()
            );
            Err(Fault::new(StoreErrorKind::Refused, reason))
        }
        None => Ok(()),
    }
}

fn exposure(folder: &Folder) -> Result<Option<String>, Fault> {
    let mode = folder.mode()?;
    Ok((mode & 0o077 != 0).then(|| {
        let open = if mode & 0o022 == 0 { "open to" } else { "writable by" };
        format!("{} is {open} others (mode {:04o}); 0700 is enough", folder.path().display(), mode & 0o7777)
    }))
}

fn error(doing: String, fault: Fault) -> StoreError {
    StoreError { kind: fault.kind, doing, reason: fault.reason, hint: fault.hint }
}

impl Work {
    async fn does<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        match self {
            Work::Here => work(),
            Work::Aside => match tokio::task::spawn_blocking(work).await {
                Ok(done) => done,
                Err(_) => Err(Fault::new(StoreErrorKind::Unavailable, "the work was cut off")),
            },
        }
    }
}

#[async_trait]
impl StoreReader for FileStore {
    fn shape(&self, _entry: &StoreBinding) -> Shape {
        Shape {
            staging: Staging::Pointer,
            readable: true,
            exportable: true,
            compare_and_set: true,
            atomic_records: true,
            removal: Removal::Destroys,
        }
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        let place = self.place(entry);
        let shape = self.shape(entry);
        match self.work.does(move || place.read(shape)).await {
            Ok(seen) => seen,
            Err(fault) => {
                let state = StoreState::Unreadable { reason: fault.reason };
                ObservedStore { shape, state, warnings: Vec::new(), damage: Vec::new() }
            }
        }
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let doing = format!("reading a certificate of {}/{}", entry.store, entry.entry);
        let (place, generation) = (self.place(entry), generation.clone());
        let read = move || match place.find()?.0 {
            Some(folder) => contents::certificate_of(&folder, &generation, name::stem(&place.entry)),
            None => Err(Fault::new(StoreErrorKind::Missing, "there is no such entry")),
        };
        self.work.does(read).await.map_err(|fault| error(doing, fault))
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        let (place, generation) = (self.place(entry), generation.clone());
        let read = move || match place.find()?.0 {
            Some(folder) => write::requested(&folder, &generation),
            None => Err(Fault::new(StoreErrorKind::Missing, "there is no such entry")),
        };
        let doing = || format!("reading a signing request of {}/{}", entry.store, entry.entry);
        self.work.does(read).await.map_err(|fault| error(doing(), fault))
    }

    async fn may_write(&self, entry: &StoreBinding) -> Result<May, StoreError> {
        let place = self.place(entry);
        let look = move || {
            if let Some(Fault { reason, hint, .. }) = place.git_trouble()? {
                return Ok(May::no(reason, hint.unwrap_or_default()));
            }
            let folder = place.directory.join(&place.entry);
            let both = [folder.join(layout::GENERATIONS), folder].map(|folder| writable::may_write(&folder));
            Ok(both.into_iter().find(|one| *one != May::Yes).unwrap_or(May::Yes))
        };
        let doing = || format!("looking whether {}/{} may be written", entry.store, entry.entry);
        self.work.does(look).await.map_err(|fault| error(doing(), fault))
    }
}

#[async_trait]
impl StoreWriter for FileStore {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let (key, issued, record) = (write::copy(key), issued.clone(), record.clone());
        self.locked(entry, "staging a key in", move |entry| entry.stage(&key, &issued, &record)).await
    }

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let (key, csr, record) = (write::copy(key), csr.to_vec(), record.clone());
        self.locked(entry, "keeping a signing request in", move |entry| entry.request(&key, &csr, &record))
            .await
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let (generation, issued, record) = (generation.clone(), issued.clone(), record.clone());
        self.locked(entry, "attaching a certificate in", move |entry| {
            entry.attach(&generation, &issued, &record)
        })
        .await
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let (key, issued) = self.key(entry, generation, Use::Sign).await?;
        let signer = LocalSigner::new(&key, issued.certificate).map_err(|problem| {
            let doing = format!("reading a key of {}/{}", entry.store, entry.entry);
            error(doing, Fault::new(StoreErrorKind::Corrupt, problem.to_string()))
        })?;
        Ok(Box::new(signer))
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        self.key(entry, generation, Use::Export).await.map(|(key, _)| key)
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let (generation, expected, password) = (generation.clone(), expected.cloned(), password.cloned());
        let (form, record) = (entry.form.clone(), record.clone());
        self.locked(entry, "promoting a key in", move |entry| {
            entry.promote(&generation, expected.as_ref(), &form, password.as_ref(), &record)
        })
        .await
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let record = record.clone();
        self.locked(entry, "writing the record of", move |entry| entry.write_record(&record)).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let generation = generation.clone();
        self.locked(entry, "removing a key from", move |entry| entry.remove(&generation)).await
    }
}
