//! The keys of `defaults` and of a certificate.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::words::{Day, Guid, LeadText, SubjectText, TimeOfDay, Zone};
use super::{Delivery, IssuerChoice, StoreChoice};
use crate::certificate::{KeyKind, SignatureHash};
use crate::consumer;
use crate::desired::{Prove, Retire};
use crate::drift_rules::Rule;
use crate::ids::{KeyId, Name, Thumbprint};
use crate::period::Period;

/// Keys that may stand both in `defaults` and in a certificate, written once. The first list is what only a certificate has.
macro_rules! settings {
    (
        certificate { $( $(#[$own_doc:meta])* $own:ident : $own_type:ty, )* }
        inherited { $( $(#[$doc:meta])* $key:ident : $type:ty, )* }
        $( #[$special_doc:meta] $special:ident : $special_type:ty, )*
    ) => {
        /// Values for every certificate of this file that does not set them itself.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(extend("not" = either_timing()))]
        pub(in crate::desired::file) struct Defaults {
            $( $(#[$doc])* pub(in crate::desired::file) $key: Option<$type>, )*
            $( #[$special_doc] pub(in crate::desired::file) $special: Option<$special_type>, )*
        }

        /// One certificate.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(extend("not" = either_timing(), "oneOf" = either_target()))]
        pub(in crate::desired::file) struct Certificate {
            $( $(#[$own_doc])* pub(in crate::desired::file) $own: Option<$own_type>, )*
            $( $(#[$doc])* pub(in crate::desired::file) $key: Option<$type>, )*
            $( #[$special_doc] pub(in crate::desired::file) $special: Option<$special_type>, )*
        }

        impl Certificate {
            /// Takes over what it does not set itself. One timing form replaces the other; labels merge.
            pub(in crate::desired::file) fn inherit(&mut self, defaults: &Defaults) {
                $( if self.$key.is_none() { self.$key.clone_from(&defaults.$key); } )*
                if self.rotation_period.is_none() && self.renew_before.is_none() {
                    self.rotation_period.clone_from(&defaults.rotation_period);
                    self.renew_before.clone_from(&defaults.renew_before);
                }
                if let Some(inherited) = &defaults.labels {
                    let labels = self.labels.get_or_insert_default();
                    for (key, value) in inherited {
                        labels.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
        }
    };
}

settings! {
    certificate {
        /// The app registration that carries it.
        application: Selector,
        /// The enterprise application that carries it.
        service_principal: Selector,
        /// The credential's display name, after the marker. Default: the certificate's name.
        description: String,
        /// Further places each generation is copied to.
        #[allow(dead_code, reason = "read one by one, so that a mistake in one does not hide the others")]
        deliver: Vec<Delivery>,
        /// Dates between which nothing is written.
        freeze: Vec<Freeze>,
        /// Live credentials to take over.
        adopt: Vec<Adopt>,
        /// Thumbprints never to publish, offer or roll back to.
        revoked: Vec<Thumbprint>,
        /// Nothing is rotated until that day is over.
        hold: Hold,
        /// Key ids of others' expired credentials that may be dropped, because they make Entra refuse every write.
        drop_expired_foreign: Vec<KeyId>,
        /// Drift findings not to report.
        ignore: Vec<Ignore>,
    }
    inherited {
        /// The tenant. Default: the only one.
        tenant: Name,
        /// The product that signs in with it.
        consumer: Name,
        /// The key pair. Default: rsa-2048.
        key: KeyKind,
        /// The digest it is signed with. Default: sha256.
        signature_hash: SignatureHash,
        /// The certificate's subject (RFC 4514). Default: CN= and the certificate's name.
        subject: SubjectText,
        /// How long a certificate is valid. Default: P1Y.
        validity: Period,
        /// How long the predecessor stays valid after the successor is in use. Default: 14d.
        overlap: Period,
        /// By how much dates are moved earlier, at most, so that not all certificates rotate at once. Default: 0d.
        spread: Period,
        /// When writes may happen. Default: any time.
        windows: Vec<Window>,
        /// What makes the certificate. Default: self-signed.
        issuer: IssuerChoice,
        /// Where the private key lives: a store's name, or more about the place in it.
        store: StoreChoice,
        /// Whether predecessors are retired. Default: after_overlap.
        retire: Retire,
        /// A predecessor is retired only when unused for so long. Needs usage reports.
        unused_for: Period,
        /// How many generations of retired key material are kept in the store. Default: 1.
        keep_retired: u32,
        /// How a generation is proven. Default: sign_in.
        prove: Prove,
        /// Whether a person must confirm that the consumer has the new key. Default: what the consumer says.
        acknowledge: consumer::Acknowledge,
        /// Drift warns when the certificate ends sooner than this. Default: 30d.
        warn_before: Period,
        /// Drift alerts when the certificate ends sooner than this. Default: 14d.
        alert_before: Period,
    }
    /// Rotate so long after the certificate began. Default: 180d. Excludes renew_before.
    rotation_period: Period,
    /// Rotate so long before the certificate ends: a duration, or a percentage of its life. Excludes rotation_period.
    renew_before: LeadText,
    /// Free labels, for --only label:key=value. Merged with the defaults.
    labels: BTreeMap<String, String>,
}

fn either_timing() -> serde_json::Value {
    serde_json::json!({ "required": ["rotation_period", "renew_before"] })
}

fn either_target() -> serde_json::Value {
    serde_json::json!([{ "required": ["application"] }, { "required": ["service_principal"] }])
}

/// How a target is found: by exactly one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum Selector {
    /// Application (client) id.
    AppId(Guid),
    /// Object id.
    ObjectId(Guid),
    /// The `uniqueName` alternate key.
    UniqueName(String),
    /// Display name. Names drift and need not be unique: prefer app_id.
    DisplayName(String),
}

/// A weekly time in which writes may happen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct Window {
    /// The days on which it begins.
    #[schemars(length(min = 1))]
    pub(in crate::desired::file) days: Vec<Weekday>,
    /// Local time it begins, HH:MM.
    pub(in crate::desired::file) from: TimeOfDay,
    /// Local time it ends, HH:MM. Earlier than `from` means the next day.
    pub(in crate::desired::file) to: TimeOfDay,
    /// IANA time zone, such as Europe/London.
    pub(in crate::desired::file) zone: Zone,
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Dates between which nothing is written, both included, in UTC.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct Freeze {
    /// First day.
    pub(in crate::desired::file) from: Day,
    /// Last day.
    pub(in crate::desired::file) to: Day,
    /// Shown in the plan.
    pub(in crate::desired::file) reason: String,
}

/// Nothing is rotated until that day is over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct Hold {
    /// Last day, in UTC.
    pub(in crate::desired::file) until: Day,
    /// Shown in the plan.
    pub(in crate::desired::file) reason: String,
}

/// A drift finding not to report.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct Ignore {
    /// The finding's rule.
    pub(in crate::desired::file) rule: Rule,
    /// Why.
    pub(in crate::desired::file) reason: String,
    /// Who decided.
    pub(in crate::desired::file) owner: Option<String>,
    /// Last day, in UTC.
    pub(in crate::desired::file) until: Option<Day>,
}

/// A live credential to take over: its thumbprint, or more.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::desired::file) enum Adopt {
    Thumbprint(Thumbprint),
    More(AdoptMore),
}

/// A live credential to take over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct AdoptMore {
    /// Which one.
    pub(in crate::desired::file) thumbprint: Thumbprint,
    /// Where its private key is.
    pub(in crate::desired::file) key: Option<KeyPlace>,
}

/// Where the private key of an adopted credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum KeyPlace {
    /// Somewhere certroll does not see.
    Elsewhere,
}
