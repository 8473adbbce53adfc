//! Distinguished names as the file writes them: RFC 4514 text such as `CN=CloudM Continuity,O=Contoso`.
//!
//! Only what can be put into a certificate exactly as written is a [`Subject`]: one attribute to a part, one value of
//! each type. Names read out of other people's certificates are looser and are kept as text
//! ([`crate::certificate::Certificate::subject`]), spelled with the same functions, so that equal names are equal texts.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a subject certroll can make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a subject: {problem}")]
pub struct InvalidSubject {
    text: String,
    problem: String,
}

/// The attribute types a subject may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeType {
    /// `CN`
    CommonName,
    /// `O`
    Organization,
    /// `OU`
    OrganizationalUnit,
    /// `L`
    Locality,
    /// `ST`
    StateOrProvince,
    /// `C`, two letters
    Country,
    /// `STREET`
    Street,
    /// `DC`
    DomainComponent,
    /// `serialNumber` of the subject, such as a company's registration. Not the certificate's serial number.
    SerialNumber,
    /// `emailAddress`
    EmailAddress,
    /// `UID`
    UserId,
}

/// How the characters of an attribute are encoded in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF8String.
    Utf8,
    /// PrintableString.
    Printable,
    /// IA5String.
    Ia5,
}

/// What there is to know about one attribute type. Lengths are the upper bounds of RFC 5280, appendix A.1, in
/// characters.
struct TypeFacts {
    kind: AttributeType,
    short: &'static str,
    aliases: &'static [&'static str],
    oid: &'static [u64],
    chars_max: usize,
    encoding: Encoding,
}

/// Every supported type. `S` and `E` are what Windows writes for `ST` and `emailAddress`.
const TYPES: [TypeFacts; 11] = {
    use AttributeType::*;
    use Encoding::*;
    [
        facts(CommonName, "CN", &["commonName"], &[2, 5, 4, 3], 64, Utf8),
        facts(Organization, "O", &["organizationName"], &[2, 5, 4, 10], 64, Utf8),
        facts(OrganizationalUnit, "OU", &["organizationalUnitName"], &[2, 5, 4, 11], 64, Utf8),
        facts(Locality, "L", &["localityName"], &[2, 5, 4, 7], 128, Utf8),
        facts(StateOrProvince, "ST", &["S", "stateOrProvinceName"], &[2, 5, 4, 8], 128, Utf8),
        facts(Country, "C", &["countryName"], &[2, 5, 4, 6], 2, Printable),
        facts(Street, "STREET", &["streetAddress"], &[2, 5, 4, 9], 128, Utf8),
        facts(DomainComponent, "DC", &["domainComponent"], &[0, 9, 2342, 19_200_300, 100, 1, 25], 63, Ia5),
        facts(SerialNumber, "serialNumber", &[], &[2, 5, 4, 5], 64, Printable),
        facts(EmailAddress, "emailAddress", &["E", "email"], &[1, 2, 840, 113_549, 1, 9, 1], 255, Ia5),
        facts(UserId, "UID", &["userId"], &[0, 9, 2342, 19_200_300, 100, 1, 1], 256, Utf8),
    ]
};

const fn facts(
    kind: AttributeType,
    short: &'static str,
    aliases: &'static [&'static str],
    oid: &'static [u64],
    chars_max: usize,
    encoding: Encoding,
) -> TypeFacts {
    TypeFacts { kind, short, aliases, oid, chars_max, encoding }
}

impl AttributeType {
    fn facts(self) -> &'static TypeFacts {
        // The table is in the order of the enum; a test holds that.
        &TYPES[self as usize]
    }

    /// The type's one spelling.
    pub fn as_str(self) -> &'static str {
        self.facts().short
    }

    /// Its object identifier.
    pub fn oid(self) -> &'static [u64] {
        self.facts().oid
    }

    /// How its value is encoded.
    pub fn encoding(self) -> Encoding {
        self.facts().encoding
    }

    fn named(name: &str) -> Option<AttributeType> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        TYPES.iter().find(|t| is(t.short) || t.aliases.iter().any(|a| is(a))).map(|t| t.kind)
    }
}

/// One part of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What it is.
    pub kind: AttributeType,
    /// Its text, unescaped.
    pub value: String,
}

/// A subject certroll can put into a certificate: at least one attribute, no type twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    attributes: Vec<Attribute>,
}

impl Subject {
    /// The attributes in the order they are written, most specific first. In DER they stand the other way round.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The common name, if there is one.
    pub fn common_name(&self) -> Option<&str> {
        let is_name = |a: &&Attribute| a.kind == AttributeType::CommonName;
        self.attributes.iter().find(is_name).map(|a| a.value.as_str())
    }
}

