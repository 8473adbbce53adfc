//! What lies in wait: a death, a fault of the disk or of a store that strikes whichever run comes by first. Most runs do nothing, so that
//! trouble that is tied to one of them seldom meets a folder being removed or a delivery on its way; this one waits for it.

use std::sync::atomic::Ordering;

use super::process::{Ill, Process};
use super::story::Event;
use super::world::World;

/// One such thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lurking {
    /// `die`, `disk`, `inner`, `wrong`.
    pub kind: String,
    /// Which: where the process dies, what the disk or the store does.
    pub what: String,
    /// How many occasions pass unharmed before.
    pub left: i64,
}

/// The nth call of a store's service is the one, counted over all runs.
pub const INNER: &str = "inner";

impl World {
    /// `lurks die=before-Link:2`, `lurks disk=full:3`, `lurks inner=lose:4`, `lurks wrong=past:1`.
    pub(super) fn lurks(&self, event: &Event) {
        let found = event.with.iter().filter(|(key, _)| *key != "while").map(|(kind, text)| {
            let (what, left) = text.split_once(':').unwrap();
            Lurking { kind: kind.clone(), what: what.replace('-', " "), left: left.parse().unwrap() }
        });
        self.state().lurking.extend(found);
    }

    /// Whether what lies in wait strikes on this occasion, and what it does. Of several that any occasion fits, the first waits.
    fn strikes(&self, fits: impl Fn(&Lurking) -> bool) -> Option<String> {
        let mut state = self.state();
        let at = state.lurking.iter().position(fits)?;
        if state.lurking[at].left > 0 {
            state.lurking[at].left -= 1;
            return None;
        }
        Some(state.lurking.remove(at).what)
    }

    /// What lies in wait for a service call of the next run.
    pub(super) fn lies_in_wait(&self, ill: &mut Ill) {
        ill.lurked = true;
        if ill.inner.is_some() {
            return;
        }
        let state = self.state();
        let Some(next) = state.lurking.iter().find(|one| one.kind == INNER) else { return };
        ill.inner = Some((next.left as u64, super::process::mischief(&next.what)));
        ill.inner_lurks = true;
    }

    /// After a run with so many service calls: it has struck, or waits for the rest.
    pub(super) fn has_lurked(&self, calls: i64) {
        let mut state = self.state();
        let Some(at) = state.lurking.iter().position(|one| one.kind == INNER) else { return };
        if state.lurking[at].left < calls {
            state.lurking.remove(at);
        } else {
            state.lurking[at].left -= calls;
        }
    }
}

impl Process {
    /// Whether a death, a full disk or a wrong answer that lay in wait meets this process now.
    pub(super) fn is_struck(&self, kind: &str, what: Option<&str>) -> Option<String> {
        if !self.ill.lurked || self.is_dead() {
            return None;
        }
        let fits = |one: &Lurking| one.kind == kind && what.is_none_or(|what| one.what == what);
        let struck = self.world.strikes(fits)?;
        self.struck.store(true, Ordering::Relaxed);
        Some(struck)
    }
}
