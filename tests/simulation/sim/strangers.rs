//! Everybody else: people who declare and acknowledge, strangers who write to the directory, services in trouble.

use certroll::emulator::{Change, Faults, Kind, NewApplication, NewServicePrincipal};
use certroll::ids::{Address, Thumbprint};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issuer as _, SubjectKey};
use certroll::plan::policy::{Pattern, Policy};
use futures_util::FutureExt as _;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::consumer::Consumers;
use super::declaration::{TENANT, Target};
use super::dice::Dice;
use super::oracles::slot;
use super::story::Event;
use super::world::World;
use crate::support::keys;

impl World {
    /// Something that takes no time.
    pub fn happens(&self, consumers: &Consumers, event: &Event) {
        if event.verb != "restart" {
            self.state().disturbances += 1;
        }
        match event.verb.as_str() {
            "object" => self.object(event),
            "certificate" => self.certificate(event),
            "tenant" => self.state().declaration.tenant.extend(event.with.clone()),
            "revoke" => self.revoke(&event.who),
            "renames" => self.renames(event),
            "drops" => self.drops(event),
            "sends" => self.sends(event),
            "restart" => consumers.restart(&event.who),
            "ack" => self.acknowledge(consumers, &event.who),
            "faults" => self.faults(event),
            "places" => self.places(event),
            "stranger" => self.stranger(event),
            other => panic!("no such event: {other}"),
        }
    }

    pub fn acknowledges(&self, certificate: &str) -> bool {
        self.state().declaration.says(certificate, "acknowledge") == Some("required")
    }

    /// Whether no service is in trouble.
    pub fn is_calm(&self) -> bool {
        self.emulator.faults() == Faults::default()
    }

    pub fn calm_down(&self) {
        self.emulator.set_faults(Faults::default());
        self.places.fail_for(0);
        self.places.set_unreadable(false);
        let _ = self.emulator.change(TENANT, Change::ConditionalAccess { blocks: false });
        let targets = self.state().declaration.targets.clone();
        for target in targets.into_values() {
            for properties in [json!({"isDisabled": null, "servicePrincipalLockConfiguration": null})] {
                let Value::Object(properties) = properties else { continue };
                self.set(&target, properties);
            }
            self.change(&target, |object, kind| Change::Restore { object, kind });
        }
        // A hold is over some day.
        for keys in self.state().declaration.certificates.values_mut() {
            keys.remove("hold");
            keys.remove("freeze");
        }
        self.state().declaration.tenant.remove("freeze");
    }

    /// What a run asks for beyond the declaration.
    pub fn policy(&self, event: &Event) -> Policy {
        let mut policy = Policy { settings: self.settings.clone(), ..Policy::default() };
        let address = |name: &str| -> Address { format!("contoso/{name}").parse().unwrap() };
        if let Some(name) = event.get("only") {
            policy.only = vec![Pattern::Address(format!("contoso/{name}"))];
        }
        if let Some(name) = event.get("replace")
            && let Some(sha1) = self.offered(name)
        {
            policy.replace.insert(address(name), sha1.parse::<Thumbprint>().unwrap());
            if event.says("revoke_previous") {
                policy.revoke_previous = true;
                self.state().oracles.revoke(&sha1);
            }
        }
        if let Some(name) = event.get("rollback")
            && self.state().declaration.says(name, "hold").is_some()
        {
            policy.rollback.insert(address(name));
        }
        policy
    }

    /// An operator who lets everything through.
    pub fn generous_policy(&self) -> Policy {
        let everything = Some(1_000);
        Policy { max_issue: everything, max_retire: everything, ..self.policy(&Event::new("run", "")) }
    }

    fn object(&self, event: &Event) {
        let mut dice = Dice::of(self.seed, &format!("object {}", event.who));
        let mut id = || Uuid::from_u128(u128::from(dice.next()) << 64 | u128::from(dice.next()));
        let (object_id, app_id) = (id(), id());
        let service_principal = event.get("kind") == Some("service_principal");
        if service_principal {
            let Value::Object(properties) = json!({"appOwnerOrganizationId": TENANT.to_string()}) else {
                return;
            };
            let new = NewServicePrincipal {
                id: Some(object_id),
                app_id: Some(app_id),
                display_name: event.who.clone(),
                properties,
                ..NewServicePrincipal::default()
            };
            self.emulator.create_service_principal(TENANT, new).unwrap();
        } else {
            let new = NewApplication {
                id: Some(object_id),
                app_id: Some(app_id),
                display_name: event.who.clone(),
                without_service_principal: event.says("alone"),
                ..NewApplication::default()
            };
            self.emulator.create_application(TENANT, new).unwrap();
        }
        let target = Target { service_principal, app_id, object_id };
        self.state().declaration.targets.insert(event.who.clone(), target);
    }

