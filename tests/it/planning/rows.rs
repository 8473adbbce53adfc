//! One row: a story, the world it happens in, and the answer the design gives. And the machinery that moves a world by
//! the steps of a plan.

use std::collections::BTreeMap;

use certroll::desired::Issuer;
use certroll::ids::{Address, KeyId, Sha1, TargetId};
use certroll::observed::{Credential, Generation, StoreState, TargetState};
use certroll::plan::document::Document;
use certroll::plan::predict::{Context, World as Predicted};
use certroll::plan::reason::{Because, Note, Requires};
use certroll::plan::step::{Evidence, RecordWrite, Step};
use certroll::plan::{CertificatePlan, Plan, PlannedStep, guard, planner};

use super::observed::{ADDRESS, World, address};

/// A story and its answer.
#[derive(Clone)]
pub(crate) struct Row {
    /// A sentence.
    pub(crate) story: &'static str,
    pub(crate) world: fn() -> World,
    /// Each step as `verb label: reason`, where the label is left out for a generation that is still to be made and the
    /// reason for a mere part of a rotation. Steps of another certificate begin with its address.
    pub(crate) steps: &'static [&'static str],
    /// For each note its kind and words it must hold: text, hint, label and date. There must be no *blocked* and no *waiting* beyond those.
    pub(crate) notes: &'static [&'static str],
}

/// What is wrong with the planner's answer to that row.
pub(crate) fn check(row: &Row) -> Result<(), String> {
    let world = (row.world)();
    let plan = plan_of(&world);
    let wrong = |what: &str| format!("{}\n  {what}\n{}", row.story, tell(&world, &plan));
    let steps = steps_of(&world, &plan);
    if steps != row.steps {
        return Err(wrong(&format!("should have the steps {:?}", row.steps)));
    }
    let notes = notes_of(&world, &plan);
    let found = |wanted: &&&str| !notes.iter().any(|note| holds(note, wanted));
    if let Some(missing) = row.notes.iter().find(found) {
        return Err(wrong(&format!("should say {missing:?}")));
    }
    for kind in ["blocked", "waiting"] {
        let wanted = row.notes.iter().filter(|note| note.starts_with(kind)).count();
        if notes.iter().filter(|note| note.starts_with(kind)).count() != wanted {
            return Err(wrong(&format!("should have {wanted} {kind} notes")));
        }
    }
    check_any(&world, &plan).map_err(|what| wrong(&what))
}

fn holds(note: &str, wanted: &str) -> bool {
    let mut words = wanted.split(' ');
    words.next().is_some_and(|kind| note.starts_with(kind)) && words.all(|word| note.contains(word))
}

/// What holds for every plan: it is guarded, it settles, it can be saved.
pub(crate) fn check_any(world: &World, plan: &Plan) -> Result<(), String> {
    guard::check(plan, &world.desired, &world.observed, &world.policy).map_err(|e| e.to_string())?;
    plan.certificates.iter().try_for_each(check_requirements)?;
    let mut after = world.clone();
    carry_out(&mut after, plan);
    let again = plan_of(&after);
    if !again.is_empty() {
        return Err(format!("should leave nothing to do, and leaves\n{}", tell(&after, &again)));
    }
    guard::settles(plan, &world.desired, &world.observed, &world.policy).map_err(|e| e.to_string())?;
    let text = Document::of(plan).to_json();
    match Document::read(text.as_bytes()).map(Document::into_plan) {
        Ok(read) if read == *plan => Ok(()),
        other => Err(format!("should read back as saved, and reads {other:?}")),
    }
}

/// What gives consumers a key or takes one away says that it needs a proof, and the proof comes before it. Of what is no longer declared
/// nobody has a key to prove, and `prove: after_promotion` is the file's own word.
fn check_requirements(certificate: &CertificatePlan) -> Result<(), String> {
    let mut proven = false;
    for planned in &certificate.steps {
        proven |= matches!(planned.step, Step::Prove { .. });
        let needs = match &planned.step {
            Step::Retire { .. } => planned.because != Because::Removed,
            Step::Promote { before_proof, .. } => !before_proof,
            _ => false,
        };
        let required = planned.requires.contains(&Requires::ProofInThisRun);
        if required != needs || (needs && !proven) {
            return Err(format!(
                "{} should require a proof: {needs}, does: {required}, has one: {proven}",
                planned.step.verb()
            ));
        }
    }
    Ok(())
}

