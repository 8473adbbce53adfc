//! What was there before certroll, and what others leave behind: objects, keys somebody made by hand, credentials that expire, entries of
//! a store that are lost.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::SignatureHash;
use certroll::emulator::{Change, Faults, Kind, NewApplication, NewServicePrincipal, Settings};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issued, Issuer as _, SubjectKey};
use certroll::key::PrivateKey;
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::declaration::{TENANTS, Target};
use super::dice::Dice;
use super::services::{is_shipped, pem_of};
use super::story::Event;
use super::world::{State, World};
use crate::support::ca::Mistake;
use crate::support::keys;
use crate::support::stores::signing_request;

impl World {
    /// `object NAME tenant=fabrikam kind=service_principal`.
    pub(super) fn object(&self, event: &Event) {
        let mut dice = Dice::of(self.seed, &format!("object {}", event.who));
        let mut id = || Uuid::from_u128(u128::from(dice.next()) << 64 | u128::from(dice.next()));
        let (object_id, app_id) = (id(), id());
        let tenants = TENANTS.into_iter().find(|(name, _)| event.get("tenant") == Some(name));
        let (tenant, tenant_id) = tenants.unwrap_or(TENANTS[0]);
        let properties = match event.get("kind") {
            Some("service_principal") => json!({"appOwnerOrganizationId": tenant_id.to_string()}),
            Some("managed_identity") => json!({"servicePrincipalType": "ManagedIdentity"}),
            Some("legacy") => json!({"servicePrincipalType": "Legacy"}),
            Some("agent") => json!({"@odata.type": "#microsoft.graph.agentIdentity"}),
            // Somebody else's: of the other tenant.
            Some("guest") => json!({"appOwnerOrganizationId": Uuid::from_u128(7).to_string()}),
            _ => Value::Null,
        };
        let service_principal = properties.is_object();
        if event.get("kind") == Some("nothing") {
            self.log("  and there is none");
        } else if let Value::Object(properties) = properties {
            let new = NewServicePrincipal {
                id: Some(object_id),
                app_id: Some(app_id),
                display_name: event.who.clone(),
                properties,
                ..NewServicePrincipal::default()
            };
            self.emulator.create_service_principal(tenant_id, new).unwrap();
        } else {
            let new = NewApplication {
                id: Some(object_id),
                app_id: Some(app_id),
                display_name: event.who.clone(),
                without_service_principal: event.says("alone"),
                ..NewApplication::default()
            };
            self.emulator.create_application(tenant_id, new).unwrap();
        }
        // The service principal of an application of the same tenant, which may lock it.
        let own = event.get("kind") == Some("principal");
        let principal =
            own.then(|| self.emulator.object(tenant_id, Kind::ServicePrincipal, app_id)).flatten();
        let principal = principal.and_then(|found| found["id"].as_str()?.parse().ok());
        let (service_principal, object_id) = (service_principal || own, principal.unwrap_or(object_id));
        let target = Target { tenant, tenant_id, service_principal, app_id, object_id };
        self.state().declaration.targets.insert(event.who.clone(), target);
    }

    /// `rules expired=refused`: how strict the directory is where the real one may be.
    pub(super) fn rules(&self, event: &Event) {
        let refuse_expired_resent = event.get("expired") == Some("refused");
        self.emulator.set_settings(Settings { refuse_expired_resent, ..Settings::default() });
    }

    /// A certificate somebody makes by hand.
    pub(super) fn make(&self, event: &Event, who: &str, began: Timestamp, days: i64) -> (PrivateKey, Issued) {
        let number = self.dealt.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let request = CertificateRequest {
            subject: format!("CN={who}-{}", event.number),
            signature_hash: SignatureHash::Sha256,
            not_before: began,
            validity: format!("{days}d").parse().unwrap(),
            now: began,
            serial: [0x40 + (event.number % 63) as u8; 16],
        };
        let key = keys::key(number);
        let issued = SelfSigned.issue(&request, SubjectKey::Local(&key)).now_or_never().unwrap().unwrap();
        (key, issued)
    }

    fn upload(&self, target: &Target, issued: &Issued, title: &str) {
        let entry = json!({"type": "AsymmetricX509Cert", "usage": "Verify", "displayName": title,
                           "key": STANDARD.encode(issued.certificate.der())});
        let Value::Object(entry) = entry else { return };
        let add = |object, kind| Change::AddCredential { object, kind, entry: Map::clone(&entry) };
        // It has been there for days: no replica is behind.
        let faults = self.emulator.faults();
        self.emulator.set_faults(Faults { stale_reads: None, ..faults.clone() });
        self.change(target, add);
        self.emulator.set_faults(faults);
    }

