//! Judges that are not ours: openssl, keytool, Python's cryptography.
//!
//! Tests that need them carry `#[ignore]` with that reason and fail, never skip, when a tool is missing.
#![allow(clippy::disallowed_methods, reason = "starting other programs on files is what this is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A program's output; the environment holds the password and nothing of ours.
pub(crate) fn run(program: &str, arguments: &[&str], password: Option<&str>) -> Output {
    let mut command = Command::new(program);
    // A locale, because keytool reads variables in its encoding.
    command.args(arguments).env_remove("PASSWORD").env("LC_ALL", "C.UTF-8");
    if let Some(password) = password {
        command.env("PASSWORD", password);
    }
    command.output().unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"))
}

/// What a program printed. Fails if the program did.
pub(crate) fn printed(program: &str, arguments: &[&str], password: Option<&str>) -> String {
    let output = run(program, arguments, password);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out.into_owned()
}

/// `tests/tools/check_forms.py`, run in an environment of its own under `target/`.
pub(crate) fn check_forms(arguments: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let python = PYTHON.get_or_init(|| python("forms", "tests/tools/requirements.txt"));
    script(python, "tests/tools/check_forms.py", arguments, variables)
}

/// `tests/tools/read_secret.py`, which reads with the official Kubernetes client.
pub(crate) fn read_secret(arguments: &[&str]) -> serde_json::Value {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let python = PYTHON.get_or_init(|| python("kubernetes", "tests/tools/requirements-kubernetes.txt"));
    script(python, "tests/tools/read_secret.py", arguments, &[])
}

fn script(python: &Path, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
    let mut command = Command::new(python);
    command.arg(root().join(script)).args(arguments).env_remove("PASSWORD").envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with the pinned packages of a list, in a folder of its own.
fn python(name: &str, requirements: &str) -> PathBuf {
    let folder = root().join("target/test-tools").join(name);
    let python = folder.join("bin/python");
    let wanted = std::fs::read(root().join(requirements)).unwrap();
    let installed = folder.join("installed.txt");
    if std::fs::read(&installed).is_ok_and(|text| text == wanted) {
        return python;
    }
    printed("python3", &["-m", "venv", folder.to_str().unwrap()], None);
    let arguments = ["-m", "pip", "install", "--quiet", "-r", requirements];
    let pip = Command::new(&python).args(arguments).current_dir(root()).output().unwrap();
    assert!(pip.status.success(), "{}", String::from_utf8_lossy(&pip.stderr));
    std::fs::write(installed, wanted).unwrap();
    python
}
