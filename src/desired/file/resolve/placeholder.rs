//! Ids that were copied out of documentation. Microsoft's and the products' samples use a few shapes again and again;
//! with one of them a plan would at best fail late.

use uuid::Uuid;

/// Why an id is not anybody's, if it is a placeholder. An emulated tenant may use every id but the empty one.
pub(super) fn id(id: &Uuid, emulated: bool) -> Option<&'static str> {
    if id.is_nil() {
        return Some("this is the empty id of samples, not a real one");
    }
    (!emulated && is_sample(id)).then_some("this is a sample id of documentation, not a real one")
}

/// Microsoft's samples repeat one digit four times, as in `00001111-aaaa-2222-bbbb-3333cccc4444`, or count up.
fn is_sample(id: &Uuid) -> bool {
    let digits = id.simple().to_string();
    let repeated = digits.as_bytes().chunks(4).all(|four| four.iter().all(|digit| *digit == four[0]));
    repeated || digits.starts_with("12345678123412341234") || digits.starts_with("0123456789ab")
}

/// Why a domain is not a tenant's, if it is a placeholder.
pub(super) fn domain(domain: &str) -> Option<&'static str> {
    let reserved = ["example.com", "example.org", "example.net"];
    let samples = ["contoso.com", "contoso.onmicrosoft.com", "fabrikam.com", "yourtenant.onmicrosoft.com"];
    let is = |known: &[&str]| known.contains(&domain);
    (is(&reserved) || is(&samples) || domain.ends_with(".example"))
        .then_some("this is a sample domain of documentation, not a real one")
}
