//! The edges as this version ships them. What connects to where is handed in; nothing here reads the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::backends::directory::{EntraReader, EntraSignIns, EntraWriter};
use crate::backends::reach::Reach;
use crate::backends::{deliveries, issuers, stores};
use crate::delivery::{DeliveryReader, DeliveryWriter};
use crate::desired::{Declared, Delivery, Desired, Password, Store, StoreBinding, Tenant};
use crate::edges::{
    DirectoryReader, DirectoryWriter, Provers, Readers, SignIns, Signers, SignersOnly, Trouble, TroubleKind,
    Writers,
};
use crate::entra::probe::Probe;
use crate::entra::{self, GraphClient, Line};
use crate::ids::{Name, Thumbprints};
use crate::issuer::Issuer;
use crate::key::Secret;
use crate::may::May;
use crate::observed::Answer;
use crate::store::{StoreReader, StoreWriter};

/// Where secrets of the declaration come from: `CERTROLL_SECRET_*` variables and files below `--secrets-dir`.
pub trait Secrets: Send + Sync {
    /// The secret of that source; none when it is not set.
    fn secret(&self, password: &Password) -> Result<Option<Secret>, Trouble>;

    /// Whether that source is set, found out without reading it where that can be.
    fn is_set(&self, password: &Password) -> Result<bool, Trouble> {
        Ok(self.secret(password)?.is_some())
    }
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
    declared: BTreeMap<Name, Store>,
    reach: Reach,
    tenants: BTreeMap<Name, Result<Joined, Trouble>>,
    /// Stores that were opened, so that all certificates in one share its sign-in.
    stores: Mutex<BTreeMap<Name, Arc<dyn StoreWriter>>>,
}

struct Joined {
    tenant: String,
    /// Carries the sign-ins that prove a key.
    proving: Line,
    client: Arc<GraphClient>,
}

impl Connections {
    /// Connects every declared tenant. One that cannot be connected is trouble when it is first used, not before; so are stores,
    /// issuers and delivery places, which are reached by `reach`.
    pub fn new(
        desired: &Desired,
        reach: Reach,
        connect: impl Fn(&Tenant) -> Result<Connection, Trouble>,
    ) -> Connections {
        let join = |tenant: &Tenant| {
            let Connection { line, client } = connect(tenant)?;
            Ok(Joined { tenant: tenant.id.clone(), proving: line.for_proving(), client: Arc::new(client) })
        };
        let tenants = desired.tenants.iter().map(|(name, tenant)| (name.clone(), join(tenant))).collect();
        let declared = desired.stores.clone();
        Connections(Arc::new(Connected { declared, reach, tenants, stores: Mutex::default() }))
    }

    /// What certroll's own sign-in to a declared tenant is worth, and whose it is. Only looks.
    pub async fn probe(&self, tenant: &Name) -> Result<(String, Probe), Trouble> {
        let client = &self.joined(tenant)?.client;
        Ok((client.describe_identity(), client.probe().await))
    }

    /// Whether the operator has set up a connection, and lets its users use it.
    pub fn connection(&self, name: &Name) -> Result<(), Trouble> {
        self.0.reach.operator.connection(Some(name)).map(|_| ())
    }

    /// Whether certificates will be made for that one, as far as it can be told without having one made, and who signs in for that.
    pub async fn may_issue(&self, declared: &Declared) -> Result<(Option<String>, May), Trouble> {
        issuers::may_issue(declared, &self.0.reach).await
    }

    fn joined(&self, tenant: &Name) -> Result<&Joined, Trouble> {
        match self.0.tenants.get(tenant) {
            Some(Ok(joined)) => Ok(joined),
            Some(Err(trouble)) => Err(trouble.clone()),
            None => Err(undeclared("tenant", tenant)),
        }
    }

    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreWriter>, Trouble> {
        let Connected { declared, reach, stores, .. } = &*self.0;
        let declared = declared.get(&entry.store).ok_or_else(|| undeclared("store", &entry.store))?;
        let mut opened = stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&declared.name) {
            return Ok(Arc::clone(store));
        }
        let store = stores::open(declared, reach)?;
        opened.insert(declared.name.clone(), Arc::clone(&store));
        Ok(store)
    }

    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
        deliveries::open(delivery, &self.0.reach)
    }

    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, Trouble> {
        let joined = self.joined(tenant)?;
        Ok(Arc::new(EntraSignIns { line: joined.proving.clone(), tenant: joined.tenant.clone() }))
    }
}

fn undeclared(what: &str, name: &Name) -> Trouble {
    Trouble::new(TroubleKind::Internal, format!("using {what} {name}"), "it is not declared")
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
        let store: Arc<dyn StoreReader> = self.0.store(entry)?;
        Ok(store)
    }

    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryReader>, Trouble> {
        let place: Arc<dyn DeliveryReader> = self.0.delivery(delivery)?;
        Ok(place)
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryReader>, Trouble> {
        let client = Arc::clone(&self.0.joined(tenant)?.client);
        Ok(Arc::new(EntraReader(entra::DirectoryReader::new(client))))
    }

    fn answer(&self, declared: &Declared, csr: &[u8], known: &BTreeSet<Thumbprints>) -> Answer {
        issuers::answer(declared, &self.0.0.reach, csr, known)
    }
}

impl Provers for ShippedReaders {
    fn signers(&self, entry: &StoreBinding) -> Result<Arc<dyn Signers>, Trouble> {
        Ok(Arc::new(SignersOnly(self.0.store(entry)?)))
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
        self.connections.store(entry)
    }

    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
        self.connections.delivery(delivery)
    }

    fn issuer(&self, declared: &Declared) -> Result<Arc<dyn Issuer>, Trouble> {
        issuers::open(declared, &self.connections.0.reach, &*self.secrets)
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
