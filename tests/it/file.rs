//! Declarations: what they mean, and what is said about mistakes in them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use certroll::backends::Backends;
use certroll::certificate::{KeyKind, SignatureHash};
use certroll::desired::file::{Disk, LoadOptions, Loaded, PathKind, STARTER, SourceError, Sources, load};
use certroll::desired::{
    Cloud, Desired, Format, Issuer, Password, PfxProfile, Prove, Retire, SelectBy, StoreKind, Timing,
};
use certroll::diagnostic::Diagnostic;
use certroll::ids::TargetKind;
use certroll::period::Lead;
use jiff::civil::Weekday;

use crate::file_errors::with_keys;

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

#[test]
fn the_quickstart_loads_from_disk_with_the_back_ends_of_this_version() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart");
    let loaded = load(&Disk, &LoadOptions::new([folder])).unwrap_or_else(|found| panic!("{}", shown(&found)));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.desired.certificates.len(), 5);
}

fn every_key() -> Desired {
    let memory = with_keys(Memory::of(&[("certroll.yaml", include_str!("file_cases/every_key.yaml"))]));
    let loaded = load(&memory, &everything()).unwrap_or_else(|found| panic!("{}", shown(&found)));
    loaded.desired
}

#[test]
fn a_certificate_without_values_of_its_own_has_those_of_the_defaults() {
    let desired = every_key();
    let one = &desired.certificates[&"prod/inherits".parse().unwrap()];
    assert_eq!(one.description, "inherits");
    assert_eq!(one.subject, "O=Contoso,CN=Shop");
    assert_eq!((one.key, one.signature_hash), (KeyKind::Rsa3072, SignatureHash::Sha384));
    assert_eq!(one.validity, "P2Y".parse().unwrap());
    assert_eq!(one.timing, Timing::RotationPeriod("P1Y".parse().unwrap()));
    assert_eq!((one.overlap.to_string(), one.spread.to_string()), ("30d".into(), "7d".into()));
    assert_eq!(one.windows[0].days, [Weekday::Monday, Weekday::Friday]);
    assert_eq!((one.warn_before.to_string(), one.alert_before.to_string()), ("60d".into(), "20d".into()));
    assert_eq!((one.unused_for.as_ref().unwrap().to_string(), one.keep_retired), ("2w".into(), 2));
    assert!(!one.acknowledge, "said by the defaults, whatever the consumer says");
    assert_eq!(one.freeze.len(), 1, "the tenant's");
    let store = one.store.as_ref().unwrap();
    assert_eq!(
        (store.store.as_str(), store.entry.as_str(), store.form.format),
        ("disk", "inherits", Format::Pem)
    );
    assert_eq!(one.labels, labels(&[("stage", "prod"), ("team", "backup")]));
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_value_of_its_own_replaces_the_inherited_one_and_labels_merge() {
    let desired = every_key();
    let one = &desired.certificates[&"lab/own".parse().unwrap()];
    assert_eq!(
        one.timing,
        Timing::RenewBefore(Lead::Percent(20)),
        "instead of the inherited rotation_period"
    );
    assert_eq!(one.windows, []);
    assert_eq!(one.issuer, Issuer::SelfSigned);
    assert_eq!(one.subject, "CN=Own,O=Fabrikam");
    assert_eq!(one.consumer.as_ref().unwrap().title, "CloudM Continuity");
    assert_eq!(one.labels, labels(&[("stage", "test"), ("team", "backup")]));
    assert_eq!(one.freeze.len(), 1, "its own; the tenant is another");
    let both = &desired.certificates[&"prod/vault-secret".parse().unwrap()];
    let reasons: Vec<&str> = both.freeze.iter().map(|freeze| freeze.reason.as_str()).collect();
    assert_eq!(reasons, ["year end", "audit"], "its own on top of the tenant's");
    assert_eq!(one.target.kind, TargetKind::ServicePrincipal);
    let form = &one.store.as_ref().unwrap().form;
    assert_eq!(form.password, Password::Env("CERTROLL_SECRET_OWN".into()));
    assert_eq!(form.profile, PfxProfile::LegacyDes);
    let slots: Vec<&str> = one.deliveries.iter().map(|delivery| delivery.slot.as_str()).collect();
    assert_eq!(slots[0], "github_actions github contoso/infra prod OWN");
    assert_eq!(slots.len(), 8);
    assert_eq!(one.deliveries[5].form.format, Format::PemPair, "what a Secret of type tls holds");
    assert_eq!(one.adopt.len(), 3);
    assert!(one.adopt[1].key_elsewhere);
    assert_eq!(one.retire, Retire::Never);
}

#[test]
fn au_01_a_providers_key_needs_no_store_and_ignores_inherited_keys_about_one() {
    let desired = every_key();
    let one = &desired.certificates[&"prod/from-provider".parse().unwrap()];
    assert_eq!((&one.store, one.prove), (&None, Prove::ReadBack));
    let Issuer::ExternalPublicKey { files } = &one.issuer else { panic!("{:?}", one.issuer) };
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["keys/good.cer", "keys/good.pem"]);
    assert_eq!(files[0].certificate.subject, "CN=Provider backup");
}

