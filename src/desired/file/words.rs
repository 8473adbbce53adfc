//! The texts of the grammar that are more than text: dates, times, identifiers. Each is parsed in one place, and that
//! place also words the error.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use uuid::Uuid;

use crate::desired::SECRET_VARIABLE_PREFIX;
use crate::ids::{Address, KeyId, Name, Owner, Thumbprint};
use crate::period::{Lead, Period};
use crate::subject::Subject;

/// Defines a word: a newtype read from a text, with the schema editors see.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident($type:ty), $schema_name:literal, { $($schema:tt)* }, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(super) struct $name(pub(super) $type);

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let parse: fn(&str) -> Result<$type, String> = $parse;
                parse(text).map($name)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $schema_name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", $($schema)* })
            }
        }
    };
}

word!(
    /// A GUID in its usual form.
    Guid(Uuid),
    "Guid",
    { "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", "description": "A GUID." },
    |text| guid(text).ok_or_else(|| format!("{text:?} is not a GUID such as 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d"))
);

word!(
    /// A tenant's GUID or one of its verified domains, lower case.
    TenantIdText(String),
    "TenantId",
    {
        "pattern": "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|([A-Za-z0-9-]{1,63}\\.)+[A-Za-z0-9-]{2,63})$",
        "description": "Tenant id (GUID) or a verified domain."
    },
    tenant_id
);

word!(
    /// A duration or a percentage.
    LeadText(Lead),
    "Lead",
    {
        "pattern": "^([0-9]+[hdw]|P[0-9YMWDTHS]+|[1-9][0-9]?%)$",
        "description": "A duration such as 90d or P6M, or a percentage of the certificate's life such as 20%."
    },
    |text| text.parse::<Lead>().map_err(|error| error.to_string())
);

impl Copy for PercentText {}
word!(
    /// A percentage from 0 to 100.
    PercentText(u8),
    "Percent",
    { "pattern": "^([0-9]{1,2}|100)%$", "description": "A percentage such as 20%." },
    |text| {
        let number = text.strip_suffix('%').filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|number| number.parse().ok()) {
            Some(percent @ 0..=100) => Ok(percent),
            _ => Err(format!("{text:?} is neither a count nor a percentage from 0% to 100%")),
        }
    }
);

word!(
    /// A subject that can be put into a certificate.
    SubjectText(Subject),
    "Subject",
    { "minLength": 3, "description": "An RFC 4514 name such as CN=CloudM Continuity,O=Contoso." },
    |text| text.parse::<Subject>().map_err(|error| error.to_string())
);

