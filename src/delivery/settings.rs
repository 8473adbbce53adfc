//! What a declaration says of a delivery place, typed; and the form it is written in.

use zeroize::Zeroizing;

use super::DeliveryError;
use crate::desired::{Delivery, Password};
use crate::edges::{Trouble, TroubleKind};
use crate::form::{RenderedFile, render};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};

/// A gerund and the place's name.
pub(super) fn doing(delivery: &Delivery) -> String {
    format!("delivering to {}", delivery.slot)
}

/// The text of a key, if it is given.
pub(super) fn text(delivery: &Delivery, key: &str) -> Option<String> {
    delivery.settings.get(key)?.as_str().map(str::to_owned)
}

/// The text of a key that must be given. The grammar has seen to that.
pub(super) fn needed(delivery: &Delivery, key: &str) -> Result<String, Trouble> {
    text(delivery, key).ok_or_else(|| misfit(delivery, &format!("`{key}` is not declared")))
}

/// A list of texts.
pub(super) fn list(delivery: &Delivery, key: &str) -> Option<Vec<String>> {
    let items = delivery.settings.get(key)?.as_array()?;
    items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// An id that may be written as a number.
#[cfg(feature = "ci-deliveries")]
pub(super) fn text_or_number(delivery: &Delivery, key: &str) -> Option<String> {
    use serde_json::Value;
    match delivery.settings.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn misfit(delivery: &Delivery, reason: &str) -> Trouble {
    Trouble::new(TroubleKind::Internal, doing(delivery), reason)
}

/// The files of the delivery's form.
pub(super) fn files(
    delivery: &Delivery,
    key: &PrivateKey,
    issued: &Issued,
    password: Option<&Secret>,
    stem: &str,
) -> Result<Vec<RenderedFile>, DeliveryError> {
    let rendered = render(&delivery.form, key, issued, password, stem);
    rendered.map_err(|error| Trouble::new(TroubleKind::Refused, doing(delivery), error.to_string()).into())
}

/// The one content of the delivery's form, for places that take one.
pub(super) fn content(
    delivery: &Delivery,
    key: &PrivateKey,
    issued: &Issued,
    password: Option<&Secret>,
    stem: &str,
) -> Result<Zeroizing<Vec<u8>>, DeliveryError> {
    let mut files = files(delivery, key, issued, password, stem)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file.contents),
        _ => Err(misfit(delivery, "the form has several files and the place takes one").into()),
    }
}

/// The password that goes beside the form: one that a consumer cannot know otherwise, or that the file gives a place.
pub(super) fn password_beside<'p>(
    delivery: &Delivery,
    password: Option<&'p Secret>,
    has_place: bool,
) -> Option<&'p Secret> {
    password.filter(|_| has_place || delivery.form.password == Password::Generate)
}
