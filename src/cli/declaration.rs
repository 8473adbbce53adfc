//! Reads the declaration the command line names, and shows what is wrong with it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::cli::acknowledgements::FILE_NAME;
use crate::cli::args::Global;
use crate::cli::connect::state_path;
use crate::cli::wants_colour;
use crate::cli::world::World;
use crate::cli::{files, json, seed};
use crate::desired::file::{Disk, LoadOptions, Loaded, PathKind, SourceError, Sources, load};
use crate::desired::{Desired, Issuer, StoreKind};
use crate::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::error::{Error, Kind};

/// The disk as seen from a working directory that is passed in.
struct From<'a>(&'a Path);

impl Sources for From<'_> {
    fn kind(&self, path: &Path) -> Result<PathKind, SourceError> {
        Disk.kind(&self.0.join(path))
    }
    fn list(&self, folder: &Path) -> Result<Vec<String>, SourceError> {
        Disk.list(&self.0.join(folder))
    }
    fn read(&self, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, SourceError> {
        Disk.read(&self.0.join(path), limit_bytes)
    }
    fn canonical(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Disk.canonical(&self.0.join(path))
    }
}

/// The files and folders the command line names.
pub fn paths(global: &Global) -> Vec<PathBuf> {
    if global.files.is_empty() { vec![PathBuf::from(".")] } else { global.files.clone() }
}

/// The first folder named, where files that belong to the declaration as a whole are found.
pub fn folder(global: &Global, world: &World) -> Option<PathBuf> {
    paths(global).into_iter().find(|path| world.path(path).is_dir())
}

/// Every folder that is named, or that holds a file that is named, once.
pub fn folders(global: &Global, world: &World) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths(global) {
        let folder = match world.path(&path).is_dir() {
            true => path,
            false => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        };
        if !folders.iter().any(|known| files::is_same(&world.path(known), &world.path(&folder))) {
            folders.push(folder);
        }
    }
    folders
}

/// What reading came to.
pub fn read(global: &Global, world: &World) -> Result<Loaded, Vec<Diagnostic>> {
    load(&From(&world.cwd), &LoadOptions::new(paths(global)))
}

/// The declaration, its warnings shown; or all that is wrong with it, shown. `written` is a file the command will write: it must be
/// nothing the run lives on.
pub fn declared(global: &Global, world: &World, written: Option<&Path>) -> Result<Desired, Error> {
    match read(global, world) {
        Ok(loaded) => {
            if !global.quiet {
                show(&loaded.warnings, global, world);
            }
            for skipped in &loaded.skipped {
                tracing::info!("{skipped} has no certroll key at its top: skipped");
            }
            keeps_off(written, &loaded, global, world)?;
            Ok(from_working_directory(loaded.desired, &world.cwd))
        }
        Err(found) => {
            show(&found, global, world);
            Err(invalid(&found))
        }
    }
}

/// Refuses to write over what a run lives on, under whatever name: files of the declaration, names that would be read with it, what
/// stores hold. `file` is one the command will write; the emulator's state is another.
fn keeps_off(file: Option<&Path>, loaded: &Loaded, global: &Global, world: &World) -> Result<(), Error> {
    let state = state_path(global, world);
    for written in file.into_iter().chain([state.as_path()]) {
        if let Some(taken) = taken(&world.path(written), loaded, global, world) {
            return Err(Error::new(Kind::Input, format!("writing {}", written.display()))
                .because(taken)
                .hint("name another file"));
        }
    }
    let of_emulator = |file: &&Path| {
        let files = crate::emulator::files_of(&world.path(&state));
        files.iter().any(|known| is_one_name(&world.path(file), known))
    };
    file.filter(of_emulator).map_or(Ok(()), |file| {
        Err(Error::new(Kind::Input, format!("writing {}", file.display()))
            .because("it is the state of the emulator")
            .hint("name another file"))
    })
}

