//! The edges as this version ships them: file stores, self-signed certificates, and Entra over a [`Line`], which leads to the network
//! or to the emulator in process. What connects to where is handed in; nothing here reads the environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::delivery::{DeliveryReader, DeliveryWriter};
use crate::desired::{Delivery, Desired, Issuer as DeclaredIssuer, Password, Store, StoreBinding, StoreKind};
use crate::desired::{TargetSelector, Tenant};
use crate::edges::{
    DirectoryReader, DirectoryWriter, Emptying, NewCredential, Provers, Readers, SignInAnswer, SignIns,
    Signers, SignersOnly, Trouble, TroubleKind, WriteTrouble, Writers,
};
use crate::entra::{self, EntraError, ErrorKind, GraphClient, Line, Refusal, SignIn, WriteError};
use crate::ids::{Address, Name, TargetId};
use crate::issuer::Issuer;
use crate::issuer::self_signed::SelfSigned;
use crate::key::{Secret, SignatureAlgorithm, Signer};
use crate::observed::{Credential, ObservedTenant};
use crate::store::file::FileStore;
use crate::store::{StoreReader, StoreWriter};

/// Where secrets of the declaration come from: `CERTROLL_SECRET_*` variables and files below `--secrets-dir`.
pub trait Secrets: Send + Sync {
    /// The secret of that source; none when it is not set.
    fn secret(&self, password: &Password) -> Result<Option<Secret>, Trouble>;
}

/// The way to one tenant.
pub struct Connection {
    /// Carries requests to its cloud.
    pub line: Line,
    /// Calls its Graph with certroll's own sign-in.
    pub client: GraphClient,
}

/// What a run is connected to. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Connections(Arc<Connected>);

struct Connected {
    stores: BTreeMap<Name, Store>,
    tenants: BTreeMap<Name, Result<Joined, Trouble>>,
}

struct Joined {
    tenant: String,
    /// Carries the sign-ins that prove a key.
    proving: Line,
    client: Arc<GraphClient>,
}

impl Connections {
    /// Connects every declared tenant. One that cannot be connected is trouble when it is first used, not before.
    pub fn new(desired: &Desired, connect: impl Fn(&Tenant) -> Result<Connection, Trouble>) -> Connections {
        let join = |tenant: &Tenant| {
            let Connection { line, client } = connect(tenant)?;
            Ok(Joined { tenant: tenant.id.clone(), proving: line.for_proving(), client: Arc::new(client) })
        };
        let tenants = desired.tenants.iter().map(|(name, tenant)| (name.clone(), join(tenant))).collect();
        Connections(Arc::new(Connected { stores: desired.stores.clone(), tenants }))
    }

    fn joined(&self, tenant: &Name) -> Result<&Joined, Trouble> {
        match self.0.tenants.get(tenant) {
            Some(Ok(joined)) => Ok(joined),
            Some(Err(trouble)) => Err(trouble.clone()),
            None => Err(undeclared("tenant", tenant)),
        }
    }

    fn file_store(&self, entry: &StoreBinding) -> Result<FileStore, Trouble> {
        let store = self.0.stores.get(&entry.store).ok_or_else(|| undeclared("store", &entry.store))?;
        match &store.kind {
            StoreKind::File { directory } => Ok(FileStore::new(directory.clone())),
            kind @ (StoreKind::AzureKeyVault { .. }
            | StoreKind::HashicorpVault { .. }
            | StoreKind::Kubernetes { .. }) => {
                Err(not_in_this_version(&format!("opening store {}", store.name), kind.as_str()))
            }
        }
    }

    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, Trouble> {
        let joined = self.joined(tenant)?;
        Ok(Arc::new(EntraSignIns { line: joined.proving.clone(), tenant: joined.tenant.clone() }))
    }
}

fn undeclared(what: &str, name: &Name) -> Trouble {
    Trouble::new(TroubleKind::Internal, format!("using {what} {name}"), "it is not declared")
}

fn not_in_this_version(doing: &str, kind: &str) -> Trouble {
    Trouble::new(TroubleKind::Unsupported, doing, format!("{kind} is not in this version of certroll"))
}

fn no_delivery(delivery: &Delivery) -> Trouble {
    not_in_this_version(&format!("reaching {}", delivery.slot), &delivery.kind)
}

/// Looking only.
pub struct ShippedReaders(Connections);

