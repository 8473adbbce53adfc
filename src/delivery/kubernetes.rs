//! Delivery to a Kubernetes Secret: the fields of the form, owned by server-side apply. What it holds is seen without reading a value.

use std::sync::Arc;

use async_trait::async_trait;

use super::settings::{doing, text};
use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::{Trouble, TroubleKind};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::kubernetes::fields::{self, PasswordField};
use crate::kubernetes::{Cluster, Needed, Secrets};
use crate::may::May;
use crate::observed::DeliveryState;

/// A Secret of that cluster.
pub struct KubernetesDelivery {
    cluster: Arc<Cluster>,
}

impl KubernetesDelivery {
    /// Secrets of that cluster.
    pub fn new(cluster: Arc<Cluster>) -> KubernetesDelivery {
        KubernetesDelivery { cluster }
    }

    fn place(&self, delivery: &Delivery) -> (Secrets, String) {
        // The slot ends in namespace and name as they are meant, defaults included.
        let slot = delivery.slot.rsplit_once('/').map_or("", |(_, name)| name);
        let name = text(delivery, "name").unwrap_or_else(|| slot.to_owned());
        let namespace = text(delivery, "namespace").unwrap_or_default();
        (Secrets::new(Arc::clone(&self.cluster), &namespace), name)
    }
}

#[async_trait]
impl DeliveryReader for KubernetesDelivery {
    async fn observe(&self, delivery: &Delivery) -> DeliveryState {
        let (secrets, name) = self.place(delivery);
        match secrets.metadata(&name).await {
            Ok(None) => DeliveryState::Absent,
            Ok(Some(meta)) => match fields::holds(&meta) {
                Some(thumbprints) => DeliveryState::Holds(thumbprints),
                None => DeliveryState::Marker(meta.data_history()),
            },
            Err(trouble) => DeliveryState::Unreadable { reason: trouble.to_string() },
        }
    }

    async fn may_write(&self, delivery: &Delivery) -> Result<May, DeliveryError> {
        let (secrets, name) = self.place(delivery);
        let mut needed = vec![Needed { verb: "patch", name: Some(&name) }];
        if secrets.metadata(&name).await?.is_none() {
            needed.push(Needed { verb: "create", name: None });
        }
        Ok(secrets.may(&needed).await?)
    }
}

#[async_trait]
impl DeliveryWriter for KubernetesDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError> {
        let (secrets, name) = self.place(delivery);
        let field = PasswordField(text(delivery, "password_secret"));
        let rendered = fields::rendered(&delivery.form, key, issued, password, &field, &name)
            .map_err(|error| Trouble::new(TroubleKind::Refused, doing(delivery), error.to_string()))?;
        let secret_type = fields::secret_type(text(delivery, "type").as_deref());
        let write = fields::write(secret_type, rendered, &issued.certificate.thumbprints);
        let seen = secrets.metadata(&name).await?;
        let written = secrets.apply(&name, seen.as_ref(), write).await?;
        Ok(written.resource_version().unwrap_or_default().to_owned())
    }
}
