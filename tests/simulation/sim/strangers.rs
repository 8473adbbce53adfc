//! Everybody else: people who declare and acknowledge, strangers who write to the directory, services in trouble.

use std::collections::BTreeMap;

use certroll::emulator::{Change, Faults, Kind, NewApplication};
use certroll::ids::{Address, Thumbprint};
use certroll::plan::policy::{Pattern, Policy};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::consumer::Consumers;
use super::declaration::{Declaration, Removed, TENANTS, Target};
use super::dice::Dice;
use super::oracles::slot;
use super::story::Event;
use super::world::World;

impl World {
    /// Something that takes no time.
    pub fn happens(&self, consumers: &Consumers, event: &Event) {
        if event.verb != "restart" {
            self.state().disturbances += 1;
        }
        let before = self.state().declaration.clone();
        match event.verb.as_str() {
            "object" => self.object(event),
            "certificate" => {
                self.certificate(event);
                // Who is to acknowledge from now on begins with what the store offers: how long one holds a key changes with it.
                if event.with.contains_key("acknowledge") {
                    consumers.restart(&event.who);
                }
            }
            "tenant" => self.tenant(event),
            "rules" => self.rules(event),
            "brings" => self.brings(event),
            "signs" => self.signs(event),
            "loses" => self.loses(&event.who),
            "moves" => self.moves(event),
            "revoke" => self.revoke(&event.who),
            "renames" => self.renames(event),
            "drops" => self.drops(event),
            "sends" => self.sends(event),
            "restart" => consumers.restart(&event.who),
            "ack" => self.acknowledge(consumers, &event.who),
            "faults" => self.faults(event),
            "lurks" => self.lurks(event),
            "places" => self.places(event),
            "stranger" => self.stranger(event),
            other => panic!("no such event: {other}"),
        }
        if matches!(event.verb.as_str(), "certificate" | "revoke") {
            self.commits_or_not(before);
        }
    }

