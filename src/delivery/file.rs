//! A copy of the current generation in a folder on this machine. What is written where, and how it is compared, is told in
//! `docs/deliveries/file.md`; the work on the disk is the file store's.

use std::path::PathBuf;

use async_trait::async_trait;

use super::settings::{doing, files, needed, password_beside, text};
use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::Trouble;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::may::May;
use crate::observed::DeliveryState;
use crate::store::StoreError;
use crate::store::file::copies::{Copies, Found};
use crate::store::file::writable::may_write;

/// Files in a folder.
#[derive(Debug)]
pub struct FileDelivery {
    folder: PathBuf,
    name: String,
    password_file: Option<String>,
}

impl FileDelivery {
    /// What the declaration says. Nothing is looked at yet.
    pub fn new(delivery: &Delivery) -> Result<FileDelivery, Trouble> {
        Ok(FileDelivery {
            folder: delivery.origin.folder.join(needed(delivery, "directory")?),
            name: needed(delivery, "name")?,
            password_file: text(delivery, "password_secret"),
        })
    }

    fn copies(&self) -> Copies {
        Copies { folder: self.folder.clone(), name: self.name.clone() }
    }
}

#[async_trait]
impl DeliveryReader for FileDelivery {
    /// Opens no file with a key in it: size and time of change tell whether the files are still those that were written.
    async fn observe(&self, _delivery: &Delivery) -> DeliveryState {
        match self.copies().look().await {
            Ok(Found::Nothing) => DeliveryState::Absent,
            Ok(Found::AsWritten(thumbprints)) => DeliveryState::Holds(thumbprints),
            Ok(Found::Changed(what)) => DeliveryState::Marker(what),
            Err(fault) => DeliveryState::Unreadable { reason: fault.reason },
        }
    }

    async fn may_write(&self, _delivery: &Delivery) -> Result<May, DeliveryError> {
        Ok(may_write(&self.folder))
    }
}

#[async_trait]
impl DeliveryWriter for FileDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError> {
        let mut all = Vec::new();
        // Before what it opens: a death in between leaves a password nobody needs rather than a PFX nobody can open.
        if let Some(password) = password_beside(delivery, password, self.password_file.is_some()) {
            let name = self.password_file.clone().unwrap_or_else(|| format!("{}.password", self.name));
            all.push((name, zeroize::Zeroizing::new(password.expose().as_bytes().to_vec())));
        }
        let rendered = files(delivery, key, issued, password, &self.name)?;
        all.extend(rendered.into_iter().map(|file| (file.name, file.contents)));
        let thumbprints = issued.certificate.thumbprints;
        let written = self.copies().write(thumbprints, all).await;
        written.map_err(|fault| {
            let StoreError { kind, doing, reason, hint } = fault.error(doing(delivery));
            Trouble::from(StoreError { kind, doing, reason, hint })
        })?;
        Ok(format!("SHA-256 {}", thumbprints.sha256))
    }
}
