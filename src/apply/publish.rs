//! Putting a generation's credential on the target. The write itself is in `replace`.

use crate::apply::chain::Chain;
use crate::apply::must_show::Write;
use crate::apply::outcome::{Done, Shown, Stop};
use crate::apply::replace::{Change, Takes, carefully};
use crate::certificate::Certificate;
use crate::desired::Issuer;
use crate::edges::{NewCredential, Trouble, TroubleKind};
use crate::ids::KeyId;
use crate::plan::records::credential_dates;
use crate::plan::step::GenerationRef;

impl Chain<'_> {
    /// Puts the generation's credential on the target. One that is there already is done.
    pub(crate) async fn publish(
        &mut self,
        which: &GenerationRef,
        display_name: &str,
        lifetime_max_seconds: Option<i64>,
        dropping: &[KeyId],
    ) -> Result<Done, Stop> {
        let certificate = self.certificate(which).await?;
        let target = self.target()?;
        let doing = format!(
            "publishing {} on {} {:?}",
            certificate.thumbprints.sha1, target.id.kind, target.display_name
        );
        let now = self.run.now();
        let (start, end) = credential_dates(
            certificate.not_before,
            certificate.not_after,
            lifetime_max_seconds,
            now,
            self.run.job.settings,
        );
        if end <= start || end <= now {
            return Err(Stop::Failed(Trouble::new(
                TroubleKind::Refused,
                doing,
                "its certificate, or the policy's longest life, ends before it could be used",
            )));
        }
        let thumbprints = certificate.thumbprints;
        let key_id = KeyId::derive(&target.id, &thumbprints.sha1);
        let new = NewCredential { key_id, display_name: display_name.to_owned(), certificate, start, end };
        let change = Change {
            target: target.id,
            doing,
            add: Some(new),
            takes: Takes::Expired(dropping),
            must_show: self.must_show(target.id, thumbprints.sha1, Write::Adds),
        };
        let directory = self.directory()?;
        let written =
            carefully(self.run, &*directory, &change, &|what| self.progress("publish", what)).await?;
        self.tell_of_disappeared(&written.disappeared);
        let found = written.list.iter().find(|one| one.is_of(&thumbprints));
        if !written.already {
            self.published_now = Some(self.run.now());
        }
        let shown = Shown {
            key_id: found.and_then(|one| one.key_id).or(Some(key_id)),
            thumbprints: Some(thumbprints),
            start: found.and_then(|one| one.start),
            end: found.and_then(|one| one.end),
            read_backs: written.read_backs,
            writes: written.writes,
            dropped: written.dropped,
            disappeared: written.disappeared,
            ..Shown::default()
        };
        Ok(Done { already: written.already, shown })
    }

    /// The public certificate of a generation: from its store or, where somebody else keeps the key, from the declared file.
    async fn certificate(&self, which: &GenerationRef) -> Result<Certificate, Stop> {
        if let Some(Issuer::ExternalPublicKey { files }) = self.declared.map(|declared| &declared.issuer) {
            let wanted = |file: &&crate::desired::PublicKeyFile| {
                which.thumbprints == Some(file.certificate.thumbprints)
            };
            return files.iter().find(wanted).map(|file| file.certificate.clone()).ok_or_else(|| {
                Stop::Failed(Trouble::new(
                    TroubleKind::Missing,
                    format!("publishing {which} of {}", self.plan.address),
                    "the declared files no longer hold it",
                ))
            });
        }
        let generation = self.generation(which)?;
        let (store, entry) = self.store()?;
        let issued = self.run.looking_in_slot(store.issued(entry, &generation)).await?;
        let certificate = issued.map_err(Trouble::from)?.certificate;
        if generation.record.thumbprints != Some(certificate.thumbprints) {
            return Err(Stop::Failed(Trouble::new(
                TroubleKind::Invalid,
                format!("reading the certificate of {}", self.plan.address),
                "the store's certificate is not the one its record names",
            )));
        }
        Ok(certificate)
    }
}
