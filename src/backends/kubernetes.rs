//! Reaches an API server: that of a named connection, of `KUBECONFIG`, or of the pod.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::reach::Reach;
use crate::edges::Trouble;
use crate::ids::Name;
use crate::kubernetes::Cluster;

type Which = (Option<Name>, Option<String>);

/// Clusters by connection and context. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Clusters(Arc<Mutex<BTreeMap<Which, Arc<Cluster>>>>);

/// The cluster of that connection and context. All who name the same share it, and its sign-in.
pub(super) fn open(
    reach: &Reach,
    connection: Option<&Name>,
    context: Option<&str>,
) -> Result<Arc<Cluster>, Trouble> {
    let named = reach.operator.connection(connection)?;
    let which = (connection.cloned(), context.map(str::to_owned));
    let mut opened = reach.clusters.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = opened.get(&which) {
        return Ok(Arc::clone(known));
    }
    let cluster = Cluster::choose(&reach.operator, named, context, reach.way.clone())?;
    opened.insert(which, Arc::clone(&cluster));
    Ok(cluster)
}
