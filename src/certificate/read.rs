//! Reading the DER of a certificate. What x509-parser gives is turned into our own values here and nowhere else.

use aws_lc_rs::digest;
use aws_lc_rs::rsa;
use jiff::Timestamp;
use x509_parser::asn1_rs::{Any, Oid, Tag, ToDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};
use x509_parser::public_key;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Certificate, CertificateError, PublicKey};
use crate::ids::{Sha1, Sha256, Thumbprints};
use crate::subject;

/// Issuer and subject, each the DER of a name.
pub(super) struct Names<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
}

pub(super) fn certificate(der: &[u8]) -> Result<Certificate, CertificateError> {
    if der.is_empty() {
        return Err(CertificateError::Empty);
    }
    if der.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(CertificateError::PemInsteadOfDer);
    }
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| not_der(&e))?;
    if !rest.is_empty() {
        return Err(CertificateError::Trailing(rest.len()));
    }
    Ok(Certificate {
        der: der.to_vec(),
        thumbprints: thumbprints(der),
        subject: name(parsed.subject()),
        not_before: moment(&parsed.validity().not_before),
        not_after: moment(&parsed.validity().not_after),
        public_key: public_key(parsed.public_key()),
    })
}

/// The RSA public key in its one canonical encoding, so that two can be compared byte by byte.
pub(super) fn rsa_public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let key = rsa::PublicKey::from_der(parsed.public_key().raw).ok()?;
    Some(key.as_ref().to_vec())
}

/// The same of a signing request.
pub(super) fn rsa_public_key_of_request(der: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509CertificationRequest::from_der(der).ok()?;
    let key = rsa::PublicKey::from_der(parsed.certification_request_info.subject_pki.raw).ok()?;
    Some(key.as_ref().to_vec())
}

/// Subject and public key of a signing request.
pub(super) fn request(der: &[u8]) -> Option<(String, PublicKey)> {
    let (_, parsed) = X509CertificationRequest::from_der(der).ok()?;
    let info = &parsed.certification_request_info;
    Some((name(&info.subject), public_key(&info.subject_pki)))
}

/// RFC 5280, sections 4.2.1.3, 4.2.1.9 and 4.2.1.12: an extension that is not there forbids nothing.
pub(super) fn wrong_use(der: &[u8]) -> Option<&'static str> {
    let unreadable = "its extensions cannot be read";
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return Some(unreadable) };
    let (Ok(usage), Ok(extended), Ok(constraints)) =
        (parsed.key_usage(), parsed.extended_key_usage(), parsed.basic_constraints())
    else {
        return Some(unreadable);
    };
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        Some("it is the certificate of a CA")
    } else if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        Some("its key usage does not allow digital signatures")
    } else if extended.is_some_and(|extended| !extended.value.any && !extended.value.client_auth) {
        Some("its extended key usage does not allow client authentication")
    } else {
        None
    }
}

pub(super) fn names(der: &[u8]) -> Option<Names<'_>> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(Names {
        issuer: parsed.tbs_certificate.issuer.as_raw(),
        subject: parsed.tbs_certificate.subject.as_raw(),
    })
}

fn not_der(error: &x509_parser::nom::Err<x509_parser::error::X509Error>) -> CertificateError {
    CertificateError::NotDer(match error {
        x509_parser::nom::Err::Incomplete(_) => "it is cut short".to_owned(),
        x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => e.to_string(),
    })
}

fn thumbprints(der: &[u8]) -> Thumbprints {
    let mut sha1 = Sha1([0; 20]);
    let mut sha256 = Sha256([0; 32]);
    // SHA-1 is no protection here: it is the name Entra calls a certificate by.
    sha1.0.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
    sha256.0.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    Thumbprints { sha1, sha256 }
}

/// X.509 reaches further than our timestamps at both ends: "no end" is 9999-12-31T23:59:59Z.
fn moment(time: &ASN1Time) -> Timestamp {
    let second = time.timestamp();
    let nearest = if second < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(second).unwrap_or(nearest)
}

fn public_key(info: &SubjectPublicKeyInfo<'_>) -> PublicKey {
    let algorithm = info.algorithm.algorithm.to_id_string();
    if let ("1.2.840.113549.1.1.1", Ok(public_key::PublicKey::RSA(rsa))) = (algorithm.as_str(), info.parsed())
    {
        return PublicKey::Rsa(bits(rsa.modulus));
    }
    PublicKey::Other(match algorithm.as_str() {
        "1.2.840.10045.2.1" => format!("EC {}", curve(info)),
        "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
        "1.2.840.113549.1.1.1" => "RSA that cannot be read".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        other => format!("algorithm {other}"),
    })
}

fn curve(info: &SubjectPublicKeyInfo<'_>) -> String {
    let oid = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
    match oid.as_deref() {
        Some("1.2.840.10045.3.1.7") => "P-256".to_owned(),
        Some("1.3.132.0.34") => "P-384".to_owned(),
        Some("1.3.132.0.35") => "P-521".to_owned(),
        Some(other) => other.to_owned(),
        None => "with parameters of its own".to_owned(),
    }
}

/// Length of a big-endian number without its leading zeros.
fn bits(number: &[u8]) -> u32 {
    let significant = number.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &number[first..]);
    let leading = significant.first().map_or(0, |first| first.leading_zeros());
    u32::try_from(significant.len()).unwrap_or(u32::MAX).saturating_mul(8) - leading
}

/// A name as RFC 4514 writes it: most specific part first, which is the reverse of the DER.
fn name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let short = numbers(attribute.attr_type()).and_then(|numbers| subject::short_name(&numbers));
    let value = attribute.attr_value();
    // RFC 4514, section 2.4: a type without a short name has its value in hexadecimal.
    match (short, text(value)) {
        (Some(short), Some(text)) => format!("{short}={}", subject::escape(&text)),
        (Some(short), None) => format!("{short}=#{}", hexadecimal(value)),
        (None, _) => format!("{}=#{}", attribute.attr_type().to_id_string(), hexadecimal(value)),
    }
}

fn numbers(oid: &Oid<'_>) -> Option<Vec<u64>> {
    Some(oid.iter()?.collect())
}

fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            let units = value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        // T.61 in practice means ASCII or a code page nobody wrote down.
        Tag::T61String if value.data.is_ascii() => std::str::from_utf8(value.data).ok().map(str::to_owned),
        _ => None,
    }
}

fn hexadecimal(value: &Any<'_>) -> String {
    let der = value.to_der_vec().unwrap_or_default();
    der.iter().map(|byte| format!("{byte:02X}")).collect()
}
