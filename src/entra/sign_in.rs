//! certroll's own sign-in: which credential it has, and the form a token is asked for with it.
//!
//! What is shown to the login service is a secret, a certificate's signature or a token of another issuer; a managed identity and the
//! Azure CLI hand out access tokens without it.
#![allow(clippy::disallowed_methods, reason = "reads the operator's own certificate and token files")]

use std::path::{Path, PathBuf};

use uuid::Uuid;
use zeroize::Zeroizing;

use super::azure_cli::AzureCli;
use super::ci_token::CiToken;
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use super::managed_identity::ManagedIdentity;
use crate::assertion::client_assertion;
use crate::certificate::Certificate;
use crate::form::{read_pem, read_pfx};
use crate::key::{LocalSigner, Secret, SignatureAlgorithm};
use crate::net::RetrySettings;

/// Largest certificate or token file read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Who certroll is in a tenant, and how it shows it.
#[derive(Debug, Clone)]
pub struct OwnCredential {
    /// The tenant the credential is meant for, where the operator said so. Checked against the declaration.
    pub tenant: Option<String>,
    /// Client id. Nil where the method itself knows who: a machine's only identity, whoever is signed in with the Azure CLI.
    pub client_id: Uuid,
    /// What it shows.
    pub method: Method,
    /// The variables or settings it came from, for messages.
    pub source: String,
}

/// What is shown. Nothing of it is printed.
#[derive(Debug, Clone)]
pub enum Method {
    /// A client secret.
    Secret(Secret),
    /// A certificate with its key.
    Certificate {
        /// PEM (certificate and key) or PFX.
        from: CertificateSource,
        /// Password of a PFX.
        password: Option<Secret>,
        /// Whether the chain is sent along (`x5c`), for trust by subject name and issuer.
        send_chain: bool,
    },
    /// A file with a token of another issuer. Read anew for each sign-in, because it is replaced while we run.
    FederatedFile(PathBuf),
    /// Such a token itself.
    FederatedToken(Secret),
    /// Such a token of the running CI job, asked for at each sign-in.
    CiToken(CiToken),
    /// An access token of this machine's identity.
    ManagedIdentity(ManagedIdentity),
    /// An access token from the Azure CLI.
    AzureCli(AzureCli),
}

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// A file, read at each sign-in, so that its own rotation is noticed.
    File(PathBuf),
    /// The content itself: base64 of a PFX.
    Inline(Secret),
}

/// What goes into the token request, and what must not come out of it again.
pub(super) struct Proof {
    pub fields: Vec<(&'static str, Zeroizing<String>)>,
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Proof {
    fn secret(secret: &str) -> Proof {
        Proof { fields: vec![("client_secret", Zeroizing::new(secret.to_owned()))] }
    }

    pub(super) fn assertion(jwt: &str) -> Proof {
        Proof {
            fields: vec![
                ("client_assertion_type", Zeroizing::new(ASSERTION_TYPE.to_owned())),
                ("client_assertion", Zeroizing::new(jwt.to_owned())),
            ],
        }
    }

    /// The texts no error may repeat.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(name, _)| *name != "client_assertion_type");
        fields.map(|(_, value)| value.as_str()).collect()
    }
}

impl OwnCredential {
    /// For messages: who, with what, from where.
    pub fn describe(&self) -> String {
        let what = match &self.method {
            Method::Secret(_) => "a client secret",
            Method::Certificate { .. } => "a certificate",
            Method::FederatedFile(_) | Method::FederatedToken(_) => "a federated token",
            Method::CiToken(token) => token.describe(),
            Method::ManagedIdentity(identity) => return format!("{} ({})", identity.describe(), self.source),
            Method::AzureCli(_) => {
                return format!("whoever is signed in with the Azure CLI ({})", self.source);
            }
        };
        format!("client {} with {what} ({})", self.client_id, self.source)
    }

