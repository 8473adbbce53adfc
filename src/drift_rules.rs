//! The rules of `drift`: stable ids, how bad each is, and what it means. `ignore:` entries and other tools name them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How bad a finding is. Information never counts as drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must look.
    Alert,
}

impl Severity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Alert => "alert",
        }
    }
}

macro_rules! rules {
    ($($variant:ident $id:literal $severity:ident $meaning:literal,)*) => {
        /// What a finding is about. The id of a rule never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $meaning] $variant,)*
        }

        impl Rule {
            /// All rules, in the order they are listed.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// The stable id.
            pub fn id(self) -> &'static str {
                match self { $(Rule::$variant => $id,)* }
            }

            /// How bad it is, unless the finding says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Rule::$variant => Severity::$severity,)* }
            }

            /// What it means, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Rule::$variant => $meaning,)* }
            }
        }
    };
}

rules! {
    TargetMissing "target-missing" Alert "The declared application or service principal does not exist.",
    TargetAmbiguous "target-ambiguous" Alert "Several objects have the declared display name.",
    TargetDeleted "target-deleted" Alert "The declared object was deleted and can still be restored.",
    TargetUnreadable "target-unreadable" Alert "The declared object could not be read.",
    TargetUntouchable "target-untouchable" Warning "The declared object is not ours to edit.",
    SignInImpossible "sign-in-impossible" Warning "Nobody can sign in with this application.",
    StoreUnreadable "store-unreadable" Alert "The store could not be read.",
    StoreUnknown "store-unknown" Warning "The store holds a current generation that certroll did not make.",
    StoreDamaged "store-damaged" Alert "What consumers read from the store was changed or is missing.",
    StoreTouched "store-touched" Warning "Somebody wrote what consumers read from the store; what it holds was not looked at.",
    NotIssued "not-issued" Warning "It is declared, and there is nothing of it anywhere.",
    Missing "missing" Alert "Consumers read it from the store, and Entra does not have it.",
    Changed "changed" Warning "A credential is not what certroll published.",
    Expired "expired" Alert "The current one has expired.",
    Expiring "expiring" Warning "The current one ends soon.",
    RevokedLive "revoked-live" Alert "The file lists it under revoked, and it can still sign in.",
    Differs "declaration-differs" Warning "The current one is not what the file asks for.",
    Orphan "orphan" Warning "It is ours, and no store holds its key.",
    Claimed "claimed" Warning "It carries our marker and not the key id we derive.",
    Undeclared "undeclared" Warning "It carries our marker for a name nobody declares.",
    DeliveryDiffers "delivery-differs" Warning "A delivery place does not hold the current one.",
    DeliveryUnknown "delivery-unknown" Info "A delivery place cannot be compared.",
    Policy "policy" Warning "A policy of the tenant allows less life than the file asks for.",
    PolicyUnread "policy-unread" Info "The policies of the tenant could not be read.",
    Clock "clock" Warning "The clock of this machine and that of the service differ.",
    Blocked "blocked" Warning "Nothing can be done until somebody acts.",
    Waiting "waiting" Warning "A person or provider is waited for.",
    Foreign "foreign" Info "Somebody else put it there. It is left alone.",
    OnItsWay "on-its-way" Info "A rotation has begun and is not at its end.",
    Due "due" Warning "Its rotation is due; the next apply does it.",
    Planned "planned" Warning "The next apply does something that no other rule tells of.",
    IgnoreEnded "ignore-ended" Info "An ignore entry has reached its last day.",
}

impl Rule {
    /// Whether it says that somebody must act before certroll can, rather than that something differs.
    pub fn is_somebodys_turn(self) -> bool {
        matches!(self, Rule::Blocked | Rule::Waiting)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Rule, D::Error> {
        let id = String::deserialize(deserializer)?;
        let named = Rule::ALL.iter().find(|rule| rule.id() == id);
        named.copied().ok_or_else(|| serde::de::Error::custom(format!("{id:?} is no rule of drift")))
    }
}

impl JsonSchema for Rule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DriftRule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let ids: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        json_schema!({ "type": "string", "enum": ids, "description": "A rule of drift." })
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn every_rule_has_an_id_of_its_own() {
        let ids: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
    }
}
