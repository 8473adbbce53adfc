//! Reaches an API server: that of a named connection, of `KUBECONFIG`, or of the pod.

use std::sync::Arc;

use super::reach::Reach;
use crate::edges::Trouble;
use crate::ids::Name;
use crate::kubernetes::Cluster;

/// The cluster of that connection and context. All who name the same share it, and its sign-in.
pub(super) fn open(
    reach: &Reach,
    connection: Option<&Name>,
    context: Option<&str>,
) -> Result<Arc<Cluster>, Trouble> {
    reach.clusters.get_or_open(connection, context.unwrap_or_default(), || {
        let named = reach.operator.connection(connection)?;
        Cluster::choose(&reach.operator, named, context, reach.way.clone(), reach.plugins)
    })
}
