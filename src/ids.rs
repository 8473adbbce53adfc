//! The names and identifiers everything else speaks of. Pure values: parsing, printing, comparing.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {problem}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    problem: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, text: &str, problem: &'static str) -> Self {
        InvalidId { what, text: text.chars().take(80).collect(), problem }
    }
}

/// Serialises a type through its `Display` and `FromStr`, so that each has one spelling.
macro_rules! as_text {
    ($type:ty, $pattern:expr, $description:expr) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self)
            }
        }
    };
}

/// Longest name of a tenant, store, issuer or certificate, in characters.
pub const NAME_MAX: usize = 40;
/// Longest owner, in characters. Shorter than a name: it shares 90 bytes with name and description.
pub const OWNER_MAX: usize = 20;

fn check_name(what: &'static str, text: &str, max: usize) -> Result<(), InvalidId> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() {
        Err(InvalidId::new(what, text, "is empty"))
    } else if text.len() > max {
        Err(InvalidId::new(what, text, "is too long"))
    } else if !text.chars().all(inner) {
        Err(InvalidId::new(what, text, "may hold only a-z, 0-9 and inner hyphens"))
    } else if text.starts_with('-') || text.ends_with('-') {
        Err(InvalidId::new(what, text, "may not begin or end with a hyphen"))
    } else {
        Ok(())
    }
}

/// The name of a tenant, store, issuer, consumer or certificate: `[a-z0-9]` and inner `-`, at most
/// [`NAME_MAX`] characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        check_name("name", text, NAME_MAX)?;
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

as_text!(Name, "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", "Lower-case letters, digits and inner hyphens.");

/// Who declares: part of the marker on every credential of ours, so that two teams can share a tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(String);

impl Owner {
    /// The owner as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        check_name("owner", text, OWNER_MAX)?;
        Ok(Owner(text.to_owned()))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

as_text!(Owner, "^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$", "Lower-case letters, digits and inner hyphens.");

/// The address of a certificate, `tenant/name`, for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The declared tenant's name.
    pub tenant: Name,
    /// The certificate's name.
    pub name: Name,
}

impl FromStr for Address {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let Some((tenant, name)) = text.split_once('/') else {
            return Err(InvalidId::new("address", text, "is not of the form tenant/name"));
        };
        Ok(Address { tenant: tenant.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

as_text!(Address, "^[a-z0-9-]{1,40}/[a-z0-9-]{1,40}$", "The address of a certificate: tenant/name.");

fn bytes_from_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], InvalidId> {
    let clean: Vec<u8> = text.bytes().filter(|b| !matches!(b, b':' | b' ')).collect();
    if clean.len() != 2 * N {
        return Err(InvalidId::new(what, text, "has the wrong length"));
    }
    let digit = |b: u8| (b as char).to_digit(16);
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(clean.chunks(2)) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
            _ => return Err(InvalidId::new(what, text, "is not hexadecimal")),
        }
    }
    Ok(bytes)
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
}

/// The SHA-1 of a certificate's DER: what Entra calls its thumbprint. 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1(pub [u8; 20]);

impl Sha1 {
    /// The first eight digits, for lines a person reads.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl FromStr for Sha1 {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        bytes_from_hex("SHA-1 thumbprint", text).map(Sha1)
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

as_text!(Sha1, "^[0-9A-Fa-f]{40}$", "SHA-1 of the certificate, 40 hexadecimal digits.");

/// The SHA-256 of a certificate's DER. 64 hexadecimal digits. Identifies a generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl FromStr for Sha256 {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        bytes_from_hex("SHA-256 thumbprint", text).map(Sha256)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

as_text!(Sha256, "^[0-9A-Fa-f]{64}$", "SHA-256 of the certificate, 64 hexadecimal digits.");

/// Both thumbprints of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Thumbprints {
    /// SHA-1, which Entra shows.
    pub sha1: Sha1,
    /// SHA-256, which identifies the generation.
    pub sha256: Sha256,
}

impl fmt::Display for Thumbprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sha1.fmt(f)
    }
}

/// A thumbprint as a person writes it in the file or on the command line: SHA-1 or SHA-256, colons allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thumbprint {
    /// 40 hexadecimal digits.
    Sha1(Sha1),
    /// 64 hexadecimal digits.
    Sha256(Sha256),
}

impl Thumbprint {
    /// Whether this names that certificate.
    pub fn names(&self, thumbprints: &Thumbprints) -> bool {
        match self {
            Thumbprint::Sha1(sha1) => *sha1 == thumbprints.sha1,
            Thumbprint::Sha256(sha256) => *sha256 == thumbprints.sha256,
        }
    }

