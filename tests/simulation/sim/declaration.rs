//! What the world declares, and its YAML: everything goes through the shipped loader.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use certroll::backends::Backends;
use certroll::desired::Desired;
use certroll::desired::file::{LoadOptions, PathKind, SourceError, Sources, load};
use jiff::Timestamp;
use uuid::Uuid;

/// The directories, by the name the declaration gives them.
pub const TENANTS: [(&str, Uuid); 2] = [
    ("contoso", Uuid::from_u128(0x8f5e2c0a_1b2c_4d3e_9f40_51627384a5b6)),
    ("fabrikam", Uuid::from_u128(0x1d7b90c4_52ee_4a0f_8c36_09af5be1d27e)),
];
pub const OWNER: &str = "platform-team";

/// What carries credentials.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name of the tenant.
    pub tenant: &'static str,
    pub tenant_id: Uuid,
    pub service_principal: bool,
    pub app_id: Uuid,
    pub object_id: Uuid,
}

/// What is no longer declared.
#[derive(Debug, Clone)]
pub struct Removed {
    pub address: String,
    /// The name of its target.
    pub on: String,
    pub retire: bool,
    /// Whether the file names the target by its name.
    pub by_name: bool,
}

/// The declaration as it stands.
#[derive(Debug, Clone, Default)]
pub struct Declaration {
    pub targets: BTreeMap<String, Target>,
    /// By name; the keys are those of the file, in the short spelling of a story.
    pub certificates: BTreeMap<String, BTreeMap<String, String>>,
    /// By tenant.
    pub tenants: BTreeMap<String, BTreeMap<String, String>>,
    /// Name, SHA-1 thumbprint, when.
    pub acknowledgements: Vec<(String, String, Timestamp)>,
    /// Former and present address.
    pub moved: Vec<(String, String)>,
    pub removed: Vec<Removed>,
    /// Public certificates a provider sent, by file name.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Declaration {
    pub fn says(&self, certificate: &str, key: &str) -> Option<&str> {
        self.certificates.get(certificate)?.get(key).map(String::as_str)
    }

    /// `tenant/name` of a certificate that is declared.
    pub fn address(&self, certificate: &str) -> String {
        let target = self.says(certificate, "on").and_then(|on| self.targets.get(on));
        format!("{}/{certificate}", target.map_or(TENANTS[0].0, |target| target.tenant))
    }

    /// That address is no longer declared: whoever moved there, over however many names, has nothing to move to any more.
    pub fn nobody_moves_to(&mut self, address: String) {
        let mut gone = vec![address];
        while let Some(to) = gone.pop() {
            gone.extend(self.moved.iter().filter(|moved| moved.1 == to).map(|moved| moved.0.clone()));
            self.moved.retain(|moved| moved.1 != to);
        }
    }

    /// The shipped loader's understanding of it. `folder` is where the file stands.
    pub fn load(&self, folder: &Path) -> Result<Desired, String> {
        let yaml = self.yaml();
        let pages = Pages { folder, yaml: &yaml, files: &self.files };
        let options =
            LoadOptions { backends: Backends::all(), ..LoadOptions::new([folder.join("certroll.yaml")]) };
        match load(&pages, &options) {
            Ok(loaded) => Ok(loaded.desired),
            Err(found) => {
                let found: Vec<String> = found.iter().map(|found| format!("{found:?}")).collect();
                Err(format!("{}\n{yaml}", found.join("\n")))
            }
        }
    }

    pub fn yaml(&self) -> String {
        let mut yaml = format!("certroll: v1\nowner: {OWNER}\ntenants:\n");
        for (name, id) in TENANTS {
            _ = writeln!(yaml, "  {name}:\n    id: {id}\n    cloud: emulator");
            for (key, value) in self.tenants.get(name).into_iter().flatten() {
                match key.as_str() {
                    "freeze" => freeze(&mut yaml, "    ", value),
                    _ => _ = writeln!(yaml, "    {key}: {value}"),
                }
            }
        }
        yaml.push_str(
            "stores:\n  files: { kind: file, directory: keys }\n  slots: { kind: hashicorp_vault, mount: slots }\n  \
             cas: { kind: hashicorp_vault, mount: cas }\n  vault: { kind: azure_key_vault, vault: contoso-vault }\n  \
             kv: { kind: hashicorp_vault, mount: secret }\n  secrets: { kind: azure_key_vault, vault: contoso-secrets }\n  \
             exportable: { kind: azure_key_vault, vault: contoso-exportable }\n  \
             pending: { kind: azure_key_vault, vault: contoso-pending }\n  kube: { kind: kubernetes, namespace: apps }\n",
        );
        if !self.certificates.is_empty() {
            yaml.push_str("certificates:\n");
        }
        for (name, keys) in &self.certificates {
            _ = writeln!(yaml, "  {name}:");
            keys.iter().for_each(|(key, value)| self.key(&mut yaml, name, key, value));
        }
        self.history(&mut yaml);
        yaml
    }

