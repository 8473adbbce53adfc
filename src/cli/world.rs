//! What a run takes from the machine: environment, working directory, streams, time, randomness and signals. Passed in,
//! so that tests run whole commands in their own process.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::runtime::{Clock, Random};

/// Everything outside.
pub struct World {
    /// The environment. Nothing else in the crate reads the real one.
    pub env: BTreeMap<String, String>,
    /// Relative paths are taken from here.
    pub cwd: PathBuf,
    /// Where an answer is read from.
    pub stdin: Box<dyn BufRead + Send>,
    /// Whether a person can answer.
    pub stdin_is_terminal: bool,
    /// Results.
    pub stdout: Stream,
    /// Everything else.
    pub stderr: Stream,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// How many signals have asked to stop. A second one ends the process without coming here.
    pub signals: watch::Receiver<u32>,
}

impl World {
    /// A variable that is set to something.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A path of the command line, from the working directory.
    pub fn path(&self, path: &Path) -> PathBuf {
        if path == Path::new(".") { self.cwd.clone() } else { self.cwd.join(path) }
    }
}

/// An output stream, shared by everything that writes to it.
///
/// A reader that went away (`certroll plan | head`) is not an error: what is left is dropped in silence, and the run ends
/// as it would have. Anything else that goes wrong is kept and told at the end, so that no command has to care.
#[derive(Clone)]
pub struct Stream {
    inner: Arc<Mutex<Inner>>,
    is_terminal: bool,
}

struct Inner {
    writer: Box<dyn Write + Send>,
    state: State,
}

enum State {
    Open,
    ReaderGone,
    Failed(io::Error),
}

impl Stream {
    /// A stream that is not a terminal.
    pub fn new(writer: impl Write + Send + 'static) -> Stream {
        let inner = Inner { writer: Box::new(writer), state: State::Open };
        Stream { inner: Arc::new(Mutex::new(inner)), is_terminal: false }
    }

    /// The same stream, known to be a terminal or not to be one.
    pub fn on_terminal(self, is_terminal: bool) -> Stream {
        Stream { is_terminal, ..self }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes text that is already fit to be shown.
    pub fn write(&self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    /// The first thing that went wrong while writing; a reader that went away is not one.
    pub fn close(&self) -> Result<(), io::Error> {
        let mut inner = self.lock();
        let flushed = match inner.state {
            State::Open => inner.writer.flush(),
            State::ReaderGone | State::Failed(_) => Ok(()),
        };
        if let Err(error) = flushed {
            inner.state = State::of(error);
        }
        match std::mem::replace(&mut inner.state, State::ReaderGone) {
            State::Failed(error) => Err(error),
            State::Open | State::ReaderGone => Ok(()),
        }
    }

    fn write_bytes(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        if !matches!(inner.state, State::Open) {
            return;
        }
        let written = inner.writer.write_all(bytes).and_then(|()| inner.writer.flush());
        if let Err(error) = written {
            inner.state = State::of(error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(error: io::Error) -> State {
        if error.kind() == io::ErrorKind::BrokenPipe { State::ReaderGone } else { State::Failed(error) }
    }
}

/// Writing through `std::io`, for libraries. Never fails: see [`Stream`].
impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_not_an_error() {
        let stream = Stream::new(Failing(io::ErrorKind::BrokenPipe));
        stream.write("a\n");
        stream.write("b\n");
        assert!(stream.close().is_ok());
    }

    #[test]
    fn a_full_disk_is_told_once_at_the_end() {
        let stream = Stream::new(Failing(io::ErrorKind::StorageFull));
        stream.write("a\n");
        stream.write("b\n");
        assert_eq!(stream.close().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(stream.close().is_ok());
    }
}