impl ShippedReaders {
    /// Readers over these connections.
    pub fn new(connections: &Connections) -> ShippedReaders {
        ShippedReaders(connections.clone())
    }
}

impl Readers for ShippedReaders {
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreReader>, Trouble> {
        Ok(Arc::new(self.0.file_store(entry)?))
    }

    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryReader>, Trouble> {
        Err(no_delivery(delivery))
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryReader>, Trouble> {
        let client = Arc::clone(&self.0.joined(tenant)?.client);
        Ok(Arc::new(EntraReader(entra::DirectoryReader::new(client))))
    }
}

impl Provers for ShippedReaders {
    fn signers(&self, entry: &StoreBinding) -> Result<Arc<dyn Signers>, Trouble> {
        Ok(Arc::new(SignersOnly(Arc::new(self.0.file_store(entry)?))))
    }

    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, Trouble> {
        self.0.sign_ins(tenant)
    }
}

/// Looking and changing. Made in `apply` alone.
pub struct ShippedWriters {
    connections: Connections,
    secrets: Arc<dyn Secrets>,
}

impl ShippedWriters {
    /// Writers over these connections.
    pub fn new(connections: &Connections, secrets: Arc<dyn Secrets>) -> ShippedWriters {
        ShippedWriters { connections: connections.clone(), secrets }
    }
}

impl Writers for ShippedWriters {
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreWriter>, Trouble> {
        Ok(Arc::new(self.connections.file_store(entry)?))
    }

    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
        Err(no_delivery(delivery))
    }

    fn issuer(&self, issuer: &DeclaredIssuer) -> Result<Arc<dyn Issuer>, Trouble> {
        match issuer {
            DeclaredIssuer::SelfSigned => Ok(Arc::new(SelfSigned)),
            DeclaredIssuer::CaFile { .. }
            | DeclaredIssuer::VaultPki { .. }
            | DeclaredIssuer::KeyVault { .. }
            | DeclaredIssuer::Csr { .. }
            | DeclaredIssuer::ExternalPublicKey { .. }
            | DeclaredIssuer::ExternalRotator { .. } => {
                Err(not_in_this_version("issuing a certificate", issuer.as_str()))
            }
        }
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryWriter>, Trouble> {
        let client = Arc::clone(&self.connections.joined(tenant)?.client);
        Ok(Arc::new(EntraWriter(entra::DirectoryWriter::new(client))))
    }

    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, Trouble> {
        self.connections.sign_ins(tenant)
    }

    fn secret(&self, password: &Password) -> Result<Option<Secret>, Trouble> {
        self.secrets.secret(password)
    }
}

struct EntraReader(entra::DirectoryReader);

#[async_trait]
impl DirectoryReader for EntraReader {
    async fn observe(
        &self,
        wanted: &[(Address, TargetSelector)],
        removed: &[TargetSelector],
    ) -> Result<ObservedTenant, Trouble> {
        Ok(entra::observe(&self.0, wanted, removed).await?)
    }
}

struct EntraWriter(entra::DirectoryWriter);

#[async_trait]
impl DirectoryWriter for EntraWriter {
    async fn ready(&self) {
        self.0.ready().await;
    }

    async fn credentials(&self, target: &TargetId) -> Result<Vec<Credential>, Trouble> {
        Ok(self.0.read_entries(*target).await?)
    }