word!(
    /// A day.
    Day(Date),
    "Date",
    { "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "format": "date", "description": "A day, such as 2027-03-01." },
    |text| {
        let spelled = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let day = spelled.then(|| text.parse().ok()).flatten();
        day.ok_or_else(|| format!("{text:?} is not a day such as 2027-03-01"))
    }
);

word!(
    /// A moment with its offset from UTC.
    Moment(Timestamp),
    "Moment",
    { "format": "date-time", "description": "A moment (RFC 3339), such as 2027-03-01T09:30:00Z." },
    |text| {
        // jiff also takes a space for the T and bracketed zones, which RFC 3339's profile of ISO 8601 does not.
        let spelled = text.as_bytes().get(10) == Some(&b'T') && !text.contains('[');
        let moment = spelled.then(|| text.parse().ok()).flatten();
        moment.ok_or_else(|| format!("{text:?} is not a moment such as 2027-03-01T09:30:00Z"))
    }
);

word!(
    /// A time of day to the minute.
    TimeOfDay(Time),
    "TimeOfDay",
    { "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "description": "A time of day, HH:MM." },
    |text| {
        let wrong = || match text {
            "24:00" => "write midnight as 00:00; an end earlier than the start means the next day".to_owned(),
            _ => format!("{text:?} is not a time of day such as 02:00"),
        };
        let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
        let two = |digits: &str| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        let (true, true) = (two(hour), two(minute)) else { return Err(wrong()) };
        let (Ok(hour), Ok(minute)) = (hour.parse(), minute.parse()) else { return Err(wrong()) };
        Time::new(hour, minute, 0, 0).map_err(|_| wrong())
    }
);

word!(
    /// A time zone of the embedded database.
    Zone(String),
    "Zone",
    { "description": "An IANA time zone such as Europe/London, or UTC." },
    zone
);

word!(
    /// A variable that may hold a secret for certroll.
    VariableName(String),
    "SecretVariable",
    { "pattern": "^CERTROLL_SECRET_[A-Z0-9_]+$", "description": "An environment variable, CERTROLL_SECRET_ and more." },
    |text| {
        let rest = text.strip_prefix(SECRET_VARIABLE_PREFIX).unwrap_or_default();
        let fits = !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        // The text is not repeated: it may be the secret itself, put in the wrong place.
        let wrong = "`env` takes the name of a variable that begins with CERTROLL_SECRET_ (A-Z, 0-9 and _), not a value";
        if fits { Ok(text.to_owned()) } else { Err(wrong.to_owned()) }
    }
);

/// A GUID with hyphens and nothing around it.
pub(super) fn guid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

fn tenant_id(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let domain = text.contains('.') && text.len() <= 253 && text.split('.').all(label);
    if guid(text).is_some() || domain {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("{text:?} is neither a GUID nor a domain such as contoso.onmicrosoft.com"))
}

fn zone(text: &str) -> Result<String, String> {
    if let Ok(zone) = jiff::tz::TimeZone::get(text) {
        return Ok(zone.iana_name().unwrap_or(text).to_owned());
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let near = super::nearest(text, known.iter().map(String::as_str)).filter(|_| text.contains('/'));
    let hint =
        near.map_or_else(|| "such as Europe/London".to_owned(), |near| format!("did you mean {near}?"));
    Err(format!("{text:?} is not a time zone of the IANA database; {hint}"))
}

/// Says what is wrong with a text.
pub(super) type Check = fn(&str) -> Result<(), String>;

/// Longest text that is tried, in characters: no word is longer, and errors repeat it.
const WORD_CHARS_MAX: usize = 300;

/// A name, with the nearest one that would do.
fn check_name(text: &str) -> Result<(), String> {
    let lower = text.to_lowercase().replace(['_', ' ', '.'], "-");
    check::<Name>(text).map_err(|problem| match lower.parse::<Name>() {
        Ok(name) => format!("{problem}; did you mean `{name}`?"),
        Err(_) => problem,
    })
}

fn check<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    if text.chars().nth(WORD_CHARS_MAX).is_some() {
        return Err(format!("this is longer than {WORD_CHARS_MAX} characters"));
    }
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

/// How each word is checked, by the name its schema has.
static CHECKS: LazyLock<BTreeMap<String, Check>> = LazyLock::new(|| {
    fn entry<T: JsonSchema + FromStr<Err: std::fmt::Display>>() -> (String, Check) {
        (T::schema_name().into_owned(), check::<T>)
    }
    BTreeMap::from([
        (Name::schema_name().into_owned(), check_name as Check),
        entry::<Owner>(),
        entry::<Address>(),
        entry::<Thumbprint>(),
        entry::<KeyId>(),
        entry::<Period>(),
        entry::<Guid>(),
        entry::<TenantIdText>(),
        entry::<LeadText>(),
        entry::<PercentText>(),
        entry::<SubjectText>(),
        entry::<Day>(),
        entry::<Moment>(),
        entry::<TimeOfDay>(),
        entry::<Zone>(),
        entry::<VariableName>(),
    ])
});

/// How the word with that schema name is checked.
pub(super) fn check_of(schema_name: &str) -> Option<Check> {
    CHECKS.get(schema_name).copied()
}
