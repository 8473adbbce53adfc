//! Builds declarations and observations for planner tests, without any I/O. Thumbprints are hashes of labels, so that a
//! test speaks of "old" and "new" and reads like the story it tells.

use std::collections::BTreeMap;

use certroll::certificate::{Certificate, KeyKind, SignatureHash};
use certroll::desired::{
    Acknowledgement, Adopt, Cloud, Consumer, Declared, Delivery, Desired, Form, Format, Freeze, Hold, Issuer,
    Limit, Moved, Origin, Password, PfxProfile, Prove, PublicKeyFile, Removed, Retire, SelectBy,
    StoreBinding, StoreOptions, TargetSelector, Tenant, Timing,
};
use certroll::ids::{
    Address, KeyId, Marker, Name, RotationId, Sha1, Sha256, TargetId, TargetKind, Thumbprint, Thumbprints,
};
use certroll::observed::record::{Delivered, PublicRecord, RECORD_FORMAT, RecordedPhase};
use certroll::observed::{
    Credential, Current, DeliveryState, Generation, Holding, Identifier, KeyState, Observed, ObservedStore,
    ObservedTenant, Removal, Reserved, Shape, Staging, StoreState, Target, TargetState,
};
use certroll::period::Period;
use certroll::plan::digest;
use certroll::plan::policy::Policy;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The moment most stories happen at: a Monday.
pub(crate) const NOW: &str = "2027-03-01T00:00:00Z";
/// The certificate most stories are about.
pub(crate) const ADDRESS: &str = "contoso/backup";
/// The directory.
pub(crate) const TENANT: Uuid = Uuid::from_u128(0x8f5e_2c0a_1b2c_4d3e_9f40_5162_7384_a5b6);
/// The application's object.
pub(crate) const OBJECT: Uuid = Uuid::from_u128(0x77aa_0b1c_2d3e_4f50_8a6b_7c8d_9e0f_1a2b);

pub(crate) fn at(text: &str) -> Timestamp {
    let text = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    text.parse().unwrap()
}

