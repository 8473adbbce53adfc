//! Declared against live, as findings. A pure function; nothing here can change anything.
//!
//! A finding says that something differs or that somebody should look. Whatever a plan of the same moment would do is among them,
//! under the rule that tells why or, where there is none, as *planned*.

mod generations;
mod planned;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::desired::{Declared, Desired, Ignore, Issuer, Origin, PublicKeyFile};
pub use crate::drift_rules::{Rule, Severity};
use crate::ids::{Address, KeyId, Name, Owner, Sha1, TargetId, Thumbprint};
use crate::observed::{Credential, Holding, Observed, ObservedTenant, StoreState, Target, TargetState};
use crate::plan::policy::Policy;
use crate::plan::reason::NoteKind;
use crate::plan::siblings::{Siblings, siblings};
use crate::plan::situation::Situation;
use crate::plan::{CertificatePlan, Plan, successor};
pub use generations::days_until;

/// What `drift` found.
#[derive(Debug, Clone, Serialize)]
pub struct Drift {
    /// The moment it was looked at.
    pub date: Timestamp,
    /// Whose declaration.
    pub owner: Owner,
    /// Whether it is about an emulated tenant.
    pub emulator: bool,
    /// Declared certificates that are live.
    pub managed: Vec<Managed>,
    /// Everything found, by address, then rule.
    pub findings: Vec<Finding>,
}

/// A declared certificate that is live.
#[derive(Debug, Clone, Serialize)]
pub struct Managed {
    /// `tenant/name`.
    pub address: Address,
    /// The current one.
    pub thumbprint: Sha1,
    /// When it ends.
    pub end: Option<Timestamp>,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// The tenant.
    pub tenant: Name,
    /// The certificate; none for what concerns a tenant or a credential beside every declared one.
    pub address: Option<Address>,
    /// The credential.
    pub thumbprint: Option<Sha1>,
    /// Its id.
    pub key_id: Option<KeyId>,
    /// When it ends or begins to matter.
    pub at: Option<Timestamp>,
    /// What was found, in words.
    pub text: String,
    /// What to try.
    pub hint: Option<String>,
    /// Where it is declared.
    pub origin: Option<Origin>,
    /// Whether somebody who is waited for should have acted by now.
    pub overdue: bool,
    /// The `ignore:` entry that covers it.
    pub ignored: Option<Ignored>,
}

/// Why a finding is not reported as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// As the file says.
    pub reason: String,
    /// Who decided.
    pub owner: Option<String>,
    /// Last day.
    pub until: Option<jiff::civil::Date>,
}

impl Drift {
    /// Findings that count: not ignored, and more than information.
    pub fn counted(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.ignored.is_none() && finding.severity > Severity::Info)
    }

    /// Whether live differs from declared.
    pub fn has_drift(&self) -> bool {
        self.counted().any(|finding| !finding.rule.is_somebodys_turn())
    }

    /// Whether somebody must act now: something is blocked, or a person or provider who is waited for is late.
    pub fn needs_somebody(&self) -> bool {
        self.counted().any(|finding| finding.rule == Rule::Blocked || finding.overdue)
    }
}

/// Compares what is declared with what was observed. `plan` is the plan of the same moment, of the same certificates.
pub fn drift(desired: &Desired, observed: &Observed, plan: &Plan, policy: &Policy) -> Drift {
    let siblings = siblings(desired, observed, &BTreeMap::new());
    let mut look = Look {
        desired,
        observed,
        policy,
        now: plan.now,
        named: named_anywhere(desired),
        told: BTreeSet::new(),
        managed: Vec::new(),
        findings: Vec::new(),
    };
    for (name, tenant) in &observed.tenants {
        look.tenant(name, tenant);
    }
    for certificate in &plan.certificates {
        match desired.certificates.get(&certificate.address) {
            Some(declared) => look.certificate(declared, certificate, &siblings),
            None => {
                let before = look.findings.len();
                look.notes(certificate, None);
                look.planned(certificate, None, before);
            }
        }
    }
    let Look { managed, mut findings, .. } = look;
    ignore(desired, plan.now, &mut findings);
    let key = |finding: &Finding| {
        (finding.tenant.clone(), finding.address.clone(), finding.rule, finding.thumbprint)
    };
    findings.sort_by_key(key);
    findings.dedup();
    Drift { date: plan.now, owner: plan.owner.clone(), emulator: plan.emulator, managed, findings }
}