    /// Whether this names a certificate of which only the SHA-1 is known.
    pub fn names_sha1(&self, sha1: &Sha1) -> bool {
        matches!(self, Thumbprint::Sha1(own) if own == sha1)
    }
}

impl FromStr for Thumbprint {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.bytes().filter(|b| !matches!(b, b':' | b' ')).count();
        match digits {
            40 => text.parse().map(Thumbprint::Sha1),
            64 => text.parse().map(Thumbprint::Sha256),
            _ => Err(InvalidId::new(
                "thumbprint",
                text,
                "must have 40 (SHA-1) or 64 (SHA-256) hexadecimal digits",
            )),
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thumbprint::Sha1(sha1) => sha1.fmt(f),
            Thumbprint::Sha256(sha256) => sha256.fmt(f),
        }
    }
}

as_text!(
    Thumbprint,
    "^([0-9A-Fa-f]{2}[: ]?){20}$|^([0-9A-Fa-f]{2}[: ]?){32}$",
    "SHA-1 or SHA-256 of the certificate in hexadecimal."
);

/// The `keyId` of a credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Uuid);

impl KeyId {
    /// The one key id a certificate of ours can have on a target. Derived, so that the same credential is
    /// published under the same id whoever does it and however often, and a copied marker is noticed.
    ///
    /// From the SHA-1, because that is the only thumbprint Entra shows of a credential whose certificate nobody holds.
    pub fn derive(target: &TargetId, thumbprint: &Sha1) -> KeyId {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(b"certroll key id v1\0");
        context.update(target.kind.as_str().as_bytes());
        context.update(target.object_id.as_bytes());
        context.update(&thumbprint.0);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&context.finish().as_ref()[..16]);
        KeyId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text).map(KeyId).map_err(|_| InvalidId::new("key id", text, "is not a GUID"))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

as_text!(KeyId, "^[0-9a-fA-F-]{36}$", "The keyId of a credential, a GUID.");

/// What kind of Entra object carries credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// An app registration.
    Application,
    /// An enterprise application.
    ServicePrincipal,
}

impl TargetKind {
    /// The word the file and the plan use.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Application => "application",
            TargetKind::ServicePrincipal => "service_principal",
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetKind::Application => "application",
            TargetKind::ServicePrincipal => "service principal",
        })
    }
}

/// The Entra object that carries a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TargetId {
    /// Application or service principal.
    pub kind: TargetKind,
    /// Its object id in the tenant.
    pub object_id: Uuid,
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.object_id)
    }
}

/// Hash of tenant, target, owner, name, thumbprint of the predecessor and the resolved specification: the same
/// rotation, whoever runs it and however often. 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RotationId(pub [u8; 16]);

impl RotationId {
    /// Hashes the parts in order. Each is preceded by its length, so that no two lists collide.
    pub fn of(parts: &[&[u8]]) -> RotationId {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(b"certroll rotation v1\0");
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&context.finish().as_ref()[..16]);
        RotationId(bytes)
    }
}

impl FromStr for RotationId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        bytes_from_hex("rotation id", text).map(RotationId)
    }
}

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

as_text!(RotationId, "^[0-9a-f]{32}$", "Identifies one rotation: 32 hexadecimal digits.");

/// Longest credential display name Entra keeps; a longer one is silently cut (Microsoft Graph documentation,
/// keyCredential). Counted in bytes here, which is never more than Entra's characters allow.
pub const DISPLAY_NAME_MAX_BYTES: usize = 90;

/// What a credential of ours says in its display name: `certroll:OWNER/NAME · description`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    /// Whose declaration.
    pub owner: Owner,
    /// Which certificate.
    pub name: Name,
}

impl Marker {
    const PREFIX: &'static str = "certroll:";
    const SEPARATOR: &'static str = " · ";

    /// The display name for a credential. The caller has checked that it fits.
    pub fn display_name(&self, description: &str) -> String {
        format!("{}{}/{}{}{}", Self::PREFIX, self.owner, self.name, Self::SEPARATOR, description)
    }

    /// Reads the marker out of a display name; `None` when there is none. What follows the name is free text.
    pub fn parse(display_name: &str) -> Option<Marker> {
        let rest = display_name.strip_prefix(Self::PREFIX)?;
        let (owner, rest) = rest.split_once('/')?;
        let name = rest.split_once(' ').map_or(rest, |(name, _)| name);
        Some(Marker { owner: owner.parse().ok()?, name: name.parse().ok()? })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::PREFIX, self.owner, self.name)
    }
}
