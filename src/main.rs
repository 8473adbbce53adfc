//! Connects clock, environment, streams, signals and exit code, and calls the command line.
#![allow(clippy::disallowed_methods, reason = "the one place that reads the real environment")]

use std::io::IsTerminal;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use certroll::cli::clock::SystemClock;
use certroll::cli::world::{Stream, World};
use certroll::cli::{self, exit::Ending};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

fn main() {
    without_core_files();
    std::panic::set_hook(Box::new(panic_text));
    let code = std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or(Ending::Error.code());
    std::process::exit(code);
}

fn run() -> i32 {
    let text = |value: std::ffi::OsString| value.into_string().ok();
    let world = World {
        env: std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect(),
        cwd: std::env::current_dir().unwrap_or_default(),
        stdin: Box::new(std::io::BufReader::new(std::io::stdin())),
        stdin_is_terminal: std::io::stdin().is_terminal(),
        stdout: Stream::new(std::io::stdout()).on_terminal(std::io::stdout().is_terminal()),
        stderr: Stream::new(std::io::stderr()).on_terminal(std::io::stderr().is_terminal()),
        clock: Arc::new(SystemClock),
        random: Arc::new(certroll::random::SystemRandom),
        signals: signals(),
    };
    cli::run(std::env::args_os().collect(), world)
}

/// A core file of this process could hold private keys (promise P3). The limit is known everywhere, and Linux ignores it where it
/// hands core files to a program.
fn without_core_files() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Says where a fault is and nothing of what was at hand: a panic's own text may quote a value.
fn panic_text(info: &std::panic::PanicHookInfo<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", fault_text(info.location()));
}

/// What is said of a fault. It is not given the panic's own text.
fn fault_text(place: Option<&std::panic::Location<'_>>) -> String {
    let place = place.map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    format!(
        "Error: certroll has a fault (at {place}); what it had begun, the next run continues\nHint: please report this line"
    )
}

/// Counts SIGINT, SIGTERM and SIGHUP. The first asks the run to stop; the second ends the process at once.
fn signals() -> watch::Receiver<u32> {
    let (count, signals) = watch::channel(0);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(count_signals(&count));
    });
    signals
}

async fn count_signals(count: &watch::Sender<u32>) {
    let kinds =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = kinds else { return };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        let is_second = *count.borrow() > 0;
        if is_second {
            std::process::exit(Ending::Interrupted.code());
        }
        count.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Panics as certroll would, in a process of its own because the hook is the process's.
    #[test]
    #[ignore = "started by the test below"]
    fn a_panic_that_quotes_a_secret() {
        std::panic::set_hook(Box::new(super::panic_text));
        let secret = ["swordfish", "4711"].concat();
        assert!(std::panic::catch_unwind(|| panic!("the password is {secret}")).is_err());
        let not_a_number = std::panic::catch_unwind(|| secret.parse::<u32>().map_err(|_| secret).unwrap());
        assert!(not_a_number.is_err());
    }

    #[test]
    fn p3_a_fault_is_told_by_its_place_and_without_the_text_of_the_panic() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "--nocapture", "tests::a_panic_that_quotes_a_secret"]);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.matches("Error: certroll has a fault (at src/main.rs:").count(), 2, "{said}");
        assert!(!said.contains("swordfish"), "{said}");
    }
}