pub(crate) fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn period(text: &str) -> Period {
    text.parse().unwrap()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn thumbprints(label: &str) -> Thumbprints {
    let sha256 = digest::text(&format!("certificate {label}"));
    Thumbprints { sha1: sha1(label), sha256 }
}

pub(crate) fn sha1(label: &str) -> Sha1 {
    let mut sha1 = [0; 20];
    sha1.copy_from_slice(&digest::text(&format!("thumbprint {label}")).0[..20]);
    Sha1(sha1)
}

pub(crate) fn sha256(label: &str) -> Sha256 {
    thumbprints(label).sha256
}

pub(crate) fn thumbprint(label: &str) -> Thumbprint {
    Thumbprint::Sha1(sha1(label))
}

pub(crate) fn application(object_id: Uuid) -> TargetId {
    TargetId { kind: TargetKind::Application, object_id }
}

/// A store that becomes current by moving a label, with everything a file store can do.
pub(crate) const POINTER: Shape = Shape {
    staging: Staging::Pointer,
    readable: true,
    exportable: true,
    compare_and_set: true,
    atomic_records: true,
    removal: Removal::Destroys,
};

/// A vault whose writes are live at once and whose keys never leave it.
pub(crate) const APPEND_IS_LIVE: Shape = Shape {
    staging: Staging::AppendIsLive,
    readable: false,
    exportable: false,
    compare_and_set: false,
    atomic_records: false,
    removal: Removal::Disables,
};

/// Two names, no atomic records.
pub(crate) const TWO_SLOT: Shape = Shape {
    staging: Staging::TwoSlot,
    readable: true,
    exportable: true,
    compare_and_set: true,
    atomic_records: false,
    removal: Removal::Destroys,
};

/// What a certificate is when the file says nothing beyond what it must. Defaults are those of the file format.
pub(crate) fn declared(text: &str, object_id: Uuid) -> Declared {
    let address = address(text);
    Declared {
        target: TargetSelector { kind: TargetKind::Application, by: SelectBy::AppId(client_id(object_id)) },
        consumer: None,
        description: address.name.to_string(),
        key: KeyKind::Rsa2048,
        signature_hash: SignatureHash::Sha256,
        subject: format!("CN={}", address.name),
        validity: period("P1Y"),
        timing: Timing::RotationPeriod(period("180d")),
        overlap: period("14d"),
        spread: period("0d"),
        windows: Vec::new(),
        freeze: Vec::new(),
        issuer: Issuer::SelfSigned,
        store: Some(StoreBinding {
            store: name("runner"),
            entry: address.name.to_string(),
            form: pem(),
            options: StoreOptions::default(),
        }),
        deliveries: Vec::new(),
        retire: Retire::AfterOverlap,
        unused_for: None,
        keep_retired: 1,
        prove: Prove::SignIn,
        acknowledge: false,
        warn_before: period("30d"),
        alert_before: period("14d"),
        adopt: Vec::new(),
        revoked: Default::default(),
        hold: None,
        drop_expired_foreign: Default::default(),
        ignore: Vec::new(),
        labels: BTreeMap::new(),
        origin: Origin::default(),
        address,
    }
}

/// The client id that belongs to an object.
pub(crate) fn client_id(object_id: Uuid) -> Uuid {
    Uuid::from_u128(!object_id.as_u128())
}

pub(crate) fn pem() -> Form {
    Form { format: Format::Pem, profile: PfxProfile::Modern2023, password: Password::None }
}

pub(crate) fn pfx() -> Form {
    Form { format: Format::Pfx, profile: PfxProfile::Modern2023, password: Password::Generate }
}

pub(crate) fn tenant(text: &str) -> Tenant {
    Tenant {
        name: name(text),
        id: TENANT.to_string(),
        cloud: Cloud::Public,
        connection: None,
        max_issue: Limit::ISSUE_DEFAULT,
        max_retire: Limit::RETIRE_DEFAULT,
        freeze: Vec::new(),
        ignore: Vec::new(),
        origin: Origin::default(),
    }
}

pub(crate) fn target(object_id: Uuid) -> Target {
    Target {
        id: application(object_id),
        app_id: client_id(object_id),
        display_name: "Backup".into(),
        untouchable: None,
        sign_in_impossible: None,
        lifetime_policy: None,
        warnings: Vec::new(),
        credentials: Vec::new(),
    }
}

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
}

/// One certificate, an application without credentials, a file store without the entry.
pub(crate) fn world() -> World {
    let mut observed = Observed::default();
    let tenant_name = name("contoso");
    observed.tenants.insert(
        tenant_name.clone(),
        ObservedTenant {
            tenant_id: TENANT,
            clock_skew: Some(SignedDuration::ZERO),
            targets: BTreeMap::new(),
            removed: Vec::new(),
            policies_unread: None,
        },
    );
    let desired = Desired {
        owner: "platform-team".parse().unwrap(),
        tenants: BTreeMap::from([(tenant_name, tenant("contoso"))]),
        stores: BTreeMap::new(),
        certificates: BTreeMap::new(),
        moved: Vec::new(),
        removed: Vec::new(),
        acknowledgements: Vec::new(),
    };
    World { desired, observed, policy: Policy::default(), now: at(NOW) }.with_certificate(ADDRESS, OBJECT)
}

impl World {
    /// Another certificate with a target of its own, or on one that is there already.
    pub(crate) fn with_certificate(mut self, text: &str, object_id: Uuid) -> World {
        let declared = declared(text, object_id);
        let address = declared.address.clone();
        let shared = self.target_of(object_id).cloned();
        let state = TargetState::Found(Box::new(shared.unwrap_or_else(|| target(object_id))));
        self.tenant_mut().targets.insert(address.clone(), state);
        self.observed.stores.insert(
            address.clone(),
            ObservedStore {
                shape: POINTER,
                state: StoreState::Absent,
                warnings: Vec::new(),
                damage: Vec::new(),
            },
        );
        self.desired.certificates.insert(address, declared);
        self
    }

    pub(crate) fn at(mut self, moment: &str) -> World {
        self.now = at(moment);
        self
    }

