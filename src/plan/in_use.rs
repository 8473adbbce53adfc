//! Since when consumers are known to have a generation: what the overlap counts from.

use jiff::Timestamp;

use crate::desired::{Acknowledgement, Declared};
use crate::observed::record::PublicRecord;
use crate::settings::Settings;

/// The latest of promoted, every declared delivery confirmed and, where a person is needed, acknowledged. `None` as long as one of them
/// is missing.
pub fn since(
    declared: &Declared,
    record: &PublicRecord,
    acknowledged: Option<Timestamp>,
) -> Option<Timestamp> {
    let delivered = declared.deliveries.iter().map(|place| record.delivered_to(&place.slot).map(|d| d.at));
    let asked = declared.acknowledge.then_some(acknowledged);
    let moments: Option<Vec<Timestamp>> = delivered.chain(asked).chain([record.promoted_at]).collect();
    moments.and_then(|moments| moments.into_iter().max())
}

/// When somebody first said that consumers use the generation, of those who can have seen it.
pub fn acknowledged_at<'a>(
    acknowledgements: impl IntoIterator<Item = &'a Acknowledgement>,
    record: &PublicRecord,
    settings: &Settings,
) -> Option<Timestamp> {
    let thumbprints = record.thumbprints?;
    let of_it = acknowledgements.into_iter().filter(|ack| ack.thumbprint.names(&thumbprints));
    of_it.filter(|ack| can_have_seen(ack, record, settings)).map(|ack| ack.at).min()
}

/// Whether consumers could have it when they said so, give or take what clocks may differ: its key was there, and it had become what they
/// read for the last time. After a rollback, what was said of its first time in use says nothing of who has turned back. What consumers
/// had before certroll knew of it, they had.
pub fn can_have_seen(ack: &Acknowledgement, record: &PublicRecord, settings: &Settings) -> bool {
    let there = record.promoted_at.unwrap_or(record.requested_at);
    record.was_in_use_before() || there.duration_since(ack.at) <= settings.skew_refuse
}
