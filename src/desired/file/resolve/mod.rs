//! From the declaration as written to what it means: names become what they name, values are inherited, and what
//! cannot hold together is reported. Every mistake is reported; what cannot be resolved is left out and costs only itself.

mod certificate;
mod consumer;
mod delivery;
mod form;
mod history;
mod issuer;
mod named;
mod placeholder;
mod places;
mod store;
mod tenant;
mod timing;
mod vault_signs;

use std::collections::BTreeMap;

use super::collect::File;
use super::nearest;
use super::sources::{Contained, PathError, Sources, contained};
use super::tree::NodeRef;
use super::written::{Globals, Item, Written, WrittenCertificate};
use super::{rule, tree};
use crate::backends::{Backends, Part};
use crate::consumer::{BUILT_IN, Catalogue, Entry};
use crate::desired::{Desired, Freeze, Issuer, Store, Tenant};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::ids::{Address, Name};

/// What resolving needs to see and collects on the way.
struct Resolver<'a> {
    sources: &'a dyn Sources,
    backends: &'a Backends,
    written: &'a Written<'a>,
    found: &'a mut Vec<Diagnostic>,
    catalogue: Catalogue,
    tenants: BTreeMap<Name, Tenant>,
    tenant_freezes: BTreeMap<Name, Vec<Freeze>>,
    stores: BTreeMap<Name, Store>,
    /// Folders of file stores without symbolic links, to tell whether two places are one.
    store_folders: BTreeMap<Name, std::path::PathBuf>,
    /// Issuers by where they are written, so that one in `defaults` is read once.
    issuers: BTreeMap<(String, usize), Option<Issuer>>,
    places: places::Places,
    named: named::Named,
    /// What was found of periods, by their texts: comparing them is costly, and most certificates share theirs.
    timings: BTreeMap<String, Vec<timing::Finding>>,
    /// How often another name may still be looked for: each time costs as much as there are names.
    suggestions_left: u32,
}

/// Resolves everything. `None` when there is no owner to declare anything.
pub(super) fn resolve<'a>(
    sources: &'a dyn Sources,
    backends: &'a Backends,
    mut written: Written<'a>,
    found: &'a mut Vec<Diagnostic>,
) -> Option<Desired> {
    let certificates = std::mem::take(&mut written.certificates);
    let catalogue = catalogue(&written, found);
    let mut resolver = Resolver {
        sources,
        backends,
        written: &written,
        found,
        catalogue,
        tenants: BTreeMap::new(),
        tenant_freezes: BTreeMap::new(),
        stores: BTreeMap::new(),
        store_folders: BTreeMap::new(),
        issuers: BTreeMap::new(),
        places: places::Places::default(),
        named: named::Named::new(),
        timings: BTreeMap::new(),
        suggestions_left: 200,
    };
    resolver.required_globals();
    written.defaults.iter().for_each(|defaults| certificate::check_defaults(&mut resolver, defaults));
    tenant::resolve(&mut resolver);
    store::resolve(&mut resolver);
    issuer::resolve(&mut resolver);
    let declared = resolver.certificates(certificates);
    let history = history::resolve(&mut resolver, &declared);
    let owner = written.owner.as_ref()?.value.clone();
    let Resolver { tenants, stores, .. } = resolver;
    let certificates = declared.into_iter().filter_map(|(address, (_, one))| Some((address, one?))).collect();
    Some(Desired {
        owner,
        tenants,
        stores,
        certificates,
        moved: history.moved,
        removed: history.removed,
        acknowledgements: history.acknowledgements,
    })
}

/// Certificates by address: where each is declared, and what it means if that could be worked out.
type DeclaredAt = BTreeMap<Address, (Place, Option<crate::desired::Declared>)>;

