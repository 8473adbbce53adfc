//! A certification authority for tests: signs requests (CSR) for keys that stay elsewhere, and keys in this process.

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::issuer::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SerialNumber,
};
use time::OffsetDateTime;

use super::keys;

/// How a certificate comes out of a CA that does not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// With a subject of its own making.
    Subject,
    /// For servers alone.
    Use,
}

/// A root that signs leaves directly.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    certificate: Certificate,
}

impl TestCa {
    /// Makes the CA, valid from 2020 to 2050.
    pub fn new() -> TestCa {
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &keys::key(11).expose_pkcs8().to_vec().into(),
            &PKCS_RSA_SHA256,
        );
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "certroll test CA");
        params.not_before = OffsetDateTime::from_unix_timestamp(1_577_836_800).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(2_524_608_000).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key.unwrap()).unwrap();
        let certificate = Certificate::from_der(issuer.der()).unwrap();
        TestCa { issuer, certificate }
    }

    /// Signs a request (DER), with a mistake or without.
    pub fn sign(&self, request: &CertificateRequest, csr: &[u8], mistake: Option<Mistake>) -> Certificate {
        let mut csr = CertificateSigningRequestParams::from_der(&csr.to_vec().into()).unwrap();
        set(&mut csr.params, request);
        match mistake {
            Some(Mistake::Subject) => {
                csr.params.distinguished_name.push(DnType::OrganizationName, "of the CA")
            }
            Some(Mistake::Use) => csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            None => {}
        }
        Certificate::from_der(csr.signed_by(&self.issuer).unwrap().der()).unwrap()
    }

    /// The root's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

fn set(params: &mut CertificateParams, request: &CertificateRequest) {
    params.not_before = OffsetDateTime::from_unix_timestamp(request.not_before.as_second()).unwrap();
    params.not_after =
        OffsetDateTime::from_unix_timestamp(request.validity.after(request.now).as_second()).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(&request.serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
}

#[async_trait]
impl Issuer for TestCa {
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let failed = |error: rcgen::Error| {
            IssueError::refused(format!("signing {}", request.subject), error.to_string())
        };
        let signed = match key {
            SubjectKey::Request(csr) => {
                let mut csr =
                    CertificateSigningRequestParams::from_der(&csr.to_vec().into()).map_err(failed)?;
                set(&mut csr.params, request);
                csr.signed_by(&self.issuer).map_err(failed)?
            }
            SubjectKey::Local(key) => {
                let pair = KeyPair::from_pkcs8_der_and_sign_algo(
                    &key.expose_pkcs8().to_vec().into(),
                    &PKCS_RSA_SHA256,
                )
                .map_err(failed)?;
                let mut params = CertificateParams::default();
                params.distinguished_name = DistinguishedName::new();
                let name = request.subject.strip_prefix("CN=").unwrap_or(&request.subject);
                params.distinguished_name.push(DnType::CommonName, name);
                set(&mut params, request);
                params.signed_by(&pair, &self.issuer).map_err(failed)?
            }
        };
        let certificate = Certificate::from_der(signed.der())
            .map_err(|error| IssueError::refused("reading what was signed", error.to_string()))?;
        Ok(Issued { certificate, chain: vec![] })
    }
}
