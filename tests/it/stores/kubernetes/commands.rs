//! Whole commands on a cluster: whose plugin is run when.

use std::sync::Arc;

use certroll::net::Transport;

use crate::support::cli::Bench;
use crate::support::secrets::{Secrets, TOKEN, kubeconfig};
use crate::support::serve::serve;

/// The example with a cluster of its own, whose kubeconfig is altered so.
fn example(altered: impl Fn(String) -> String) -> (tempfile::TempDir, Bench, Arc<Secrets>) {
    let (folder, mut bench) = Bench::of_example("keep/kubernetes");
    let secrets = Arc::new(Secrets::default());
    let url = serve(Arc::clone(&secrets) as Arc<dyn Transport>);
    let path = bench.folder.join("kubeconfig");
    std::fs::write(&path, altered(kubeconfig(&url))).unwrap();
    bench.env.insert("KUBECONFIG".into(), path.display().to_string());
    (folder, bench, secrets)
}

const APPLY: [&str; 4] = ["certroll", "apply", "--emulator", "--auto-approve"];

#[test]
fn p7_a_plugin_of_the_kubeconfig_is_run_by_apply_alone_and_sees_no_variable_of_certrolls() {
    let started = tempfile::tempdir().unwrap();
    let seen = started.path().join("environment");
    let plugin = started.path().join("plugin.sh");
    let credential = format!(
        r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"{TOKEN}"}}}}"#
    );
    std::fs::write(&plugin, format!("env > '{}'\necho '{credential}'\n", seen.display())).unwrap();
    let (_folder, mut bench, _) = example(|kubeconfig| {
        let user = format!(
            "exec: {{ apiVersion: client.authentication.k8s.io/v1, command: sh, args: [{:?}], interactiveMode: IfAvailable }}",
            plugin.display().to_string()
        );
        kubeconfig.replace(&format!("token: {TOKEN}"), &user)
    });
    // Stands in the environment of this process, too, so that a plugin would see it.
    bench.env.insert("CARGO_MANIFEST_DIR".into(), env!("CARGO_MANIFEST_DIR").into());
    for looking in ["validate", "plan", "drift", "verify", "doctor"] {
        let ran = bench.run(&["certroll", looking]);
        assert!(!seen.exists(), "{looking} ran the plugin");
        let told = ran.stdout + &ran.stderr;
        assert!(looking == "validate" || told.contains("only apply runs one"), "{looking}: {told}");
    }
    let ran = bench.run(&APPLY);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let seen = std::fs::read_to_string(&seen).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("CARGO_MANIFEST_DIR"), "{seen}");
}

#[test]
fn an_auth_provider_of_the_kubeconfig_runs_no_command_for_anybody() {
    let started = tempfile::tempdir().unwrap();
    let left = started.path().join("left");
    let (_folder, bench, _) = example(|kubeconfig| {
        let user = format!(
            "auth-provider: {{ name: gcp, config: {{ cmd-path: touch, cmd-args: {:?} }} }}",
            left.display().to_string()
        );
        kubeconfig.replace(&format!("token: {TOKEN}"), &user)
    });
    let ran = bench.run(&APPLY);
    assert_eq!(ran.code, 1);
    assert!((ran.stdout + &ran.stderr).contains("auth-provider"));
    assert!(!left.exists());
}

#[test]
fn a_cluster_on_this_machine_is_reached_past_the_proxy_of_the_environment_and_one_with_a_proxy_is_not() {
    let closed = "http://127.0.0.1:9";
    for (named, code) in [(false, 0), (true, 1)] {
        let (_folder, bench, _) = example(|kubeconfig| match named {
            true => kubeconfig.replace("server:", &format!("proxy-url: {closed}, server:")),
            false => kubeconfig,
        });
        // In a process of its own: kube reads the proxy from there.
        let mut plan = std::process::Command::new(env!("CARGO_BIN_EXE_certroll"));
        plan.arg("plan").current_dir(&bench.folder).env_clear().envs(&bench.env);
        let ran = plan.env("HTTPS_PROXY", closed).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{told}");
    }
}

/// As a token that was pasted with the line break behind it.
#[test]
fn p3_a_token_that_fits_no_header_is_told_and_not_repeated() {
    let (_folder, bench, _) = example(|kubeconfig| {
        kubeconfig.replace(&format!("token: {TOKEN}"), &format!("token: \"{TOKEN}\\n\""))
    });
    let ran = bench.run(&["certroll", "plan"]);
    let told = ran.stdout + &ran.stderr;
    assert_eq!(ran.code, 1, "{told}");
    assert!(told.contains("the token of the kubeconfig's user holds a line break"), "{told}");
    assert!(!told.contains(TOKEN) && !told.contains("fault"), "{told}");
}
