//! The delivery contract: further places a generation is copied to, usually write-only.

#[cfg(feature = "kubernetes")]
pub mod kubernetes;

use async_trait::async_trait;

use crate::desired::Delivery;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::observed::DeliveryState;

/// What went wrong at a delivery place. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct DeliveryError {
    /// A gerund and a name.
    pub doing: String,
    /// The reason, with the service's own code where there is one.
    pub reason: String,
    /// What to try.
    pub hint: Option<String>,
}

/// Looking only.
#[async_trait]
pub trait DeliveryReader: Send + Sync {
    /// What the place holds, as far as it can tell without handing out a secret.
    async fn observe(&self, delivery: &Delivery) -> DeliveryState;
}

/// Looking and writing.
#[async_trait]
pub trait DeliveryWriter: DeliveryReader {
    /// Writes the generation in the delivery's form and returns the place's change marker after the write.
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError>;
}