    /// `brings NAME on=TARGET in=files days=90`: a key made by hand, on the target already, and in the place certroll is to keep it in
    /// (`elsewhere`: consumers have it from somebody else).
    pub(super) fn brings(&self, event: &Event) {
        let Some(target) = event.get("on").and_then(|on| self.state().declaration.targets.get(on).cloned())
        else {
            return;
        };
        let began = self.now() - SignedDuration::from_hours(24 * 20);
        let (key, issued) = self.make(event, "legacy", began, event.number_of("days").unwrap_or(120));
        self.upload(&target, &issued, "by hand");
        let sha1 = issued.certificate.thumbprints.sha1.to_string().to_uppercase();
        match event.get("in") {
            Some("files") => self.lay_down(&event.who, &key, &issued, &sha1),
            Some(shipped) if is_shipped(shipped) => {
                self.services.write_by_hand(shipped, &event.who, &key, &issued);
            }
            Some("vault") => self.vault.import_by_hand(&event.who, key, &issued.certificate),
            Some(slots @ ("slots" | "cas")) => {
                let service = if slots == "slots" { &self.slots } else { &self.cas };
                let seen = format!("certroll-sha256-{}", issued.certificate.thumbprints.sha256);
                let fields = [
                    (seen.as_str(), Vec::new()),
                    ("certroll-key", key.expose_pkcs8().to_vec()),
                    ("certroll-certificates", issued.certificate.to_pem().into_bytes()),
                ];
                let fields = fields.map(|(name, value)| (name.to_owned(), value));
                service.write_by_hand(&event.who, fields.into());
            }
            _ => _ = self.state().elsewhere.insert(event.who.clone(), sha1.clone()),
        }
        self.state().brought.insert(event.who.clone(), sha1);
    }

    /// A pair of PEM files as a person lays them down for the file store.
    fn lay_down(&self, entry: &str, key: &PrivateKey, issued: &Issued, sha1: &str) {
        let folder = self.folder().join("keys").join(entry);
        let handle = format!("generations/legacy-{}", sha1.to_lowercase());
        let generation = folder.join(&handle);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&generation).unwrap();
        for (extension, text) in [("key", pem_of(key)), ("crt", issued.certificate.to_pem())] {
            let path = generation.join(format!("{entry}.{extension}"));
            let file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }
        std::os::unix::fs::symlink(handle, folder.join("current")).unwrap();
    }

    /// `loses NAME`: what its store holds is gone, as after a disk is replaced.
    pub(super) fn loses(&self, certificate: &str) {
        let Some((store, entry)) = self.place_of(certificate) else { return };
        self.state().oracles.forget_rotations();
        match store.as_str() {
            "files" => _ = std::fs::remove_dir_all(self.folder().join("keys").join(entry)),
            "slots" => self.slots.forget(&entry),
            "cas" => self.cas.forget(&entry),
            shipped if is_shipped(shipped) => self.services.forget(shipped, &entry),
            _ => self.vault.forget(&entry),
        }
    }

    /// `signs NAME how=well`: a person has the signing request of a certificate signed, for its key or another one, as it was asked
    /// or not, or puts something else where the certificate is awaited.
    pub(super) fn signs(&self, event: &Event) {
        let (address, subject, declared) = {
            let state = self.state();
            if !state.declaration.certificates.contains_key(&event.who) {
                return;
            }
            let subject = state.declaration.says(&event.who, "subject").map(str::to_owned);
            let validity = state.declaration.says(&event.who, "validity").unwrap_or("P1Y").to_owned();
            (state.declaration.address(&event.who), subject.unwrap_or(format!("CN={}", event.who)), validity)
        };
        let file = |ending: &str| {
            self.folder().join("requests").join(format!("{}.{ending}", address.replace('/', ".")))
        };
        let Ok(text) = std::fs::read(file("csr")) else { return };
        let request = certroll::pem::blocks(&text).unwrap().remove(0).contents.to_vec();
        let now = self.now();
        let how = event.get("how").unwrap_or("well");
        let wanted = CertificateRequest {
            subject: subject.clone(),
            signature_hash: SignatureHash::Sha256,
            not_before: if how == "later" { now + SignedDuration::from_hours(30) } else { now },
            validity: if how == "short" { "2d" } else { &declared }.parse().unwrap(),
            now,
            serial: [0x20 + (event.number % 63) as u8; 16],
        };
        let mistake = match how {
            "subject" => Some(Mistake::Subject),
            "use" => Some(Mistake::Use),
            _ => None,
        };
        let another = || {
            signing_request(
                &keys::key(self.dealt.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
                &subject,
            )
        };
        let request = if how == "other" { another() } else { request };
        let answer = match how {
            "garbage" => b"Dear colleague, please find attached".to_vec(),
            _ => self.ca.sign(&wanted, &request, mistake).to_pem().into_bytes(),
        };
        std::fs::write(file("cer"), answer).unwrap();
    }

    /// `stranger TARGET does=expires days=-5`: somebody's certificate that ends in so many days, or ended.
    pub(super) fn expires(&self, target: &Target, event: &Event) {
        let ends = event.number_of("days").unwrap_or(-5);
        let began = self.now() - SignedDuration::from_hours(24 * 30);
        let (_, issued) = self.make(event, "left-behind", began, 30 + ends);
        self.upload(target, &issued, "left behind");
    }

    /// `stranger TARGET does=rotates days=30`: a product makes its next certificate.
    pub(super) fn rotates(&self, target: &Target, event: &Event) {
        let began = self.now() - SignedDuration::from_hours(1);
        let (_, issued) = self.make(event, "product", began, event.number_of("days").unwrap_or(365));
        self.upload(target, &issued, &format!("product-{}", event.number));
    }

    /// Key ids of the expired entries of a target that are nobody's of ours.
    pub(super) fn expired_foreign(&self, state: &State, target: &str) -> Option<String> {
        let target = state.declaration.targets.get(target)?;
        let kind = if target.service_principal { Kind::ServicePrincipal } else { Kind::Application };
        let now = self.now();
        let entries = self.entries_of(target.tenant_id, kind, target.object_id).into_iter();
        let expired = entries.filter(|entry| !entry.is_ours() && entry.end.is_some_and(|end| end <= now));
        let ids: Vec<String> = expired.map(|entry| entry.key_id).collect();
        (!ids.is_empty()).then(|| ids.join(","))
    }
}
