//! More certificates in one vault than requests may be in flight.

use std::sync::mpsc;
use std::time::Duration;

use crate::scripts::Story;

/// Certificates: as many as requests are in flight unless somebody says otherwise, and one more.
const MANY: usize = 9;

fn script(commands: &str) -> String {
    let mut script = format!(
        "serve vault\nclock 2026-11-20T09:00:00Z\napp billing\n{commands}\n-- certroll.yaml --\ncertroll: v1\nowner: platform\n\
         tenants: {{ contoso: {{ cloud: emulator }} }}\nstores: {{ secrets: {{ kind: hashicorp_vault, mount: secret }} }}\ncertificates:\n"
    );
    for number in 0..MANY {
        script.push_str(&format!(
            "  c{number}:\n    application: {{ unique_name: billing }}\n    store: {{ use: secrets, name: apps/c{number} }}\n"
        ));
    }
    script
}

/// What the commands print. A run that waits for itself would wait for ever.
fn told(commands: &'static str) -> String {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(Story::new().tell(&script(commands))));
    told.recv_timeout(Duration::from_secs(120)).expect("it waits for itself")
}

#[test]
fn as_many_certificates_as_requests_in_flight_do_not_wait_for_each_other() {
    let told = told("certroll plan");
    assert!(told.contains("9 to issue"), "{told}");
}

#[test]
fn one_request_at_a_time_is_enough_for_every_command() {
    let told = told(
        "certroll apply --emulator --auto-approve --parallelism 1\ncertroll verify --parallelism 1\ncertroll drift --parallelism 1\n\
         certroll doctor --parallelism 1",
    );
    assert!(told.contains("9 rotated"), "{told}");
}
