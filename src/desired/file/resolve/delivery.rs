//! Deliveries: what is written where, and that no two write to one place.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::collect::File;
use super::super::grammar::{self, KeyFormat, PasswordChoice};
use super::super::tree::NodeRef;
use super::form::{self, WrittenForm};
use super::places::DELIVERY_SLOT;
use super::{Part, Resolver, kind_place};
use crate::desired::{Delivery, Format, Password, PfxProfile};
use crate::diagnostic::{Code, Place};
use crate::ids::Name;

/// Endings of the files that a delivery of kind `file` writes under its name, in whatever form.
const ENDINGS: [&str; 8] = ["pem", "pem.b64", "crt", "key", "pfx", "pfx.b64", "cer", "password"];

/// The fields of a Secret that a PFX is written to.
const PFX_FIELDS: [&str; 2] = ["keystore.p12", "keystore.p12.b64"];

/// A folder and a name in it, told apart as file systems that ignore case do.
pub(super) fn file_place(folder: &Path, name: &str) -> String {
    format!("file {}/{}", folder.display(), name.to_lowercase())
}

/// A Kubernetes Secret.
pub(super) fn kubernetes_place(
    connection: &str,
    context: Option<&str>,
    namespace: &str,
    name: &str,
) -> String {
    format!("kubernetes {connection} {} {namespace} {name}", context.unwrap_or_default())
}

/// Where one delivery is written, and for which certificate.
pub(super) struct Site<'a> {
    pub(super) file: &'a File,
    pub(super) node: NodeRef<'a>,
    pub(super) certificate: &'a Name,
}

impl Site<'_> {
    fn place(&self, key: &str) -> Place {
        let value = self.node.entry(key).map(|(key, value)| if value.text().is_some() { value } else { key });
        self.file.source.place(value.or(self.node.get("kind")).unwrap_or(self.node).span())
    }
}

/// What a delivery is, taken out of its kind: where, and in which form.
struct Parts {
    kind: &'static str,
    /// Kind and slot as people know it.
    slot: String,
    /// All places it writes to, canonical.
    places: Vec<String>,
    /// A file of its own for the password, canonical.
    password_place: Option<String>,
    form: WrittenForm,
    default: Format,
    password_slot: PasswordSlot,
    connects: bool,
}

/// Where the password of a PFX goes.
enum PasswordSlot {
    Given,
    Missing,
    /// To a place beside what is delivered, whose name need not be given.
    Implied,
}

pub(super) fn resolve(
    resolver: &mut Resolver<'_>,
    written: &grammar::Delivery,
    site: &Site<'_>,
) -> Option<Delivery> {
    let parts = parts(resolver, written, site)?;
    resolver.uses(Part::Delivery, parts.kind, kind_place(site.file, site.node, site.place("kind")));
    if site.node.entry("connection").is_some() {
        let connects = if parts.connects { Ok(()) } else { Err(parts.kind) };
        resolver.connection_of(&connects, site.place("connection"));
    }
    let place = |key: &str| site.place(key);
    let form = form::resolve(resolver, &parts.form, parts.default, &place);
    if parts.kind == "file" {
        form::warn_pair(resolver, &form, &place);
    }
    refuse_format(resolver, parts.kind, form.format, &place);
    let has_password = form.format.is_pfx() && form.password != Password::None;
    match parts.password_slot {
        PasswordSlot::Missing if has_password => {
            let message = format!("a delivery of format {} needs `password_secret`", form.format.as_str());
            let error = resolver.error(Code::MissingKey, site.place("format"), message);
            error.help.push("name the place its password goes to, or write `password: none`".into());
        }
        PasswordSlot::Given if !has_password => {
            let message = "`password_secret` does not apply: this form has no password";
            resolver.error(Code::NotApplicable, site.place("password_secret"), message);
        }
        _ => {}
    }
    take_places(resolver, &parts, site);
    let own = |key: &str| !["kind", "format", "profile", "password"].contains(&key);
    let settings = site.node.entries().filter_map(|(key, value)| Some((key.text()?, value)));
    let mut settings: BTreeMap<String, serde_json::Value> =
        settings.filter(|(key, _)| own(key)).map(|(key, value)| (key.into(), value.to_json())).collect();
    if parts.kind == "file" {
        settings.entry("name".to_owned()).or_insert_with(|| site.certificate.as_str().into());
    }
    Some(Delivery {
        slot: parts.slot,
        kind: parts.kind.to_owned(),
        settings,
        form,
        origin: site.file.source.origin(site.node.span().start),
    })
}

