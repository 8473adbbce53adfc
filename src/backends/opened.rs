//! Vaults and clusters that were reached already, so that all who name the same share it and its sign-in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::edges::Trouble;
use crate::ids::Name;

/// What was opened for a connection, or for none, so that all who name the same share it.
pub(super) struct Opened<T>(Arc<Mutex<BTreeMap<Key, Arc<T>>>>);

/// A connection, and which of the places it leads to.
type Key = (Option<Name>, String);

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
    /// The one that was opened, or a new one. `place` tells several of one connection apart.
    pub(super) fn get_or_open(
        &self,
        connection: Option<&Name>,
        place: &str,
        open: impl FnOnce() -> Result<Arc<T>, Trouble>,
    ) -> Result<Arc<T>, Trouble> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (connection.cloned(), place.to_owned());
        if let Some(known) = opened.get(&key) {
            return Ok(Arc::clone(known));
        }
        let new = open()?;
        opened.insert(key, Arc::clone(&new));
        Ok(new)
    }
}
