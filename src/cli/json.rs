//! The same for a program: objects on one line, with stable names.

use serde_json::{Value, json};

use crate::error::Error;

/// An error as a `diagnostic` object.
pub fn diagnostic(error: &Error) -> Value {
    let Error { kind, doing, causes, hints } = error;
    json!({
        "type": "diagnostic",
        "severity": "error",
        "kind": kind,
        "summary": doing,
        "causes": causes,
        "hints": hints,
    })
}

/// One object on one line.
pub fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// One object laid out for reading.
pub fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
