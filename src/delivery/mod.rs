//! The delivery contract: further places a generation is copied to, usually write-only.

#[cfg(feature = "ci-deliveries")]
pub mod azure_devops;
pub mod exec;
pub mod file;
#[cfg(feature = "ci-deliveries")]
pub mod github;
#[cfg(feature = "ci-deliveries")]
pub mod gitlab;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod settings;

use async_trait::async_trait;

use crate::desired::Delivery;
use crate::edges::Trouble;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::may::May;
use crate::observed::DeliveryState;

/// What went wrong at a delivery place: what kind, doing what, the reason, what to try. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct DeliveryError(#[from] pub Trouble);

/// Looking only.
#[async_trait]
pub trait DeliveryReader: Send + Sync {
    /// What the place holds, as far as it can tell without handing out a secret.
    async fn observe(&self, delivery: &Delivery) -> DeliveryState;

    /// Whether a generation may be delivered, as far as the place tells without a write.
    async fn may_write(&self, delivery: &Delivery) -> Result<May, DeliveryError> {
        let _ = delivery;
        Ok(May::NotTold)
    }
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
