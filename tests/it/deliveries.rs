//! Further places a generation is copied to.

mod exec;
mod file;

use std::path::Path;

use certroll::desired::{Delivery, Form, Format, Origin, Password, PfxProfile};
use certroll::issuer::Issued;
use serde_json::Value;

use crate::support::contract::Rotation;
use crate::support::keys;

/// A delivery as the file would declare it, in a folder.
pub(crate) fn declared(kind: &str, settings: Value, format: Format, folder: &Path) -> Delivery {
    let password = if format.is_pfx() { Password::Generate } else { Password::None };
    Delivery {
        slot: format!("{kind} of the test"),
        kind: kind.into(),
        settings: settings.as_object().unwrap().clone().into_iter().collect(),
        form: Form { format, profile: PfxProfile::Modern2023, password },
        origin: Origin { folder: folder.to_owned(), ..Origin::default() },
    }
}

/// The certificate of the nth key of the pool.
pub(crate) async fn issued(number: usize) -> Issued {
    keys::self_signed("CN=x", Rotation::First.start(), number as u8, &keys::key(number)).await
}
