//! The log: lines on standard error, by level, without secrets.
//!
//! Only certroll's own lines are shown. A library's lines could hold a header or a body; `reqwest`, `hyper` and `rustls` are
//! never asked for theirs, at any level.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Write};

use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::cli::args::{Global, LogFormat};
use crate::cli::json::fit_to_show;
use crate::cli::text::clean;
use crate::cli::world::Stream;

thread_local! {
    static INSTALLED: RefCell<Option<tracing::dispatcher::DefaultGuard>> = const { RefCell::new(None) };
}

/// The log as the flags ask for it.
pub fn dispatch(global: &Global, to: Stream) -> Dispatch {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_target("certroll", level);
    let registry = tracing_subscriber::registry().with(ours);
    let as_json = matches!(global.log_format, LogFormat::Json);
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines(to, as_json));
    match global.log_format {
        // Time stamps come with the lines of a program; a person at a terminal has no use for them.
        LogFormat::Text => {
            Dispatch::new(registry.with(lines.with_ansi(false).without_time().with_target(false)))
        }
        LogFormat::Json => Dispatch::new(registry.with(lines.json().with_target(true))),
    }
}

/// Makes it the log of this thread until [`uninstall`].
pub fn install(dispatch: &Dispatch) {
    let guard = tracing::dispatcher::set_default(dispatch);
    INSTALLED.with(|installed| *installed.borrow_mut() = Some(guard));
}

/// Ends what [`install`] began.
pub fn uninstall() {
    INSTALLED.with(|installed| drop(installed.borrow_mut().take()));
}

/// Where lines go, and whether they are JSON.
struct Lines(Stream, bool);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line { stream: self.0.clone(), is_json: self.1, bytes: Vec::new() }
    }
}

/// One line, cleaned as a whole before it is written.
struct Line {
    stream: Stream,
    is_json: bool,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end_matches('\n');
        let text = if self.is_json { Cow::Owned(fit_to_show(text)) } else { clean(text) };
        if !text.is_empty() {
            self.stream.write(&format!("{text}\n"));
        }
    }
}
