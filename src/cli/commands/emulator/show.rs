//! `emulator show`: the directory for a person to read.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

/// The directory for a person to read. Names are escaped: they can hold anything.
pub(super) fn directory_text(shown: &Value) -> String {
    let frozen = if shown["frozen"] == true { ", standing still" } else { "" };
    let now = shown["now"].as_str().unwrap_or_default();
    let now =
        now.parse::<Timestamp>().map_or(now.to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let mut text = format!("It is {now}{frozen}.\n");
    for tenant in shown["tenants"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "\ntenant {}", tenant["tenant"].as_str().unwrap_or_default());
        for (member, noun) in [("applications", "application"), ("servicePrincipals", "service principal")] {
            let mut objects: Vec<&Value> = tenant[member].as_array().into_iter().flatten().collect();
            objects.sort_by_key(|object| (object["displayName"].as_str(), object["appId"].as_str()));
            for object in objects {
                object_text(&mut text, noun, object);
            }
        }
    }
    text
}

fn object_text(text: &mut String, noun: &str, object: &Value) {
    let keys: &[Value] = object["keyCredentials"].as_array().map_or(&[], Vec::as_slice);
    // Service principals are worth a line only when they carry something.
    if noun != "application" && keys.is_empty() {
        return;
    }
    let name = object["displayName"].as_str().unwrap_or_default();
    let _ = writeln!(text, "  {noun} {name:?}, app id {}", object["appId"].as_str().unwrap_or_default());
    for key in keys {
        let member = |name: &str| key[name].as_str().unwrap_or_default();
        let name = member("displayName");
        let day = |text: &str| text.get(..10).unwrap_or(text).to_owned();
        let (start, end) = (day(member("startDateTime")), day(member("endDateTime")));
        let _ = writeln!(text, "    {} {name:?}, {start} to {end}, {}", thumbprint(key), member("usage"));
    }
}

/// The SHA-1 thumbprint where the entry has it in the usual form, else the key id.
fn thumbprint(key: &Value) -> String {
    let bytes = key["customKeyIdentifier"].as_str().and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) if bytes.len() == 20 => bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        }),
        _ => key["keyId"].as_str().unwrap_or("(no id)").to_owned(),
    }
}