    /// Declares a certificate, or changes keys of one that is declared; a key set to `-` goes.
    fn certificate(&self, event: &Event) {
        let mut state = self.state();
        let known = state.declaration.certificates.contains_key(&event.who);
        if !known && !event.with.contains_key("on") {
            return;
        }
        let keys = state.declaration.certificates.entry(event.who.clone()).or_default();
        for (key, value) in event.with.iter().filter(|(key, _)| *key != "while") {
            if value == "-" {
                keys.remove(key)
            } else {
                keys.insert(key.clone(), value.clone())
            };
        }
    }

    /// The file lists what consumers read now as revoked.
    fn revoke(&self, certificate: &str) {
        let Some(sha1) = self.offered(certificate) else { return };
        let mut state = self.state();
        state.oracles.revoke(&sha1);
        let Some(keys) = state.declaration.certificates.get_mut(certificate) else { return };
        let revoked = keys.entry("revoked".to_owned()).or_default();
        if !revoked.is_empty() {
            revoked.push(',');
        }
        revoked.push_str(&sha1);
    }

    /// `renames OLD to=NEW`: the entry in the store stays where it is.
    fn renames(&self, event: &Event) {
        let (from, to) = (event.who.clone(), event.get("to").unwrap().to_owned());
        let mut state = self.state();
        let declaration = &mut state.declaration;
        if declaration.certificates.contains_key(&to) {
            return;
        }
        let Some(mut keys) = declaration.certificates.remove(&from) else { return };
        if keys.contains_key("store") {
            keys.entry("entry".to_owned()).or_insert(from.clone());
        }
        declaration.certificates.insert(to.clone(), keys);
        declaration
            .acknowledgements
            .iter_mut()
            .filter(|(name, ..)| *name == from)
            .for_each(|one| one.0.clone_from(&to));
        declaration.moved.push((from.clone(), to.clone()));
        state.oracles.rename(&from, &to);
    }

    /// `drops NAME retire=true`: it is no longer declared, and a removed entry says what becomes of it.
    fn drops(&self, event: &Event) {
        let mut state = self.state();
        let declaration = &mut state.declaration;
        let Some(keys) = declaration.certificates.remove(&event.who) else { return };
        // Whoever moved here has nothing to move to any more.
        declaration.moved.retain(|(_, to)| *to != event.who);
        declaration.removed.push((event.who.clone(), keys["on"].clone(), event.says("retire")));
    }

    /// `sends NAME days=365`: a provider sends the public certificate of its next key.
    fn sends(&self, event: &Event) {
        let now = self.now();
        let number = self.dealt.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let request = CertificateRequest {
            subject: format!("CN=provider-{}", event.number),
            signature_hash: certroll::certificate::SignatureHash::Sha256,
            not_before: now - SignedDuration::from_hours(1),
            validity: format!("{}d", event.number_of("days").unwrap_or(365)).parse().unwrap(),
            now,
            serial: [0x40 + (event.number % 63) as u8; 16],
        };
        let key = keys::key(number);
        let issued = SelfSigned.issue(&request, SubjectKey::Local(&key)).now_or_never().unwrap().unwrap();
        let file = format!("keys/{}-{}.cer", event.who, event.number);
        let mut state = self.state();
        state.declaration.files.insert(file.clone(), issued.certificate.der().to_vec());
        let Some(keys) = state.declaration.certificates.get_mut(&event.who) else { return };
        let listed = keys.entry("provider".to_owned()).or_default();
        if event.says("instead") || listed.is_empty() {
            *listed = file;
        } else {
            listed.push_str(&format!(",{file}"));
        }
    }

    /// A person says that the consumer uses what the store offers now, and it does.
    fn acknowledge(&self, consumers: &Consumers, certificate: &str) {
        let now = self.now();
        let provided = {
            let state = self.state();
            let listed = state.declaration.says(certificate, "provider");
            let newest = listed.and_then(|listed| listed.rsplit(',').next());
            let file = newest.and_then(|file| state.declaration.files.get(file));
            file.and_then(|der| certroll::certificate::Certificate::from_der(der).ok())
        };
        let provided = provided.map(|certificate| certificate.thumbprints.sha1.to_string());
        let Some(sha1) = provided.or_else(|| self.offered(certificate)) else { return };
        consumers.restart(certificate);
        let mut state = self.state();
        state.declaration.acknowledgements.push((certificate.to_owned(), sha1.clone(), now));
        state.oracles.acknowledge(certificate, &sha1, now);
    }

    fn faults(&self, event: &Event) {
        let faults: Faults = match event.get("are") {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => Faults::default(),
        };
        self.emulator.set_faults(faults);
    }

