//! What a certificate's consumer says of it: whether a person confirms, how the key is handed over, in which forms it is taken.

use super::Resolver;
use super::certificate::Scope;
use crate::consumer::Entry;
use crate::desired::{Consumer, Format};
use crate::diagnostic::Code;
use crate::ids::Name;

/// The entry of the catalogue that the certificate names.
pub(super) fn find(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>) -> Option<Entry> {
    let name = scope.value.consumer.as_ref()?;
    if let Some(entry) = resolver.catalogue.get(name) {
        return Some(entry.clone());
    }
    if !resolver.written.consumers.broken.contains(name) {
        let known: Vec<String> = resolver.catalogue.names().map(Name::to_string).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        resolver.no_such("consumer", name.as_str(), &known, scope.place(&["consumer"]));
    }
    None
}

/// What the rest of certroll needs to know of it.
pub(super) fn meaning(name: &Name, entry: Entry) -> Consumer {
    Consumer { name: name.clone(), title: entry.title, handoff: entry.handoff }
}

/// Warns when neither the store nor a delivery has the key in a form that the product takes. It may still be converted on the way, so
/// this is no error.
pub(super) fn warn_unless_one_fits(
    resolver: &mut Resolver<'_>,
    scope: &Scope<'_, '_>,
    entry: &Entry,
    forms: impl Iterator<Item = Format>,
) {
    let forms: Vec<Format> = forms.collect();
    if entry.formats.is_empty() || forms.iter().any(|form| entry.formats.contains(form)) {
        return;
    }
    let words = |formats: &[Format]| {
        let mut words: Vec<&str> = formats.iter().map(|format| format.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        words.join(", ")
    };
    let takes = words(&entry.formats);
    let message = format!("{} takes {takes}, and what it is given is {}", entry.title, words(&forms));
    let warning = resolver.warning(Code::Advice, scope.place(&["consumer"]), message);
    // Some products take a certificate alone: their key is made elsewhere.
    warning.help.push(match entry.formats.iter().find(|format| **format != Format::Cer) {
        Some(format) => {
            format!("write `format: {}` under `store`, or deliver it in that form", format.as_str())
        }
        None => "its key is made by its provider: name `issuer: { kind: external_public_key, files: [ … ] }`"
            .to_owned(),
    });
}