pub(crate) fn plan_of(world: &World) -> Plan {
    planner::plan(&world.desired, &world.observed, &world.policy, world.now)
}

/// The steps of a plan as rows write them.
pub(crate) fn steps_of(world: &World, plan: &Plan) -> Vec<String> {
    let labels = Labels::of(world);
    let mut lines = Vec::new();
    for certificate in &plan.certificates {
        let prefix = prefix(&certificate.address);
        lines.extend(certificate.steps.iter().map(|planned| format!("{prefix}{}", line(&labels, planned))));
    }
    lines
}

fn prefix(of: &Address) -> String {
    if *of == address(ADDRESS) { String::new() } else { format!("{of} ") }
}

fn line(labels: &Labels, planned: &PlannedStep) -> String {
    let sha1 = match &planned.step {
        Step::Retire { credential } => Some(credential.sha1),
        step => step.generation().and_then(|generation| generation.thumbprints).map(|t| t.sha1),
    };
    let mut line = planned.step.verb().to_owned();
    if let Step::Record { write, .. } = &planned.step {
        line = match write {
            RecordWrite::Promoted => "record promotion of".to_owned(),
            RecordWrite::Adopted => "record adoption of".to_owned(),
        };
    }
    if let Step::Prove { evidence: Evidence::ReadBack, .. } = &planned.step {
        line.push_str(" by reading back");
    }
    if let Some(label) = sha1.as_ref().and_then(|sha1| labels.certificate(sha1)) {
        line = format!("{line} {label}");
    }
    if let Step::Deliver { slot, .. } = &planned.step {
        line = format!("{line} to {slot}");
    }
    if let Step::Publish { dropping, lifetime_max_seconds, .. } = &planned.step {
        dropping.iter().for_each(|id| line.push_str(&format!(" dropping {}", labels.credential(id))));
        lifetime_max_seconds.iter().for_each(|max| line.push_str(&format!(" within {} d", max / 86_400)));
    }
    match &planned.because {
        Because::PartOfRotation => line,
        because => format!("{line}: {}", reason(because)),
    }
}

fn reason(because: &Because) -> String {
    let value = serde_json::to_value(because).unwrap();
    let word = value["reason"].as_str().unwrap().replace('_', " ");
    match value["what"].as_str() {
        Some(what) => format!("{what} {word}"),
        None => word,
    }
}

/// The notes of a plan: kind, label, date, text and hint.
pub(crate) fn notes_of(world: &World, plan: &Plan) -> Vec<String> {
    let labels = Labels::of(world);
    let of = |certificate: &CertificatePlan| {
        let prefix = prefix(&certificate.address);
        let lines: Vec<_> =
            certificate.notes.iter().map(|note| format!("{} {prefix}", note_line(&labels, note))).collect();
        lines
    };
    plan.certificates.iter().flat_map(of).collect()
}

fn note_line(labels: &Labels, note: &Note) -> String {
    let kind = serde_json::to_value(note.kind).unwrap();
    let about = note.about.as_ref().and_then(|sha1| labels.certificate(sha1)).unwrap_or_default();
    let at = note.at.map(|at| at.to_string()).unwrap_or_default();
    format!(
        "{} [{about}] [{at}] {} | {}",
        kind.as_str().unwrap(),
        note.text,
        note.hint.as_deref().unwrap_or("")
    )
}

/// What the world was built with, by label.
struct Labels {
    certificates: BTreeMap<Sha1, String>,
    credentials: BTreeMap<KeyId, String>,
}

impl Labels {
    fn of(world: &World) -> Labels {
        let mut labels = Labels { certificates: BTreeMap::new(), credentials: BTreeMap::new() };
        for tenant in world.observed.tenants.values() {
            tenant.targets.values().chain(&tenant.removed).for_each(|state| labels.add_target(state));
        }
        for store in world.observed.stores.values() {
            if let StoreState::Known(holding) = &store.state {
                holding.generations.iter().for_each(|generation| labels.add_generation(generation));
            }
        }
        for declared in world.desired.certificates.values() {
            if let Issuer::ExternalPublicKey { files } = &declared.issuer {
                let named = files.iter().map(|file| (file.certificate.thumbprints.sha1, file.path.clone()));
                labels.certificates.extend(named);
            }
        }
        labels
    }

