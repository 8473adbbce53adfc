//! Declared against live, as findings. A pure function; nothing here can change anything.
//!
//! A finding says that something differs or that somebody should look. What certroll would do about it is the plan's business; a
//! rotation that is merely due is not drift.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::desired::{Declared, Desired, Ignore, Issuer, Origin};
use crate::ids::{Address, KeyId, Name, Owner, Sha1, TargetId, Thumbprint};
use crate::observed::{
    Credential, DeliveryState, Holding, KeyState, Observed, ObservedTenant, StoreState, Target, TargetState,
};
use crate::plan::planner::siblings;
use crate::plan::policy::Policy;
use crate::plan::reason::{Because, NoteKind};
use crate::plan::situation::{CurrentView, Situation, Standing};
use crate::plan::{CertificatePlan, Plan, successor};
pub use crate::report::drift_rules::{Rule, Severity};

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

    /// Whether somebody must act before certroll can.
    pub fn needs_somebody(&self) -> bool {
        self.counted().any(|finding| finding.rule.is_somebodys_turn())
    }
}

/// Compares what is declared with what was observed. `plan` is the plan of the same moment, of the same certificates.
pub fn drift(desired: &Desired, observed: &Observed, plan: &Plan, policy: &Policy) -> Drift {
    let siblings = siblings(desired);
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
            None => look.notes(certificate, None),
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
        origin: Some(declared.origin.clone()),
        ignored: None,
    }
}

fn of_credential(finding: Finding, credential: &Credential) -> Finding {
    Finding { thumbprint: credential.sha1(), key_id: credential.key_id, at: credential.end, ..finding }
}

