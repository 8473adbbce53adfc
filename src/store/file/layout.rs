//! What lies where in an entry's folder, and reading it without touching a key.
//!
//! ```text
//! <directory>/<entry>/
//!   current -> generations/<handle>     what consumers read through
//!   .lock
//!   generations/<handle>/
//!     record.json                       the public record
//!     request.csr                       the signing request, where somebody else signs
//!     certificate.pem                   leaf, then the chain; missing while it is awaited
//!     key.pk8                           PKCS#8 DER
//!     <stem>.pfx, <stem>.password, …    the rendered form, once promoted
//!     rendered.json                     which files those are and what they hold; written after them
//! ```
//!
//! Names that begin with `.tmp-` are a run at work or the remains of a killed one: observing passes over them, the next writer
//! sweeps them.

use super::disk::{Fault, Folder, Kind};
use super::rendered::Rendered;
use crate::certificate::Certificate;
use crate::issuer::Issued;
use crate::observed::record::{PublicRecord, RECORD_FORMAT, RecordedPhase};
use crate::observed::{Current, Damage, Generation, Holding, KeyState};
use crate::store::StoreErrorKind;

pub(super) const CURRENT: &str = "current";
pub(super) const GENERATIONS: &str = "generations";
pub(super) const RECORD: &str = "record.json";
pub(super) const CERTIFICATE: &str = "certificate.pem";
pub(super) const REQUEST: &str = "request.csr";
pub(super) const KEY: &str = "key.pk8";
pub(super) const RENDERED: &str = "rendered.json";
/// Beginning of the names that are never read.
pub(super) const TEMPORARY: &str = ".tmp-";

/// The files of a generation that hold no secret.
const PUBLIC: [&str; 4] = [RECORD, CERTIFICATE, REQUEST, RENDERED];

/// How often a listing is taken again when a writer changed it meanwhile.
const LOOKS_MAX: u32 = 10;

/// What an entry's folder holds, with warnings for a person.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) holding: Holding,
    pub(super) warnings: Vec<String>,
    pub(super) damage: Vec<Damage>,
}

/// Reads an entry's folder. Needs no lock: every change is one rename, so it is enough that the pointer is the
/// same before and after.
pub(super) fn read(entry: &Folder, stem: &str) -> Result<Reading, Fault> {
    for _ in 0..LOOKS_MAX {
        let before = entry_pointer(entry)?;
        let reading = match read_once(entry, stem, before.as_deref()) {
            // A folder went away under our eyes: look again.
            Err(fault) if fault.kind == StoreErrorKind::Missing => continue,
            other => other?,
        };
        if entry_pointer(entry)? == before {
            // Only now: a first promotion may have ended between the first look and the records.
            refuse_lost_pointer(entry, &reading.holding)?;
            return Ok(reading);
        }
    }
    let reason = format!("{} keeps changing while it is read", entry.path().display());
    Err(Fault::new(StoreErrorKind::Unavailable, reason))
}

/// The handle `current` points to.
fn entry_pointer(entry: &Folder) -> Result<Option<String>, Fault> {
    let Some(target) = entry.link_target(CURRENT)? else { return Ok(None) };
    let handle = target.strip_prefix(GENERATIONS).and_then(|rest| rest.strip_prefix('/'));
    match handle.map(|handle| handle.strip_suffix('/').unwrap_or(handle)) {
        Some(handle) if is_handle(handle) => Ok(Some(handle.to_owned())),
        _ => {
            let reason = format!(
                "{}/{CURRENT} points to {target:?}, outside its own {GENERATIONS} folder",
                entry.path().display()
            );
            Err(Fault::new(StoreErrorKind::Corrupt, reason)
                .hint("find out who changed it, then point it back"))
        }
    }
}

/// A link that is gone although something was promoted is damage and not "nothing yet", which would rotate for no reason. A
/// first promotion that died before the link was made has left no trace of it in the record.
fn refuse_lost_pointer(entry: &Folder, holding: &Holding) -> Result<(), Fault> {
    let was_promoted = |generation: &&Generation| {
        let record = &generation.record;
        generation.key == KeyState::Held
            && record.phase != RecordedPhase::Retired
            && (record.phase == RecordedPhase::Promoted || record.promoted_at.is_some())
    };
    let last = holding
        .generations
        .iter()
        .filter(was_promoted)
        .max_by_key(|g| (!g.record.rejected, g.record.promoted_at, g.record.requested_at));
    match last {
        Some(last) if holding.current.is_none() => {
            let (place, handle) = (entry.path().display(), &last.handle);
            let reason = format!(
                "the link `{CURRENT}` is missing, and {handle} was promoted; restore it with ln -s \
                 {GENERATIONS}/{handle} {place}/{CURRENT}, or move {place} away to start anew"
            );
            Err(Fault::new(StoreErrorKind::Corrupt, reason))
        }
        _ => Ok(()),
    }
}

