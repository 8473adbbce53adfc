//! Stories with transcripts: each `tests/scripts/NAME.txt` is run as typed, and what it prints is compared with `NAME.out`.
//!
//! A line is a command; `#` begins a remark, which the transcript repeats. Files follow as `-- NAME --` sections. Besides
//! `certroll …` there are the powers of an operator and of somebody who does not ask:
//!
//! | command | does |
//! |---|---|
//! | `clock TIME`, `clock +30d` | sets and stops, or moves, the emulator's clock |
//! | `app NAME` | an application, found by `unique_name: NAME` |
//! | `credential APP NAME starts=DATE ends=DATE [keep=FILE]` | somebody's certificate on it; `keep` also writes the certificate |
//! | `edit FILE OLD => NEW` | replaces a text in a file; `\n` in it is a line break |
//! | `append FILE TEXT`, `remove PATH`, `mangle FILE`, `show FILE` | the like; a mangled file holds the beginning of a record |
//! | `ls [FOLDER]` | what it holds, with permissions |
//! | `faults JSON` | makes trouble |
//! | `requests` | counts requests since the last time it was asked |
//! | `type TEXT` | what a person answers to the next command |
//! | `env NAME=VALUE` | sets a variable |
//! | `serve vault` | starts a Vault of the test's own, reached by VAULT_ADDR and VAULT_TOKEN |
//! | `sign REQUEST FILE starts=DATE [days=365] [key=other]` | a CA signs a request, or something else |
//! | `serve key-vault` | starts an Azure Key Vault of the test's own, reached by the connection `kv` |
//! | `signing asks=N fails=TEXT shortens=MONTHS` | how often it is asked before it has signed, and what becomes of that |
//! | `look vault PATH` | what consumers find there, without the values |
//! | `serve kubernetes` | starts an API server of the test's own, reached by KUBECONFIG |
//! | `look kubernetes NAME` | what consumers find in the Secret, without the values |
//! | `serve github`, `serve gitlab`, `serve azure_devops` | the like for CI systems; `look KIND NAME` |
//! | `stop KIND`, `start KIND` | the CI system turns everybody away (403), and lets them in again |
//! | `by_hand KIND NAME` | somebody else writes it |
//! | `look secret NAME`, `look certificate NAME` | the same in the Key Vault |
//! | `policy vault PATH=CAPABILITIES` | all that the token may do on that path |
//! | `authority FILE` | a CA's certificate in a file, its key in CERTROLL_SECRET_CA_KEY |
//!
//! `@app:NAME` stands for the client id of an application, and in commands `T1` for the thumbprint that the transcript calls so.
//!
//! After every `apply` that ends with 0 the runner plans again and fails if a step is left. `UPDATE=1 cargo test scripts`
//! accepts new transcripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certroll::emulator::{Change, Emulator, Kind, NewApplication};
use certroll::issuer::{CertificateRequest, Issuer, SubjectKey};
use certroll::net::Transport;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::ca::TestCa;
use crate::support::ci;
use crate::support::cli::{Bench, Ran};
use crate::support::key_vault::{KeyVaultService, Signing, Told};
use crate::support::keys;
use crate::support::kv2::{self, Kv2, TOKEN};
use crate::support::secrets::{self, Secrets};
use crate::support::serve::serve;
use crate::support::stores::signing_request;

/// One `#[test]` for each script, so that they run side by side and fail by name.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_script_is_run() {
            let listed = [$(stringify!($name)),*].map(|name| name.replace('_', "-"));
            for entry in std::fs::read_dir(folder()).unwrap() {
                let path = entry.unwrap().path();
                let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(listed.contains(&stem), "{} is not listed in scripts.rs", path.display());
            }
        }
    };
}

