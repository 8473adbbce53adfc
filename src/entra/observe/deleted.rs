//! Objects in the recycle bin, restorable for 30 days. Asked for only when something is missing, once for each kind.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::desired::SelectBy;
use crate::entra::http::{GraphClient, READ_APPLICATIONS};
use crate::entra::odata::query;
use crate::entra::wire::moment;
use crate::ids::TargetKind;

/// What the recycle bin holds.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    items: BTreeMap<TargetKind, Vec<Item>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: Uuid,
    app_id: Option<Uuid>,
    display_name: Option<String>,
    deleted_date_time: Option<String>,
}

impl Deleted {
    /// Reads the bin for those kinds. What cannot be read stays "missing" rather than "deleted": both block, and the hint is all that
    /// is lost.
    pub(super) async fn read(client: &GraphClient, kinds: &BTreeSet<TargetKind>) -> Deleted {
        let mut deleted = Deleted::default();
        for kind in kinds {
            let name = match kind {
                TargetKind::Application => "application",
                TargetKind::ServicePrincipal => "servicePrincipal",
            };
            let doing = format!("looking for deleted {kind}s");
            let select = [("$select", "id,appId,displayName,deletedDateTime"), ("$top", "999")];
            let path = query(&format!("directory/deletedItems/microsoft.graph.{name}"), &select);
            let items = deleted.items.entry(*kind).or_default();
            if let Ok(call) = client.get(&path, &doing, READ_APPLICATIONS) {
                let take = |member: &serde_json::value::RawValue| {
                    items.extend(serde_json::from_str::<Item>(member.get()))
                };
                let _ = client.pages(call, take).await;
            }
        }
        deleted
    }

    /// The deleted object with that key, the one deleted last if there are several.
    pub(super) fn find(&self, kind: TargetKind, key: &SelectBy) -> Option<(Uuid, Option<Timestamp>)> {
        let same = |item: &&Item| match key {
            SelectBy::AppId(id) => item.app_id == Some(*id),
            SelectBy::ObjectId(id) => item.id == *id,
            SelectBy::DisplayName(name) => item.display_name.as_ref() == Some(name),
            SelectBy::UniqueName(_) => false,
        };
        let found = self.items.get(&kind)?.iter().filter(same);
        let dated = found.map(|item| (item.id, item.deleted_date_time.as_deref().and_then(moment)));
        dated.max_by_key(|(id, deleted_at)| (*deleted_at, *id))
    }
}
