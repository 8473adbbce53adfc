//! Reads the declaration the command line names, and shows what is wrong with it.

use std::path::{Path, PathBuf};

use crate::cli::acknowledgements::FILE_NAME;
use crate::cli::args::Global;
use crate::cli::wants_colour;
use crate::cli::world::World;
use crate::cli::{files, json};
use crate::desired::file::{Disk, LoadOptions, Loaded, PathKind, SourceError, Sources, load};
use crate::desired::{Desired, Issuer, StoreKind};
use crate::diagnostic::{Diagnostic, Severity};
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
/// none of the declaration's own.
pub fn declared(global: &Global, world: &World, written: Option<&Path>) -> Result<Desired, Error> {
    match read(global, world) {
        Ok(loaded) => {
            if !global.quiet {
                show(&loaded.warnings, global, world);
            }
            for skipped in &loaded.skipped {
                tracing::info!("{skipped} has no certroll key at its top: skipped");
            }
            if let Some(written) = written {
                is_no_declaration(written, &loaded.files, global, world)?;
            }
            Ok(from_working_directory(loaded.desired, &world.cwd))
        }
        Err(found) => {
            show(&found, global, world);
            Err(invalid(&found))
        }
    }
}

/// Refuses to write over a file of the declaration, under whatever name, or where acknowledgements are read from.
fn is_no_declaration(written: &Path, files: &[String], global: &Global, world: &World) -> Result<(), Error> {
    let refused = |file: &Path| {
        Error::new(Kind::Input, format!("writing {}", written.display()))
            .because(format!("it is {}, which is part of the declaration", file.display()))
            .hint("name another file")
    };
    let real = world.path(written);
    let loaded = files.iter().map(Path::new).find(|file| files::is_same(&world.path(file), &real));
    if let Some(file) = loaded {
        return Err(refused(file));
    }
    let acknowledgements = paths(global).into_iter().map(|path| path.join(FILE_NAME));
    let mut acknowledgements = acknowledgements.filter(|path| files::has_same_name(&world.path(path), &real));
    acknowledgements.next().map_or(Ok(()), |file| Err(refused(&file)))
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
    for diagnostic in found {
        let text = if global.is_json() {
            json::line(&json::declaration_diagnostic(diagnostic))
        } else {
            format!("{}\n\n", diagnostic.render(styled))
        };
        world.stderr.write(&text);
    }
}

/// Folders of stores, and files and folders of issuers, count from the working directory that was passed in.
fn from_working_directory(mut desired: Desired, cwd: &Path) -> Desired {
    for store in desired.stores.values_mut() {
        if let StoreKind::File { directory } = &mut store.kind {
            *directory = cwd.join(&*directory);
        }
    }
    for declared in desired.certificates.values_mut() {
        match &mut declared.issuer {
            Issuer::CaFile { certificate, chain, .. } => {
                *certificate = cwd.join(&*certificate);
                if let Some(chain) = chain {
                    *chain = cwd.join(&*chain);
                }
            }
            Issuer::Csr { directory } => *directory = cwd.join(&*directory),
            _ => {}
        }
    }
    desired
}
