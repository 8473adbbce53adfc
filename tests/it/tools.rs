//! Judges that are not ours: openssl, keytool, Python's cryptography.
//!
//! Tests that need them carry `#[ignore]` with that reason and fail, never skip, when a tool is missing.
#![allow(clippy::disallowed_methods, reason = "starting other programs on files is what this is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

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
    let python = python("forms", "tests/tools/requirements.txt");
    script(&python, "tests/tools/check_forms.py", arguments, variables)
}

/// `tests/tools/read_secret.py`, which reads with the official Kubernetes client.
#[cfg(feature = "kubernetes")]
pub(crate) fn read_secret(arguments: &[&str]) -> serde_json::Value {
    let python = python("kubernetes", "tests/tools/requirements-kubernetes.txt");
    script(&python, "tests/tools/read_secret.py", arguments, &[])
}

fn script(python: &Path, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
    let mut command = Command::new(python);
    command.arg(root().join(script)).args(arguments).env_remove("PASSWORD").envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is in a sealed box, by `tests/tools/open_box.py`.
pub(crate) fn open_box(key: &str, sealed: &str) -> Vec<u8> {
    let script = root().join("tests/tools/open_box.py");
    let output = Command::new(python("forms", "tests/tools/requirements.txt"))
        .arg(script)
        .args([key, sealed])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `tests/tools/key_vault/read_back.py` on a vault of the test's own at that address.
pub(crate) fn read_key_vault(url: &str) -> serde_json::Value {
    read_served_key_vault(&[url], &[])
}

/// The same on any other: address, file with its CA, and what the names of its objects begin with.
pub(crate) fn read_served_key_vault(arguments: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
    let python = python("key_vault", "tests/tools/key_vault/requirements.txt");
    script(&python, "tests/tools/key_vault/read_back.py", arguments, variables)
}

/// `tests/tools/vault/read_back.py` on a path of a Vault.
pub(crate) fn read_vault(address: &str, token: &str, path: &str) -> serde_json::Value {
    let script = root().join("tests/tools/vault/read_back.py");
    let mut command = Command::new(python("vault", "tests/tools/vault/requirements.txt"));
    let output = command.arg(script).args([address, path]).env("VAULT_TOKEN", token).output().unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with the pinned packages of that list, in an environment of that name, made on first use.
fn python(name: &str, list: &str) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = root().join("target/test-tools").join(name);
    let python = folder.join("bin/python");
    let wanted = std::fs::read(root().join(list)).unwrap();
    let installed = folder.join("installed.txt");
    if std::fs::read(&installed).is_ok_and(|text| text == wanted) {
        return python;
    }
    printed("python3", &["-m", "venv", folder.to_str().unwrap()], None);
    let arguments = ["-m", "pip", "install", "--quiet", "-r", list];
    let pip = Command::new(&python).args(arguments).current_dir(root()).output().unwrap();
    assert!(pip.status.success(), "{}", String::from_utf8_lossy(&pip.stderr));
    std::fs::write(installed, wanted).unwrap();
    python
}