/// What the file is already, if anything.
fn taken(real: &Path, loaded: &Loaded, global: &Global, world: &World) -> Option<String> {
    let part = |file: &Path| {
        let file = file.strip_prefix(".").unwrap_or(file);
        format!("it is {}, which is part of the declaration", file.display())
    };
    let folders = folders(global, world);
    let keys = loaded.desired.certificates.values().flat_map(|declared| match &declared.issuer {
        Issuer::ExternalPublicKey { files } => files.as_slice(),
        _ => &[],
    });
    let keys = keys.flat_map(|key| folders.iter().map(|folder| folder.join(&key.path)));
    let mut read = loaded.files.iter().map(PathBuf::from).chain(keys);
    if let Some(file) = read.find(|file| files::is_same(&world.path(file), real)) {
        return Some(part(&file));
    }
    let acknowledgements = paths(global).into_iter().map(|path| path.join(FILE_NAME));
    let seeds = folders.iter().map(|folder| folder.join(seed::FILE_NAME));
    let mut would_be_read = acknowledgements.chain(seeds);
    if let Some(file) = would_be_read.find(|file| is_one_name(&world.path(file), real)) {
        return Some(part(&file));
    }
    let requests = loaded.desired.certificates.values().filter_map(|declared| match &declared.issuer {
        Issuer::Csr { directory } => Some(directory),
        _ => None,
    });
    if requests.clone().any(|directory| files::is_below(real, &world.path(directory))) {
        return Some("signing requests and their certificates are in that folder".to_owned());
    }
    let mut certificates = loaded.desired.certificates.values();
    let holder = certificates.find(|declared| {
        let Some(binding) = &declared.store else { return false };
        match loaded.desired.stores.get(&binding.store).map(|store| &store.kind) {
            Some(StoreKind::File { directory }) => {
                files::is_below(real, &world.path(&directory.join(&binding.entry)))
            }
            _ => false,
        }
    });
    if let Some(declared) = holder {
        return Some(format!("the keys of {} are in that folder", declared.address));
    }
    // A store may be the folder of the declaration itself, where other files are at home.
    let holds_declaration =
        |store: &Path| folders.iter().any(|folder| files::is_below(&world.path(&folder.join("x")), store));
    let store = loaded.desired.stores.iter().find(|(_, store)| match &store.kind {
        StoreKind::File { directory } => {
            let directory = world.path(directory);
            files::is_below(real, &directory) && !holds_declaration(&directory)
        }
        _ => false,
    });
    store.map(|(name, _)| format!("it is in the folder of store {name}"))
}

fn is_one_name(one: &Path, other: &Path) -> bool {
    files::has_same_name(one, other) || files::is_same(one, other)
}

/// How many errors there are, as the error a command ends with.
pub fn invalid(found: &[Diagnostic]) -> Error {
    let errors = found.iter().filter(|one| one.severity == Severity::Error).count();
    let errors = crate::cli::text::counted(errors, "error", "errors");
    Error::new(Kind::Input, format!("the declaration has {errors}"))
}

/// Shows diagnostics on standard error.
pub fn show(found: &[Diagnostic], global: &Global, world: &World) {
    let styled = world.stderr.is_terminal() && !global.no_color && wants_colour(world);
    for diagnostic in bounded(found, global) {
        let text = if global.is_json() {
            json::line(&json::declaration_diagnostic(&diagnostic))
        } else {
            format!("{}\n\n", diagnostic.render(styled))
        };
        world.stderr.write(&text);
    }
}

/// Most errors, and most warnings, that are shown to a person.
const SHOWN_MAX: usize = 100;
/// The same for a program.
const SHOWN_MAX_JSON: usize = 1000;

/// The first of the errors and of the warnings, and how many more of each there are.
pub fn bounded<'d>(found: &'d [Diagnostic], global: &Global) -> Vec<Cow<'d, Diagnostic>> {
    let most = if global.is_json() { SHOWN_MAX_JSON } else { SHOWN_MAX };
    let first = |severity: Severity| found.iter().filter(move |one| one.severity == severity).enumerate();
    let of = |severity: Severity| first(severity).take(most).map(|(_, one)| one);
    let mut shown: Vec<&Diagnostic> = of(Severity::Error).chain(of(Severity::Warning)).collect();
    shown.sort_by(|a, b| a.order().cmp(&b.order()));
    let more = |severity: Severity, new: fn(Code, Place, String) -> Diagnostic, one: &str, several: &str| {
        let (index, next) = first(severity).nth(most)?;
        let more = crate::cli::text::counted(first(severity).count() - index, one, several);
        Some(new(Code::Limit, Place::file(&next.place.file), format!("and {more}, not shown")))
    };
    let errors = more(Severity::Error, Diagnostic::error, "more error", "more errors");
    let warnings = more(Severity::Warning, Diagnostic::warning, "more warning", "more warnings");
    shown
        .into_iter()
        .map(Cow::Borrowed)
        .chain([errors, warnings].into_iter().flatten().map(Cow::Owned))
        .collect()
}

/// Folders of stores and deliveries count from the working directory that was passed in. Those of issuers stay as they are written until
/// they are opened: they are part of what a plan says and is compared by, which is the same in every checkout.
fn from_working_directory(mut desired: Desired, cwd: &Path) -> Desired {
    for store in desired.stores.values_mut() {
        if let StoreKind::File { directory } = &mut store.kind {
            *directory = cwd.join(&*directory);
        }
    }
    for declared in desired.certificates.values_mut() {
        for delivery in &mut declared.deliveries {
            delivery.origin.folder = cwd.join(&delivery.origin.folder);
        }
    }
    desired
}