    /// Changes the declaration of the certificate.
    pub(crate) fn declare(mut self, change: impl FnOnce(&mut Declared)) -> World {
        change(self.desired.certificates.get_mut(&address(ADDRESS)).unwrap());
        self
    }

    /// Changes what the run asks for.
    pub(crate) fn run(mut self, change: impl FnOnce(&mut Policy)) -> World {
        change(&mut self.policy);
        self
    }

    /// Changes the object that carries the certificate.
    pub(crate) fn target(mut self, change: impl FnOnce(&mut Target)) -> World {
        change(self.target_mut());
        self
    }

    /// Replaces what looking for the target found.
    pub(crate) fn found(mut self, state: TargetState) -> World {
        self.tenant_mut().targets.insert(address(ADDRESS), state);
        self
    }

    pub(crate) fn shape(mut self, shape: Shape) -> World {
        self.store_mut().shape = shape;
        self
    }

    pub(crate) fn store(mut self, state: StoreState) -> World {
        self.store_mut().state = state;
        self
    }

    /// Adds a generation to the store, and its credential unless it is unpublished.
    pub(crate) fn with(mut self, made: Made) -> World {
        let generation = made.generation(self.declared(), self.target_ref());
        if made.published {
            self.target_mut().credentials.push(made.credential.clone().unwrap_or_else(|| {
                let record = &generation.record;
                let (start, end) = made.life();
                ours(record.name.as_str(), &made.label, record.target, start, end)
            }));
        }
        let sha256 = generation.record.thumbprints.map(|thumbprints| thumbprints.sha256);
        let holding = self.holding_mut();
        holding.generations.push(generation);
        holding.generations.sort_by_key(|generation| generation.record.requested_at);
        if made.current {
            holding.current = sha256.map(Current::Recorded);
        }
        self
    }

    /// Adds a credential to the target.
    pub(crate) fn credential(mut self, credential: Credential) -> World {
        self.target_mut().credentials.push(credential);
        self
    }

    /// What a delivery place holds. Declares the place.
    pub(crate) fn delivery(mut self, slot: &str, state: Option<DeliveryState>) -> World {
        if let Some(state) = state {
            let slots = self.observed.deliveries.entry(address(ADDRESS)).or_default();
            slots.insert(slot.to_owned(), state);
        }
        self.declare(|declared| declared.deliveries.push(delivery(slot)))
    }

    /// A person confirmed that generation.
    pub(crate) fn acknowledged(mut self, text: &str, label: &str, moment: &str) -> World {
        self.desired.acknowledgements.push(Acknowledgement {
            address: address(text),
            thumbprint: thumbprint(label),
            by: "sam".into(),
            at: at(moment),
            note: None,
        });
        self
    }

    /// `--only`.
    pub(crate) fn only(mut self, pattern: &str) -> World {
        self.policy.only.push(pattern.parse().unwrap());
        self
    }

    pub(crate) fn moved(mut self, from: &str, to: &str) -> World {
        self.desired.moved.push(Moved { from: address(from), to: address(to), origin: Origin::default() });
        self
    }

    /// A `removed:` entry for a certificate on the same application.
    pub(crate) fn removed(mut self, text: &str, retire: bool) -> World {
        let target = self.target_ref().clone();
        self.desired.removed.push(Removed {
            address: address(text),
            target: TargetSelector { kind: TargetKind::Application, by: SelectBy::AppId(target.app_id) },
            retire,
            origin: Origin::default(),
        });
        self.tenant_mut().removed.push(TargetState::Found(Box::new(target)));
        self
    }

    pub(crate) fn declared(&self) -> &Declared {
        &self.desired.certificates[&address(ADDRESS)]
    }

    pub(crate) fn tenant_mut(&mut self) -> &mut ObservedTenant {
        self.observed.tenants.get_mut(&name("contoso")).unwrap()
    }

    pub(crate) fn target_ref(&self) -> &Target {
        match &self.observed.tenants[&name("contoso")].targets[&address(ADDRESS)] {
            TargetState::Found(target) => target,
            other => panic!("no target: {other:?}"),
        }
    }

