//! How the plan that was reviewed and the one of now differ: as a text diff of both, and for programs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use crate::cli::human::{self, View};
use crate::ids::Address;
use crate::plan::{CertificatePlan, Plan, PlannedStep};

/// The differences between two plans, if a person would see any.
pub fn plans(reviewed: &Plan, fresh: &Plan) -> Option<String> {
    let view = View::default();
    let (before, after) = (human::plan(reviewed, view), human::plan(fresh, view));
    if before == after {
        return None;
    }
    let mut text = String::from(
        "Since the plan was reviewed (-), this has changed (+). Only what is in both is carried out.\n\n",
    );
    let diff = TextDiff::from_lines(&before, &after);
    for (index, group) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            text.push_str("    …\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let mark = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            text.push_str(&format!("  {mark} {}", change.value()));
        }
    }
    text.push('\n');
    Some(text)
}

/// The differences for a program: one object for each certificate whose steps differ.
pub fn objects(reviewed: &Plan, fresh: &Plan) -> Vec<Value> {
    let (reviewed, fresh) = (steps(reviewed), steps(fresh));
    let addresses: BTreeSet<&Address> = reviewed.keys().chain(fresh.keys()).copied().collect();
    let none = Vec::new();
    let differences = addresses.into_iter().filter_map(|address| {
        let (was, is) = (reviewed.get(address).unwrap_or(&none), fresh.get(address).unwrap_or(&none));
        let missing = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|step| !those.contains(step)).cloned().collect()
        };
        let (only_reviewed, only_now) = (missing(was, is), missing(is, was));
        (!only_reviewed.is_empty() || !only_now.is_empty()).then(|| {
            json!({
                "type": "plan_difference",
                "address": address,
                "only_reviewed": only_reviewed,
                "only_now": only_now,
            })
        })
    });
    differences.collect()
}

fn steps(plan: &Plan) -> BTreeMap<&Address, Vec<String>> {
    let words = |planned: &PlannedStep| format!("{} {}", planned.step.verb(), planned.step);
    let of = |one: &CertificatePlan| one.steps.iter().map(words).collect();
    plan.certificates.iter().map(|one| (&one.address, of(one))).collect()
}
