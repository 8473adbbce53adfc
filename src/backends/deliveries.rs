//! Opens declared delivery places.

use std::sync::Arc;

use super::not_in_this_version;
use super::reach::Reach;
use crate::delivery::DeliveryWriter;
use crate::desired::Delivery;
use crate::edges::Trouble;

/// Opens a delivery place. Nothing is sent yet.
pub(super) fn open(delivery: &Delivery, reach: &Reach) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
    match delivery.kind.as_str() {
        #[cfg(feature = "kubernetes")]
        "kubernetes" => {
            use crate::delivery::kubernetes::KubernetesDelivery;
            let context = delivery.settings.get("context").and_then(serde_json::Value::as_str);
            let cluster = super::kubernetes::open(reach, delivery.connection().as_ref(), context)?;
            Ok(Arc::new(KubernetesDelivery::new(cluster)))
        }
        kind => {
            let _ = reach;
            Err(not_in_this_version(&format!("reaching {}", delivery.slot), kind))
        }
    }
}