    fn places(&self, event: &Event) {
        if let Some(times) = event.number_of("fail") {
            self.places.fail_for(times as u32);
        }
        if let Some(word) = event.get("unreadable") {
            self.places.set_unreadable(word == "yes");
        }
        if let Some(place) = event.get("altered") {
            self.places.altered_by_others(&slot(place));
        }
        if let Some(place) = event.get("emptied") {
            self.places.deleted_by_others(&slot(place));
        }
    }

    /// Changes the target itself.
    fn change(&self, target: &Target, change: impl Fn(Uuid, Option<Kind>) -> Change) {
        let kind = target.service_principal.then_some(Kind::ServicePrincipal);
        // What cannot be done now is not done: strangers meet the same directory.
        let _ = self.emulator.change(TENANT, change(target.object_id, kind));
    }

    fn set(&self, target: &Target, properties: Map<String, Value>) {
        self.change(target, |object, kind| Change::Set { object, kind, properties: properties.clone() });
    }

    /// `stranger TARGET does=WHAT of=CERTIFICATE`.
    fn stranger(&self, event: &Event) {
        let Some(target) = self.state().declaration.targets.get(&event.who).cloned() else { return };
        let of = event.get("of").unwrap_or_default().to_owned();
        let add = |title: String| {
            self.change(&target, |object, kind| Change::AddForeignCredential {
                object,
                kind,
                display_name: Some(title.clone()),
            });
        };
        let properties = |value: Value| {
            if let Value::Object(properties) = value {
                self.set(&target, properties);
            }
        };
        let lock = |on: bool| {
            json!({"servicePrincipalLockConfiguration": {"isEnabled": on, "allProperties": on, "credentialsWithUsageVerify": on,
                   "credentialsWithUsageSign": on, "tokenEncryptionKeyId": on}})
        };
        match event.get("does").unwrap_or_default() {
            "adds" => add("legacy-ci".into()),
            "rotates" => add(format!("product-{}", event.number)),
            "claims" => add(format!("certroll:platform-team/{of} · claimed")),
            "pretends" => add("certroll:platform-team/nobody · undeclared".into()),
            "takes" => self.takes(&target, &event.who, &of),
            "cleans" => self.cleans(&target, &event.who),
            "deletes" => self.change(&target, |object, kind| Change::Delete { object, kind }),
            "restores" => self.change(&target, |object, kind| Change::Restore { object, kind }),
            "disables" => properties(json!({"isDisabled": true})),
            "enables" => properties(json!({"isDisabled": null})),
            "locks" => properties(lock(true)),
            "unlocks" => properties(lock(false)),
            "saml" if target.service_principal => {
                self.change(&target, |object, _| Change::AddSamlPair {
                    object,
                    display_name: "CN=saml".into(),
                });
            }
            "saml" => {}
            "blocks" => _ = self.emulator.change(TENANT, Change::ConditionalAccess { blocks: true }),
            "unblocks" => _ = self.emulator.change(TENANT, Change::ConditionalAccess { blocks: false }),
            "limits" => self.limits(event),
            other => panic!("no stranger does {other}"),
        }
    }

    /// Takes the credential of what consumers read off the target.
    fn takes(&self, target: &Target, name: &str, certificate: &str) {
        let Some(sha1) = self.offered(certificate) else { return };
        if self.entries(name).iter().any(|entry| entry.sha1.as_deref() == Some(&sha1)) {
            self.state().oracles.taken_by_a_stranger(&sha1);
            let change = |object, kind| Change::DeleteCredential { object, kind, credential: sha1.clone() };
            self.change(target, change);
        }
    }

    /// A careless writer puts back a list without the newest entry.
    fn cleans(&self, target: &Target, name: &str) {
        let Some(newest) = self.entries(name).pop() else { return };
        if let Some(sha1) = &newest.sha1 {
            self.state().oracles.taken_by_a_stranger(sha1);
        }
        let change =
            |object, kind| Change::DeleteCredential { object, kind, credential: newest.key_id.clone() };
        self.change(target, change);
    }

    /// A policy limits how long credentials live; none given lifts it.
    fn limits(&self, event: &Event) {
        let restrictions = match event.get("to") {
            Some(longest) => {
                json!([{"restrictionType": "asymmetricKeyLifetime", "state": "enabled", "maxLifetime": longest,
                                     "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z"}])
            }
            None => json!([]),
        };
        let policy = json!({"isEnabled": true,
                            "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": restrictions},
                            "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": restrictions}});
        let Value::Object(policy) = policy else { return };
        let _ = self.emulator.change(TENANT, Change::SetDefaultPolicy { policy });
    }
}