impl Look<'_> {
    fn tenant(&mut self, name: &Name, tenant: &ObservedTenant) {
        let origin = self.desired.tenants.get(name).map(|tenant| tenant.origin.clone());
        let finding = |rule: Rule, text: String| Finding {
            rule,
            severity: rule.severity(),
            tenant: name.clone(),
            address: None,
            thumbprint: None,
            key_id: None,
            at: None,
            text,
            hint: None,
            origin: origin.clone(),
            ignored: None,
        };
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
        siblings: &BTreeMap<Name, BTreeSet<Name>>,
    ) {
        let before = self.findings.len();
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
            TargetState::Unreadable { reason } => {
                (Rule::TargetUnreadable, format!("the {selector} cannot be read: {reason}"), None)
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
        siblings: &BTreeMap<Name, BTreeSet<Name>>,
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
        let (no_siblings, no_deliveries) = (BTreeSet::new(), BTreeMap::new());
        let names = Situation::names_of(self.desired, &declared.address);
        let mut situation = Situation {
            declared,
            owner: &self.desired.owner,
            tenant_id: tenant.tenant_id,
            target,
            shape: None,
            holding,
            deliveries: self.observed.deliveries.get(&declared.address).unwrap_or(&no_deliveries),
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

    fn lifetime(&mut self, declared: &Declared, target: &Target) {
        let Some(policy) = &target.lifetime_policy else { return };
        if policy.max_seconds < declared.validity.nominal_seconds() {
            let text = format!(
                "policy {} allows {} days, and the file asks for {}",
                policy.policy_id,
                policy.max_seconds / 86_400,
                declared.validity
            );
            let hint = Some("declare a shorter validity; certroll cuts the credential until then".to_owned());
            self.findings.push(Finding { hint, ..about(declared, Rule::Policy, text) });
        }
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

    /// Every credential on the target, whoever put it there.
    fn credentials(&mut self, situation: &Situation<'_>) {
        for credential in &situation.target.credentials {
            if situation.is_revoked_credential(credential) && !credential.is_expired_at(self.now) {
                let finding =
                    about(situation.declared, Rule::RevokedLive, "it is revoked and can still sign in");
                self.findings.push(of_credential(finding, credential));
            }
            let found = match situation.standing(credential) {
                Standing::Orphan if situation.declared.key_lives_here() => {
                    Some((Rule::Orphan, "it is ours, and no store holds its key".to_owned()))
                }
                Standing::Claimed => Some((
                    Rule::Claimed,
                    "it carries our marker and not the key id we derive; somebody copied the name".to_owned(),
                )),
                Standing::Undeclared => credential
                    .marker()
                    .map(|marker| (Rule::Undeclared, format!("{marker} is on the target and not declared"))),
                Standing::Foreign if self.is_news(situation, credential) => {
                    let name = credential.display_name.as_deref().unwrap_or("without a name");
                    Some((Rule::Foreign, format!("{name:?}, not managed here")))
                }
                Standing::Foreign
                | Standing::Orphan
                | Standing::Reserved
                | Standing::Held(_)
                | Standing::Adopted { .. }
                | Standing::Revoked
                | Standing::Sibling => None,
            };
            if let Some((rule, text)) = found {
                self.findings.push(of_credential(about(situation.declared, rule, text), credential));
            }
        }
    }

    /// Whether a credential of others is nobody's whom a declaration names, and not told yet.
    fn is_news(&mut self, situation: &Situation<'_>, credential: &Credential) -> bool {
        let named = self.named.iter().any(|thumbprint| credential.is_named(thumbprint));
        !named
            && !is_declared_elsewhere(situation, credential)
            && self.told.insert((situation.target.id, credential.key_id))
    }

    /// The generation consumers read.
    fn current(&mut self, situation: &Situation<'_>, plan: &CertificatePlan) {
        let declared = situation.declared;
        let current = match successor::current(situation) {
            Ok(Some(current)) => current,
            Ok(None) => {
                self.findings.push(about(declared, Rule::NotIssued, "there is nothing of it anywhere"));
                return;
            }
            Err(note) => {
                let hint = note.hint;
                self.findings.push(Finding { hint, ..about(declared, Rule::StoreUnknown, note.text) });
                return;
            }
        };
        match current.credentials.first() {
            Some(credential) => {
                self.managed.push(Managed {
                    address: declared.address.clone(),
                    thumbprint: current.sha1,
                    end: credential.end,
                });
                self.changed(situation, &current, credential);
                self.ending(declared, current.sha1, current.life.end);
            }
            None if current.is_expired_at(self.now) => self.ending(declared, current.sha1, current.life.end),
            None => {
                let text = "consumers read it from the store, and Entra does not have it".to_owned();
                let hint = Some("certroll plan shows the repair; it needs --allow-repair".to_owned());
                let finding = Finding { hint, ..about(declared, Rule::Missing, text) };
                self.findings.push(Finding { thumbprint: Some(current.sha1), ..finding });
            }
        }
        self.pending(situation, &current, plan);
        self.deliveries(situation, &current);
    }

    /// Whether a credential of ours is still as certroll published it.
    fn changed(&mut self, situation: &Situation<'_>, current: &CurrentView<'_>, credential: &Credential) {
        let declared = situation.declared;
        let record = current.generation.map(|generation| &generation.record);
        let Some(record) = record.filter(|record| record.rotation_id.is_some()) else { return };
        let mut differences = Vec::new();
        if credential.key_id != record.key_id {
            differences.push("its key id is not the one certroll gave it".to_owned());
        }
        if !situation.is_marked_ours(credential) && credential.key_id == record.key_id {
            let name = credential.display_name.as_deref().unwrap_or("nothing");
            differences.push(format!("its name is {name:?} and no longer carries our marker"));
        }
        if let (Some(end), Some(not_after)) = (credential.end, record.not_after)
            && end > not_after
        {
            differences.push(format!("it ends {}, after its certificate", end.strftime("%Y-%m-%d")));
        }
        if let (Some(start), Some(not_after)) = (credential.start, record.not_after)
            && start >= not_after
        {
            differences.push("it starts after its certificate ends".to_owned());
        }
        if !differences.is_empty() {
            let finding = about(declared, Rule::Changed, differences.join("; "));
            self.findings.push(of_credential(finding, credential));
        }
    }

    fn ending(&mut self, declared: &Declared, sha1: Sha1, end: Timestamp) {
        let day = end.strftime("%Y-%m-%d");
        let (rule, severity, text) = if end <= self.now {
            (Rule::Expired, Severity::Alert, format!("it expired on {day}"))
        } else if declared.alert_before.before(end) <= self.now {
            (Rule::Expiring, Severity::Alert, format!("it ends on {day}, in {}", days_until(self.now, end)))
        } else if declared.warn_before.before(end) <= self.now {
            (Rule::Expiring, Severity::Warning, format!("it ends on {day}, in {}", days_until(self.now, end)))
        } else {
            return;
        };
        let finding = about(declared, rule, text);
        self.findings.push(Finding { severity, thumbprint: Some(sha1), at: Some(end), ..finding });
    }

    /// What the plan is about to change, told apart from what somebody else changed.
    fn pending(&mut self, situation: &Situation<'_>, current: &CurrentView<'_>, plan: &CertificatePlan) {
        let declared = situation.declared;
        for planned in &plan.steps {
            let finding = match &planned.because {
                Because::Differs { .. } => about(declared, Rule::Differs, planned.because.to_string()),
                Because::Due { due, .. } => {
                    let text = format!("its rotation was due on {}", due.strftime("%Y-%m-%d"));
                    Finding { at: Some(*due), ..about(declared, Rule::Due, text) }
                }
                _ => continue,
            };
            self.findings.push(Finding { thumbprint: Some(current.sha1), ..finding });
        }
        let on_its_way = |state: KeyState, promoted: bool, rejected: bool| {
            state != KeyState::Destroyed && !promoted && !rejected
        };
        for generation in &situation.holding.generations {
            let record = &generation.record;
            let is_current = record.thumbprints.is_some_and(|thumbprints| thumbprints.sha1 == current.sha1);
            if !is_current && on_its_way(generation.key, record.promoted_at.is_some(), record.rejected) {
                let text = "a rotation has begun and is not at its end; apply continues it";
                let finding = about(declared, Rule::OnItsWay, text);
                self.findings.push(Finding { thumbprint: record.thumbprints.map(|t| t.sha1), ..finding });
            }
        }
    }

    fn deliveries(&mut self, situation: &Situation<'_>, current: &CurrentView<'_>) {
        let declared = situation.declared;
        let Some(record) = current.generation.map(|generation| &generation.record) else { return };
        for delivery in &declared.deliveries {
            let slot = &delivery.slot;
            let delivered = record.delivered.get(slot);
            let (rule, text) = match situation.deliveries.get(slot) {
                Some(DeliveryState::Holds(held)) if Some(*held) == record.thumbprints => continue,
                Some(DeliveryState::Holds(held)) => {
                    (Rule::DeliveryDiffers, format!("{slot} holds {}…", held.sha1.short()))
                }
                Some(DeliveryState::Marker(marker))
                    if delivered.is_some_and(|known| known.marker == *marker) =>
                {
                    continue;
                }
                Some(DeliveryState::Marker(_)) => {
                    (Rule::DeliveryDiffers, format!("{slot} was changed after it was delivered"))
                }
                Some(DeliveryState::Absent) => (Rule::DeliveryDiffers, format!("{slot} holds nothing")),
                Some(DeliveryState::Unreadable { reason }) => {
                    (Rule::DeliveryUnknown, format!("{slot} cannot be compared: {reason}"))
                }
                None => (Rule::DeliveryUnknown, format!("{slot} was not looked at")),
            };
            self.findings.push(about(declared, rule, text));
        }
    }

    /// A provider's public keys, and what a product made by itself.
    fn without_key(&mut self, situation: &Situation<'_>) {
        let declared = situation.declared;
        let newest = situation
            .target
            .client_credentials()
            .filter(|credential| is_declared_elsewhere(situation, credential))
            .max_by_key(|credential| credential.end);
        let Some(credential) = newest else {
            self.findings.push(about(declared, Rule::NotIssued, "nothing of it is on the target"));
            return;
        };
        let (Some(sha1), Some(end)) = (credential.sha1(), credential.end) else { return };
        self.managed.push(Managed { address: declared.address.clone(), thumbprint: sha1, end: Some(end) });
        self.ending(declared, sha1, end);
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
                origin: origin.cloned(),
                ignored: None,
            });
        }
    }
}