    fn tenant(&self, target: &str) -> &'static str {
        self.targets.get(target).map_or(TENANTS[0].0, |target| target.tenant)
    }

    fn target(&self, name: &str, by_name: bool) -> String {
        let target = &self.targets[name];
        let kind = if target.service_principal { "service_principal" } else { "application" };
        match by_name {
            true => format!("{kind}: {{ display_name: {name} }}"),
            false => format!("{kind}: {{ app_id: {} }}", target.app_id),
        }
    }

    fn key(&self, yaml: &mut String, name: &str, key: &str, value: &str) {
        let list =
            |value: &str| value.split(',').map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
        let written = match key {
            "on" => {
                let by_name = self.says(name, "by") == Some("name");
                format!("tenant: {}\n    {}", self.tenant(value), self.target(value, by_name))
            }
            "format" | "entry" | "by" => return,
            "csr" => "issuer: { kind: csr, directory: requests }".to_owned(),
            "adopt" if self.says(name, "elsewhere").is_some() => return,
            "store" => {
                let entry = self.says(name, "entry").unwrap_or(name);
                let format = self.says(name, "format").unwrap_or("pem");
                store(value, entry, format, self.says(name, "csr").is_some())
            }
            "deliver" => {
                yaml.push_str("    deliver:\n");
                for place in value.split(',') {
                    _ = writeln!(
                        yaml,
                        "      - {{ kind: github_actions, repository: contoso/infra, secret: {place}, format: pem-base64 }}"
                    );
                }
                return;
            }
            "windows" => window(value),
            "freeze" => return freeze(yaml, "    ", value),
            "hold" => format!("hold: {{ until: {value}, reason: wait }}"),
            "read_back" => "prove: read_back".to_owned(),
            "adopt" | "revoked" | "drop_expired_foreign" => format!("{key}: [{}]", list(value)),
            "elsewhere" => format!("adopt: [{{ thumbprint: \"{value}\", key: elsewhere }}]"),
            "provider" => format!("issuer: {{ kind: external_public_key, files: [{}] }}", list(value)),
            "rotator" => {
                format!("issuer: {{ kind: external_rotator, match: {{ display_name: \"{value}\" }} }}")
            }
            "renew_before" if value.ends_with('%') => format!("{key}: \"{value}\""),
            _ => format!("{key}: {value}"),
        };
        _ = writeln!(yaml, "    {written}");
    }

    fn history(&self, yaml: &mut String) {
        if !self.moved.is_empty() {
            yaml.push_str("moved:\n");
        }
        for (from, to) in &self.moved {
            _ = writeln!(yaml, "  - {{ from: {from}, to: {to} }}");
        }
        if !self.removed.is_empty() {
            yaml.push_str("removed:\n");
        }
        for Removed { address, on, retire, by_name } in &self.removed {
            let target = self.target(on, *by_name);
            _ = writeln!(yaml, "  - {{ address: {address}, target: {{ {target} }}, retire: {retire} }}");
        }
        if !self.acknowledgements.is_empty() {
            yaml.push_str("acknowledgements:\n");
        }
        for (name, thumbprint, at) in &self.acknowledgements {
            let address = self.address(name);
            _ = writeln!(
                yaml,
                "  - {{ address: {address}, thumbprint: \"{thumbprint}\", by: somebody, at: {at} }}"
            );
        }
    }
}

/// Whether a key in that store never leaves it.
pub fn stays(store: &str) -> bool {
    matches!(store, "vault" | "pending")
}

fn store(value: &str, entry: &str, format: &str, by_hand: bool) -> String {
    match (value, format) {
        (store, _) if stays(store) => {
            let issuer = match by_hand {
                true => "",
                false => "\n    issuer: { kind: vault_pki, mount: pki, role: apps }",
            };
            format!(
                "store: {{ use: {store}, name: {entry}, object: certificate, exportable: false }}{issuer}\n    prove: \
                 after_promotion"
            )
        }
        ("exportable", format) => {
            format!(
                "store: {{ use: exportable, name: {entry}, object: certificate, exportable: true, format: {format} }}"
            )
        }
        ("secrets", "pfx") => {
            format!(
                "store: {{ use: secrets, name: {entry}, object: secret, format: pfx, profile: legacy_des, password: generate }}"
            )
        }
        ("secrets", _) => {
            format!("store: {{ use: secrets, name: {entry}, object: secret, format: {format} }}")
        }
        (_, "pfx") => {
            format!(
                "store: {{ use: {value}, name: {entry}, format: pfx, profile: legacy_des, password: generate }}"
            )
        }
        _ => format!("store: {{ use: {value}, name: {entry}, format: {format} }}"),
    }
}

/// `tue+wed/22:00/04:00/Europe/London`.
fn window(value: &str) -> String {
    let parts: Vec<&str> = value.split('/').collect();
    let (days, zone) = (parts[0].replace('+', ", "), parts[3..].join("/"));
    format!("windows: [ {{ days: [{days}], from: \"{}\", to: \"{}\", zone: {zone} }} ]", parts[1], parts[2])
}

/// `2026-12-01..2026-12-27`.
fn freeze(yaml: &mut String, indent: &str, value: &str) {
    let (from, to) = value.split_once("..").unwrap();
    _ = writeln!(yaml, "{indent}freeze: [ {{ from: {from}, to: {to}, reason: holidays }} ]");
}

/// The files of the declaration, in memory.
struct Pages<'a> {
    folder: &'a Path,
    yaml: &'a str,
    files: &'a BTreeMap<String, Vec<u8>>,
}

impl Pages<'_> {
    fn page(&self, path: &Path) -> Option<&[u8]> {
        let name = path.strip_prefix(self.folder).ok()?.to_str()?;
        if name == "certroll.yaml" {
            Some(self.yaml.as_bytes())
        } else {
            self.files.get(name).map(Vec::as_slice)
        }
    }
}

impl Sources for Pages<'_> {
    fn kind(&self, path: &Path) -> Result<PathKind, SourceError> {
        match self.page(path) {
            Some(_) => Ok(PathKind::File),
            None if path == self.folder => Ok(PathKind::Folder),
            None => Err(SourceError::NotFound),
        }
    }

    fn list(&self, _: &Path) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>, SourceError> {
        self.page(path).map(<[u8]>::to_vec).ok_or(SourceError::NotFound)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Ok(path.to_owned())
    }
}
