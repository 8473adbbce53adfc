//! The sign-in of the Azure CLI: `az` hands out a token for whoever is signed in with it.
//!
//! `az` is started without a shell, with a time limit and an environment of which only what it needs is passed on. What it prints is
//! never repeated: it may hold the token.
#![allow(clippy::disallowed_methods, reason = "starts the operator's own az")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use super::error::{EntraError, ErrorKind};
use crate::net::printable;

/// How long `az` may take. A cold start of its Python takes seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What `az` needs of the environment: to be found, to find its own sign-in, and to get out.
pub(super) const PASSED_ON: [&str; 17] = [
    "PATH",
    "HOME",
    "USERPROFILE",
    "SYSTEMROOT",
    "SystemRoot",
    "PATHEXT",
    "TMPDIR",
    "TEMP",
    "LANG",
    "LC_ALL",
    "AZURE_CONFIG_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// Whoever is signed in with `az`.
#[derive(Clone)]
pub struct AzureCli {
    environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for AzureCli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AzureCli")
    }
}

impl AzureCli {
    /// With what `az` needs of these variables.
    pub fn new(variables: &BTreeMap<String, String>) -> AzureCli {
        let needed = |(name, _): &(&String, &String)| PASSED_ON.contains(&name.as_str());
        let environment = variables.iter().filter(needed);
        AzureCli { environment: environment.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// What `az account get-access-token` prints for that resource and tenant. The tenant was found well-formed before.
    pub(super) async fn answer(
        &self,
        doing: &str,
        resource: &str,
        tenant: &str,
    ) -> Result<Zeroizing<Vec<u8>>, EntraError> {
        let hint = format!("sign in with az login --tenant {tenant}, or choose another way to sign in");
        let failed =
            |reason: &str| EntraError::new(ErrorKind::Authentication, doing, reason).with_hint(hint.clone());
        let mut command = tokio::process::Command::new("az");
        command.args([
            "account",
            "get-access-token",
            "--output",
            "json",
            "--resource",
            resource,
            "--tenant",
            tenant,
        ]);
        command.env_clear().envs(&self.environment).env("AZURE_CORE_COLLECT_TELEMETRY", "false");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(TIME_LIMIT, command.output()).await;
        let ended =
            ended.map_err(|_| failed(&format!("az did not end within {} s", TIME_LIMIT.as_secs())))?;
        let mut output = ended.map_err(|error| failed(&format!("az cannot be started: {error}")))?;
        if output.status.success() {
            return Ok(Zeroizing::new(std::mem::take(&mut output.stdout)));
        }
        output.stdout.zeroize();
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| line.starts_with("ERROR")).unwrap_or("it says no more");
        Err(failed(&printable(&format!("az failed: {said}"))))
    }
}
