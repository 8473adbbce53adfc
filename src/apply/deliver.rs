//! Copying a generation to a further place. The key leaves its store for this, and only for this.

use crate::apply::chain::Chain;
use crate::apply::outcome::{Done, Shown, Stop};
use crate::edges::{Trouble, TroubleKind};
use crate::observed::Current;
use crate::observed::record::{Delivered, PublicRecord};
use crate::plan::step::GenerationRef;

impl Chain<'_> {
    /// Copies the generation to the place, then writes the record: a delivery that failed leaves the overlap open.
    pub(crate) async fn deliver(&mut self, which: &GenerationRef, slot: &str) -> Result<Done, Stop> {
        let doing = format!("delivering to {slot}");
        let declared = self.declared()?;
        let Some(delivery) = declared.deliveries.iter().find(|delivery| delivery.slot == slot) else {
            return Err(Stop::Failed(Trouble::new(
                TroubleKind::Internal,
                doing,
                "the declaration no longer names that place",
            )));
        };
        self.is_still_current(&doing).await?;
        let generation = self.generation(which)?;
        let place = self.run.job.writers.delivery(delivery)?;
        let password = self.password(&delivery.form)?;
        let (store, entry) = self.store()?;
        let issued = self.run.looking_in_slot(store.issued(entry, &generation)).await?;
        let issued = issued.map_err(Trouble::from)?;
        let marker = {
            let key = self.run.looking_in_slot(store.export(entry, &generation)).await?;
            let key = key.map_err(Trouble::from)?;
            let delivering = place.deliver(delivery, &key, &issued, password.as_ref());
            self.run.changing_in_slot(delivering).await?.map_err(Trouble::from)?
        };
        if let Err(rival) = self.is_still_current(&doing).await {
            self.doubt_delivery(slot).await?;
            return Err(rival);
        }
        let mut record = generation.record;
        let delivered =
            Delivered { at: self.run.now(), marker: marker.clone(), form: delivery.form.fingerprint() };
        record.delivered.insert(slot.to_owned(), delivered);
        self.write_record(&record).await?;
        let shown = Shown { thumbprints: record.thumbprints, marker: Some(marker), ..Shown::default() };
        Ok(Done::now(shown))
    }

    /// What is current now may have been delivered before ours arrived there: the next run delivers it again.
    async fn doubt_delivery(&mut self, slot: &str) -> Result<(), Stop> {
        let Some(Current::Recorded(sha256)) = self.look_at_store().await? else { return Ok(()) };
        let is_it = |record: &PublicRecord| record.thumbprints.is_some_and(|both| both.sha256 == sha256);
        let mut records = self.generations.iter().map(|generation| &generation.record);
        let Some(record) = records.find(|record| is_it(record) && record.delivered.contains_key(slot)) else {
            return Ok(());
        };
        let mut record = record.clone();
        record.delivered.remove(slot);
        self.write_record(&record).await
    }
}