#[test]
fn an_emulated_tenant_has_the_same_id_for_the_same_name() {
    let id = |name: &str| {
        let text = format!("certroll: v1\nowner: team\ntenants: {{ {name}: {{ cloud: emulator }} }}\n");
        desired(&text).tenants.values().next().unwrap().id.clone()
    };
    assert_eq!(id("lab"), id("lab"));
    assert_ne!(id("lab"), id("test"));
    assert_eq!(uuid::Uuid::parse_str(&id("lab")).unwrap().get_version_num(), 8);
    assert_eq!(every_key().tenants[&"named".parse().unwrap()].id, "agency.onmicrosoft.com");
}

#[test]
fn a_default_written_down_is_no_change() {
    let store = |written: &str| {
        let text = format!(
            "certroll: v1\nowner: team\ntenants: {{ lab: {{ cloud: emulator }} }}\n\
             stores: {{ v: {{ kind: azure_key_vault, vault: keys }}, f: {{ kind: file, directory: s }} }}\n\
             certificates: {{ a: {{ application: {{ unique_name: a }}, store: {written} }} }}\n"
        );
        desired(&text).certificates.values().next().unwrap().store.clone().unwrap().fingerprint()
    };
    assert_eq!(
        store("v"),
        store("{ use: v, name: a, object: certificate, exportable: true, hsm: false, format: pfx }")
    );
    assert_eq!(store("f"), store("{ use: f, name: a, format: pem }"));
    assert_eq!(
        store("{ use: f, format: pfx }"),
        store("{ use: f, format: pfx, password: generate, profile: modern2023 }")
    );
}

#[test]
fn a_certificate_that_was_renamed_twice_is_followed_from_each_of_its_names() {
    let text = |moved: &str| {
        format!(
            "certroll: v1\nowner: team\ntenants: {{ lab: {{ cloud: emulator }} }}\n\
             stores: {{ keys: {{ kind: file, directory: secrets }} }}\n\
             certificates: {{ third: {{ application: {{ unique_name: a }}, store: {{ use: keys, name: first }} }} }}\n\
             moved: {moved}\n"
        )
    };
    let second = "{ from: lab/second, to: lab/third }";
    for moved in [
        format!("[{{ from: lab/first, to: lab/second }}, {second}]"),
        format!("[{second}, {{ from: lab/first, to: lab/second }}]"),
    ] {
        let mut ways: Vec<(String, String)> = desired(&text(&moved))
            .moved
            .iter()
            .map(|moved| (moved.from.to_string(), moved.to.to_string()))
            .collect();
        ways.sort();
        let leads = |from: &str| (from.to_owned(), "lab/third".to_owned());
        assert_eq!(ways, [leads("lab/first"), leads("lab/second")]);
    }
}

#[test]
fn unused_for_says_once_that_nobody_can_tell_in_this_version() {
    let text = "certroll: v1\nowner: team\ntenants: { lab: { cloud: emulator } }\n\
                stores: { keys: { kind: file, directory: secrets } }\n\
                defaults: { store: keys, unused_for: 2w }\n\
                certificates: { a: { application: { unique_name: a } }, b: { application: { unique_name: b } } }\n";
    let loaded = read(text).unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{}", shown(&loaded.warnings)) };
    assert_eq!(warning.place.to_string(), "certroll.yaml:5:38");
    assert!(warning.message.contains("no usage reports are read in this version"), "{}", warning.message);
}

#[test]
fn a_folder_gives_its_declarations_and_skips_other_yaml() {
    let memory = Memory::of(&[
        ("conf/a.yaml", "certroll: v1\nowner: team\n"),
        ("conf/b.yml", "certroll: v1\ntenants: { lab: { cloud: emulator } }\n"),
        ("conf/values.yaml", "image: { tag: v1 }\n"),
        ("conf/many.yaml", "kind: A\n---\nkind: !b B\n"),
        ("conf/notes.txt", "certroll: nonsense"),
        ("conf/sub/c.yaml", "certroll: nonsense"),
    ]);
    let loaded = load(&memory, &LoadOptions::new(["conf", "conf/a.yaml"])).unwrap();
    assert_eq!(loaded.files, ["conf/a.yaml", "conf/b.yml"]);
    assert_eq!(loaded.skipped, ["conf/many.yaml", "conf/values.yaml"]);
}

