//! What the issuers that make or order certificates share: the certificate that is asked for, signing in place, the order of a chain,
//! and whether what came back is what was asked for.

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyUsagePurpose, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;

use super::{CertificateRequest, Issued};
use crate::certificate::{Certificate, SignatureHash};
use crate::key::{self, PrivateKey};
use crate::subject::{Encoding, Subject};

/// A certificate may end so much before it was asked to: a CA rounds, and its clock is not ours.
const ROUNDING: SignedDuration = SignedDuration::from_hours(1);

/// A signing request (DER) for a key in this process.
pub(crate) fn signing_request(
    key: &PrivateKey,
    subject: &str,
    hash: SignatureHash,
) -> Result<Vec<u8>, String> {
    let pair = key.rsa_pair().map_err(|error| error.0)?;
    let subject: Subject = subject.parse().map_err(|e: crate::subject::InvalidSubject| e.to_string())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&subject)?;
    let made = params.serialize_request(&Signing { pair: &pair, hash }).map_err(|error| error.to_string())?;
    Ok(made.der().to_vec())
}

/// The certificates above the leaf, its issuer first, up to but not including the root. Those that do not belong to the chain are left
/// out.
pub(super) fn chain_above(leaf: &Certificate, candidates: &[Certificate]) -> Vec<Certificate> {
    let mut chain: Vec<Certificate> = Vec::new();
    loop {
        let last = chain.last().unwrap_or(leaf);
        let next = candidates.iter().find(|above| last.names_issuer(above) && !above.names_itself());
        match next {
            // A loop of issuers is no chain.
            Some(next) if !chain.contains(next) && next != leaf => chain.push(next.clone()),
            _ => return chain,
        }
    }
}

/// Refuses what a CA made of the request where it would not serve: another name, which would be a reason to rotate at once, or a
/// shorter life than declared, which would cut the overlap.
pub(super) fn check_answer(request: &CertificateRequest, issued: &Issued) -> Result<(), (String, String)> {
    let certificate = &issued.certificate;
    if certificate.subject != request.subject {
        return Err((
            format!("the CA named it {} instead of {}", certificate.subject, request.subject),
            format!("declare subject: {:?}, or let the CA take the subject of requests", certificate.subject),
        ));
    }
    let wanted = request.validity.after(request.now);
    if certificate.not_after + ROUNDING < wanted {
        return Err((
            format!("the CA lets it end on {} instead of {wanted}", certificate.not_after),
            "raise the longest life that the CA or its role allows, or declare a shorter validity".to_owned(),
        ));
    }
    Ok(())
}

/// What the request asks for, in rcgen's terms.
pub(super) fn parameters(request: &CertificateRequest) -> Result<CertificateParams, String> {
    let subject: Subject =
        request.subject.parse().map_err(|e: crate::subject::InvalidSubject| e.to_string())?;
    let not_after = request.validity.after(request.now);
    if not_after <= request.not_before {
        return Err(format!("it would end ({not_after}) before it begins ({})", request.not_before));
    }
    if request.serial == [0; 16] {
        return Err("a serial number must not be zero".to_owned());
    }
    // Every field is set: rcgen's defaults are a certificate from 1975 to 4096 with a name of its own.
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&subject)?;
    params.serial_number = Some(SerialNumber::from_slice(&request.serial));
    params.not_before = date(request.not_before)?;
    params.not_after = date(not_after)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

/// RFC 4514 writes the most specific part first, DER holds it last.
pub(super) fn distinguished_name(subject: &Subject) -> Result<DistinguishedName, String> {
    let mut name = DistinguishedName::new();
    for attribute in subject.attributes().iter().rev() {
        let text = attribute.value.as_str();
        let value = match attribute.kind.encoding() {
            Encoding::Utf8 => DnValue::Utf8String(text.to_owned()),
            Encoding::Printable => {
                DnValue::PrintableString(text.try_into().map_err(|e: rcgen::Error| e.to_string())?)
            }
            Encoding::Ia5 => DnValue::Ia5String(text.try_into().map_err(|e: rcgen::Error| e.to_string())?),
        };
        name.push(DnType::from_oid(attribute.kind.oid()), value);
    }
    Ok(name)
}

/// X.509 knows whole seconds; what is below is cut.
fn date(moment: Timestamp) -> Result<OffsetDateTime, String> {
    OffsetDateTime::from_unix_timestamp(moment.as_second())
        .map_err(|_| format!("{moment} does not fit a certificate"))
}

/// Signs in place. rcgen's own key pair would keep a copy of the key that nobody wipes.
pub(super) struct Signing<'a> {
    pub(super) pair: &'a KeyPair,
    pub(super) hash: SignatureHash,
}

impl PublicKeyData for Signing<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.hash {
            SignatureHash::Sha256 => &rcgen::PKCS_RSA_SHA256,
            SignatureHash::Sha384 => &rcgen::PKCS_RSA_SHA384,
            SignatureHash::Sha512 => &rcgen::PKCS_RSA_SHA512,
        }
    }
}

impl SigningKey for Signing<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let encoding: &dyn RsaEncoding = match self.hash {
            SignatureHash::Sha256 => &signature::RSA_PKCS1_SHA256,
            SignatureHash::Sha384 => &signature::RSA_PKCS1_SHA384,
            SignatureHash::Sha512 => &signature::RSA_PKCS1_SHA512,
        };
        key::sign(self.pair, encoding, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