    fn target_of(&self, object_id: Uuid) -> Option<&Target> {
        self.observed.tenants[&name("contoso")].targets.values().find_map(|state| match state {
            TargetState::Found(target) if target.id.object_id == object_id => Some(&**target),
            _ => None,
        })
    }

    pub(crate) fn target_mut(&mut self) -> &mut Target {
        match self.tenant_mut().targets.get_mut(&address(ADDRESS)) {
            Some(TargetState::Found(target)) => target,
            other => panic!("no target: {other:?}"),
        }
    }

    pub(crate) fn store_mut(&mut self) -> &mut ObservedStore {
        self.observed.stores.get_mut(&address(ADDRESS)).unwrap()
    }

    pub(crate) fn holding_mut(&mut self) -> &mut Holding {
        let state = &mut self.store_mut().state;
        if !matches!(state, StoreState::Known(_)) {
            *state = StoreState::Known(Holding::default());
        }
        match state {
            StoreState::Known(holding) => holding,
            StoreState::Absent | StoreState::Unreadable { .. } => unreachable!(),
        }
    }

    /// The record of a generation, to be changed.
    pub(crate) fn record(mut self, label: &str, change: impl FnOnce(&mut PublicRecord)) -> World {
        let mut generations = self.holding_mut().generations.iter_mut();
        change(&mut generations.find(|g| g.handle == label).unwrap().record);
        self
    }
}

/// A generation in the making of a test world.
#[derive(Clone)]
pub(crate) struct Made {
    label: String,
    made: Timestamp,
    validity: Period,
    published: bool,
    current: bool,
    phase: RecordedPhase,
    promoted: Option<Timestamp>,
    proven: bool,
    key: KeyState,
    rotation: Option<RotationId>,
    adopted: bool,
    name: Option<Name>,
    delivered: BTreeMap<String, Delivered>,
    rejected: bool,
    credential: Option<Credential>,
}

/// A generation made on that day, valid for a year, published and promoted at once, and what consumers read.
pub(crate) fn current(label: &str, made: &str) -> Made {
    Made { current: true, ..former(label, made) }
}

/// One that was current and is not any more.
pub(crate) fn former(label: &str, made: &str) -> Made {
    Made {
        label: label.into(),
        made: at(made),
        validity: period("P1Y"),
        published: true,
        current: false,
        phase: RecordedPhase::Promoted,
        promoted: Some(at(made)),
        proven: true,
        key: KeyState::Held,
        rotation: Some(RotationId::of(&[b"made by an earlier rotation", label.as_bytes()])),
        adopted: false,
        name: None,
        delivered: BTreeMap::new(),
        rejected: false,
        credential: None,
    }
}

/// One on its way: staged, not published.
pub(crate) fn staged(label: &str, made: &str, rotation: RotationId) -> Made {
    Made {
        published: false,
        phase: RecordedPhase::Staged,
        promoted: None,
        rotation: Some(rotation),
        ..former(label, made)
    }
}

impl Made {
    pub(crate) fn unpublished(self) -> Made {
        Made { published: false, ..self }
    }

    pub(crate) fn published(self) -> Made {
        Made { published: true, ..self }
    }

    /// With a credential that differs from the one we would publish.
    pub(crate) fn published_as(self, credential: Credential) -> Made {
        Made { credential: Some(credential), published: true, ..self }
    }

    pub(crate) fn valid_for(self, validity: &str) -> Made {
        Made { validity: period(validity), ..self }
    }

    pub(crate) fn promoted(self, moment: &str) -> Made {
        Made { promoted: Some(at(moment)), ..self }
    }

    /// The run stopped between promoting and recording it.
    pub(crate) fn promotion_unknown(self) -> Made {
        Made { promoted: None, phase: RecordedPhase::Staged, ..self }
    }

    /// The run stopped after promoting it, before the proof.
    pub(crate) fn proof_unknown(self) -> Made {
        Made { proven: false, ..self }
    }

    pub(crate) fn current(self) -> Made {
        Made { current: true, ..self }
    }