struct Look<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    policy: &'a Policy,
    now: Timestamp,
    /// Thumbprints that some declaration names: not foreign, whichever certificate is looked at.
    named: BTreeSet<Thumbprint>,
    /// Credentials of others already told: several certificates may share a target.
    told: BTreeSet<(TargetId, Option<KeyId>)>,
    managed: Vec<Managed>,
    findings: Vec<Finding>,
}

/// Every thumbprint a declaration names.
fn named_anywhere(desired: &Desired) -> BTreeSet<Thumbprint> {
    let mut named = BTreeSet::new();
    for declared in desired.certificates.values() {
        named.extend(declared.adopt.iter().map(|adopt| adopt.thumbprint));
        if let Issuer::ExternalPublicKey { files } = &declared.issuer {
            named.extend(files.iter().map(|file| Thumbprint::Sha1(file.certificate.thumbprints.sha1)));
        }
    }
    named
}

/// A finding about a certificate, to be filled in.
fn about(declared: &Declared, rule: Rule, text: impl Into<String>) -> Finding {
    Finding {
        rule,
        severity: rule.severity(),
        tenant: declared.address.tenant.clone(),
        address: Some(declared.address.clone()),
        thumbprint: None,
        key_id: None,
        at: None,
        text: text.into(),
        hint: None,
        overdue: false,
        origin: Some(declared.origin.clone()),
        ignored: None,
    }
}

/// A finding about a tenant, to be filled in.
fn about_tenant(desired: &Desired, name: &Name, rule: Rule, text: String) -> Finding {
    Finding {
        rule,
        severity: rule.severity(),
        tenant: name.clone(),
        address: None,
        thumbprint: None,
        key_id: None,
        at: None,
        text,
        hint: None,
        overdue: false,
        origin: desired.tenants.get(name).map(|tenant| tenant.origin.clone()),
        ignored: None,
    }
}

fn of_credential(finding: Finding, credential: &Credential) -> Finding {
    Finding { thumbprint: credential.sha1(), key_id: credential.key_id, at: credential.end, ..finding }
}

