//! Copying a generation to a further place. The key leaves its store for this, and only for this.

use crate::apply::chain::Chain;
use crate::apply::outcome::{Done, Shown, Stop};
use crate::edges::{Trouble, TroubleKind};
use crate::observed::record::Delivered;
use crate::plan::step::GenerationRef;

impl Chain<'_> {
    /// Copies the generation to the place, then writes the record: a delivery that failed leaves the overlap open.
    pub(crate) async fn deliver(&mut self, which: &GenerationRef, slot: &str) -> Result<Done, Stop> {
        let declared = self.declared()?;
        let Some(delivery) = declared.deliveries.iter().find(|delivery| delivery.slot == slot) else {
            return Err(Stop::Failed(Trouble::new(
                TroubleKind::Internal,
                format!("delivering to {slot}"),
                "the declaration no longer names that place",
            )));
        };
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
        let mut record = generation.record;
        let delivered =
            Delivered { at: self.run.now(), marker: marker.clone(), form: delivery.form.fingerprint() };
        record.delivered.insert(slot.to_owned(), delivered);
        self.write_record(&record).await?;
        let shown = Shown { thumbprints: record.thumbprints, marker: Some(marker), ..Shown::default() };
        Ok(Done::now(shown))
    }
}