/// Whether the credential is a declared file's or the rotating product's.
fn is_declared_elsewhere(situation: &Situation<'_>, credential: &Credential) -> bool {
    match &situation.declared.issuer {
        Issuer::ExternalPublicKey { files } => {
            files.iter().any(|file| credential.is_of(&file.certificate.thumbprints))
        }
        Issuer::ExternalRotator { matching } => crate::plan::provider::is_matched(matching, credential),
        Issuer::SelfSigned
        | Issuer::CaFile { .. }
        | Issuer::VaultPki { .. }
        | Issuer::KeyVault { .. }
        | Issuer::Csr { .. } => false,
    }
}

/// `1 day`, `12 days`, `5 hours`.
fn days_until(now: Timestamp, end: Timestamp) -> String {
    let left: SignedDuration = end.duration_since(now);
    let (days, hours) = (left.as_hours() / 24, left.as_hours());
    match (days, hours) {
        (0, 1) => "1 hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
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
        let covering = entries.filter(in_force).find(|entry| entry.rule == finding.rule.id());
        finding.ignored = covering.map(|entry| Ignored {
            reason: entry.reason.clone(),
            owner: entry.owner.clone(),
            until: entry.until,
        });
    }
    for declared in desired.certificates.values() {
        for entry in declared.ignore.iter().filter(|entry| !in_force(entry)) {
            let until = entry.until.map(|until| until.to_string()).unwrap_or_default();
            let text = format!("ignoring {} ended on {until}: {}", entry.rule, entry.reason);
            findings.push(about(declared, Rule::IgnoreEnded, text));
        }
    }
}
