//! What drift says of the credentials on a target and of the generation consumers read.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Look, Managed, Rule, Severity, about, of_credential};
use crate::desired::{Declared, Issuer};
use crate::ids::Sha1;
use crate::observed::{Credential, DeliveryState};
use crate::plan::predecessors::KEEP_AN_ORPHAN;
use crate::plan::reason::Because;
use crate::plan::situation::{CurrentView, Situation, Standing, reference};
use crate::plan::{CertificatePlan, PlannedStep, successor};

impl Look<'_> {
    /// Every credential on the target, whoever put it there.
    pub(super) fn credentials(&mut self, situation: &Situation<'_>) {
        for credential in &situation.target.credentials {
            if situation.is_revoked_credential(credential) && !credential.is_expired_at(self.now) {
                let finding =
                    about(situation.declared, Rule::RevokedLive, "it is revoked and can still sign in");
                self.findings.push(of_credential(finding, credential));
            }
            let found = match situation.standing(credential) {
                Standing::Orphan if situation.declared.key_lives_here() => {
                    Some((Rule::Orphan, "it is ours, and no store here holds its key".to_owned()))
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
                let may_be_in_use = rule == Rule::Orphan && !credential.is_expired_at(self.now);
                let hint = may_be_in_use.then(|| KEEP_AN_ORPHAN.to_owned());
                let finding = Finding { hint, ..about(situation.declared, rule, text) };
                self.findings.push(of_credential(finding, credential));
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
    pub(super) fn current(&mut self, situation: &Situation<'_>, plan: &CertificatePlan) {
        let declared = situation.declared;
        let current = match successor::current(situation) {
            Ok(Some(current)) => current,
            Ok(None) => {
                let orphaned = situation.orphans().next().is_some();
                let text = match orphaned {
                    true => "no store of ours holds a key of it",
                    false => "there is nothing of it anywhere",
                };
                self.findings.push(about(declared, Rule::NotIssued, text));
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
        for generation in successor::generations_on_their_way(situation) {
            let reference = reference(generation);
            let is_meant =
                |planned: &&PlannedStep| planned.step.generation().is_some_and(|of| of.is(&reference));
            let text = match plan.steps.iter().find(is_meant) {
                Some(planned) if planned.because == Because::NoLongerFits => continue,
                Some(_) => "a rotation has begun and is not at its end; apply continues it",
                None => "a rotation has begun and is not at its end",
            };
            let finding = about(declared, Rule::OnItsWay, text);
            let thumbprint = generation.record.thumbprints.map(|thumbprints| thumbprints.sha1);
            let continued = plan.steps.iter().any(|planned| planned.because == Because::Resumed);
            let severity = if continued { Severity::Warning } else { finding.severity };
            self.findings.push(Finding { severity, thumbprint, ..finding });
        }
    }

    fn deliveries(&mut self, situation: &Situation<'_>, current: &CurrentView<'_>) {
        let declared = situation.declared;
        let Some(record) = current.generation.map(|generation| &generation.record) else { return };
        for delivery in &declared.deliveries {
            let slot = &delivery.slot;
            let delivered = record.delivered_to(slot);
            let form_kept = delivered.is_some_and(|delivered| delivered.form == delivery.form.fingerprint());
            let differs = |what: String| (Rule::DeliveryDiffers, format!("{slot} {what}"));
            let (rule, text) = match situation.deliveries.get(slot) {
                Some(DeliveryState::Holds(held)) if Some(*held) != record.thumbprints => {
                    differs(format!("holds {}…", held.sha1.short()))
                }
                Some(DeliveryState::Absent) => differs("holds nothing".to_owned()),
                Some(DeliveryState::Marker(marker))
                    if delivered.is_some_and(|known| known.marker != *marker) =>
                {
                    differs("was changed after it was delivered".to_owned())
                }
                _ if delivered.is_none() => differs("did not get it yet".to_owned()),
                _ if !form_kept => differs("has it in another form than the file asks for".to_owned()),
                Some(DeliveryState::Holds(_) | DeliveryState::Marker(_)) => continue,
                Some(DeliveryState::Unreadable { reason } | DeliveryState::NeverTells { reason }) => {
                    (Rule::DeliveryUnknown, format!("{slot} cannot be compared: {reason}"))
                }
                None => (Rule::DeliveryUnknown, format!("{slot} was not looked at")),
            };
            self.findings.push(about(declared, rule, text));
        }
    }

    /// A provider's public keys, and what a product made by itself.
    pub(super) fn without_key(&mut self, situation: &Situation<'_>) {
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
pub fn days_until(now: Timestamp, end: Timestamp) -> String {
    let left: SignedDuration = end.duration_since(now);
    let (days, hours) = (left.as_hours() / 24, left.as_hours());
    match (days, hours) {
        (0, 1) => "1 hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}
