//! The clock of an emulator that another process serves: `emulator clock` moves it, and it is `now` for the tenants that live there.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::error::{Error, Kind};
use crate::net::Transport;
use crate::runtime::Clock;

/// This machine's clock, put forward or back to what the server's showed when the run began. Waits are real.
struct ServedClock {
    machine: Arc<dyn Clock>,
    ahead: SignedDuration,
}

#[async_trait]
impl Clock for ServedClock {
    fn now(&self) -> Timestamp {
        let now = self.machine.now();
        now.checked_add(self.ahead).unwrap_or(now)
    }

    async fn sleep(&self, duration: SignedDuration) {
        self.machine.sleep(duration).await;
    }
}

/// What the server answers; it says more than this.
#[derive(Deserialize)]
struct Answer {
    now: Timestamp,
}

/// Asks the emulator at `url` for the time.
pub async fn clock(
    url: &str,
    transport: &dyn Transport,
    machine: Arc<dyn Clock>,
) -> Result<Arc<dyn Clock>, Error> {
    let doing = || format!("asking the emulator at {url} for its time");
    let unusable = || {
        Error::new(Kind::Input, doing())
            .because("what answers there is no emulator of certroll's")
            .hint("CERTROLL_EMULATOR is the url that certroll emulator serve prints")
    };
    let address = format!("{}/_emulator/clock", url.trim_end_matches('/'));
    let request = http::Request::get(address).body(Vec::new()).map_err(|_| unusable())?;
    let answer = transport.send(request).await;
    let answer = answer.map_err(|error| {
        let hint = error.hint();
        Error::new(Kind::Network, doing()).caused_by(&error).hint(hint)
    })?;
    let Answer { now } = serde_json::from_slice(answer.body()).map_err(|_| unusable())?;
    let ahead = now.duration_since(machine.now());
    Ok(Arc::new(ServedClock { machine, ahead }))
}
