//! The documented limits, counted in sliding windows of the emulator's time. The windows are kept in memory
//! only: they are minutes long.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// Requests that select credentials, a tenant and minute.
const CREDENTIAL_READS: Limit = Limit { allowed: 150, seconds: 60, name: "KeyCredentialsSelect" };
/// Resource units of an application in a small tenant, in ten seconds.
const RESOURCE_UNITS: Limit = Limit { allowed: 3_500, seconds: 10, name: "ResourceUnitLimitExceeded" };
/// Writes of an application in a tenant, in 150 seconds.
const WRITES: Limit = Limit { allowed: 3_000, seconds: 150, name: "WriteLimitExceeded" };

#[derive(Clone, Copy)]
struct Limit {
    allowed: u64,
    seconds: i64,
    name: &'static str,
}

/// What one request costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) units: u64,
    pub(crate) writes: bool,
    pub(crate) selects_credentials: bool,
}

/// A limit that is used up.
pub(crate) struct Exceeded {
    /// Which one, as `x-ms-throttle-information` names it.
    pub(crate) name: &'static str,
    pub(crate) retry_after_seconds: u64,
    pub(crate) used: f64,
}

/// What is counted together: a limit, a tenant and, where it counts each apart, a client.
type Account = (&'static str, Uuid, Option<Uuid>);

/// What was spent lately.
#[derive(Default)]
pub(crate) struct Windows {
    spent: BTreeMap<Account, VecDeque<(Timestamp, u64)>>,
}

impl Windows {
    /// Books a request, or says which limit it would break. The second value is how full the fullest window is.
    pub(crate) fn book(
        &mut self,
        now: Timestamp,
        tenant: Uuid,
        client: Uuid,
        cost: Cost,
    ) -> Result<f64, Exceeded> {
        let mut wanted = vec![(RESOURCE_UNITS, Some(client), cost.units)];
        if cost.writes {
            wanted.push((WRITES, Some(client), 1));
        }
        if cost.selects_credentials {
            // "Per tenant": shared by all applications.
            wanted.push((CREDENTIAL_READS, None, 1));
        }
        let mut fullest = 0.0_f64;
        for (limit, client, amount) in &wanted {
            fullest = fullest.max(self.check(now, *limit, tenant, *client, *amount)?);
        }
        for (limit, client, amount) in wanted {
            self.spent.entry((limit.name, tenant, client)).or_default().push_back((now, amount));
        }
        Ok(fullest)
    }

    fn check(
        &mut self,
        now: Timestamp,
        limit: Limit,
        tenant: Uuid,
        client: Option<Uuid>,
        amount: u64,
    ) -> Result<f64, Exceeded> {
        let window = self.spent.entry((limit.name, tenant, client)).or_default();
        let length = SignedDuration::from_secs(limit.seconds);
        while window.front().is_some_and(|(at, _)| now.duration_since(*at) >= length) {
            window.pop_front();
        }
        let spent: u64 = window.iter().map(|(_, amount)| amount).sum();
        let used = (spent + amount) as f64 / limit.allowed as f64;
        match window.front() {
            Some((oldest, _)) if spent + amount > limit.allowed => {
                let left = length.as_secs() - now.duration_since(*oldest).as_secs();
                let retry_after_seconds = u64::try_from(left).unwrap_or(1).max(1);
                Err(Exceeded { name: limit.name, retry_after_seconds, used })
            }
            _ => Ok(used),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.spent.clear();
    }
}