scripts! {
    a_person_signs
    acknowledge
    adopt_what_is_there
    asked_and_not_done
    ca_blocks_sign_in
    claimed_undeclared_foreign
    client_clock
    deleted_behind_our_back
    doctor
    doctor_everywhere
    deliver_on_this_machine
    deliver_to_azure_devops
    deliver_to_github
    deliver_to_gitlab
    drift_and_ignore
    emergency
    expired
    from_nothing
    hold_and_rollback
    key_and_form_change
    key_never_leaves
    key_vault_makes_the_key
    keys_in_key_vault
    signed_for_other_stores
    keys_in_kubernetes
    keys_in_vault
    life_is_limited
    limits
    limits_on_retiring
    looking_writes_nothing
    more_with_v
    moved_and_removed
    moved_to_another_name
    never_retired
    no_service_principal
    not_visible_yet
    now
    one_tenant_unreadable
    only_a_part
    overdue
    product_rotates_itself
    proof_after_promotion
    provider_drops_a_key
    provider_sends_a_key
    read_back_only
    removed
    renamed_then_removed
    renamed_without_moved
    renew_before
    renamed_with_a_plain_store
    replace
    retired_keys_are_kept
    rollback_is_confirmed
    reviewed_plan
    reviewed_then_changed
    revoked
    rotate_with_overlap
    run_too_seldom
    saml_is_left_alone
    signed_by_a_ca
    signed_by_vault
    spread
    store_damaged
    store_troubles
    target_troubles
    troubled_service
    two_owners
    usage
    verify
    waiting_for_a_person
    windows_and_freeze
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn check(name: &str) {
    let stem = name.replace('_', "-");
    let script = std::fs::read_to_string(folder().join(format!("{stem}.txt"))).unwrap();
    let transcript = Story::new().tell(&script);
    let accepted = folder().join(format!("{stem}.out"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&accepted, &transcript).unwrap();
        return;
    }
    let before = std::fs::read_to_string(&accepted).unwrap_or_default();
    if before != transcript {
        let diff = similar::TextDiff::from_lines(&before, &transcript);
        let diff = diff.unified_diff().header("accepted", "now").to_string();
        panic!(
            "{stem} has another transcript now:\n{diff}\nto accept it: UPDATE=1 cargo test scripts::{name}"
        );
    }
}

pub(crate) struct Story {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bench: Bench,
    names: Names,
    /// Thumbprints by the name of the credential: `@name` in an edit stands for one.
    credentials: BTreeMap<String, String>,
    /// Address and token of the one that `serve vault` shall give, if not the test's own.
    pub(crate) vault: Option<(String, String)>,
    /// The test's own.
    kv2: Arc<Kv2>,
    ci: BTreeMap<String, Arc<dyn ci::Played>>,
    /// The one that `serve key-vault` shall give, if not the test's own.
    pub(crate) served_key_vault: Option<Arc<dyn Told>>,
    /// The test's own.
    key_vault: Option<Arc<KeyVaultService>>,
    secrets: Option<Arc<Secrets>>,
    out: String,
}

impl Story {
    pub(crate) fn new() -> Story {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(folder.path());
        let credentials = BTreeMap::new();
        Story {
            folder,
            bench,
            names: Names::default(),
            credentials,
            vault: None,
            kv2: Arc::default(),
            ci: BTreeMap::new(),
            served_key_vault: None,
            key_vault: None,
            secrets: None,
            out: String::new(),
        }
    }

    pub(crate) fn tell(mut self, script: &str) -> String {
        for line in self.lay_out(script).lines() {
            self.tell_line(line);
        }
        self.out
    }

    /// Puts the files of a script in place; what is left are its commands.
    pub(crate) fn lay_out<'s>(&self, script: &'s str) -> &'s str {
        let (commands, files) = script
            .split_once("\n-- ")
            .map_or((script, String::new()), |(commands, files)| (commands, format!("-- {files}")));
        for section in format!("\n{files}").split("\n-- ").skip(1) {
            let (name, content) = section.split_once(" --\n").unwrap();
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let end = if content.ends_with('\n') { "" } else { "\n" };
            std::fs::write(path, format!("{content}{end}")).unwrap();
        }
        commands
    }

    /// One command or remark.
    pub(crate) fn tell_line(&mut self, line: &str) {
        if line.trim().is_empty() || line.starts_with('#') {
            self.out.push_str(&format!("{line}\n"));
            return;
        }
        self.out.push_str(&format!("> {line}\n"));
        self.act(line);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn emulator(&self) -> Emulator {
        Emulator::open(&self.path(".certroll/emulator.json")).unwrap()
    }

    /// The tenant `contoso` of the declarations: an emulated one without an id gets one from its name.
    fn tenant(&self) -> Uuid {
        let text = "certroll: v1\nowner: a\ntenants: { contoso: { cloud: emulator } }\ncertificates: {}\n";
        let probe = tempfile::tempdir().unwrap();
        std::fs::write(probe.path().join("a.yaml"), text).unwrap();
        let options = certroll::desired::file::LoadOptions::new([probe.path()]);
        let loaded = certroll::desired::file::load(&certroll::desired::file::Disk, &options).unwrap();
        loaded.desired.tenants.values().next().unwrap().id.parse().unwrap()
    }

    fn act(&mut self, line: &str) {
        let line = &with_app_ids(line);
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let rest = |skip: usize| line.splitn(skip + 1, ' ').nth(skip).unwrap_or_default();
        match words[0] {
            "certroll" => self.certroll(&words),
            "clock" => {
                self.certroll_quietly(&["certroll", "emulator", "clock", words[1]]);
                self.kv2.set_clock(self.emulator().now());
            }
            "app" => self.application(words[1]),
            "credential" => self.credential(&words),
            "edit" => {
                let (old, new) = rest(2).split_once(" => ").unwrap();
                let (old, new) = (self.filled_in(old), self.filled_in(new));
                let text = std::fs::read_to_string(self.path(words[1])).unwrap();
                assert!(text.contains(&old), "{old:?} is not in {}", words[1]);
                std::fs::write(self.path(words[1]), text.replace(&old, &new)).unwrap();
            }
            "append" => {
                let mut text = std::fs::read_to_string(self.path(words[1])).unwrap();
                text.push_str(&format!("{}\n", self.filled_in(rest(2))));
                std::fs::write(self.path(words[1]), text).unwrap();
            }
            "remove" if self.path(words[1]).is_dir() => std::fs::remove_dir_all(self.path(words[1])).unwrap(),
            "remove" => std::fs::remove_file(self.path(words[1])).unwrap(),
            "mangle" => {
                let path = self.only_match(words[1]);
                std::fs::write(&path, "{ \"format\": 1, \"own").unwrap();
            }
            "ls" => {
                let folder = self.path(words.get(1).copied().unwrap_or("secrets"));
                let lines = tree(&folder, self.folder.path());
                self.print("", &lines.join("\n"));
            }
            "show" => {
                let text = std::fs::read_to_string(self.path(words[1])).unwrap();
                self.print("", &text);
            }
            "faults" => self.emulator().set_faults(serde_json::from_str(rest(1)).unwrap()),
            "requests" => self.requests(),
            "type" => self.bench.typed = Some(format!("{}\n", rest(1))),
            "env" => {
                let (name, value) = rest(1).split_once('=').unwrap();
                self.bench.env.insert(name.to_owned(), value.to_owned());
            }
            "sign" => self.sign(&words),
            "signing" => self.signing(&words),
            "serve" => self.serve(words[1]),
            "look" if self.ci.contains_key(words[1]) => {
                let found = self.ci[words[1]].shown(words[2]);
                self.print("", &found);
            }
            "look" => {
                let found = match words[1] {
                    "secret" => self.served_key_vault.as_ref().unwrap().secret_shown(words[2]),
                    "certificate" => self.served_key_vault.as_ref().unwrap().certificate_shown(words[2]),
                    "kubernetes" => self.secrets.as_ref().unwrap().shown(words[2]),
                    _ => {
                        let (address, token) = self.vault.as_ref().unwrap();
                        kv2::look(address, token, words[2])
                    }
                };
                self.print("", &found);
            }
            "policy" => {
                let (path, may) = words[2].split_once('=').unwrap();
                let may: Vec<&str> = may.split(',').collect();
                self.kv2.may_only(path, &may);
            }
            "stop" => self.ci[words[1]].stop(true),
            "start" => self.ci[words[1]].stop(false),
            "by_hand" => self.ci[words[1]].by_hand(words[2]),
            "authority" => self.bench.lay_down_ca(words[1]),
            other => panic!("no such command: {other}"),
        }
    }

    fn serve(&mut self, what: &str) {
        if what == "kubernetes" {
            let secrets = Arc::new(Secrets::default());
            let url = serve(Arc::clone(&secrets) as Arc<dyn Transport>);
            let kubeconfig = self.path("kubeconfig");
            std::fs::write(&kubeconfig, secrets::kubeconfig(&url)).unwrap();
            self.bench.env.insert("KUBECONFIG".into(), kubeconfig.display().to_string());
            self.secrets = Some(secrets);
            return;
        }
        if !matches!(what, "vault" | "key-vault") {
            let (played, variables) = ci::serve(what);
            self.bench.env.extend(variables);
            self.ci.insert(what.to_owned(), played);
            return;
        }
        if what == "key-vault" {
            if self.served_key_vault.is_some() {
                return;
            }
            let vault = Arc::new(KeyVaultService::default());
            let url = serve(Arc::clone(&vault) as Arc<dyn Transport>);
            self.bench.env.extend(vault.connection(&url));
            self.served_key_vault = Some(Arc::clone(&vault) as Arc<dyn Told>);
            self.key_vault = Some(vault);
            return;
        }
        let (address, token) = self.vault.get_or_insert_with(|| (serve(self.kv2.clone()), TOKEN.to_owned()));
        self.bench.env.insert("VAULT_ADDR".into(), address.clone());
        self.bench.env.insert("VAULT_TOKEN".into(), token.clone());
    }

    /// How the Key Vault and the CA registered there behave from now on.
    fn signing(&self, words: &[&str]) {
        let mut state = self.key_vault.as_ref().unwrap().state();
        state.signing = Signing { now: state.signing.now, ..Signing::default() };
        for (key, value) in words[1..].iter().map(|word| word.split_once('=').unwrap()) {
            match key {
                "asks" => state.signing.asks = value.parse().unwrap(),
                "fails" => state.signing.fails = Some(value.to_owned().leak()),
                "shortens" => state.signing.shortens = value.parse().unwrap(),
                other => panic!("no such behaviour: {other}"),
            }
        }
    }

    /// The one path that a pattern with `*` for a whole part matches.
    fn only_match(&self, pattern: &str) -> PathBuf {
        let step = |found: Vec<PathBuf>, part: &str| match part {
            "*" => found.iter().flat_map(|path| children(path)).collect(),
            _ => found.into_iter().map(|path| path.join(part)).collect::<Vec<_>>(),
        };
        let found = pattern.split('/').fold(vec![self.folder.path().to_path_buf()], step);
        assert_eq!(found.len(), 1, "{pattern}: {found:?}");
        found[0].clone()
    }

    fn filled_in(&self, text: &str) -> String {
        let text = self.names.quoted(&text.replace("\\n", "\n"));
        self.credentials
            .iter()
            .fold(text, |text, (name, thumbprint)| text.replace(&format!("@{name}"), thumbprint))
    }

    fn certroll_quietly(&mut self, words: &[&str]) {
        let ran = self.bench.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
    }

    fn certroll(&mut self, words: &[&str]) {
        let words = self.meant(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(vault) = &self.key_vault {
            // A vault has no clock of its own: it is as late there as here.
            vault.state().signing.now = Some(self.emulator().now());
        }
        let Ran { code, stdout, stderr } = self.bench.run(&words);
        self.bench.typed = None;
        self.learn_thumbprints();
        self.print("", &stdout);
        self.print("2| ", &stderr);
        if code != 0 {
            self.out.push_str(&format!("exit {code}\n"));
        }
        let applied = words.get(1) == Some(&"apply") && code == 0;
        if applied {
            self.settles(&words);
        }
    }

    /// Words of a command: thumbprints are written as the transcript shows them, T1.
    pub(crate) fn meant(&self, words: &[&str]) -> Vec<String> {
        words.iter().map(|word| self.names.real(word)).collect()
    }

    /// The whole thumbprints of what the transcript shows only the first digits of.
    fn learn_thumbprints(&mut self) {
        use base64::Engine as _;
        if !self.path(".certroll/emulator.json").exists() {
            return;
        }
        let applications = self.emulator().objects(self.tenant(), Kind::Application);
        for credential in applications.iter().flat_map(|one| one["keyCredentials"].as_array().unwrap()) {
            let identifier = credential["customKeyIdentifier"].as_str().unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(identifier).unwrap_or_default();
            let thumbprint: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            if thumbprint.len() == 40 {
                self.names.whole.insert(thumbprint[..8].to_owned(), thumbprint);
            }
        }
    }

    /// After an apply that exits 0, a plan at the same moment holds no steps (P5).
    fn settles(&mut self, words: &[&str]) {
        // On a copy of the directory, so that the requests of this look are not counted.
        let copy = self.path(".certroll/copy.json");
        std::fs::copy(self.path(".certroll/emulator.json"), &copy).unwrap();
        let copy = copy.display().to_string();
        let mut again = vec!["certroll", "plan", "--format", "json", "--state", &copy];
        let part = self.part_of_saved_plan(words);
        part.iter().for_each(|address| again.extend(["--only", address]));
        let mut rest = words.iter().skip(2);
        while let Some(word) = rest.next() {
            if matches!(*word, "-f" | "--only" | "--file" | "--target") {
                again.push(word);
                again.extend(rest.next());
            }
        }
        let ran = self.bench.run(&again);
        let plan: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{again:?}: {ran:?}"));
        assert_eq!(plan["counts"]["steps"], 0, "the plan does not settle:\n{}\n{}", self.out, ran.stdout);
    }

    /// The addresses of the saved plan that was applied, if it covers only a part of the declaration.
    fn part_of_saved_plan(&self, words: &[&str]) -> Vec<String> {
        let Some(file) = words.iter().find(|word| word.ends_with(".json")) else { return Vec::new() };
        let plan: Value = serde_json::from_slice(&std::fs::read(self.path(file)).unwrap()).unwrap();
        let certificates = plan["certificates"].as_array().unwrap();
        let addresses = certificates.iter().map(|one| one["address"].as_str().unwrap().to_owned());
        if plan["complete"] == json!(true) { Vec::new() } else { addresses.collect() }
    }

    fn print(&mut self, prefix: &str, text: &str) {
        let text = timeless(&text.replace(&self.folder.path().display().to_string(), "DIR"));
        let text = self.names.given(&text);
        // How long waiting took, to the second, depends on who waited at the same time.
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("It is ")).collect();
        // Lines that differ in nothing but the thumbprint come in its order, which is another one in every run.
        for alike in lines.chunk_by_mut(|one, next| is_alike(one, next)) {
            alike.sort_unstable();
        }
        for line in lines {
            self.out.push_str(format!("{prefix}{line}").trim_end());
            self.out.push('\n');
        }
    }

    fn application(&mut self, name: &str) {
        let properties = json!({ "uniqueName": name }).as_object().unwrap().clone();
        let new = NewApplication {
            // The same id for the same name in every run, so that transcripts need no placeholder for it.
            app_id: Some(id_of(name)),
            display_name: name.to_owned(),
            properties,
            ..NewApplication::default()
        };
        self.emulator().create_application(self.tenant(), new).unwrap();
    }

    fn sign(&mut self, words: &[&str]) {
        let option = |key: &str| words.iter().find_map(|word| word.strip_prefix(&format!("{key}=")));
        let request = std::fs::read(self.path(words[1])).unwrap();
        let mut csr = certroll::pem::blocks(&request).unwrap().remove(0).contents.to_vec();
        if option("key").is_some() {
            csr = signing_request(&keys::key(10), "CN=Somebody");
        }
        let starts = midnight(option("starts").unwrap());
        let wanted = CertificateRequest {
            validity: format!("{}d", option("days").unwrap_or("365")).parse().unwrap(),
            ..keys::request("CN=unused", starts, 7)
        };
        let ca = TestCa::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let issued = runtime.block_on(ca.issue(&wanted, SubjectKey::Request(&csr))).unwrap();
        std::fs::write(self.path(words[2]), issued.certificate.to_pem()).unwrap();
    }

    fn credential(&mut self, words: &[&str]) {
        let (app, name) = (words[1], words[2]);
        let option = |key: &str| words.iter().find_map(|word| word.strip_prefix(&format!("{key}=")));
        let moment = |key: &str| option(key).map(midnight);
        let serial = name.bytes().fold(1u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let now = moment("starts").unwrap_or_else(|| midnight("2026-01-01"));
        let issued = runtime.block_on(keys::self_signed("CN=Somebody", now, serial, &keys::key(11)));
        let der = issued.certificate.der();
        if let Some(file) = option("keep") {
            std::fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
            std::fs::write(self.path(file), der).unwrap();
        }
        let mut entry = json!({ "displayName": name, "key": base64(der) });
        for (key, member) in [("starts", "startDateTime"), ("ends", "endDateTime")] {
            if let Some(at) = moment(key) {
                entry[member] = json!(at.to_string());
            }
        }
        if !words.contains(&"file-only") {
            let change = Change::AddCredential {
                object: id_of(app),
                kind: Some(Kind::Application),
                entry: entry.as_object().unwrap().clone(),
            };
            self.emulator().change(self.tenant(), change).unwrap();
        }
        let thumbprint = issued.certificate.thumbprints.sha1.to_string();
        self.print("", &format!("{name} is {thumbprint}"));
        self.credentials.insert(name.to_owned(), thumbprint);
    }

    fn requests(&mut self) {
        let emulator = self.emulator();
        let journal = emulator.journal();
        let reads = journal.iter().filter(|entry| entry.method == "GET").count();
        let writes = journal.iter().filter(|entry| matches!(&*entry.method, "PATCH" | "DELETE")).count();
        let tokens = journal.iter().filter(|entry| entry.path.ends_with("/token")).count();
        emulator.clear_journal();
        self.out.push_str(&format!("{reads} reads, {writes} writes, {tokens} sign-ins\n"));
    }
}

fn midnight(date: &str) -> Timestamp {
    let date: Date = date.parse().unwrap();
    date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// An id that looks like one and is the same for the same name.
fn id_of(name: &str) -> Uuid {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    uuid::Builder::from_random_bytes(digest.as_ref()[..16].try_into().unwrap()).into_uuid()
}

/// Whether both lines tell the same of two thumbprints.
fn is_alike(one: &str, next: &str) -> bool {
    let nameless = |line: &str| line.split(' ').filter(|word| !word.starts_with('T')).collect::<String>();
    one.contains('…') && nameless(one) == nameless(next)
}

/// `@app:NAME` is the client id of that application.
fn with_app_ids(line: &str) -> String {
    let mut parts = line.split("@app:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(part.len());
        format!("{text}{}{}", id_of(&part[..end]), &part[end..])
    })
}

/// What a folder holds, sorted.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// `20261120T090030Z-9f2c…`, the name of a generation's folder, without the time in it.
fn timeless(text: &str) -> String {
    let mut parts = text.split("Z-");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_time = out.len() >= 15
            && out.is_char_boundary(out.len() - 15)
            && out[out.len() - 15..].chars().all(|c| c.is_ascii_digit() || c == 'T');
        let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
        if is_time && digits == 32 {
            out.truncate(out.len() - 15);
            out.push_str("<time>_<rotation>");
            out.push_str(&part[32..]);
            continue;
        }
        if is_time && digits == 40 {
            out.truncate(out.len() - 15);
            out.push_str("<time>_");
        } else {
            out.push_str("Z-");
        }
        out.push_str(part);
    }
    out
}