impl Look<'_> {
    fn tenant(&mut self, name: &Name, tenant: &ObservedTenant) {
        let finding = |rule: Rule, text: String| about_tenant(self.desired, name, rule, text);
        if let Some(skew) = tenant.clock_skew.filter(|skew| skew.abs() > self.policy.settings.skew_warn) {
            let text = format!("this machine's clock and the service's differ by {} s", skew.abs().as_secs());
            self.findings.push(finding(Rule::Clock, text));
        }
        if let Some(reason) = &tenant.policies_unread {
            let text = format!("the tenant's policies could not be read: {reason}");
            self.findings.push(Finding {
                hint: Some("grant Policy.Read.All to see limits before Entra refuses a write".into()),
                ..finding(Rule::PolicyUnread, text)
            });
        }
    }

    fn certificate(
        &mut self,
        declared: &Declared,
        plan: &CertificatePlan,
        siblings: &BTreeMap<Name, Siblings>,
    ) {
        let before = self.findings.len();
        self.damage(declared);
        if let Some((tenant, target)) = self.target(declared) {
            self.on_target(declared, plan, tenant, target, siblings);
        }
        let explained = self.findings[before..].iter().any(|finding| {
            matches!(
                finding.rule,
                Rule::TargetMissing
                    | Rule::TargetAmbiguous
                    | Rule::TargetDeleted
                    | Rule::TargetUnreadable
                    | Rule::TargetUntouchable
                    | Rule::StoreUnreadable
                    | Rule::StoreUnknown
            )
        });
        if !explained {
            self.notes(plan, Some(&declared.origin));
        }
        self.planned(plan, Some(&declared.origin), before);
    }

    /// The object, or what is wrong with it.
    fn target<'o>(&mut self, declared: &Declared) -> Option<(&'o ObservedTenant, &'o Target)>
    where
        Self: 'o,
    {
        let observed = self.observed;
        let tenant = observed.tenants.get(&declared.address.tenant)?;
        let selector = &declared.target;
        let (rule, text, hint) = match tenant.targets.get(&declared.address)? {
            TargetState::Found(target) => return Some((tenant, target)),
            TargetState::Missing { .. } => (Rule::TargetMissing, format!("there is no {selector}"), None),
            TargetState::Ambiguous { candidates } => {
                let text = format!("{} objects match {selector}", candidates.len());
                (Rule::TargetAmbiguous, text, Some("name it by app_id".to_owned()))
            }
            TargetState::SoftDeleted { object_id, deleted_at } => {
                let when =
                    deleted_at.map(|at| format!(" on {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
                let hint = format!("an administrator can restore object {object_id} within 30 days");
                (Rule::TargetDeleted, format!("the {selector} was deleted{when}"), Some(hint))
            }
            TargetState::Unreadable { trouble } => {
                let text = format!("the {selector} cannot be read: {trouble}");
                (Rule::TargetUnreadable, text, Some(trouble.to_try().to_owned()))
            }
        };
        self.findings.push(Finding { hint, ..about(declared, rule, text) });
        None
    }

    fn on_target(
        &mut self,
        declared: &Declared,
        plan: &CertificatePlan,
        tenant: &ObservedTenant,
        target: &Target,
        siblings: &BTreeMap<Name, Siblings>,
    ) {
        if target.untouchable.is_some() {
            let text =
                plan.notes.iter().find(|note| note.kind == NoteKind::Blocked).map(|note| note.text.clone());
            let text = text.unwrap_or_else(|| "the target is not ours to edit".to_owned());
            self.findings.push(about(declared, Rule::TargetUntouchable, text));
            return;
        }
        if let Some(reason) = &target.sign_in_impossible {
            self.findings.push(about(declared, Rule::SignInImpossible, reason.as_str()));
        }
        self.lifetime(declared, target);
        let Some(holding) = self.holding(declared) else { return };
        let (no_siblings, no_deliveries, no_answers) =
            (Siblings::default(), BTreeMap::new(), BTreeMap::new());
        let names = Situation::names_of(self.desired, &declared.address);
        let mut situation = Situation {
            declared,
            owner: &self.desired.owner,
            tenant_id: tenant.tenant_id,
            target,
            shape: None,
            holding,
            deliveries: self.observed.deliveries.get(&declared.address).unwrap_or(&no_deliveries),
            answers: self.observed.answers.get(&declared.address).unwrap_or(&no_answers),
            acknowledgements: Situation::acknowledgements_of(self.desired, &names, &declared.address.tenant),
            names,
            siblings: siblings.get(&declared.address.tenant).unwrap_or(&no_siblings),
            policy: self.policy,
            now: self.now,
        };
        situation.record_adopted_current();
        self.credentials(&situation);
        if declared.key_lives_here() {
            self.current(&situation, plan);
        } else {
            self.without_key(&situation);
        }
    }

    /// What consumers read and is not as certroll wrote it.
    fn damage(&mut self, declared: &Declared) {
        let Some(store) = self.observed.stores.get(&declared.address) else { return };
        let current = match &store.state {
            StoreState::Known(holding) => holding.current_generation(),
            StoreState::Absent | StoreState::Unreadable { .. } => None,
        };
        let thumbprint = current.and_then(|generation| generation.record.thumbprints).map(|both| both.sha1);
        let address = &declared.address;
        for damage in &store.damage {
            let (rule, hint) = match (damage.certain, thumbprint) {
                (true, Some(sha1)) => (
                    Rule::StoreDamaged,
                    format!("restore it, or rotate: certroll apply --replace {address}={sha1}"),
                ),
                (true, None) => (Rule::StoreDamaged, "restore it".to_owned()),
                (false, _) => {
                    (Rule::StoreTouched, format!("certroll verify {address} compares what it holds"))
                }
            };
            let finding = about(declared, rule, damage.text.as_str());
            self.findings.push(Finding { thumbprint, hint: Some(hint), ..finding });
        }
    }

    fn lifetime(&mut self, declared: &Declared, target: &Target) {
        let Some(policy) = &target.lifetime_policy else { return };
        let allows = format!("policy {} allows {} days", policy.policy_id, policy.max_seconds / 86_400);
        let (text, hint) = match &declared.issuer {
            // What a provider sends is as long as it is, and what a product makes, too.
            Issuer::ExternalPublicKey { files } => {
                let life = |file: &&PublicKeyFile| {
                    file.certificate.not_after.duration_since(file.certificate.not_before).as_secs()
                };
                let longest = files.iter().max_by_key(life);
                let Some(file) = longest.filter(|file| life(file) > policy.max_seconds) else { return };
                let text = format!("{allows}, and {} is for {}", file.path, life(&file) / 86_400);
                (text, "certroll cuts the credential: ask the provider for the next key before that ends")
            }
            Issuer::ExternalRotator { .. } => return,
            _ if policy.max_seconds < declared.validity.nominal_seconds() => (
                format!("{allows}, and the file asks for {}", declared.validity),
                "declare a shorter validity; certroll cuts the credential until then",
            ),
            _ => return,
        };
        let hint = Some(hint.to_owned());
        self.findings.push(Finding { hint, ..about(declared, Rule::Policy, text) });
    }

    /// What the store holds; nothing when it cannot be told, which is a finding.
    fn holding(&mut self, declared: &Declared) -> Option<Cow<'static, Holding>> {
        if !declared.key_lives_here() {
            return Some(Cow::Owned(Holding::default()));
        }
        let place = successor::place(declared);
        match self.observed.stores.get(&declared.address).map(|store| &store.state) {
            Some(StoreState::Known(holding)) => Some(Cow::Owned(holding.clone())),
            Some(StoreState::Absent) => Some(Cow::Owned(Holding::default())),
            Some(StoreState::Unreadable { reason }) => {
                let text = format!("{place} cannot be read: {reason}");
                self.findings.push(about(declared, Rule::StoreUnreadable, text));
                None
            }
            None => {
                self.findings.push(about(declared, Rule::StoreUnreadable, format!("{place} was not read")));
                None
            }
        }
    }

    /// Whose turn it is, in the plan's words.
    fn notes(&mut self, plan: &CertificatePlan, origin: Option<&Origin>) {
        for note in &plan.notes {
            let rule = match note.kind {
                NoteKind::Blocked => Rule::Blocked,
                NoteKind::Waiting => Rule::Waiting,
                NoteKind::Later | NoteKind::Warning | NoteKind::HandOff | NoteKind::Info => continue,
            };
            self.findings.push(Finding {
                rule,
                severity: rule.severity(),
                tenant: plan.address.tenant.clone(),
                address: Some(plan.address.clone()),
                thumbprint: note.about,
                key_id: None,
                at: note.at,
                text: note.text.clone(),
                hint: note.hint.clone(),
                overdue: note.overdue,
                origin: origin.cloned(),
                ignored: None,
            });
        }
    }
}

