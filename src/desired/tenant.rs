//! A declared tenant, its cloud and its budgets.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::{Freeze, Ignore, Origin};
use crate::ids::Name;

/// Which Microsoft cloud a tenant lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Public,
    /// US Government L4 (GCC High).
    UsGov,
    /// US Government L5 (DoD).
    UsGovDod,
    /// China, operated by 21Vianet.
    China,
    /// certroll's own emulator.
    Emulator,
}

/// One declared tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name in the files.
    pub name: Name,
    /// GUID or verified domain. For an emulated tenant without one, a GUID derived from the name.
    pub id: String,
    /// The cloud.
    pub cloud: Cloud,
    /// The operator's connection that may be used, if one is named.
    pub connection: Option<Name>,
    /// How many certificates one run may issue for this tenant.
    pub max_issue: Limit,
    /// How many credentials one run may retire in this tenant.
    pub max_retire: Limit,
    /// When writes may not happen in this tenant; its certificates have these among their own.
    pub freeze: Vec<Freeze>,
    /// Drift findings not to report.
    pub ignore: Vec<Ignore>,
    /// Where it is declared.
    pub origin: Origin,
}

/// A budget: a count, or a percentage of the declared certificates of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most so many.
    Count(u32),
    /// At most that percentage of the declared certificates, but never fewer than `at_least`.
    Percent {
        /// 0 to 100.
        percent: u8,
        /// The least that is always allowed.
        at_least: u32,
    },
}

impl Limit {
    /// The default of `max_issue`: 50.
    pub const ISSUE_DEFAULT: Limit = Limit::Count(50);
    /// The default of `max_retire`: 20 %, but at least 5.
    pub const RETIRE_DEFAULT: Limit = Limit::Percent { percent: 20, at_least: 5 };

    /// How many that is of so many declared certificates.
    pub fn of(self, declared: usize) -> usize {
        match self {
            Limit::Count(count) => count as usize,
            Limit::Percent { percent, at_least } => {
                (declared * usize::from(percent) / 100).max(at_least as usize)
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Count(count) => write!(f, "{count}"),
            Limit::Percent { percent, at_least: 0 } => write!(f, "{percent}%"),
            Limit::Percent { percent, at_least } => write!(f, "{percent}% but at least {at_least}"),
        }
    }
}