/// Takes every place a delivery writes to. Of several that are taken already, one is enough to say.
fn take_places(resolver: &mut Resolver<'_>, parts: &Parts, site: &Site<'_>) {
    let places = parts.places.iter().map(|place| (place, "kind"));
    let places = places.chain(parts.password_place.iter().map(|place| (place, "password_secret")));
    let mut taken = None;
    for (canonical, key) in places {
        let name = site.certificate.as_str();
        let other = resolver.places.take(canonical, DELIVERY_SLOT, name, site.place(key));
        taken = taken.or(other);
    }
    resolver.found.extend(taken);
}

/// A variable of a CI system holds one text; a program has one standard input.
fn refuse_format(resolver: &mut Resolver<'_>, kind: &str, format: Format, place: &dyn Fn(&str) -> Place) {
    let takes_text = matches!(kind, "github_actions" | "gitlab_ci" | "azure_devops");
    let (message, help) = match format {
        Format::PemPair if takes_text || kind == "exec" => {
            ("a pem-pair is two files, and this takes one", "`format: pem` holds both in one")
        }
        Format::Pfx if takes_text => (
            "a PFX is no text, and this takes nothing else",
            "`format: pfx-base64` is the same on one line of text",
        ),
        _ => return,
    };
    let error = resolver.error(Code::WrongValue, place("format"), message);
    error.help.push(help.into());
}

fn parts(resolver: &mut Resolver<'_>, written: &grammar::Delivery, site: &Site<'_>) -> Option<Parts> {
    match written {
        grammar::Delivery::GithubActions { .. } => github(resolver, written, site),
        grammar::Delivery::GitlabCi { .. } => gitlab(resolver, written, site),
        grammar::Delivery::AzureDevops {
            organization,
            project,
            variable_group,
            variable,
            format,
            profile,
            password,
            password_secret,
            ..
        } => {
            let group = format!("{organization} {project} {variable_group}");
            let at = |name: &str| format!("azure_devops {group} {name}").to_lowercase();
            Some(Parts {
                kind: "azure_devops",
                slot: format!("azure_devops {group} {variable}"),
                // The readable variable beside it is certroll's too.
                places: [Some(variable), password_secret.as_ref(), Some(&format!("{variable}_THUMBPRINT"))]
                    .into_iter()
                    .flatten()
                    .map(|name| at(name))
                    .collect(),
                password_place: None,
                form: form_of(Some(*format), profile, password),
                default: Format::Pem,
                password_slot: slot(password_secret),
                connects: true,
            })
        }
        grammar::Delivery::Kubernetes { .. } => Some(kubernetes(resolver, written, site)),
        grammar::Delivery::File { directory, name, format, profile, password, password_secret, .. } => {
            let folder = resolver.path(site.file, directory, site.place("directory"))?;
            let name = name.clone().unwrap_or_else(|| site.certificate.to_string());
            check_file_name(resolver, &name, site.place("name"));
            if let Some(password) = password_secret {
                check_file_name(resolver, password, site.place("password_secret"));
            }
            let at = |name: &str| file_place(&folder.canonical, name);
            // Whatever the form is: it may change, and what was written in the old one is then removed.
            let files = ENDINGS.iter().map(|ending| at(&format!("{name}.{ending}")));
            Some(Parts {
                kind: "file",
                slot: format!("file {directory}/{name}"),
                places: [at(&name)].into_iter().chain(files).collect(),
                password_place: password_secret.as_deref().map(at),
                form: form_of(*format, profile, password),
                default: Format::Pem,
                password_slot: beside(password_secret),
                connects: false,
            })
        }
        grammar::Delivery::Exec { command, format, profile, password, password_secret, .. } => {
            // The arguments may name a place nobody else should read about; their digest tells commands apart.
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, command.join("\0").as_bytes());
            let short: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            let program = command.first().map(String::as_str).unwrap_or_default();
            let slot_name = format!("exec {program} {short} for {}", site.certificate);
            Some(Parts {
                kind: "exec",
                places: vec![slot_name.clone()],
                slot: slot_name,
                password_place: None,
                form: form_of(Some(*format), profile, password),
                default: Format::Pem,
                password_slot: slot(password_secret),
                connects: false,
            })
        }
    }
}

