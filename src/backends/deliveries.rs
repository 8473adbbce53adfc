//! Opens declared delivery places.

use std::sync::Arc;

use super::not_in_this_version;
use super::reach::Reach;
use crate::delivery::DeliveryWriter;
use crate::delivery::exec::ExecDelivery;
use crate::delivery::file::FileDelivery;
use crate::desired::Delivery;
use crate::edges::Trouble;

/// Opens a delivery place. Nothing is sent or started yet.
pub(super) fn open(delivery: &Delivery, reach: &Reach) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
    match delivery.kind.as_str() {
        "file" => Ok(Arc::new(FileDelivery::new(delivery)?)),
        "exec" => Ok(Arc::new(ExecDelivery::new(delivery, reach.operator.variables())?)),
        #[cfg(feature = "ci-deliveries")]
        "github_actions" => super::ci::github(delivery, reach),
        #[cfg(feature = "ci-deliveries")]
        "gitlab_ci" => super::ci::gitlab(delivery, reach),
        #[cfg(feature = "ci-deliveries")]
        "azure_devops" => super::ci::azure_devops(delivery, reach),
        #[cfg(feature = "kubernetes")]
        "kubernetes" => {
            use crate::delivery::kubernetes::KubernetesDelivery;
            let context = delivery.settings.get("context").and_then(serde_json::Value::as_str);
            let cluster = super::kubernetes::open(reach, delivery.connection().as_ref(), context)?;
            Ok(Arc::new(KubernetesDelivery::new(cluster)))
        }
        kind => Err(not_in_this_version(&format!("reaching {}", delivery.slot), kind)),
    }
}