    /// What to show at that token endpoint now.
    pub(super) async fn proof(
        &self,
        audience: &str,
        algorithm: SignatureAlgorithm,
        line: &Line,
        retry: &RetrySettings,
    ) -> Result<Proof, EntraError> {
        match &self.method {
            Method::CiToken(token) => Ok(Proof::assertion(&token.assertion(line, retry).await?)),
            Method::ManagedIdentity(_) | Method::AzureCli(_) => {
                Err(self.unusable("it signs in without the login service"))
            }
            Method::Secret(secret) => Ok(Proof::secret(secret.expose())),
            Method::FederatedToken(token) => Ok(Proof::assertion(token.expose())),
            Method::FederatedFile(path) => {
                let content = Zeroizing::new(read(path, "federated token")?);
                let token = std::str::from_utf8(&content).map(str::trim).unwrap_or_default();
                if token.split('.').count() != 3 {
                    return Err(self.unusable(&format!("{} does not hold a signed token", path.display())));
                }
                Ok(Proof::assertion(token))
            }
            Method::Certificate { from, password, send_chain } => {
                let own = self.load_certificate(from, password.as_ref())?;
                let chain = send_chain.then_some(own.chain.as_slice());
                let now = line.service_now();
                let jti = line.random_id();
                let client_id = self.client_id.to_string();
                client_assertion(&own.signer, algorithm, &client_id, audience, now, jti, chain)
                    .await
                    .map(|jwt| Proof::assertion(jwt.expose()))
                    .map_err(|error| self.unusable(&error.reason))
            }
        }
    }

    /// The answer of whoever hands out access tokens without the login service; none where it is asked.
    pub(super) async fn direct(
        &self,
        line: &Line,
        retry: &RetrySettings,
        doing: &str,
        tenant: &str,
    ) -> Option<Result<Zeroizing<Vec<u8>>, EntraError>> {
        let scope = line.endpoints.scope();
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        match &self.method {
            Method::ManagedIdentity(identity) => Some(identity.answer(line, retry, doing, resource).await),
            Method::AzureCli(cli) => Some(cli.answer(doing, resource, tenant).await),
            Method::Secret(_)
            | Method::Certificate { .. }
            | Method::FederatedFile(_)
            | Method::FederatedToken(_)
            | Method::CiToken(_) => None,
        }
    }

    fn load_certificate(
        &self,
        from: &CertificateSource,
        password: Option<&Secret>,
    ) -> Result<OwnCertificate, EntraError> {
        let (content, name) = match from {
            CertificateSource::File(path) => {
                (Zeroizing::new(read(path, "certificate")?), path.display().to_string())
            }
            CertificateSource::Inline(base64) => {
                (inline(base64, self)?, "the certificate given inline".to_owned())
            }
        };
        let is_pem = content.windows(10).take(4096).any(|window| window == b"-----BEGIN");
        let read = if is_pem { read_pem(&content) } else { read_pfx(&content, password) };
        let own = read.map_err(|error| self.unusable(&format!("{name}: {error}")))?;
        let signer = LocalSigner::new(&own.key, own.certificate);
        let signer = signer.map_err(|error| self.unusable(&format!("{name}: {error}")))?;
        Ok(OwnCertificate { signer, chain: own.chain })
    }

    fn unusable(&self, reason: &str) -> EntraError {
        EntraError::new(ErrorKind::Settings, format!("signing in as {}", self.describe()), reason)
    }
}

struct OwnCertificate {
    signer: LocalSigner,
    chain: Vec<Certificate>,
}

fn inline(base64: &Secret, own: &OwnCredential) -> Result<Zeroizing<Vec<u8>>, EntraError> {
    use base64::Engine;
    let compact: Zeroizing<String> =
        Zeroizing::new(base64.expose().chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let decoded = base64::engine::general_purpose::STANDARD.decode(compact.as_bytes());
    decoded
        .map(Zeroizing::new)
        .map_err(|_| own.unusable("the certificate given inline is not base64 of a PFX"))
}

/// Reads a small file. The error never quotes its content.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, EntraError> {
    let wrong = |reason: String| {
        EntraError::new(ErrorKind::Settings, format!("reading the {what} file {}", path.display()), &reason)
    };
    let facts = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if facts.len() > FILE_MAX {
        return Err(wrong("it is larger than 1 MiB".to_owned()));
    }
    std::fs::read(path).map_err(|error| wrong(error.to_string()))
}