    pub(crate) fn phase(self, phase: RecordedPhase) -> Made {
        Made { phase, ..self }
    }

    pub(crate) fn key(self, key: KeyState) -> Made {
        Made { key, ..self }
    }

    pub(crate) fn named(self, text: &str) -> Made {
        Made { name: Some(name(text)), ..self }
    }

    /// Requested, and nobody has signed it yet.
    pub(crate) fn unsigned(self) -> Made {
        Made { phase: RecordedPhase::Requested, ..self }
    }

    pub(crate) fn rejected(self) -> Made {
        Made { rejected: true, ..self }
    }

    pub(crate) fn by(self, rotation: RotationId) -> Made {
        Made { rotation: Some(rotation), ..self }
    }

    /// Recorded when it was adopted: no rotation made it, and nobody looked at it.
    pub(crate) fn adopted(self) -> Made {
        Made { adopted: true, rotation: None, ..self }
    }

    pub(crate) fn delivered(mut self, slot: &str, moment: &str, marker: &str) -> Made {
        let form = pem().fingerprint();
        self.delivered.insert(slot.into(), Delivered { at: at(moment), marker: marker.into(), form });
        self
    }

    /// When its credential begins and ends: DESIGN 5, published at once.
    pub(crate) fn life(&self) -> (Timestamp, Timestamp) {
        let end = self.validity.after(self.made) - SignedDuration::from_secs(1);
        (self.made - SignedDuration::from_mins(10), end)
    }

    fn generation(&self, declared: &Declared, target: &Target) -> Generation {
        let certified = self.phase != RecordedPhase::Requested;
        let text = |text: String| if self.adopted { String::new() } else { text };
        let thumbprints = thumbprints(&self.label);
        let form = declared.store.as_ref().map(|store| store.form.fingerprint()).unwrap_or_default();
        let record = PublicRecord {
            format: RECORD_FORMAT,
            owner: "platform-team".parse().unwrap(),
            tenant_id: TENANT,
            name: self.name.clone().unwrap_or_else(|| declared.address.name.clone()),
            rotation_id: self.rotation,
            thumbprints: certified.then_some(thumbprints),
            key_id: certified.then(|| KeyId::derive(&target.id, &thumbprints.sha1)),
            target: target.id,
            key: (!self.adopted).then_some(declared.key),
            subject: text(declared.subject.clone()),
            issuer: text(declared.issuer.fingerprint()),
            form: text(form),
            not_before: certified.then_some(self.made - SignedDuration::from_hours(1)),
            not_after: certified.then(|| self.validity.after(self.made)),
            phase: self.phase,
            requested_at: self.made,
            promoted_at: self.promoted,
            proven_at: self.promoted.filter(|_| self.proven && !self.adopted),
            delivered: self.delivered.clone(),
            rejected: self.rejected,
        };
        Generation { handle: self.label.clone(), record, key: self.key }
    }
}

fn credential(label: &str, id: KeyId, display_name: &str, start: Timestamp, end: Timestamp) -> Credential {
    let raw = serde_json::json!({ "keyId": id, "displayName": display_name, "as": ["received", label] });
    Credential {
        key_id: Some(id),
        identifier: Identifier::Sha1(sha1(label)),
        display_name: Some(display_name.to_owned()),
        start: Some(start),
        end: Some(end),
        reserved: None,
        raw: RawValue::from_string(raw.to_string()).unwrap(),
    }
}

/// A credential as certroll publishes it.
pub(crate) fn ours(
    text: &str,
    label: &str,
    target: TargetId,
    start: Timestamp,
    end: Timestamp,
) -> Credential {
    let marker = Marker { owner: "platform-team".parse().unwrap(), name: name(text) };
    let id = KeyId::derive(&target, &sha1(label));
    credential(label, id, &marker.display_name(text), start, end)
}

/// One of ours whose key no store holds.
pub(crate) fn orphan(text: &str, label: &str, made: &str) -> Credential {
    let (start, end) = former(label, made).life();
    ours(text, label, application(OBJECT), start, end)
}

