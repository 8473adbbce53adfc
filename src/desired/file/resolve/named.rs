//! The live credentials a certificate names: taken over, or never to be used again. A credential belongs to one certificate of
//! its object, so no other may name it too.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::super::grammar::{Adopt as Written, KeyPlace};
use super::Resolver;
use super::certificate::Scope;
use crate::desired::{Adopt, TargetSelector};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::ids::{Address, Name, Thumbprint};

/// Every credential named so far: by tenant, object as it is selected, and thumbprint.
pub(super) type Named = BTreeMap<(Name, TargetSelector, Thumbprint), (Address, Place)>;

/// Checks what `adopt` and `revoked` name, and gives what is taken over.
pub(super) fn thumbprints(
    resolver: &mut Resolver<'_>,
    scope: &Scope<'_, '_>,
    address: Option<&Address>,
    target: Option<&TargetSelector>,
) -> Vec<Adopt> {
    let adopted: Vec<Adopt> = scope.value.adopt.iter().flatten().map(adopt).collect();
    let revoked = scope.value.revoked.as_deref().unwrap_or_default();
    // What is revoked is never offered, so it cannot be taken over either.
    for one in adopted.iter().filter(|one| revoked.contains(&one.thumbprint)) {
        let message = format!("{} is both adopted and revoked", one.thumbprint);
        let error = Diagnostic::error(Code::Conflict, scope.place(&["adopt"]), message);
        resolver.found.push(error.label(scope.place(&["revoked"]), "revoked here"));
    }
    if let (Some(address), Some(target)) = (address, target) {
        for one in &adopted {
            take(resolver, address, target, one.thumbprint, || scope.place(&["adopt"]));
        }
        for thumbprint in revoked {
            take(resolver, address, target, *thumbprint, || scope.place(&["revoked"]));
        }
    }
    adopted
}

fn take(
    resolver: &mut Resolver<'_>,
    address: &Address,
    target: &TargetSelector,
    thumbprint: Thumbprint,
    place: impl Fn() -> Place,
) {
    match resolver.named.entry((address.tenant.clone(), target.clone(), thumbprint)) {
        Entry::Vacant(free) => {
            free.insert((address.clone(), place()));
        }
        Entry::Occupied(taken) if taken.get().0 != *address => {
            let (other, first) = taken.get();
            let message = format!("`{other}` and `{address}` both name {thumbprint} of the {target}");
            let error =
                Diagnostic::error(Code::Conflict, place(), message).label(first.clone(), "named here");
            resolver.found.push(error.help("name it at the certificate whose consumer holds its key"));
        }
        Entry::Occupied(_) => {}
    }
}

fn adopt(written: &Written) -> Adopt {
    match written {
        Written::Thumbprint(thumbprint) => Adopt { thumbprint: *thumbprint, key_elsewhere: false },
        Written::More(more) => {
            Adopt { thumbprint: more.thumbprint, key_elsewhere: more.key == Some(KeyPlace::Elsewhere) }
        }
    }
}
