//! Declarations: what they mean, and what is said about mistakes in them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use certroll::backends::Backends;
use certroll::desired::file::{LoadOptions, Loaded, PathKind, STARTER, SourceError, Sources, load};
use certroll::desired::{Cloud, Desired, Issuer, SelectBy, StoreKind, Timing};
use certroll::diagnostic::Diagnostic;

/// The working directory of [`Memory`].
const HERE: &str = "/here";

/// Files in memory. `/` separates; folders exist where files do.
#[derive(Default)]
pub(crate) struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Memory {
    pub(crate) fn of(files: &[(&str, &str)]) -> Memory {
        let files = files.iter().map(|(name, text)| (Path::new(HERE).join(name), text.as_bytes().to_vec()));
        Memory { files: files.collect(), links: BTreeMap::new() }
    }

    pub(crate) fn with(mut self, name: &str, bytes: &[u8]) -> Memory {
        self.files.insert(Path::new(HERE).join(name), bytes.to_vec());
        self
    }

    pub(crate) fn link(mut self, name: &str, to: &str) -> Memory {
        self.links.insert(Path::new(HERE).join(name), to.into());
        self
    }
}

impl Sources for Memory {
    fn kind(&self, path: &Path) -> Result<PathKind, SourceError> {
        let path = self.canonical(path)?;
        if self.files.contains_key(&path) {
            return Ok(PathKind::File);
        }
        let is_folder = path == Path::new(HERE) || self.files.keys().any(|file| file.starts_with(&path));
        if is_folder { Ok(PathKind::Folder) } else { Err(SourceError::NotFound) }
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, SourceError> {
        let folder = self.canonical(folder)?;
        let inside = self.files.keys().chain(self.links.keys()).filter(|file| file.parent() == Some(&folder));
        Ok(inside.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn read(&self, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, SourceError> {
        let bytes = self.files.get(&self.canonical(path)?).ok_or(SourceError::NotFound)?;
        if bytes.len() as u64 > limit_bytes {
            return Err(SourceError::TooLarge { limit_bytes });
        }
        Ok(bytes.clone())
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, SourceError> {
        let mut plain = PathBuf::from(HERE);
        for part in path.components().filter(|part| !matches!(part, Component::CurDir)) {
            plain.push(part);
            if let Some(target) = self.links.get(&plain) {
                plain.clone_from(target);
            }
        }
        Ok(plain)
    }
}

pub(crate) fn everything() -> LoadOptions {
    LoadOptions { backends: Backends::all(), ..LoadOptions::new(["."]) }
}

pub(crate) fn read(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load(&Memory::of(&[("certroll.yaml", text)]), &everything())
}

pub(crate) fn desired(text: &str) -> Desired {
    match read(text) {
        Ok(loaded) => loaded.desired,
        Err(found) => panic!("{}", shown(&found)),
    }
}

pub(crate) fn shown(found: &[Diagnostic]) -> String {
    found.iter().map(|one| one.render(false) + "\n\n").collect()
}

#[test]
fn the_starter_loads_without_a_warning() {
    let memory = Memory::of(&[("certroll.yaml", STARTER)]);
    let loaded = load(&memory, &LoadOptions::new(["."])).unwrap_or_else(|found| panic!("{}", shown(&found)));
    assert_eq!(loaded.warnings, []);
    let tenant = &loaded.desired.tenants[&"try-out".parse().unwrap()];
    assert_eq!(tenant.cloud, Cloud::Emulator);
    let certificate = &loaded.desired.certificates[&"try-out/backup".parse().unwrap()];
    assert_eq!(certificate.target.by, SelectBy::UniqueName("backup".into()));
    assert_eq!(certificate.issuer, Issuer::SelfSigned);
    assert_eq!(certificate.timing, Timing::RotationPeriod("180d".parse().unwrap()));
    let store = &loaded.desired.stores[&"keys".parse().unwrap()];
    assert_eq!(store.kind, StoreKind::File { directory: "secrets".into() });
}

#[test]
fn the_example_of_the_language_page_loads() {
    let memory = Memory::of(&[("certroll.yaml", include_str!("file_cases/language.yaml"))])
        .with("keys/aucloud-2027.cer", include_bytes!("file_cases/keys/good.cer"));
    let loaded = load(&memory, &everything()).unwrap_or_else(|found| panic!("{}", shown(&found)));
    let warnings: Vec<&str> = loaded.warnings.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(warnings, ["the target is found by its display name, which anybody may change or use again"]);
}