/// Marks what `ignore:` covers, and tells of entries that have reached their last day.
fn ignore(desired: &Desired, now: Timestamp, findings: &mut Vec<Finding>) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let in_force = |entry: &&Ignore| entry.until.is_none_or(|until| today <= until);
    for finding in findings.iter_mut() {
        let of_certificate = finding.address.as_ref().and_then(|address| desired.certificates.get(address));
        let of_tenant = desired.tenants.get(&finding.tenant);
        let entries = of_certificate
            .map(|declared| declared.ignore.as_slice())
            .into_iter()
            .chain(of_tenant.map(|tenant| tenant.ignore.as_slice()))
            .flatten();
        let covering = entries.filter(in_force).find(|entry| entry.rule == finding.rule);
        finding.ignored = covering.map(|entry| Ignored {
            reason: entry.reason.clone(),
            owner: entry.owner.clone(),
            until: entry.until,
        });
    }
    for declared in desired.certificates.values() {
        for entry in declared.ignore.iter().filter(|entry| !in_force(entry)) {
            findings.push(about(declared, Rule::IgnoreEnded, ended(entry)));
        }
    }
    for (name, tenant) in &desired.tenants {
        for entry in tenant.ignore.iter().filter(|entry| !in_force(entry)) {
            findings.push(about_tenant(desired, name, Rule::IgnoreEnded, ended(entry)));
        }
    }
}

fn ended(entry: &Ignore) -> String {
    let until = entry.until.map(|until| until.to_string()).unwrap_or_default();
    format!("ignoring {} ended on {until}: {}", entry.rule, entry.reason)
}
