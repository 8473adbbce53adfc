//! Drift beside the plan of the same moment: where a plan would do something, drift is not "none".

use certroll::plan::Plan;
use certroll::report::drift::{Finding, Severity, drift};
use proptest::prelude::*;

use super::all_rows;
use super::observed::World;
use super::rows::{plan_of, tell};
use super::worlds::worlds;

/// Every address with steps has a finding that counts.
fn steps_are_found(world: &World, plan: &Plan) -> Result<(), String> {
    let found = drift(&world.desired, &world.observed, plan, &world.policy);
    for certificate in plan.certificates.iter().filter(|certificate| !certificate.steps.is_empty()) {
        let of_it = |finding: &&Finding| finding.address.as_ref() == Some(&certificate.address);
        let counts = |finding: &Finding| finding.severity > Severity::Info;
        if !found.findings.iter().filter(of_it).any(counts) || !found.has_drift() {
            return Err(format!("drift finds nothing of {}\n{}", certificate.address, tell(world, plan)));
        }
    }
    Ok(())
}

#[test]
fn no_row_has_steps_that_drift_is_silent_about() {
    let wrong: Vec<String> = all_rows()
        .iter()
        .filter_map(|row| {
            let world = (row.world)();
            steps_are_found(&world, &plan_of(&world)).err().map(|what| format!("{}: {what}", row.story))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_plan_would_do_is_drift_in_any_world(world in worlds()) {
        let verdict = steps_are_found(&world, &plan_of(&world));
        prop_assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
    }
}
