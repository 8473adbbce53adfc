//! Trouble that counts calls instead of rolling dice, so that a failure replays exactly.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use certroll::store::file::{Action, Probe};
use certroll::store::{StoreError, StoreErrorKind};

/// What happens to one inner call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// It is refused and has no effect; the process lives on.
    Refuse,
    /// It has its effect, its answer never arrives; the process lives on.
    LoseAnswer,
    /// The process dies before it.
    CrashBefore,
    /// The process dies after it had its effect.
    CrashAfter,
}

pub const EVERY_MISCHIEF: [Mischief; 4] =
    [Mischief::Refuse, Mischief::LoseAnswer, Mischief::CrashBefore, Mischief::CrashAfter];

type Visit = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    planned: BTreeMap<u64, Mischief>,
    visits: BTreeMap<u64, Visit>,
    dead: bool,
    journal: Vec<String>,
}

/// Counts the inner calls of one process, over all stores and deliveries that share it, and disturbs the planned ones.
///
/// A "process" that has died gets an error from every further call; the caller drops what it was doing and calls
/// [`restart`](Trouble::restart).
#[derive(Default)]
pub struct Trouble(Mutex<State>);

impl std::fmt::Debug for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trouble({} calls)", self.state().journal.len())
    }
}

impl Trouble {
    /// No trouble.
    pub fn quiet() -> Arc<Trouble> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Plans mischief for the nth inner call from the last restart, counted from 0.
    pub fn plan(&self, call: u64, mischief: Mischief) {
        self.state().planned.insert(call, mischief);
    }

    /// Plans that somebody else does something just before the nth inner call.
    pub fn plan_visit(&self, call: u64, visit: impl FnOnce() + Send + 'static) {
        self.state().visits.insert(call, Box::new(visit));
    }

    /// A new process: alive, counting from 0, nothing planned.
    pub fn restart(&self) {
        *self.state() = State::default();
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The names of the inner calls since the last restart, in order.
    pub fn journal(&self) -> Vec<String> {
        self.state().journal.clone()
    }

    /// Goes through with an inner call, or does not.
    pub fn call<T>(
        &self,
        name: &str,
        effect: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.enter(name)? {
            None => effect(),
            Some(Mischief::Refuse) => Err(error(name, "the service is unavailable")),
            Some(Mischief::CrashBefore) => Err(self.die(name)),
            Some(Mischief::LoseAnswer) => {
                let _ = effect();
                Err(error(name, "the connection broke before the answer came"))
            }
            Some(Mischief::CrashAfter) => {
                let _ = effect();
                Err(self.die(name))
            }
        }
    }

    /// The same for an inner call that takes time: whether it has no effect, and whether it has its effect and brings no answer. An error
    /// when the process is dead; who dies after the effect is dead already.
    pub fn around(&self, name: &str) -> Result<(bool, bool), ()> {
        Ok(match self.enter(name).map_err(|_| ())? {
            None => (false, false),
            Some(Mischief::Refuse) => (true, false),
            Some(Mischief::LoseAnswer) => (false, true),
            Some(mischief @ (Mischief::CrashBefore | Mischief::CrashAfter)) => {
                self.die(name);
                (mischief == Mischief::CrashBefore, mischief == Mischief::CrashAfter)
            }
        })
    }

    fn enter(&self, name: &str) -> Result<Option<Mischief>, StoreError> {
        let mut state = self.state();
        if state.dead {
            return Err(error(name, "this process is dead"));
        }
        let number = state.journal.len() as u64;
        state.journal.push(name.to_owned());
        let (planned, visit) = (state.planned.remove(&number), state.visits.remove(&number));
        drop(state);
        if let Some(visit) = visit {
            visit();
        }
        Ok(planned)
    }

    fn die(&self, name: &str) -> StoreError {
        self.state().dead = true;
        error(name, "the process dies here")
    }
}

/// The file store's actions are its inner calls. The probe stands before the action only, so that losing an answer is not a
/// thing here, and dying after one is dying before the next.
impl Probe for Trouble {
    fn before(&self, action: Action, path: &Path) -> io::Result<()> {
        let name = format!("{action:?} {}", path.display());
        match self.enter(&name) {
            Err(_) => Err(io::Error::other("this process is dead")),
            Ok(None | Some(Mischief::LoseAnswer | Mischief::CrashAfter)) => Ok(()),
            Ok(Some(Mischief::Refuse)) => Err(io::ErrorKind::StorageFull.into()),
            Ok(Some(Mischief::CrashBefore)) => {
                self.die(&name);
                Err(io::Error::other("the process dies here"))
            }
        }
    }
}

fn error(doing: &str, reason: &str) -> StoreError {
    StoreError { kind: StoreErrorKind::Unavailable, doing: doing.into(), reason: reason.into(), hint: None }
}