/// A key id nobody derived.
pub(crate) fn random_key_id(label: &str) -> KeyId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest::text(&format!("key id {label}")).0[..16]);
    KeyId(Uuid::from_bytes(bytes))
}

/// A credential somebody else put there, made on that day and valid for a year.
pub(crate) fn foreign(label: &str, made: &str) -> Credential {
    let (start, end) = former(label, made).life();
    credential(label, random_key_id(label), &format!("CN={label}"), start, end)
}

/// Foreign in everything but its name: it says it is ours.
pub(crate) fn claimed(text: &str, label: &str, made: &str) -> Credential {
    let display_name = format!("certroll:platform-team/{text} · copied");
    Credential { display_name: Some(display_name), ..foreign(label, made) }
}

pub(crate) fn reserved(credential: Credential, reserved: Reserved) -> Credential {
    Credential { reserved: Some(reserved), ..credential }
}

pub(crate) fn adopt(label: &str, key_elsewhere: bool) -> Adopt {
    Adopt { thumbprint: thumbprint(label), key_elsewhere }
}

pub(crate) fn hold(until: &str) -> Option<Hold> {
    Some(Hold { until: until.parse().unwrap(), reason: "audit".into() })
}

pub(crate) fn freeze(from: &str, to: &str) -> Freeze {
    Freeze { from: from.parse().unwrap(), to: to.parse().unwrap(), reason: "year end".into() }
}

pub(crate) fn consumer(title: &str) -> Option<Consumer> {
    Some(Consumer { name: name("product"), title: title.into(), handoff: None })
}

pub(crate) fn delivery(slot: &str) -> Delivery {
    Delivery {
        slot: slot.into(),
        kind: "file".into(),
        settings: BTreeMap::new(),
        form: pem(),
        origin: Origin::default(),
    }
}

/// A provider's public certificate, in a file of that name. A real one: the planner reads its dates and thumbprints.
pub(crate) fn provider_file(path: &str, from: &str, validity: &str) -> PublicKeyFile {
    PublicKeyFile { path: path.into(), certificate: provider_certificate(path, from, validity) }
}

fn provider_certificate(label: &str, from: &str, validity: &str) -> Certificate {
    use certroll::issuer::{CertificateRequest, Issuer as _, SubjectKey, self_signed::SelfSigned};
    use certroll::key::PrivateKey;
    use certroll::runtime::Random as _;
    static KEY: std::sync::OnceLock<PrivateKey> = std::sync::OnceLock::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = KEY
        .get_or_init(|| runtime.block_on(certroll::random::SystemRandom.key_pair(KeyKind::Rsa2048)).unwrap());
    let mut serial = [0; 16];
    serial.copy_from_slice(&digest::text(label).0[..16]);
    serial[0] |= 1;
    let request = CertificateRequest {
        subject: "CN=provider".into(),
        signature_hash: SignatureHash::Sha256,
        not_before: at(from),
        validity: period(validity),
        now: at(from),
        serial,
    };
    runtime.block_on(SelfSigned.issue(&request, SubjectKey::Local(key))).unwrap().certificate
}

/// A provider's certificate as it stands on the target: published by us, or by somebody in the portal.
pub(crate) fn live(file: &PublicKeyFile, by_us: Option<&str>) -> Credential {
    let certificate = &file.certificate;
    let sha1 = certificate.thumbprints.sha1;
    let target = application(OBJECT);
    let id = by_us.map_or_else(|| random_key_id(&file.path), |_| KeyId::derive(&target, &sha1));
    let title =
        by_us.map_or_else(|| "CN=provider".into(), |name| format!("certroll:platform-team/{name} · x"));
    let mut credential = credential(&file.path, id, &title, certificate.not_before, certificate.not_after);
    credential.identifier = Identifier::Sha1(sha1);
    credential
}

/// The trouble of a service that could not be read.
pub(crate) fn unreadable(reason: &str) -> certroll::edges::Trouble {
    certroll::edges::Trouble::new(certroll::edges::TroubleKind::Unavailable, "reading", reason)
}