/// Whether a name can be a generation's folder.
pub(super) fn is_handle(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 200
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn read_once(entry: &Folder, stem: &str, pointer: Option<&str>) -> Result<Reading, Fault> {
    let mut reading = Reading::default();
    let Some(generations) = entry.folder(GENERATIONS)? else {
        return match pointer {
            Some(handle) => Err(dangling(entry, handle)),
            None => Ok(reading),
        };
    };
    for name in generations.names()?.into_iter().filter(|name| !name.starts_with(TEMPORARY)) {
        if generations.kind(&name)? == Some(Kind::Link) || !is_handle(&name) {
            let reason = format!("{}/{name} does not belong there", generations.path().display());
            return Err(Fault::new(StoreErrorKind::Corrupt, reason));
        }
        let Some(folder) = generations.folder(&name)? else { continue };
        match read_generation(&folder, &name)? {
            Some(generation) => {
                reading.warnings.extend(wide_secrets(&folder)?);
                if pointer == Some(name.as_str()) {
                    reading.damage.extend(current_trouble(&folder, &generation)?);
                }
                reading.holding.generations.push(generation);
            }
            None if pointer == Some(name.as_str()) => {}
            None => reading.warnings.push(format!("{} has no {RECORD}", folder.path().display())),
        }
    }
    reading
        .holding
        .generations
        .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
    refuse_twins(entry, &reading.holding)?;
    if let Some(handle) = pointer {
        reading.holding.current = Some(current(entry, &generations, &reading.holding, handle, stem)?);
    }
    Ok(reading)
}

/// Files with keys that more than their owner may use, told by name and mode.
fn wide_secrets(folder: &Folder) -> Result<Vec<String>, Fault> {
    let mut warnings = Vec::new();
    for name in secret_names(folder)? {
        let Some(found) = folder.stat(&name)? else { continue };
        // The certificate of a PEM pair holds no key.
        if found.kind == Kind::File && !name.ends_with(".crt") && found.mode & 0o777 & !0o600 != 0 {
            warnings.push(format!(
                "{} holds a key or password and has mode {:04o}; 0600 is enough",
                folder.path().join(name).display(),
                found.mode & 0o7777
            ));
        }
    }
    Ok(warnings)
}

/// What is wrong with the files consumers read, as far as names, sizes and times tell.
fn current_trouble(folder: &Folder, generation: &Generation) -> Result<Vec<Damage>, Fault> {
    let mut damage = Vec::new();
    let shown = |name: &str| folder.path().join(name).display().to_string();
    let certain = |text: String| Damage { text, certain: true };
    if generation.key != KeyState::Held {
        damage.push(certain(format!("the key of the current generation is missing: {}", shown(KEY))));
    }
    if generation.record.rotation_id.is_none() {
        return Ok(damage);
    }
    let changed =
        |name: &str| certain(format!("the file consumers read was changed or is missing: {}", shown(name)));
    match Rendered::of(folder) {
        Ok(Some(rendered)) => {
            damage.extend(rendered.damaged_by_size(folder)?.into_iter().map(changed));
            damage.extend(rendered.written_since(folder)?.into_iter().map(|name| Damage {
                text: format!("somebody wrote the file consumers read after certroll did: {}", shown(name)),
                certain: false,
            }));
        }
        Ok(None) => damage.push(changed(RENDERED)),
        Err(fault) if fault.kind == StoreErrorKind::Corrupt => damage.push(changed(RENDERED)),
        Err(fault) => return Err(fault),
    }
    Ok(damage)
}

fn read_generation(folder: &Folder, handle: &str) -> Result<Option<Generation>, Fault> {
    let Some(bytes) = folder.read(RECORD)? else { return Ok(None) };
    let record = parse_record(folder, &bytes)?;
    let key = key_state(folder, &record)?;
    Ok(Some(Generation { handle: handle.to_owned(), record, key }))
}

fn parse_record(folder: &Folder, bytes: &[u8]) -> Result<PublicRecord, Fault> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let path = folder.path().join(RECORD);
    let corrupt =
        |reason: String| Fault::new(StoreErrorKind::Corrupt, format!("{}: {reason}", path.display()));
    let Format { format } =
        serde_json::from_slice(bytes).map_err(|e| corrupt(format!("is no record: {e}")))?;
    if format > RECORD_FORMAT {
        return Err(corrupt(format!("has format {format}; this certroll knows up to {RECORD_FORMAT}"))
            .hint("use the certroll that wrote it, or a newer one"));
    }
    serde_json::from_slice(bytes).map_err(|e| corrupt(format!("is no record of format {RECORD_FORMAT}: {e}")))
}

