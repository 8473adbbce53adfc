//! The form a generation is read in: its container, and where a PFX password comes from.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form a consumer reads a generation in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The container.
    pub format: Format,
    /// Encryption of a PFX.
    pub profile: PfxProfile,
    /// Password of a PFX.
    pub password: Password,
}

impl Form {
    /// How the form is remembered in a public record. A change of it rotates. A password's source counts, never a password.
    pub fn fingerprint(&self) -> String {
        match self.format {
            Format::Pfx | Format::PfxBase64 => {
                format!("{} {} {}", self.format.as_str(), self.profile.as_str(), self.password)
            }
            _ => self.format.as_str().to_owned(),
        }
    }

    /// What of it is not the default of any store, for people: nothing for a combined PEM, `pfx` for a modern one with a password that
    /// is generated. Two forms have the same words only if they are the same.
    pub fn words(&self) -> Vec<String> {
        let Form { format, profile, password } = self;
        let mut words = Vec::new();
        if *format != Format::Pem {
            words.push(format.as_str().to_owned());
        }
        if format.is_pfx() && *profile != PfxProfile::default() {
            words.push(profile.as_str().to_owned());
        }
        if format.is_pfx() && *password != Password::Generate {
            words.push(format!("password {password}"));
        }
        words
    }
}

/// Containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Certificate and PKCS#8 key in one PEM text.
    Pem,
    /// Certificate and key in two files; can be read torn.
    PemPair,
    /// PKCS#12.
    Pfx,
    /// The combined PEM, base64 on one line.
    PemBase64,
    /// The PKCS#12, base64 on one line.
    PfxBase64,
    /// The certificate alone, DER.
    Cer,
}

impl Format {
    /// The word the file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Pem => "pem",
            Format::PemPair => "pem-pair",
            Format::Pfx => "pfx",
            Format::PemBase64 => "pem-base64",
            Format::PfxBase64 => "pfx-base64",
            Format::Cer => "cer",
        }
    }

    /// Whether the container can have a password.
    pub fn is_pfx(self) -> bool {
        matches!(self, Format::Pfx | Format::PfxBase64)
    }
}

/// Encryption profiles of a PFX, by cert-manager's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
pub enum PfxProfile {
    /// AES-256 with PBKDF2, HMAC-SHA-256.
    #[default]
    #[serde(rename = "modern2023")]
    Modern2023,
    /// Triple DES, HMAC-SHA-1, for readers that know nothing newer.
    #[serde(rename = "legacy_des")]
    LegacyDes,
}

impl PfxProfile {
    /// The word the file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            PfxProfile::Modern2023 => "modern2023",
            PfxProfile::LegacyDes => "legacy_des",
        }
    }
}

/// What every environment variable begins with that a declaration may name as the source of a secret.
pub const SECRET_VARIABLE_PREFIX: &str = "CERTROLL_SECRET_";

/// Where the password of a PFX comes from. Never the password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Password {
    /// certroll makes one of at least 128 bits and keeps it beside the PFX.
    Generate,
    /// The PFX has no password.
    None,
    /// A `CERTROLL_SECRET_*` variable.
    Env(String),
    /// A file below `--secrets-dir`.
    SecretFile(String),
}

impl Password {
    /// Whether it comes from the operator, who may have forgotten it.
    pub fn has_source(&self) -> bool {
        match self {
            Password::Env(_) | Password::SecretFile(_) => true,
            Password::Generate | Password::None => false,
        }
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::Generate => f.write_str("generate"),
            Password::None => f.write_str("none"),
            Password::Env(name) => write!(f, "env {name}"),
            Password::SecretFile(name) => write!(f, "secret_file {name}"),
        }
    }
}
