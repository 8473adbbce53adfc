//! Consumers as data: what certroll knows of the products that sign in with a certificate. The common ones are built in,
//! one file each; a declaration can add its own in the same words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Format;
use crate::ids::Name;

/// One product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Consumer")]
pub struct Entry {
    /// The product's own name, for people.
    pub title: String,
    /// Whether a person must confirm that the product has the new key. Default: not_needed.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// How a new certificate gets into the product, in its own menu words.
    pub handoff: Option<String>,
    /// The forms the product takes.
    #[serde(default)]
    pub formats: Vec<Format>,
}

/// Whether a person must confirm that the consumer has the new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledge {
    /// Predecessors retire only after `certroll ack`.
    Required,
    /// Nobody has to do anything.
    #[default]
    NotNeeded,
}

/// The products built in, by the name a declaration uses.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("aucloud-m365-backup", include_str!("catalogue/aucloud-m365-backup.yaml")),
    ("cayosoft-guardian", include_str!("catalogue/cayosoft-guardian.yaml")),
    ("cloudm-continuity", include_str!("catalogue/cloudm-continuity.yaml")),
    ("terraform-microsoft365", include_str!("catalogue/terraform-microsoft365.yaml")),
    ("veeam-data-cloud", include_str!("catalogue/veeam-data-cloud.yaml")),
];

/// Products by name: the built-in ones and, taking precedence, the declared ones.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    entries: BTreeMap<Name, Entry>,
}

impl Catalogue {
    /// The products with those entries, later ones replacing earlier ones of the same name.
    pub fn new(entries: impl IntoIterator<Item = (Name, Entry)>) -> Catalogue {
        Catalogue { entries: entries.into_iter().collect() }
    }

    /// The product of that name.
    pub fn get(&self, name: &Name) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }
}
