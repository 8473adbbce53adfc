//! What is no longer, or was once: `moved`, `removed`, `acknowledgements`.

use std::collections::BTreeMap;

use super::super::grammar::Target;
use super::certificate;
use super::{DeclaredAt, Resolver};
use crate::desired::{Acknowledgement, Moved, Removed};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::ids::{Address, TargetKind};

/// The lists as meant.
pub(super) struct History {
    pub(super) moved: Vec<Moved>,
    pub(super) removed: Vec<Removed>,
    pub(super) acknowledgements: Vec<Acknowledgement>,
}

pub(super) fn resolve(resolver: &mut Resolver<'_>, declared: &DeclaredAt) -> History {
    let (mut gone, mut removed_ones) = (BTreeMap::new(), BTreeMap::new());
    History {
        moved: moved(resolver, declared, &mut gone),
        // Moved and removed is not twice: after a move to another object, what stays on the former one is removed.
        removed: removed(resolver, declared, &mut removed_ones),
        acknowledgements: {
            gone.extend(removed_ones);
            acknowledgements(resolver, declared, &gone)
        },
    }
}

/// Addresses that are no longer declared, and where the file says so.
type Gone = BTreeMap<Address, Place>;

impl Resolver<'_> {
    /// Whether a certificate of that name was declared but is mistaken, so that nothing can be said of its address.
    fn may_be_declared(&self, address: &Address) -> bool {
        self.written.broken_certificates.contains(&address.name)
            || self.written.tenants.broken.contains(&address.tenant)
    }

    /// Marks an address as gone; it may not be declared, and go only once.
    fn goes(&mut self, address: &Address, place: Place, declared: &DeclaredAt, gone: &mut Gone) -> bool {
        let conflict = match (declared.get(address), gone.get(address)) {
            (Some((still, _)), _) => {
                Some((format!("`{address}` is still declared"), still.clone(), "declared here"))
            }
            (None, Some(first)) => {
                Some((format!("`{address}` is moved twice or removed twice"), first.clone(), "first here"))
            }
            (None, None) => None,
        };
        if let Some((message, other, label)) = conflict {
            self.found.push(Diagnostic::error(Code::Conflict, place, message).label(other, label));
            return false;
        }
        gone.insert(address.clone(), place);
        true
    }

    fn not_declared(&mut self, address: &Address, declared: &DeclaredAt) -> Option<String> {
        if declared.contains_key(address) || self.may_be_declared(address) || self.written.incomplete {
            return None;
        }
        let known: Vec<String> = declared.keys().map(Address::to_string).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = self.near(&address.to_string(), &known);
        Some(
            near.map_or_else(
                || "addresses are tenant/name".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ),
        )
    }
}

/// The moves, each with the declared address it leads to in the end: `a → b` and `b → c` mean that `c` was `a` once.
fn moved(resolver: &mut Resolver<'_>, declared: &DeclaredAt, gone: &mut Gone) -> Vec<Moved> {
    let written = resolver.written;
    let mut reached: BTreeMap<&Address, Place> = BTreeMap::new();
    let mut told = Vec::new();
    for item in &written.moved {
        let (from, to) = (&item.value.from, &item.value.to);
        if !resolver.goes(from, item.place_of(&["from"]), declared, gone) {
            continue;
        }
        let place = item.place_of(&["to"]);
        if from.tenant != to.tenant {
            let message =
                format!("`{from}` and `{to}` are of different tenants, and nothing moves between tenants");
            let error = resolver.error(Code::Conflict, place, message);
            error.help.push(
                "what is declared in the other tenant is made anew; `removed:` takes the former one off"
                    .into(),
            );
            continue;
        }
        if let Some(first) = reached.get(to) {
            let message = format!("two certificates move to `{to}`");
            let error = Diagnostic::error(Code::Conflict, place, message);
            resolver.found.push(error.label(first.clone(), "first here"));
            continue;
        }
        reached.insert(to, place);
        told.push(item);
    }
    let next: BTreeMap<&Address, &Address> =
        told.iter().map(|item| (&item.value.from, &item.value.to)).collect();
    let mut moved = Vec::new();
    for item in told {
        let (from, to) = (&item.value.from, &item.value.to);
        match end_of(to, &next) {
            None => {
                let message = format!("`{from}` moves in a circle");
                let error = resolver.error(Code::Conflict, item.place_of(&["to"]), message);
                error.help.push("let the last move end at the name that is declared".into());
            }
            Some(end) => match resolver.not_declared(end, declared) {
                // Told once, where the last move of the chain stands.
                Some(_) if end != to => {}
                Some(help) => {
                    let message = format!("`{to}`, where `{from}` moves to, is not declared");
                    resolver.error(Code::Reference, item.place_of(&["to"]), message).help.push(help);
                }
                None => moved.push(Moved { from: from.clone(), to: end.clone(), origin: item.origin() }),
            },
        }
    }
    moved
}

/// Where the moves lead in the end; nowhere if they go in a circle.
fn end_of<'a>(to: &'a Address, next: &BTreeMap<&'a Address, &'a Address>) -> Option<&'a Address> {
    let mut end = to;
    // Each address is left once at most, so a longer way is a circle.
    for _ in 0..=next.len() {
        match next.get(end) {
            Some(further) => end = further,
            None => return Some(end),
        }
    }
    None
}

fn removed(resolver: &mut Resolver<'_>, declared: &DeclaredAt, gone: &mut Gone) -> Vec<Removed> {
    let mut removed = Vec::new();
    for item in &resolver.written.removed {
        let address = &item.value.address;
        let (kind, selector) = match &item.value.target {
            Target::Application(selector) => (TargetKind::Application, selector),
            Target::ServicePrincipal(selector) => (TargetKind::ServicePrincipal, selector),
        };
        let tenants = &resolver.written.tenants;
        let place = || item.place_of(&["address"]);
        let known = resolver.refer("tenant", tenants, &address.tenant, place).is_some();
        let fresh = resolver.goes(address, place(), declared, gone);
        let word = if kind == TargetKind::Application { "application" } else { "service_principal" };
        let target_place = || {
            let value = item.node.get("target").and_then(|target| target.get(word)).unwrap_or(item.node);
            certificate::selector_place(item.file, value)
        };
        let emulated = resolver.is_emulated(&address.tenant);
        let target = certificate::selector(resolver, kind, selector, emulated, &target_place);
        if let (true, true, Some(target)) = (known, fresh, target) {
            removed.push(Removed {
                address: address.clone(),
                target,
                retire: item.value.retire,
                origin: item.origin(),
            });
        }
    }
    removed
}

fn acknowledgements(resolver: &mut Resolver<'_>, declared: &DeclaredAt, gone: &Gone) -> Vec<Acknowledgement> {
    let mut acknowledgements = Vec::new();
    for item in &resolver.written.acknowledgements {
        let written = &item.value;
        let missing = resolver.not_declared(&written.address, declared);
        if let Some(help) = missing.filter(|_| !gone.contains_key(&written.address)) {
            // The file of acknowledgements outlives the certificates in it, so this is no mistake that stops anything.
            let message = format!("`{}`, which is acknowledged, is not declared", written.address);
            let warning = resolver.warning(Code::Reference, item.place_of(&["address"]), message);
            warning.help.push(help);
        }
        acknowledgements.push(Acknowledgement {
            address: written.address.clone(),
            thumbprint: written.thumbprint,
            by: written.by.clone(),
            at: written.at.0,
            note: written.note.clone(),
        });
    }
    acknowledgements
}
