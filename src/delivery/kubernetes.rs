//! Delivery to a Kubernetes Secret: the fields of the form, owned by server-side apply. What it holds is seen without reading a value.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::Trouble;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::kubernetes::fields::{self, PasswordField};
use crate::kubernetes::{Cluster, Secrets};
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
        let text = |key: &str| delivery.settings.get(key).and_then(Value::as_str);
        // The slot ends in namespace and name as they are meant, defaults included.
        let slot = delivery.slot.rsplit_once('/').map_or("", |(_, name)| name);
        let name = text("name").unwrap_or(slot).to_owned();
        (Secrets::new(Arc::clone(&self.cluster), text("namespace").unwrap_or_default()), name)
    }
}

fn failed(trouble: Trouble) -> DeliveryError {
    let code = trouble.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    DeliveryError { doing: trouble.doing, reason: format!("{}{code}", trouble.reason), hint: trouble.hint }
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
            Err(trouble) => DeliveryState::Unreadable { reason: failed(trouble).to_string() },
        }
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
        let text = |key: &str| delivery.settings.get(key).and_then(Value::as_str);
        let field = PasswordField(text("password_secret").map(str::to_owned));
        let rendered = fields::rendered(&delivery.form, key, issued, password, &field, &name);
        let rendered = rendered.map_err(|error| DeliveryError {
            doing: format!("delivering to Secret {}", secrets.place(&name)),
            reason: error.to_string(),
            hint: None,
        })?;
        let write =
            fields::write(fields::secret_type(text("type")), rendered, &issued.certificate.thumbprints);
        let seen = secrets.metadata(&name).await.map_err(failed)?;
        let written = secrets.apply(&name, seen.as_ref(), write).await.map_err(failed)?;
        Ok(written.resource_version().unwrap_or_default().to_owned())
    }
}