/// Whether two texts name the same subject, in whatever order their parts stand: not everybody keeps the order.
pub fn is_same_name(one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let mut parts = text.parse::<Subject>().ok()?.attributes;
        parts.sort_by_key(|attribute| attribute.kind);
        Some(parts)
    };
    one == other || parts(one).is_some_and(|parts_of_one| Some(parts_of_one) == parts(other))
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.attributes.iter().map(|a| format!("{}={}", a.kind.as_str(), escape(&a.value)));
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

/// The short spelling of an attribute type, for names that were read and not made.
pub(crate) fn short_name(oid: &[u64]) -> Option<&'static str> {
    TYPES.iter().find(|t| t.oid == oid).map(|t| t.short)
}

/// A value as RFC 4514, section 2.4, spells it. Control characters are written in hexadecimal: names are printed.
pub(crate) fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let at_edge = (index == 0 && matches!(c, ' ' | '#')) || (index == last && c == ' ');
        if c.is_control() {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().for_each(|b| text.push_str(&format!("\\{b:02X}")));
        } else {
            if at_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    /// Reads RFC 4514 text. More lenient than the RFC in one thing: blanks around `,` and `=` are skipped, because
    /// `CN=a, O=b` is how people and Windows write it.
    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        parse(text).map_err(|problem| InvalidSubject { text: text.chars().take(120).collect(), problem })
    }
}

fn parse(text: &str) -> Result<Subject, String> {
    let mut attributes: Vec<Attribute> = Vec::new();
    let mut rest = text;
    loop {
        let (attribute, after) = parse_attribute(rest)?;
        if attributes.iter().any(|a| a.kind == attribute.kind) {
            return Err(format!("{} is given twice; certroll writes one of each", attribute.kind.as_str()));
        }
        attributes.push(attribute);
        match after {
            None => return Ok(Subject { attributes }),
            Some(next) => rest = next,
        }
    }
}

/// One `type=value`, and what follows the comma after it, if there is one.
fn parse_attribute(text: &str) -> Result<(Attribute, Option<&str>), String> {
    let Some((name, rest)) = text.split_once('=') else {
        let part = text.trim();
        return Err(match part {
            "" => "a part is empty; write a type and a value, such as CN=My App".to_owned(),
            _ => format!("{part:?} has no type; write CN={part}"),
        });
    };
    let name = name.trim();
    let Some(kind) = AttributeType::named(name) else {
        let known = TYPES.map(|t| t.short).join(", ");
        return Err(format!("{name:?} is not an attribute type certroll can write; it can write {known}"));
    };
    let (value, after) = parse_value(rest.trim_start_matches(' '))?;
    check_value(kind.facts(), &value)?;
    Ok((Attribute { kind, value }, after))
}

/// The unescaped value, and what follows the comma that ends it, if one does.
fn parse_value(text: &str) -> Result<(String, Option<&str>), String> {
    if text.starts_with('#') {
        return Err("a value in hexadecimal (#…) cannot be written; for a leading # write \\#".to_owned());
    }
    // Bytes, because an escaped pair of digits is a byte of UTF-8 and not a character.
    let mut value: Vec<u8> = Vec::new();
    // How much of `value` ends in something other than a blank that was not escaped.
    let mut kept = 0;
    let mut rest = text;
    let after = loop {
        let Some(c) = rest.chars().next() else { break None };
        rest = &rest[c.len_utf8()..];
        match c {
            ',' => break Some(rest),
            '\\' => {
                rest = unescape(rest, &mut value)?;
                kept = value.len();
            }
            '+' => {
                return Err(
                    "a part with several values (+) cannot be written; for a plus write \\+".to_owned()
                );
            }
            '"' | ';' | '<' | '>' => return Err(format!("{c} must be written \\{c}")),
            c => {
                value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    kept = value.len();
                }
            }
        }
    };
    value.truncate(kept);
    let value = String::from_utf8(value).map_err(|_| "its escaped bytes are not UTF-8".to_owned())?;
    Ok((value, after))
}

/// Takes what follows a backslash: one special character, or a byte as two hexadecimal digits.
fn unescape<'a>(text: &'a str, value: &mut Vec<u8>) -> Result<&'a str, String> {
    let bytes = text.as_bytes();
    if let [special @ (b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\'), ..] = bytes {
        value.push(*special);
        return Ok(&text[1..]);
    }
    let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    match (digit(0), digit(1)) {
        (Some(high), Some(low)) => {
            value.push((high * 16 + low) as u8);
            Ok(&text[2..])
        }
        _ => Err("a backslash must be followed by a special character or two hexadecimal digits".to_owned()),
    }
}