/// Everything below a folder, links not followed, as `mode path`.
fn tree(folder: &Path, below: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let mut lines = Vec::new();
    for path in children(folder) {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let shown = path.strip_prefix(below).unwrap().display().to_string();
        let mode = meta.permissions().mode() & 0o777;
        if meta.is_symlink() {
            lines.push(format!("link {shown} -> {}", std::fs::read_link(&path).unwrap().display()));
        } else if meta.is_dir() {
            lines.push(format!("{mode:04o} {shown}/"));
            lines.extend(tree(&path, below));
        } else {
            lines.push(format!("{mode:04o} {shown}"));
        }
    }
    lines
}

/// Words as a shell would split them: single and double quotes keep spaces.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') if begun => {
                words.push(std::mem::take(&mut word));
                begun = false;
            }
            (None, ' ') => {}
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// What is made anew in every run gets a name by the order in which it is first seen: thumbprints T1, T2; ids G1, G2; rotation ids R1.
#[derive(Default)]
struct Names {
    /// By the first eight digits.
    thumbprints: BTreeMap<String, usize>,
    /// All that were on an application, by the first eight digits.
    whole: BTreeMap<String, String>,
    ids: BTreeMap<String, usize>,
    rotations: BTreeMap<String, usize>,
}

impl Names {
    fn given(&mut self, text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        while at < chars.len() {
            let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
            let length = chars[at..].iter().take_while(|c| is_part(**c)).count();
            let before = at.checked_sub(1).map(|at| chars[at]);
            let token: String = chars[at..at + length].iter().collect();
            let alone = !before.is_some_and(|c| c.is_alphanumeric());
            if length > 0 && alone && !chars.get(at + length).is_some_and(|c| c.is_alphanumeric()) {
                out.push_str(&self.name(&token, chars.get(at + length) == Some(&'…')));
                at += length;
            } else {
                let step = length.max(1);
                out.extend(&chars[at..at + step]);
                at += step;
            }
        }
        out
    }

