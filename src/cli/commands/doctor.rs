//! `doctor`: which identity is used, what it may do, and whether everything that is declared can be reached. Only looks: it writes
//! nothing, runs nothing, and asks for no key.

mod places;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json;

use crate::backends::shipped::Connections;
use crate::cli::args::{DoctorArgs, Global, Selection};
use crate::cli::connect::ground;
use crate::cli::declaration;
use crate::cli::exit::Ending;
use crate::cli::human::EMULATOR_STAMP;
use crate::cli::json::pretty;
use crate::cli::planning::{chosen, policy};
use crate::cli::secrets::FromOperator;
use crate::cli::text::{Ink, Text, counted};
use crate::cli::view;
use crate::cli::world::World;
use crate::desired::{Declared, Desired};
use crate::edges::Trouble;
use crate::error::Error;
use crate::ids::Name;
use crate::plan::policy::Policy;

/// How one thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    /// Only doing it would tell.
    Unknown,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// `tenant contoso`, `store vault`, `connection eu`.
    about: String,
    result: Health,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn new(about: &str, result: Health, text: impl Into<String>) -> Finding {
        Finding { about: about.to_owned(), result, text: text.into(), hint: None }
    }

    fn failed(about: &str, trouble: &Trouble) -> Finding {
        Finding {
            hint: Some(trouble.to_try().to_owned()),
            ..Finding::new(about, Health::Failed, trouble.to_string())
        }
    }

    /// Of something that only a write would tell.
    fn not_told(about: &str, whether: &str) -> Finding {
        Finding::new(about, Health::Unknown, format!("whether it {whether} is not known without writing"))
    }
}

/// Looks at everything and tells.
pub async fn run(args: &DoctorArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let selection = Selection { only: args.only.clone(), ..Selection::default() };
    let desired = declaration::declared(global, world, None)?;
    let policy = policy(&selection, &desired, global)?;
    let (addresses, mut tenants) = chosen(&desired, &policy, false)?;
    if policy.only.is_empty() {
        tenants.extend(desired.tenants.keys().cloned());
    }
    let ground = ground(&desired, &tenants, args.parallelism.parallelism, None, global, world).await?;
    let certificates: Vec<&Declared> =
        desired.certificates.values().filter(|declared| addresses.contains(&declared.address)).collect();
    let of_tenants =
        join_all(tenants.iter().map(|tenant| examine_tenant(&ground.connections, tenant, &policy))).await;
    let mut findings: Vec<Finding> = of_tenants.into_iter().flatten().collect();
    findings.extend(connections(&desired, &tenants, &certificates, &ground.connections));
    findings.extend(places::stores(&certificates, &ground).await);
    findings.extend(places::issuers(&certificates, &ground).await);
    findings.extend(places::deliveries(&certificates, &ground).await);
    findings.extend(places::secrets(&certificates, &FromOperator::new(global, world)));
    let has_failed = findings.iter().any(|finding| finding.result == Health::Failed);
    if global.is_json() {
        let value = json!({
            "format_version": "1.0",
            "emulator": ground.emulator,
            "ok": !has_failed,
            "findings": findings,
        });
        world.stdout.write(&pretty(&value));
    } else {
        world.stdout.write(&text(&findings, ground.emulator, view(global, world).colour));
    }
    Ok(if has_failed { Ending::Error } else { Ending::Fine })
}

async fn examine_tenant(connections: &Connections, tenant: &Name, policy: &Policy) -> Vec<Finding> {
    let about = format!("tenant {tenant}");
    let (identity, probe) = match connections.probe(tenant).await {
        Ok(probed) => probed,
        Err(trouble) => return vec![Finding::failed(&about, &trouble)],
    };
    let mut findings = vec![Finding::new(&about, Health::Ok, format!("identity: {identity}"))];
    let is_in = probe.tried.iter().all(|tried| tried.result.is_ok() || !tried.needed);
    for tried in probe.tried {
        findings.push(match tried.result {
            Ok(()) => Finding::new(&about, Health::Ok, format!("can {}", tried.what)),
            Err(error) => {
                let trouble = Trouble::from(error);
                let result = if tried.needed { Health::Failed } else { Health::Warning };
                let text = format!("cannot {}: {trouble}", tried.what);
                Finding { hint: Some(trouble.to_try().to_owned()), ..Finding::new(&about, result, text) }
            }
        });
    }
    if is_in {
        findings.push(Finding::not_told(&about, "may change applications"));
    }
    findings.extend(probe.clock_skew.map(|skew| clock(&about, skew, policy)));
    findings
}

fn clock(about: &str, skew: SignedDuration, policy: &Policy) -> Finding {
    let settings = &policy.settings;
    let result = match skew.abs() {
        skew if skew > settings.skew_refuse => Health::Failed,
        skew if skew > settings.skew_warn => Health::Warning,
        _ => Health::Ok,
    };
    let text = format!("the clock of this machine and of the service differ by {} s", skew.abs().as_secs());
    let hint = (result != Health::Ok).then(|| "set this machine's clock".to_owned());
    Finding { hint, ..Finding::new(about, result, text) }
}

/// The connections that are named by what was selected.
fn connections(
    desired: &Desired,
    tenants: &BTreeSet<Name>,
    certificates: &[&Declared],
    connections: &Connections,
) -> Vec<Finding> {
    let of_tenants = tenants.iter().filter_map(|tenant| desired.tenants.get(tenant)?.connection.clone());
    let of_certificates = certificates.iter().flat_map(|declared| {
        let store = declared.store.as_ref().and_then(|binding| desired.stores.get(&binding.store));
        let deliveries = declared.deliveries.iter().filter_map(|delivery| delivery.connection());
        let store = store.and_then(|store| store.connection.clone());
        store.into_iter().chain(declared.issuer.connection().cloned()).chain(deliveries).collect::<Vec<_>>()
    });
    let named: BTreeSet<Name> = of_tenants.chain(of_certificates).collect();
    let examine = |name: &Name| {
        let about = format!("connection {name}");
        match connections.connection(name) {
            Ok(()) => Finding::new(&about, Health::Ok, "is set up"),
            Err(trouble) => Finding::failed(&about, &trouble),
        }
    };
    named.iter().map(examine).collect()
}

fn text(findings: &[Finding], emulator: bool, colour: bool) -> String {
    let mut text = Text::new(colour);
    if emulator {
        text.put(Ink::Attention, EMULATOR_STAMP).end().gap();
    }
    let mut last = None;
    for finding in findings {
        if last != Some(&finding.about) {
            text.gap().put(Ink::Heading, &finding.about).end();
            last = Some(&finding.about);
        }
        let (ink, word) = match finding.result {
            Health::Ok => (Ink::Makes, "ok       "),
            Health::Unknown => (Ink::Attention, "unknown  "),
            Health::Warning => (Ink::Attention, "warning  "),
            Health::Failed => (Ink::Bad, "failed   "),
        };
        text.plain("  ").put(ink, word).line(&finding.text);
        if let Some(hint) = &finding.hint {
            text.line(&format!("      try: {hint}"));
        }
    }
    let count = |health: Health| findings.iter().filter(|finding| finding.result == health).count();
    let (failed, warnings) = (count(Health::Failed), count(Health::Warning));
    let (warnings, unknown) = (counted(warnings, "warning", "warnings"), count(Health::Unknown));
    let summary = format!("Doctor: {failed} failed, {warnings}, {unknown} unknown.");
    text.gap().put(Ink::Heading, &summary).plain(if emulator { " (emulator)" } else { "" }).end();
    text.into_string()
}