    fn add_target(&mut self, state: &TargetState) {
        let TargetState::Found(target) = state else { return };
        for credential in &target.credentials {
            let raw: serde_json::Value = serde_json::from_str(credential.raw.get()).unwrap();
            let Some(label) = raw["as"][1].as_str() else { continue };
            self.certificates.extend(credential.sha1().map(|sha1| (sha1, label.to_owned())));
            self.credentials.extend(credential.key_id.map(|id| (id, label.to_owned())));
        }
    }

    /// A predicted one goes by its rotation and is called *new*.
    fn add_generation(&mut self, generation: &Generation) {
        let predicted = generation.record.rotation_id.map(|id| id.to_string());
        let label = match predicted.as_ref() == Some(&generation.handle) {
            true => "new".to_owned(),
            false => generation.handle.clone(),
        };
        self.certificates.extend(generation.record.thumbprints.map(|thumbprints| (thumbprints.sha1, label)));
    }

    fn certificate(&self, sha1: &Sha1) -> Option<&str> {
        self.certificates.get(sha1).map(String::as_str)
    }

    fn credential(&self, id: &KeyId) -> &str {
        self.credentials.get(id).map_or("something unknown", String::as_str)
    }
}

/// For failures.
pub(crate) fn tell(world: &World, plan: &Plan) -> String {
    let mut text = String::from("  it has the steps\n");
    steps_of(world, plan).iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    text.push_str("  and the notes\n");
    notes_of(world, plan).iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    plan.refusals.iter().for_each(|refusal| text.push_str(&format!("  refused: {refusal}\n")));
    text
}

/// Moves the world by every step of the plan.
pub(crate) fn carry_out(world: &mut World, plan: &Plan) {
    for certificate in &plan.certificates {
        certificate.steps.iter().for_each(|planned| step(world, &certificate.address, &planned.step));
    }
}

/// Moves the world by the first steps of the plan of the one certificate: a run that was stopped.
pub(crate) fn carry_out_first(world: &mut World, plan: &Plan, count: usize) {
    let certificate = plan.certificates.iter().find(|c| c.address == address(ADDRESS)).unwrap();
    certificate.steps.iter().take(count).for_each(|planned| step(world, &certificate.address, &planned.step));
}

/// Moves the world by one step of one certificate. Objects that several certificates share stay one object.
pub(crate) fn step(world: &mut World, of: &Address, step: &Step) {
    let changed = match world.desired.certificates.get(of).cloned() {
        Some(declared) => {
            let Some(mut predicted) = Predicted::of(&declared, &world.observed) else { return };
            let owner = world.desired.owner.clone();
            let context = Context {
                declared: &declared,
                owner: &owner,
                tenant_id: world.observed.tenants[&of.tenant].tenant_id,
                now: world.now,
                settings: &world.policy.settings,
            };
            step.predict(&mut predicted, &context);
            let changed = (predicted.target.id, predicted.target.credentials.clone());
            predicted.into_observed(&declared, &mut world.observed);
            Some(changed)
        }
        None => removed_step(world, of, step),
    };
    let Some((id, credentials)) = changed else { return };
    for tenant in world.observed.tenants.values_mut() {
        for state in tenant.targets.values_mut().chain(tenant.removed.iter_mut()) {
            if let TargetState::Found(target) = state
                && target.id == id
            {
                target.credentials.clone_from(&credentials);
            }
        }
    }
}

/// A step of a `removed:` entry can only take a credential off.
fn removed_step(world: &World, of: &Address, step: &Step) -> Option<(TargetId, Vec<Credential>)> {
    let Step::Retire { credential } = step else { panic!("{of} is removed and has {step:?}") };
    let index = world.desired.removed.iter().position(|removed| removed.address == *of)?;
    let TargetState::Found(target) = &world.observed.tenants[&of.tenant].removed[index] else { return None };
    let kept = target.credentials.iter().filter(|other| other.key_id != Some(credential.key_id));
    Some((target.id, kept.cloned().collect()))
}
