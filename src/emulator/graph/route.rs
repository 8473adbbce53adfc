//! Which object a path names.

use crate::emulator::world::Kind;

/// How an object is named: by its id, or by an alternate key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    Id(String),
    AppId(String),
    UniqueName(String),
}

impl Selector {
    pub(crate) fn text(&self) -> &str {
        match self {
            Selector::Id(text) | Selector::AppId(text) | Selector::UniqueName(text) => text,
        }
    }
}

/// What the first segments after the version mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Collection(Kind),
    Object(Kind, Selector, &'a [&'a str]),
    Other,
}

/// Reads `applications`, `applications/ID/…` and `applications(appId='ID')/…`.
pub(crate) fn place<'a>(segments: &'a [&'a str]) -> Place<'a> {
    let Some((first, rest)) = segments.split_first() else { return Place::Other };
    let (name, key) = match first.split_once('(') {
        Some((name, key)) => (name, key.strip_suffix(')')),
        None => (*first, None),
    };
    let kind = match name {
        "applications" => Kind::Application,
        "servicePrincipals" => Kind::ServicePrincipal,
        _ => return Place::Other,
    };
    if first.contains('(') {
        return match key.and_then(|key| alternate(kind, key)) {
            Some(selector) => Place::Object(kind, selector, rest),
            None => Place::Other,
        };
    }
    match rest.split_first() {
        None => Place::Collection(kind),
        Some((id, rest)) => Place::Object(kind, Selector::Id((*id).to_owned()), rest),
    }
}

fn alternate(kind: Kind, key: &str) -> Option<Selector> {
    let unquoted = |text: &str| {
        let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        Some(inner.replace("''", "'"))
    };
    match key.split_once('=') {
        None => unquoted(key).map(Selector::Id),
        Some((name, value)) => match (name.trim(), kind) {
            ("appId", _) => unquoted(value).map(Selector::AppId),
            ("uniqueName", Kind::Application) => unquoted(value).map(Selector::UniqueName),
            ("id", _) => unquoted(value).map(Selector::Id),
            _ => None,
        },
    }
}