    /// Two certificates may not name one key: whoever writes that is told by `validate`, and commits nothing.
    fn commits_or_not(&self, before: Declaration) {
        if self.desired().is_err_and(|found| found.contains("both name")) {
            self.log("  refused by validate");
            self.state().declaration = before;
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
        self.state().lurking.clear();
        self.places.fail_for(0);
        self.places.set_unreadable(false);
        self.emulator.set_settings(certroll::emulator::Settings::default());
        for (_, tenant) in TENANTS {
            let _ = self.emulator.change(tenant, Change::ConditionalAccess { blocks: false });
        }
        let targets = self.state().declaration.targets.clone();
        for (name, target) in targets {
            self.undoubles(&target, &name);
            // A key for another use that a careless writer took away makes the directory refuse every write.
            let properties = json!({"isDisabled": null, "displayName": name, "tokenEncryptionKeyId": null});
            if let Value::Object(properties) = properties {
                self.set(&target, properties);
            }
            self.locks(&target, false);
            self.may(&target, &["Application.ReadWrite.All", "Policy.Read.All"]);
            self.change(&target, |object, kind| Change::Restore { object, kind });
        }
        // A hold is over some day.
        for keys in self.state().declaration.certificates.values_mut() {
            keys.remove("hold");
            keys.remove("freeze");
        }
        self.state().declaration.tenants.values_mut().for_each(|keys| _ = keys.remove("freeze"));
    }

    /// What a run asks for beyond the declaration.
    pub fn policy(&self, event: &Event) -> Policy {
        let mut policy = Policy { settings: self.settings.clone(), ..Policy::default() };
        let address = |name: &str| -> Address { self.state().declaration.address(name).parse().unwrap() };
        if let Some(name) = event.get("only") {
            policy.only = vec![Pattern::Address(self.state().declaration.address(name))];
        }
        if event.says("generous") {
            (policy.max_issue, policy.max_retire) = (Some(1_000), Some(1_000));
        }
        policy.withholds_repair = event.says("unattended");
        policy.max_issue = event.number_of("max_issue").map(|most| most as usize).or(policy.max_issue);
        if let (Some(name), Some(which)) = (event.get("replace"), event.get("names")) {
            if let Some(sha1) = self.beside(name, which) {
                policy.replace.insert(address(name), sha1.parse::<Thumbprint>().unwrap());
                policy.revoke_previous = event.says("revoke_previous");
                // Its own predecessor goes in the same run; what is anybody else's has to stay.
                if which == "older" && policy.revoke_previous {
                    self.state().oracles.revoke(&sha1);
                }
            }
        } else if let Some(name) = event.get("replace")
            && let Some(sha1) = self.offered(name)
        {
            policy.replace.insert(address(name), sha1.parse::<Thumbprint>().unwrap());
            if event.says("revoke_previous") {
                policy.revoke_previous = true;
                self.state().oracles.revoke(&sha1);
            }
        }
        if let Some(name) = event.get("rollback")
            && (event.says("anyway") || self.state().declaration.says(name, "hold").is_some())
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

    /// Declares a certificate, or changes keys of one that is declared; a key set to `-` goes.
    fn certificate(&self, event: &Event) {
        // `adopt=offered of=NAME`: what consumers of another certificate read.
        let offered = event.get("of").and_then(|of| self.offered(of));
        let theirs =
            event.get("of").and_then(|of| self.state().declaration.says(of, "on").map(str::to_owned));
        let entries = self.entries(&theirs.unwrap_or_default()).into_iter();
        let ids: BTreeMap<String, String> =
            entries.filter_map(|entry| Some((entry.sha1?, entry.key_id))).collect();
        let mut state = self.state();
        let known = state.declaration.certificates.contains_key(&event.who);
        let there = event.get("on").is_some_and(|on| state.declaration.targets.contains_key(on));
        // An edit of what is declared no longer (or not yet) says nothing of how long an overlap is.
        let declares = there && event.with.contains_key("overlap");
        if !known && !declares {
            return;
        }
        let on = event.get("on").or(state.declaration.says(&event.who, "on")).unwrap_or_default().to_owned();
        let (brought, expired) = (state.brought.get(&event.who).cloned(), self.expired_foreign(&state, &on));
        let offered = offered.filter(|sha1| {
            !state.declaration.says(&event.who, "revoked").is_some_and(|all| all.contains(sha1))
        });
        let revoked = state.declaration.says(&event.who, "revoked").unwrap_or_default().to_owned();
        let keys = state.declaration.certificates.entry(event.who.clone()).or_default();
        // What it revokes itself stays revoked.
        let taken = |key: &str| key == "revoked" && event.get("of").is_some() && !revoked.is_empty();
        for (key, value) in
            event.with.iter().filter(|(key, _)| *key != "while" && *key != "of" && !taken(key))
        {
            let value = match value.as_str() {
                "-" => None,
                "brought" => brought.clone().filter(|sha1| !revoked.contains(sha1)),
                "expired" => expired.clone(),
                "offered" => offered.clone(),
                "offered-id" => offered.as_ref().and_then(|sha1| ids.get(sha1).cloned()),
                value => Some(value.to_owned()),
            };
            match value {
                None => keys.remove(key),
                Some(value) => keys.insert(key.clone(), value),
            };
        }
    }

    /// `tenant NAME max_issue=1`; a setting of `-` goes.
    fn tenant(&self, event: &Event) {
        let mut state = self.state();
        let name = if event.who.is_empty() { TENANTS[0].0 } else { &event.who };
        let keys = state.declaration.tenants.entry(name.to_owned()).or_default();
        keys.extend(event.with.clone());
        keys.retain(|_, value| value != "-");
    }

    /// The file lists what consumers read now as revoked.
    fn revoke(&self, certificate: &str) {
        let Some(sha1) = self.offered(certificate).or_else(|| self.rotated_by_itself(certificate)) else {
            return;
        };
        let mut state = self.state();
        state.oracles.revoke(&sha1);
        let Some(keys) = state.declaration.certificates.get_mut(certificate) else { return };
        // The file may not have it both ways.
        if keys.get("adopt") == Some(&sha1) {
            keys.remove("adopt");
        }
        let revoked = keys.entry("revoked".to_owned()).or_default();
        if !revoked.is_empty() {
            revoked.push(',');
        }
        revoked.push_str(&sha1);
    }

    /// The newest certificate of a product that rotates by itself.
    fn rotated_by_itself(&self, certificate: &str) -> Option<String> {
        let on = {
            let state = self.state();
            state.declaration.says(certificate, "rotator")?;
            state.declaration.says(certificate, "on")?.to_owned()
        };
        let newest = self.entries(&on).into_iter().rfind(|entry| entry.title.starts_with("product-"));
        newest?.sha1
    }

    /// `renames OLD to=NEW`: the entry in the store stays where it is, unless `entry=new`; `forgets=yes`: without saying so under
    /// `moved:`; `removes=yes`: and somebody lists the former name under `removed:` too.
    fn renames(&self, event: &Event) {
        let (from, to) = (event.who.clone(), event.get("to").unwrap().to_owned());
        let mut state = self.state();
        let declaration = &mut state.declaration;
        if declaration.certificates.contains_key(&to) {
            return;
        }
        let was_at = declaration.address(&from);
        let Some(mut keys) = declaration.certificates.remove(&from) else { return };
        let on = keys["on"].clone();
        if event.get("entry") == Some("new") {
            keys.remove("entry");
        } else if keys.contains_key("store") {
            keys.entry("entry".to_owned()).or_insert(from.clone());
        }
        declaration.certificates.insert(to.clone(), keys);
        declaration
            .acknowledgements
            .iter_mut()
            .filter(|(name, ..)| *name == from)
            .for_each(|one| one.0.clone_from(&to));
        let now_at = declaration.address(&to);
        if event.says("removes") {
            declaration.removed.push(Removed { address: was_at.clone(), on, retire: true, by_name: false });
        }
        match event.says("forgets") {
            true => declaration.nobody_moves_to(was_at),
            false => declaration.moved.push((was_at, now_at)),
        }
        if let Some(sha1) = state.brought.remove(&from) {
            state.brought.insert(to.clone(), sha1);
        }
        if let Some(sha1) = state.elsewhere.remove(&from) {
            state.elsewhere.insert(to.clone(), sha1);
        }
        state.oracles.rename(&from, &to);
    }

    /// `drops NAME retire=true`: it is no longer declared, and a removed entry says what becomes of it.
    fn drops(&self, event: &Event) {
        let mut state = self.state();
        let declaration = &mut state.declaration;
        let address = declaration.address(&event.who);
        let Some(keys) = declaration.certificates.remove(&event.who) else { return };
        declaration.nobody_moves_to(address.clone());
        declaration.acknowledgements.retain(|(name, ..)| *name != event.who);
        let on = keys["on"].clone();
        let by_name = keys.get("by").is_some_and(|by| by == "name");
        declaration.removed.push(Removed { address, on, retire: event.says("retire"), by_name });
    }

    /// `moves OLD to=NEW on=TARGET retire=yes`: to another object of the same tenant, under a new name; the entry in the store stays.
    fn moves(&self, event: &Event) {
        let (Some(to), Some(on)) = (event.get("to"), event.get("on")) else { return };
        let before = {
            let mut state = self.state();
            let declaration = &mut state.declaration;
            let tenant = |on: &str| declaration.targets.get(on).map(|target| target.tenant);
            let was_on = declaration.says(&event.who, "on").map(str::to_owned);
            match was_on {
                Some(was_on) if was_on != on && tenant(on).is_some() && tenant(&was_on) == tenant(on) => {
                    (declaration.address(&event.who), was_on)
                }
                _ => return,
            }
        };
        self.renames(event);
        let mut state = self.state();
        if let Some(keys) = state.declaration.certificates.get_mut(to) {
            keys.insert("on".to_owned(), on.to_owned());
            if event.with.contains_key("retire") {
                let (address, on) = before;
                let retire = event.says("retire");
                state.declaration.removed.push(Removed { address, on, retire, by_name: false });
            }
        }
    }

    /// `sends NAME days=365`: a provider sends the public certificate of its next key.
    fn sends(&self, event: &Event) {
        let began = self.now() - SignedDuration::from_hours(1);
        let (_, issued) = self.make(event, "provider", began, event.number_of("days").unwrap_or(365));
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
        self.state().writes = 0;
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
    pub(super) fn change(&self, target: &Target, change: impl Fn(Uuid, Option<Kind>) -> Change) {
        let kind = target.service_principal.then_some(Kind::ServicePrincipal);
        // What cannot be done now is not done: strangers meet the same directory.
        let _ = self.emulator.change(target.tenant_id, change(target.object_id, kind));
    }

    pub(super) fn set(&self, target: &Target, properties: Map<String, Value>) {
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
        match event.get("does").unwrap_or_default() {
            // The double would be the only one of that name, and what the declaration means.
            "deletes" | "retitles" if self.state().doubles.contains_key(&event.who) => {}
            "adds" => add("legacy-ci".into()),
            "rotates" => self.rotates(&target, event),
            "claims" => add(format!("certroll:platform-team/{of} · claimed")),
            "pretends" => add("certroll:platform-team/nobody · undeclared".into()),
            "takes" => self.takes(&target, &event.who, &of),
            "cleans" => self.cleans(&target, &event.who),
            "deletes" => self.change(&target, |object, kind| Change::Delete { object, kind }),
            "restores" => self.change(&target, |object, kind| Change::Restore { object, kind }),
            "disables" => properties(json!({"isDisabled": true})),
            "enables" => properties(json!({"isDisabled": null})),
            "locks" => self.locks(&target, true),
            "unlocks" => self.locks(&target, false),
            "forbids" => self.may(&target, &["Application.ReadWrite.All"]),
            "permits" => self.may(&target, &["Application.ReadWrite.All", "Policy.Read.All"]),
            "retitles" => {
                let title = event.get("to").map_or_else(|| format!("{} (old)", event.who), str::to_owned);
                properties(json!({"displayName": title}));
            }
            "titles" => properties(json!({"displayName": event.who})),
            "doubles" => self.doubles(&target, event),
            "undoubles" => self.undoubles(&target, &event.who),
            "encrypts" => self.encrypts(&target, &event.who),
            "saml" if target.service_principal => {
                properties(json!({"preferredSingleSignOnMode": "saml"}));
                self.change(&target, |object, _| Change::AddSamlPair {
                    object,
                    display_name: "CN=saml".into(),
                });
            }
            "saml" => {}
            "blocks" => {
                _ = self.emulator.change(target.tenant_id, Change::ConditionalAccess { blocks: true })
            }
            "unblocks" => {
                _ = self.emulator.change(target.tenant_id, Change::ConditionalAccess { blocks: false })
            }
            "expires" => self.expires(&target, event),
            "limits" => self.limits(&target, event),
            other => panic!("no stranger does {other}"),
        }
    }

    /// The application's lock, which keeps credentials off its service principal.
    fn locks(&self, target: &Target, on: bool) {
        let lock = json!({"servicePrincipalLockConfiguration": {"isEnabled": on, "allProperties": on,
            "credentialsWithUsageVerify": on, "credentialsWithUsageSign": on, "tokenEncryptionKeyId": on}});
        let Value::Object(properties) = lock else { return };
        let application = Some(Kind::Application);
        let change = Change::Set { object: target.app_id, kind: application, properties };
        _ = self.emulator.change(target.tenant_id, change);
    }

    /// A key of somebody else's becomes what tokens are encrypted for.
    fn encrypts(&self, target: &Target, name: &str) {
        let entries = self.entries(name);
        let Some(theirs) = entries.iter().find(|entry| !entry.is_ours()) else { return };
        let properties = json!({ "tokenEncryptionKeyId": theirs.key_id });
        if let Value::Object(properties) = properties {
            self.set(target, properties);
        }
    }

    /// The thumbprint of a credential beside those of a certificate: somebody else's, one that claims to be its own, one of a certificate
    /// that nobody declares, one for another use, a neighbour's.
    fn beside(&self, name: &str, which: &str) -> Option<String> {
        let on = self.state().declaration.says(name, "on")?.to_owned();
        let target = self.state().declaration.targets.get(&on).cloned()?;
        let kind = if target.service_principal { Kind::ServicePrincipal } else { Kind::Application };
        let object = self.emulator.object(target.tenant_id, kind, target.object_id)?;
        let encrypts = object["tokenEncryptionKeyId"].as_str().unwrap_or_default().to_owned();
        let claim = format!("certroll:platform-team/{name} ");
        // What it was called before is no sibling's.
        let claims: Vec<String> = {
            let state = self.state();
            let mut addresses = vec![state.declaration.address(name)];
            while let Some((from, _)) = (state.declaration.moved.iter())
                .find(|(from, to)| addresses.contains(to) && !addresses.contains(from))
            {
                addresses.push(from.clone());
            }
            let names = addresses.iter().filter_map(|address| address.rsplit('/').next());
            names.map(|name| format!("certroll:platform-team/{name} ")).collect()
        };
        let current = self.offered(name);
        let entries = self.entries(&on).into_iter();
        let mut found = entries.filter(|entry| match which {
            "reserved" => entry.key_id == encrypts,
            "claimed" => entry.title.starts_with(&claim) && entry.title.ends_with("claimed"),
            "undeclared" => entry.title.starts_with("certroll:platform-team/nobody"),
            "sibling" => entry.is_ours() && !claims.iter().any(|claim| entry.title.starts_with(claim)),
            "older" => entry.title.starts_with(&claim) && entry.sha1 != current,
            _ => !entry.is_ours() && entry.key_id != encrypts,
        });
        found.next()?.sha1
    }

    /// What certroll's own identity may do in the target's tenant.
    fn may(&self, target: &Target, permissions: &[&str]) {
        let client_id = self.emulator.operator(target.tenant_id).client_id;
        let permissions = permissions.iter().map(|one| (*one).to_owned()).collect();
        _ = self.emulator.change(target.tenant_id, Change::Grant { client_id, permissions });
    }

    /// Makes another object of the same name: whoever asks for it by name finds two.
    fn doubles(&self, target: &Target, event: &Event) {
        let mut dice = Dice::of(self.seed, &format!("double {}", event.number));
        let mut id = || Uuid::from_u128(u128::from(dice.next()) << 64 | u128::from(dice.next()));
        let (object_id, app_id) = (id(), id());
        let there = self.title_of(target).as_deref() == Some(&event.who);
        // Alone of that name, it would be what the declaration means.
        if target.service_principal || !there || self.state().doubles.contains_key(&event.who) {
            return;
        }
        let new = NewApplication {
            id: Some(object_id),
            app_id: Some(app_id),
            display_name: event.who.clone(),
            ..NewApplication::default()
        };
        self.emulator.create_application(target.tenant_id, new).unwrap();
        self.state().doubles.insert(event.who.clone(), object_id);
    }

    fn undoubles(&self, target: &Target, name: &str) {
        let Some(object) = self.state().doubles.remove(name) else { return };
        _ = self.emulator.change(target.tenant_id, Change::Delete { object, kind: None });
    }

    fn title_of(&self, target: &Target) -> Option<String> {
        let kind = if target.service_principal { Kind::ServicePrincipal } else { Kind::Application };
        let object = self.emulator.object(target.tenant_id, kind, target.object_id)?;
        object["displayName"].as_str().map(str::to_owned)
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
    fn limits(&self, target: &Target, event: &Event) {
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
        let _ = self.emulator.change(target.tenant_id, Change::SetDefaultPolicy { policy });
    }
}