#[test]
fn defaults_apply_to_the_file_they_stand_in() {
    let memory = Memory::of(&[
        (
            "a.yaml",
            "certroll: v1\nowner: team\ntenants: { lab: { cloud: emulator } }\nstores: { k: { kind: file, directory: s } }\ndefaults: { store: k, key: rsa-4096 }\ncertificates: { a: { application: { unique_name: a } } }\n",
        ),
        ("b.yaml", "certroll: v1\ncertificates: { b: { application: { unique_name: b }, store: k } }\n"),
    ]);
    let desired = load(&memory, &everything()).unwrap().desired;
    let keys: Vec<KeyKind> = desired.certificates.values().map(|one| one.key).collect();
    assert_eq!(keys, [KeyKind::Rsa4096, KeyKind::Rsa2048]);
}

#[test]
fn what_is_no_declaration_is_never_quoted() {
    let secret = "root:x:swordfish";
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("shadow.yaml", format!("{secret}: {{ [\n").into_bytes(), "this is not valid YAML"),
        ("other.yaml", format!("a: {secret}\n").into_bytes(), "no top-level key"),
        (
            "latin.yaml",
            b"certroll: v1\n# M\xfcller swordfish\n".to_vec(),
            "UTF-8 text, from byte 16 of the file on\n--> latin.yaml:2:4\n",
        ),
        (
            "mark.yaml",
            b"\xef\xbb\xbfcertroll: v1\na: \xff".to_vec(),
            "from byte 19 of the file on\n--> mark.yaml:2:4\n",
        ),
        ("utf16.yaml", b"\xff\xfec\0e\0r\0t\0".to_vec(), "this is UTF-16 text"),
        ("half.yaml", b"c\0e\0r\0t\0".to_vec(), "is UTF-16 text"),
        ("missing.yaml", Vec::new(), "no such file"),
    ];
    for (name, bytes, expected) in cases {
        let memory = if bytes.is_empty() { Memory::default() } else { Memory::default().with(name, &bytes) };
        let found = load(&memory, &LoadOptions::new([name])).unwrap_err();
        let said = shown(&found);
        assert!(said.contains(expected) && !said.contains("swordfish"), "{said}");
        assert_eq!(found.len(), 1, "{said}");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_taken() {
    let text = STARTER.replace('\n', "\r\n");
    let bytes = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    load(&Memory::default().with("certroll.yaml", &bytes), &LoadOptions::new(["."])).unwrap();
    let broken = [b"\xef\xbb\xbf".as_slice(), b"certroll: v1\r\nownr: team\r\n"].concat();
    let found =
        load(&Memory::default().with("certroll.yaml", &broken), &LoadOptions::new(["."])).unwrap_err();
    assert!(shown(&found).contains("certroll.yaml:2:1"), "{}", shown(&found));
}

#[test]
fn a_link_out_of_the_folder_is_refused_unless_it_is_named() {
    let memory = || Memory::of(&[("conf/own.yaml", STARTER)]).link("conf/far.yaml", "/elsewhere/far.yaml");
    let found = load(&memory(), &LoadOptions::new(["conf"])).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "conf/far.yaml: error: a symbolic link leads out of the folder; name the file itself with -f if it is meant"
    );
}

#[test]
fn a_place_is_counted_in_characters() {
    let found = read("certroll: v1\nowner: team\ntenants: { \"ü\": { clod: x } }\n").unwrap_err();
    let places: Vec<String> = found.iter().map(|one| one.place.to_string()).collect();
    assert_eq!(places, ["certroll.yaml:3:12", "certroll.yaml:3:19"]);
    assert_eq!(found[1].place.position.as_ref().unwrap().span, (44, 48));
}

#[test]
fn diagnostics_have_a_form_for_programs() {
    let found =
        read("certroll: v1\nowner: team\nowner: other\ntenants: { lab: { cloud: emulator } }\n").unwrap_err();
    let json = serde_json::to_value(&found).unwrap();
    let expected = serde_json::json!([{
        "severity": "error",
        "code": "duplicate",
        "file": "certroll.yaml",
        "line": 3,
        "column": 1,
        "span": [25, 30],
        "message": "the key `owner` stands here twice",
        "labels": [{ "file": "certroll.yaml", "line": 2, "column": 1, "span": [13, 18], "text": "first here" }],
    }]);
    assert_eq!(json, expected);
}