fn github(resolver: &mut Resolver<'_>, written: &grammar::Delivery, site: &Site<'_>) -> Option<Parts> {
    let grammar::Delivery::GithubActions {
        repository,
        organization,
        environment,
        secret,
        variable,
        format,
        profile,
        password,
        password_secret,
        connection,
    } = written
    else {
        return None;
    };
    let holder = one_of_two(resolver, site, ("repository", repository), ("organization", organization))?;
    let is_repository = repository.is_some();
    let mut parts = holder.split('/').map(|part| !part.is_empty() && part.chars().all(is_github_char));
    let fits = parts.clone().count() == if is_repository { 2 } else { 1 } && parts.all(|fits| fits);
    if !fits {
        let message =
            if is_repository { "a repository is `owner/name`" } else { "an organization is its name" };
        let key = if is_repository { "repository" } else { "organization" };
        resolver.error(Code::WrongValue, site.place(key), message);
    }
    if environment.is_some() && !is_repository {
        let message = "`environment` does not apply to an organization";
        resolver.error(Code::NotApplicable, site.place("environment"), message);
    }
    for (key, name) in [
        ("secret", Some(secret)),
        ("variable", variable.as_ref()),
        ("password_secret", password_secret.as_ref()),
    ] {
        let Some(name) = name else { continue };
        let fits = !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.to_uppercase().starts_with("GITHUB_")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !fits {
            let message =
                "GitHub takes names of letters, digits and `_`, not beginning with a digit or GITHUB_";
            resolver.error(Code::WrongValue, site.place(key), message);
        }
    }
    let host = connection.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
    let scope = environment.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let at = |name: &str| format!("github {host}{}{scope} {}", holder.to_lowercase(), name.to_uppercase());
    Some(Parts {
        kind: "github_actions",
        slot: format!("github_actions {host}{holder}{scope} {secret}"),
        places: [Some(secret), password_secret.as_ref()]
            .into_iter()
            .flatten()
            .map(|name| at(name))
            // Secrets and variables are told apart: both may have one name.
            .chain(variable.as_ref().map(|name| format!("{} (variable)", at(name))))
            .collect(),
        password_place: None,
        form: form_of(Some(*format), profile, password),
        default: Format::Pem,
        password_slot: slot(password_secret),
        connects: true,
    })
}