fn check_value(facts: &TypeFacts, value: &str) -> Result<(), String> {
    let name = facts.short;
    let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
    if value.is_empty() {
        Err(format!("{name} has no value"))
    } else if value.chars().any(char::is_control) {
        Err(format!("{name} holds a control character"))
    } else if value.chars().count() > facts.chars_max {
        Err(format!("{name} is longer than {} characters", facts.chars_max))
    } else if facts.kind == AttributeType::Country
        && !(value.len() == 2 && value.chars().all(|c| c.is_ascii_alphabetic()))
    {
        Err("C is a country's two letters, such as GB".to_owned())
    } else if facts.encoding == Encoding::Printable && !value.chars().all(printable) {
        Err(format!("{name} may hold only letters, digits, blanks and '()+,-./:=?"))
    } else if facts.encoding == Encoding::Ia5 && !value.is_ascii() {
        Err(format!("{name} may hold only ASCII"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Subject, InvalidSubject> {
        text.parse()
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn the_table_of_types_is_in_the_order_of_the_enum() {
        for (index, facts) in TYPES.iter().enumerate() {
            assert_eq!(facts.kind as usize, index);
        }
    }

    #[test]
    fn a_subject_is_printed_as_it_was_written() {
        for text in [
            "CN=CloudM Continuity",
            "CN=api,OU=Platform,O=Contoso,L=London,ST=England,C=GB",
            r#"CN=a\, b\+c \"q\" \\ \<\>\;,O=x=y"#,
            r"CN=\ a\ ",
            r"CN=\#1",
            "CN=Zoë 株式会社",
            "UID=u1,serialNumber=HRB 1234,emailAddress=ops@contoso.com,DC=contoso,STREET=1 High St",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn examples_of_rfc_4514_section_4_are_read() {
        let subject = read(r"OU=Sales,CN=J.  Smith,DC=example").unwrap();
        assert_eq!(subject.common_name(), Some("J.  Smith"));
        assert_eq!(
            read(r#"CN=James \"Jim\" Smith\, III"#).unwrap().common_name(),
            Some(r#"James "Jim" Smith, III"#)
        );
        assert_eq!(read(r"CN=Lu\C4\8Di\C4\87").unwrap().common_name(), Some("Lučić"));
    }

    #[test]
    fn blanks_case_and_the_names_windows_uses_are_normalised() {
        assert_eq!(
            read(" cn = a b , o=c, S=d, E=x@y ").unwrap().to_string(),
            "CN=a b,O=c,ST=d,emailAddress=x@y"
        );
    }

    #[test]
    fn what_cannot_be_written_exactly_is_refused_by_name() {
        for (text, problem) in [
            ("", "is empty"),
            ("My App", "write CN=My App"),
            ("CN=a,", "is empty"),
            ("CN=", "CN has no value"),
            ("CN=a,OU=b,OU=c", "OU is given twice"),
            ("CN=a+OU=b", "several values"),
            ("GN=me", "not an attribute type"),
            ("2.5.4.3=a", "not an attribute type"),
            ("CN=#0403", "hexadecimal"),
            (r#"O="Contoso, Ltd""#, r#"must be written \""#),
            ("CN=a;b", r"must be written \;"),
            (r"CN=a\", "backslash"),
            (r"CN=a\zz", "backslash"),
            (r"CN=a\FF", "not UTF-8"),
            (r"CN=a\0Ab", "control character"),
            ("CN=a\nb", "control character"),
            ("C=GBR", "longer than 2"),
            ("C=G", "two letters"),
            ("emailAddress=é@x", "only ASCII"),
            ("serialNumber=a_b", "only letters"),
        ] {
            let error = refusal(text);
            assert!(error.contains(problem), "{text:?}: {error}");
        }
        assert!(refusal(&format!("CN={}", "x".repeat(65))).contains("longer than 64 characters"));
        assert!(read(&format!("CN={}", "é".repeat(64))).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_value_survives_being_written_and_read(
            name in "[^\\p{Cc}]{1,64}",
            unit in "[ #,+\"\\\\<>;=a]{1,12}",
        ) {
            let text = format!("CN={},OU={}", escape(&name), escape(&unit));
            let subject = read(&text).unwrap();
            proptest::prop_assert_eq!(subject.common_name(), Some(name.as_str()));
            proptest::prop_assert_eq!(&subject.attributes()[1].value, &unit);
            proptest::prop_assert_eq!(subject.to_string(), text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(CN|O|x)?[= ]{0,2}\\PC{0,20}(,[A-Z]{1,2}=(\\\\.{0,2}){0,3})?") {
            let _ = read(&text);
        }
    }
}