#[test]
fn twenty_thousand_certificates_load_in_seconds() {
    let mut text = String::from(
        "certroll: v1\nowner: team\ntenants: { lab: { cloud: emulator } }\nstores: { k: { kind: file, directory: s } }\n\
         defaults: { store: k }\ncertificates:\n",
    );
    for number in 0..20_000 {
        text.push_str(&format!(
            "  certificate-{number}:\n    # One of many, as a generator writes them: every value spelled out.\n    \
             application: {{ app_id: 5c1d8e3a-7f10-4a2b-8c3d-{number:012x} }}\n    description: Certificate number {number}\n    \
             subject: CN=Certificate {number}\n    validity: P1Y\n    rotation_period: 180d\n    overlap: 14d\n    labels: {{ team: backup }}\n"
        ));
    }
    assert!(text.len() > 5_000_000, "{}", text.len());
    let start = std::time::Instant::now();
    let desired = desired(&text);
    assert_eq!(desired.certificates.len(), 20_000);
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
    let mistaken = text.replace("overlap: 14d", "overlpa: 14d\n    store: q");
    let found = read(&mistaken).unwrap_err();
    let enough = "1000 mistakes were found; what comes here was not looked at";
    assert_eq!(found.iter().filter(|one| one.message == enough).count(), 1);
    assert_eq!(found.iter().filter(|one| one.message == "unknown key `overlpa`").count(), 1000);
    assert!(start.elapsed() < std::time::Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn attacks_on_the_parser_end_quickly() {
    let start = std::time::Instant::now();
    let deep_block: String = (0..10_000).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let laughs = (1..40).fold("certroll: v1\na0: &a0 [x, x]\n".to_owned(), |text, level| {
        let below = level - 1;
        text + &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{below}"); 10].join(","))
    });
    let attacks = [
        "certroll: v1\nx: ".to_owned() + &"[".repeat(100_000),
        "certroll: v1\nx: ".to_owned() + &"{a: ".repeat(100_000),
        "certroll: v1\n".to_owned() + &deep_block,
        laughs,
        "certroll: v1\n".to_owned() + &"? ".repeat(10_000),
        "certroll: v1\nx: \"".to_owned() + &"\\n".repeat(1_000_000),
        "certroll: v1\n".to_owned() + &"- ".repeat(100_000),
    ];
    for attack in &attacks {
        let found = read(attack).unwrap_err();
        assert!(found.iter().all(|one| one.render(false).len() < 4000));
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
    let found =
        load(&Memory::default().with("a.yaml", &vec![b'#'; 33 * 1024 * 1024]), &LoadOptions::new(["a.yaml"]));
    assert_eq!(found.unwrap_err()[0].to_string(), "a.yaml: error: cannot be read: it is larger than 32 MiB");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let mut text = b"certroll: v1\n".to_vec();
        text.extend(bytes);
        if let Err(found) = load(&Memory::default().with("a.yaml", &text), &everything()) {
            found.iter().for_each(|one| drop((one.render(true), one.to_string())));
        }
    }

    #[test]
    fn a_damaged_declaration_never_panics(at in 0usize..4000, length in 0usize..12, with in "[\\PC\n\t:{}\\[\\]&*!|>'\"%@-]{0,8}") {
        let text = include_str!("file_cases/every_key.yaml");
        let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let (from, to) = (floor(at % text.len()), floor(at % text.len() + length));
        let damaged = [&text[..from], &with, &text[to..]].concat();
        if let Err(found) = load(&with_keys(Memory::of(&[("a.yaml", &damaged)])), &everything()) {
            found.iter().for_each(|one| drop((one.render(true), one.to_string())));
        }
    }
}

#[test]
fn on_disk_links_that_leave_or_lead_nowhere_and_pipes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("conf");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(folder.path().join("far.yaml"), STARTER).unwrap();
    let link = std::os::unix::fs::symlink::<std::path::PathBuf, _>;
    link(folder.path().join("far.yaml"), here.join("linked.yaml")).unwrap();
    link(folder.path().to_path_buf(), here.join("out")).unwrap();
    link(folder.path().join("nothing"), here.join("dangling")).unwrap();
    let pipe = here.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(
        here.join("own.yaml"),
        "certroll: v1\nowner: team\ntenants: { lab: { cloud: emulator } }\nstores:\n  \
         fine: { kind: file, directory: not/there/yet }\n  \
         out: { kind: file, directory: out/keys }\n  \
         dangling: { kind: file, directory: dangling/keys }\n\
         issuers: { pipe: { kind: external_public_key, files: [ pipe, far ] } }\n",
    )
    .unwrap();
    let found = load(&Disk, &LoadOptions::new([&here])).unwrap_err();
    let said: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "a symbolic link leads out of the folder",
            "a symbolic link leads out of the folder of the file that names it",
            "it is a symbolic link that leads nowhere",
            "pipe cannot be read: it is neither a file nor a folder",
            "far cannot be read: there is no such file or folder",
        ]
    );
}