impl<'a> Resolver<'a> {
    fn error(&mut self, code: Code, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::error(code, place, message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn warning(&mut self, code: Code, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::warning(code, place, message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn required_globals(&mut self) {
        let first = self.written.files.first().filter(|_| !self.written.incomplete);
        let Some(top) = first.and_then(top_of) else { return };
        if self.written.owner.is_none() && !self.written.owner_is_broken {
            let error = self.error(Code::MissingKey, top.clone(), "no file declares an `owner`");
            error.help.push("write `owner: my-team`; it marks every credential certroll makes".into());
        }
        let names_one = |file: &File| file.root()?.get("tenants")?.entries().next().map(drop);
        if self.written.files.iter().find_map(names_one).is_none() {
            let error = self.error(Code::MissingKey, top, "no file declares a tenant");
            error.help.push("write `tenants:` with the name, id and cloud of at least one".into());
        }
    }

    fn certificates(&mut self, written: Vec<WrittenCertificate<'a>>) -> DeclaredAt {
        let mut declared = DeclaredAt::new();
        for one in &written {
            let place = one.item.place();
            let scope = certificate::Scope::new(one);
            let tenant = certificate::tenant(self, &scope);
            let address =
                tenant.as_ref().map(|tenant| Address { tenant: tenant.clone(), name: one.name.clone() });
            let Some(address) = address else {
                // Its other mistakes are worth knowing all the same.
                certificate::meaning(self, &scope, None);
                continue;
            };
            if let Some((first, _)) = declared.get(&address) {
                let message = format!("certificate `{address}` is declared twice");
                let error = Diagnostic::error(Code::Duplicate, place, message);
                self.found.push(error.label(first.clone(), "first here"));
                continue;
            }
            let meaning = certificate::meaning(self, &scope, Some(&address));
            declared.insert(address, (place, meaning));
        }
        declared
    }

    /// Looks a name up; if nothing has it, that is reported. `None` too when what has it is itself mistaken.
    fn refer<'g, T>(
        &mut self,
        what: &str,
        globals: &'g Globals<'a, T>,
        name: &Name,
        place: impl FnOnce() -> Place,
    ) -> Option<&'g Item<'a, T>> {
        let item = globals.items.get(name);
        if item.is_none() && !globals.broken.contains(name) && !self.written.incomplete {
            let known: Vec<&str> = globals.names().map(Name::as_str).collect();
            self.no_such(what, name.as_str(), &known, place());
        }
        item
    }

    fn no_such(&mut self, what: &str, name: &str, known: &[&str], place: Place) {
        if self.written.incomplete {
            return;
        }
        let help = match (self.near(name, known), known) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => format!("no {what} is declared"),
            (None, known) if known.len() <= 12 => format!("known {what}s: {}", known.join(", ")),
            (None, known) => format!("{} {what}s have other names", known.len()),
        };
        let error = self.error(Code::Reference, place, format!("there is no {what} `{name}`"));
        error.help.push(help);
    }

    fn near(&mut self, name: &str, known: &[&str]) -> Option<String> {
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        nearest(name, known.iter().copied()).map(str::to_owned)
    }

    /// Refuses a kind this version has no back end for, at the kind's own place.
    fn uses(&mut self, part: Part, kind: &str, place: Place) {
        if let Some(message) = self.backends.refuse_kind(part, kind) {
            self.error(Code::NotInThisVersion, place, message);
        }
    }

    fn uses_connection(&mut self, place: Place) {
        if let Some(message) = self.backends.refuse_connection() {
            self.error(Code::NotInThisVersion, place, message);
        }
    }

    /// A path below the folder of the file that names it; anything else is reported.
    fn path(&mut self, file: &File, text: &str, place: Place) -> Option<Contained> {
        match contained(self.sources, &file.source.folder, text) {
            Ok(contained) => Some(contained),
            Err(problem) => {
                let code = match problem {
                    PathError::Source(_) => Code::Unreadable,
                    _ => Code::Path,
                };
                self.error(code, place, problem.to_string());
                None
            }
        }
    }
}

fn top_of(file: &File) -> Option<Place> {
    let (key, _) = file.root()?.entry("certroll")?;
    Some(file.source.place(key.span()))
}

/// The kind's own place in a map that has one.
fn kind_place(file: &File, node: NodeRef<'_>, otherwise: Place) -> Place {
    node.get("kind").map_or(otherwise, |kind| file.source.place(kind.span()))
}

/// The built-in consumers and the declared ones. A declared one replaces a built-in one, so that a later version can
/// add products without breaking anybody's file.
fn catalogue(written: &Written<'_>, found: &mut Vec<Diagnostic>) -> Catalogue {
    let mut entries = Vec::new();
    for (name, text) in BUILT_IN {
        match built_in(text).and_then(|entry| Ok((name.parse().map_err(|e| format!("{e}"))?, entry))) {
            Ok(entry) => entries.push(entry),
            Err(problem) => {
                let place = Place::file(format!("built-in consumer {name}"));
                found.push(Diagnostic::error(Code::Syntax, place, problem));
            }
        }
    }
    let declared = written.consumers.items.iter().map(|(name, item)| (name.clone(), item.value.clone()));
    Catalogue::new(entries.into_iter().chain(declared))
}

/// Reads one built-in consumer with the rules of declared ones.
fn built_in(text: &str) -> Result<Entry, String> {
    let parsed = tree::parse(text);
    let root = parsed.tree.documents().next().filter(|_| parsed.broken.is_none()).ok_or("is not YAML")?;
    let source = super::text::SourceFile::new(String::new(), std::path::Path::new(""), text.to_owned());
    let mut checker = super::check::Checker::new(&source);
    checker.check(&*rule::consumer()?, super::check::At { name: "consumer", key: None, node: root });
    match checker.found.first() {
        Some(problem) => Err(problem.message.clone()),
        None => serde_json::from_value(root.to_json()).map_err(|error| error.to_string()),
    }
}