    fn name(&mut self, token: &str, is_short: bool) -> String {
        let upper = token.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F'));
        let lower = token.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        let (thumbprints, ids, rotations) =
            (self.thumbprints.len() + 1, self.ids.len() + 1, self.rotations.len() + 1);
        match token.len() {
            40 if lower => {
                format!("T{}", self.thumbprints.entry(token[..8].to_uppercase()).or_insert(thumbprints))
            }
            40 | 64 if upper => {
                format!("T{}", self.thumbprints.entry(token[..8].to_owned()).or_insert(thumbprints))
            }
            8 if upper && is_short => {
                format!("T{}", self.thumbprints.entry(token.to_owned()).or_insert(thumbprints))
            }
            36 if token.parse::<Uuid>().is_ok() => {
                format!("G{}", self.ids.entry(token.to_owned()).or_insert(ids))
            }
            32 if lower => format!("R{}", self.rotations.entry(token.to_owned()).or_insert(rotations)),
            _ => token.to_owned(),
        }
    }

    /// Puts the real thumbprint in the place of `"T1"`, quotes included.
    fn quoted(&self, text: &str) -> String {
        let names = self.thumbprints.iter().filter_map(|(short, n)| Some((n, self.whole.get(short)?)));
        names.fold(text.to_owned(), |text, (n, whole)| {
            text.replace(&format!("\"T{n}\""), &format!("\"{whole}\""))
        })
    }

    /// The thumbprints in a word that was written with their names: `contoso/a=T1`.
    fn real(&self, word: &str) -> String {
        let named = |part: &str| {
            let number: usize = part.strip_prefix('T')?.parse().ok()?;
            let (short, _) = self.thumbprints.iter().find(|(_, n)| **n == number)?;
            self.whole.get(short).cloned()
        };
        match word.rsplit_once('=') {
            Some((before, last)) => match named(last) {
                Some(full) => format!("{before}={full}"),
                None => word.to_owned(),
            },
            None => named(word).unwrap_or_else(|| word.to_owned()),
        }
    }
}
