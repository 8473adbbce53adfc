//! The issuer `self_signed`: the generation's own key signs its certificate.
//!
//! What it makes is what `New-SelfSignedCertificate -KeySpec Signature` is used for with Entra: one key usage,
//! `digitalSignature`, and no extended key usage, which readers take as "good for any purpose"; not a CA.

use async_trait::async_trait;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding};
use jiff::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyUsagePurpose, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;

use super::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use crate::certificate::{Certificate, SignatureHash};
use crate::key;
use crate::subject::{Encoding, Subject};

/// Makes self-signed certificates. Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelfSigned;

#[async_trait]
impl Issuer for SelfSigned {
    /// The same request and key give the same certificate, byte for byte.
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let failed = |reason: String| IssueError {
            doing: format!("making a self-signed certificate for {}", request.subject),
            reason,
        };
        let key = match key {
            SubjectKey::Local(key) => key,
            SubjectKey::Request(_) => {
                return Err(failed(
                    "the key must be here: a self-signed certificate is signed with its own key".into(),
                ));
            }
        };
        let pair = key.rsa_pair().map_err(|e| failed(e.0))?;
        let params = parameters(request).map_err(failed)?;
        let signing = Signing { pair: &pair, hash: request.signature_hash };
        let made = params.self_signed(&signing).map_err(|e| failed(e.to_string()))?;
        let certificate = Certificate::from_der(made.der()).map_err(|e| failed(e.to_string()))?;
        Ok(Issued { certificate, chain: Vec::new() })
    }
}

fn parameters(request: &CertificateRequest) -> Result<CertificateParams, String> {
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
fn distinguished_name(subject: &Subject) -> Result<DistinguishedName, String> {
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
struct Signing<'a> {
    pair: &'a KeyPair,
    hash: SignatureHash,
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
