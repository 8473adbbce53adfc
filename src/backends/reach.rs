//! How back ends reach their services: the operator's connections, the run's transport, clock and limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connections::Operator;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Name;
use crate::net::{HttpsOptions, HttpsTransport, Service, Transport, Trust, Way};

/// Makes transports that trust certain certificate authorities.
pub trait Transports: Send + Sync {
    /// One that trusts those of the PEM text besides what the run trusts anyway.
    fn transport(&self, extra_roots: Option<&[u8]>) -> Result<Arc<dyn Transport>, Trouble>;
}

/// Transports over the network. Services that trust the same share one, and its connections.
pub struct HttpsTransports {
    trust: Trust,
    made: Mutex<BTreeMap<Option<Vec<u8>>, Arc<dyn Transport>>>,
}

impl HttpsTransports {
    /// With what the run trusts anyway.
    pub fn new(trust: Trust) -> HttpsTransports {
        HttpsTransports { trust, made: Mutex::default() }
    }
}

impl Transports for HttpsTransports {
    fn transport(&self, extra_roots: Option<&[u8]>) -> Result<Arc<dyn Transport>, Trouble> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = made.get(&extra_roots.map(<[u8]>::to_vec)) {
            return Ok(Arc::clone(transport));
        }
        let and = |roots: &[u8], extra: &[u8]| [roots, b"\n", extra].concat();
        let trust = match (&self.trust, extra_roots) {
            (trust, None) => trust.clone(),
            (Trust::System, Some(extra)) => Trust::SystemAnd(extra.to_vec()),
            (Trust::SystemAnd(roots), Some(extra)) => Trust::SystemAnd(and(roots, extra)),
            (Trust::Only(roots), Some(extra)) => Trust::Only(and(roots, extra)),
        };
        let transport = HttpsTransport::new(HttpsOptions { trust, ..HttpsOptions::default() });
        let transport = transport.map_err(|error| {
            Trouble::new(TroubleKind::Refused, "preparing HTTPS", error.to_string()).with_hint(error.hint())
        })?;
        let transport: Arc<dyn Transport> = Arc::new(transport);
        made.insert(extra_roots.map(<[u8]>::to_vec), Arc::clone(&transport));
        Ok(transport)
    }
}

/// How back ends reach their services. Cheap to clone.
#[derive(Clone)]
pub struct Reach {
    /// What the operator has set.
    pub operator: Arc<Operator>,
    /// The run's clock, randomness and limits; its transport trusts what the run trusts anyway.
    pub way: Way,
    /// Makes further transports.
    pub transports: Arc<dyn Transports>,
    /// Vaults that were reached already.
    #[cfg(feature = "hashicorp-vault")]
    pub(super) vaults: Opened<crate::vault::Vault>,
    /// Clusters that were reached already, by connection and context.
    #[cfg(feature = "kubernetes")]
    pub(super) clusters: super::kubernetes::Clusters,
}

/// What was opened for a connection, or for none, so that all who name the same share it.
pub(super) struct Opened<T>(Arc<Mutex<BTreeMap<Option<Name>, Arc<T>>>>);

impl<T> Clone for Opened<T> {
    fn clone(&self) -> Opened<T> {
        Opened(Arc::clone(&self.0))
    }
}

impl<T> Default for Opened<T> {
    fn default() -> Opened<T> {
        Opened(Arc::default())
    }
}

impl<T> Opened<T> {
    /// The one that was opened, or a new one.
    pub(super) fn get_or_open(
        &self,
        connection: Option<&Name>,
        open: impl FnOnce() -> Result<Arc<T>, Trouble>,
    ) -> Result<Arc<T>, Trouble> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&connection.cloned()) {
            return Ok(Arc::clone(known));
        }
        let new = open()?;
        opened.insert(connection.cloned(), Arc::clone(&new));
        Ok(new)
    }
}

impl Reach {
    /// Over that way, with what the operator has set.
    pub fn new(operator: Operator, way: Way, transports: Arc<dyn Transports>) -> Reach {
        Reach {
            operator: Arc::new(operator),
            way,
            transports,
            #[cfg(feature = "hashicorp-vault")]
            vaults: Opened::default(),
            #[cfg(feature = "kubernetes")]
            clusters: super::kubernetes::Clusters::default(),
        }
    }

    /// The service of that name at that address; it may have certificate authorities of its own, in a PEM file.
    pub fn service_trusting(
        &self,
        name: &str,
        address: &str,
        ca_file: Option<&str>,
    ) -> Result<Service, Trouble> {
        let mut way = self.way.clone();
        if let Some(path) = ca_file {
            way.transport = self.transports.transport(Some(&read_roots(name, path)?))?;
        }
        Service::new(name, address, way)
    }
}

#[allow(clippy::disallowed_methods, reason = "reads the operator's own CA file")]
fn read_roots(name: &str, path: &str) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path).map_err(|error| {
        Trouble::new(TroubleKind::Refused, format!("connecting to {name}"), format!("{path}: {error}"))
            .with_hint("check the CA file that the operator named for it")
    })
}