    async fn replace(
        &self,
        target: &TargetId,
        keep: &[&RawValue],
        add: &[NewCredential],
        emptying: Emptying,
    ) -> Result<(), WriteTrouble> {
        let mut entries: Vec<Box<RawValue>> = keep.iter().map(|entry| (*entry).to_owned()).collect();
        for new in add {
            let NewCredential { key_id, display_name, certificate, start, end } = new;
            let entry = entra::new_entry(*key_id, display_name, certificate, *start, *end);
            entries.push(entry.map_err(|error| WriteTrouble::NotDone(error.into()))?);
        }
        let written = match emptying {
            Emptying::ByRemovedEntry if entries.is_empty() => self.0.remove_all_entries(*target).await,
            Emptying::ByRemovedEntry | Emptying::Forbidden => self.0.replace_entries(*target, &entries).await,
        };
        written.map_err(|error| match error {
            WriteError::NotSent(error) | WriteError::Refused(error) => WriteTrouble::NotDone(error.into()),
            WriteError::UnknownOutcome(error) => WriteTrouble::Unknown(error.into()),
        })
    }
}

struct EntraSignIns {
    line: Line,
    tenant: String,
}

#[async_trait]
impl SignIns for EntraSignIns {
    async fn try_sign_in(
        &self,
        app_id: Uuid,
        signer: &dyn Signer,
        algorithm: SignatureAlgorithm,
    ) -> SignInAnswer {
        let doing = format!("signing in as {app_id}");
        let trouble = |kind, code: Option<String>, reason: String, correlation_id: Option<Uuid>| Trouble {
            code: code.filter(|code| !code.is_empty()).map(String::into_boxed_str),
            request_id: correlation_id.map(|id| id.to_string().into_boxed_str()),
            ..Trouble::new(kind, doing.clone(), reason)
        };
        match entra::try_sign_in(&self.line, &self.tenant, app_id, signer, algorithm).await {
            SignIn::Accepted(evidence) => {
                SignInAnswer::Accepted { correlation_id: evidence.correlation_id.to_string() }
            }
            SignIn::NotYet { code, reason, correlation_id } => {
                SignInAnswer::NotYet(trouble(TroubleKind::NotYet, Some(code), reason, Some(correlation_id)))
            }
            SignIn::Expired { code, reason, correlation_id } => {
                SignInAnswer::Refused(trouble(TroubleKind::Refused, Some(code), reason, Some(correlation_id)))
            }
            SignIn::NotYetValid { code, reason, correlation_id } => SignInAnswer::OutsideDates(trouble(
                TroubleKind::NotYet,
                Some(code),
                reason,
                Some(correlation_id),
            )),
            SignIn::Refused { code, reason, correlation_id, hint } => SignInAnswer::Refused(Trouble {
                hint: hint.map(str::to_owned),
                ..trouble(TroubleKind::Refused, Some(code), reason, Some(correlation_id))
            }),
            SignIn::PolicyBlocked { code, reason, correlation_id } => {
                let hint = "a Conditional Access policy blocks sign-ins of workloads from this machine: run from an allowed \
                            place, or let the policy allow this one";
                let trouble =
                    trouble(TroubleKind::Refused, Some(code), reason, Some(correlation_id)).with_hint(hint);
                SignInAnswer::PolicyBlocked(trouble)
            }
            SignIn::Busy(error) => SignInAnswer::NoAnswer(Trouble { doing, ..error.into() }),
            SignIn::Network { reason } => {
                SignInAnswer::NoAnswer(trouble(TroubleKind::Network, None, reason, None))
            }
        }
    }
}

fn whole_seconds(duration: Option<jiff::SignedDuration>) -> Option<u32> {
    duration.map(|duration| u32::try_from(duration.as_secs().max(0)).unwrap_or(u32::MAX))
}

impl From<EntraError> for Trouble {
    fn from(error: EntraError) -> Trouble {
        let kind = match error.kind {
            ErrorKind::Network => TroubleKind::Network,
            ErrorKind::Authentication => TroubleKind::Authentication,
            ErrorKind::Authorisation => TroubleKind::Authorisation,
            ErrorKind::Throttled => TroubleKind::Throttled,
            ErrorKind::NotYet => TroubleKind::NotYet,
            // Only Graph itself, which names a code, can say that an object is not there.
            ErrorKind::NotFound if error.code.is_none() => TroubleKind::Invalid,
            ErrorKind::NotFound => TroubleKind::Missing,
            ErrorKind::Conflict => TroubleKind::Conflict,
            ErrorKind::Refused(Refusal::EndDate) => TroubleKind::EndDate,
            ErrorKind::Refused(Refusal::RetainedEntryChanged) => TroubleKind::StaleEntry,
            ErrorKind::Refused(_) | ErrorKind::Settings => TroubleKind::Refused,
            ErrorKind::Unavailable => TroubleKind::Unavailable,
            ErrorKind::InvalidAnswer => TroubleKind::Invalid,
        };
        let hint = match (error.hint.clone(), error.least_permission) {
            (Some(hint), _) => Some(hint),
            (None, Some(permission)) => Some(format!("the least permission is {permission}")),
            (None, None) => None,
        };
        Trouble {
            kind,
            doing: error.doing.clone(),
            reason: error.reason(),
            // A service that names no code has at least a status.
            code: error
                .code
                .clone()
                .or(error.status.map(|status| format!("HTTP {status}")))
                .map(String::into_boxed_str),
            request_id: error.request_id.clone().map(String::into_boxed_str),
            hint,
            retry_after_seconds: whole_seconds(error.retry_after),
        }
    }
}