/// By looking at names only. What somebody else put there counts as a key, whatever it is called.
fn key_state(folder: &Folder, record: &PublicRecord) -> Result<KeyState, Fault> {
    let held = match record.rotation_id {
        Some(_) => folder.kind(KEY)? == Some(Kind::File),
        None => !secret_names(folder)?.is_empty(),
    };
    Ok(if held { KeyState::Held } else { KeyState::Destroyed })
}

/// The names of the files that hold or may hold a secret, the key itself last.
pub(super) fn secret_names(folder: &Folder) -> Result<Vec<String>, Fault> {
    let mut names = folder.names()?;
    names.retain(|name| !PUBLIC.contains(&name.as_str()) && name != KEY && !name.ends_with(".cer"));
    if folder.kind(KEY)?.is_some() {
        names.push(KEY.to_owned());
    }
    Ok(names)
}

/// Two folders for one certificate would make it a matter of luck which record counts.
fn refuse_twins(entry: &Folder, holding: &Holding) -> Result<(), Fault> {
    for (at, generation) in holding.generations.iter().enumerate() {
        let Some(thumbprints) = generation.record.thumbprints else { continue };
        let twin =
            holding.generations[..at].iter().find(|other| other.record.thumbprints == Some(thumbprints));
        if let Some(twin) = twin {
            let reason = format!(
                "{}: {} and {} both claim certificate {thumbprints}",
                entry.path().display(),
                twin.handle,
                generation.handle
            );
            return Err(Fault::new(StoreErrorKind::Corrupt, reason).hint("remove the copy"));
        }
    }
    Ok(())
}

fn current(
    entry: &Folder,
    generations: &Folder,
    holding: &Holding,
    handle: &str,
    stem: &str,
) -> Result<Current, Fault> {
    let recorded = holding.generations.iter().find(|generation| generation.handle == handle);
    if let Some(thumbprints) = recorded.and_then(|generation| generation.record.thumbprints) {
        return Ok(Current::Recorded(thumbprints.sha256));
    }
    match generations.folder(handle)? {
        Some(folder) => {
            let found = public_certificate(&folder, stem)?;
            Ok(Current::Unrecorded { thumbprints: found.map(|found| found.certificate.thumbprints) })
        }
        None => Err(dangling(entry, handle)),
    }
}

fn dangling(entry: &Folder, handle: &str) -> Fault {
    let reason = format!("{}/{CURRENT} points to {handle}, which is gone", entry.path().display());
    Fault::new(StoreErrorKind::Corrupt, reason).hint("restore the folder, or remove the link to start anew")
}

/// The certificate with its chain that somebody else put there, from a file that holds no key by its name.
pub(super) fn public_certificate(folder: &Folder, stem: &str) -> Result<Option<Issued>, Fault> {
    for name in [CERTIFICATE.to_owned(), format!("{stem}.cer"), format!("{stem}.crt")] {
        let Some(bytes) = folder.read(&name)? else { continue };
        let read = match bytes.first() {
            Some(0x30) => Certificate::from_der(&bytes).map(|only| vec![only]),
            _ => Certificate::all_from_pem(&bytes),
        };
        let mut all = read.unwrap_or_default().into_iter();
        if let Some(certificate) = all.next() {
            return Ok(Some(Issued { certificate, chain: all.collect() }));
        }
    }
    Ok(None)
}

/// The folder of a generation.
pub(super) fn generation_folder(entry: &Folder, handle: &str) -> Result<Folder, Fault> {
    let found = match entry.folder(GENERATIONS)? {
        Some(generations) => generations.folder(handle)?,
        None => None,
    };
    found.ok_or_else(|| {
        let reason = format!("generation {handle} is not in {}", entry.path().display());
        Fault::new(StoreErrorKind::Missing, reason)
    })
}

/// The generation as it is now, if it still is the one that was observed.
pub(super) fn same<'h>(holding: &'h Holding, generation: &Generation) -> Result<&'h Generation, Fault> {
    let Some(found) = holding.generations.iter().find(|held| held.handle == generation.handle) else {
        let reason = format!("generation {} is gone", generation.handle);
        return Err(Fault::new(StoreErrorKind::Missing, reason).hint("plan again"));
    };
    if found.record.thumbprints != generation.record.thumbprints {
        let reason = format!("generation {} holds another certificate than was observed", found.handle);
        return Err(Fault::new(StoreErrorKind::Rival, reason).hint("plan again"));
    }
    Ok(found)
}