fn is_github_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn gitlab(resolver: &mut Resolver<'_>, written: &grammar::Delivery, site: &Site<'_>) -> Option<Parts> {
    let grammar::Delivery::GitlabCi {
        project,
        group,
        variable,
        environment_scope,
        variable_type: _,
        format,
        profile,
        password,
        password_secret,
        connection,
    } = written
    else {
        return None;
    };
    let holder = one_of_two(resolver, site, ("project", project), ("group", group))?;
    let level = if project.is_some() { "project" } else { "group" };
    let host = connection.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
    let scope = environment_scope.as_deref().unwrap_or("*");
    let at = |name: &str| format!("gitlab {host}{level} {} {scope} {name}", holder.to_lowercase());
    Some(Parts {
        kind: "gitlab_ci",
        slot: format!("gitlab_ci {host}{holder} {scope} {variable}"),
        places: [Some(variable), password_secret.as_ref()]
            .into_iter()
            .flatten()
            .map(|name| at(name))
            .collect(),
        password_place: None,
        form: form_of(Some(*format), profile, password),
        default: Format::Pem,
        password_slot: slot(password_secret),
        connects: true,
    })
}

fn kubernetes(resolver: &mut Resolver<'_>, written: &grammar::Delivery, site: &Site<'_>) -> Parts {
    let mut parts = Parts {
        kind: "kubernetes",
        slot: String::new(),
        places: Vec::new(),
        password_place: None,
        form: WrittenForm::default(),
        default: Format::Pem,
        password_slot: PasswordSlot::Implied,
        connects: true,
    };
    if let grammar::Delivery::Kubernetes {
        namespace,
        context,
        name,
        secret_type,
        format,
        profile,
        password,
        password_secret,
        connection,
    } = written
    {
        let name = name.clone().unwrap_or_else(|| site.certificate.to_string());
        let connection = connection.as_ref().map(Name::to_string).unwrap_or_default();
        let tls = *secret_type == Some(grammar::SecretType::Tls);
        if tls && format.is_some_and(|format| format != KeyFormat::PemPair) {
            resolver.error(Code::Conflict, site.place("format"), "a Secret of type tls holds a pem-pair");
        }
        if let Some(field) = password_secret.as_ref().filter(|field| PFX_FIELDS.contains(&field.as_str())) {
            let message = format!("the password cannot go to {field:?}: the PFX is written there");
            resolver.error(Code::Conflict, site.place("password_secret"), message);
        }
        let cluster = [connection.as_str(), context.as_deref().unwrap_or_default()].join(" ");
        parts.slot = format!("kubernetes {} {namespace}/{name}", cluster.trim());
        parts.places = vec![kubernetes_place(&connection, context.as_deref(), namespace, &name)];
        parts.form = form_of(*format, profile, password);
        parts.default = if tls { Format::PemPair } else { Format::Pem };
        parts.password_slot = beside(password_secret);
    }
    parts
}

fn slot(password_secret: &Option<String>) -> PasswordSlot {
    if password_secret.is_some() { PasswordSlot::Given } else { PasswordSlot::Missing }
}

fn beside(password_secret: &Option<String>) -> PasswordSlot {
    if password_secret.is_some() { PasswordSlot::Given } else { PasswordSlot::Implied }
}

fn form_of(
    format: Option<KeyFormat>,
    profile: &Option<PfxProfile>,
    password: &Option<PasswordChoice>,
) -> WrittenForm {
    WrittenForm { format, profile: *profile, password: password.clone() }
}

fn one_of_two(
    resolver: &mut Resolver<'_>,
    site: &Site<'_>,
    (first, a): (&str, &Option<String>),
    (second, b): (&str, &Option<String>),
) -> Option<String> {
    match (a, b) {
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (Some(_), Some(_)) => {
            let message = format!("`{first}` and `{second}` exclude each other");
            resolver.error(Code::Conflict, site.place(second), message);
            None
        }
        (None, None) => {
            let message = format!("the delivery needs `{first}` or `{second}`");
            resolver.error(Code::MissingKey, site.place("kind"), message);
            None
        }
    }
}

fn check_file_name(resolver: &mut Resolver<'_>, name: &str, place: Place) {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.starts_with('.') || !name.chars().all(safe) {
        let message = format!(
            "a file cannot be named {name:?}: letters, digits, `-`, `_` and `.`, not beginning with `.`"
        );
        resolver.error(Code::WrongValue, place, message);
    }
}
