//! The store contract as tests: any store passes through [`run`], whatever its shape.
//!
//! A [`Bench`] is a store with the world around it: consumers, rivals, and the [`Trouble`] its inner calls go through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use certroll::certificate::{Certificate, KeyKind};
use certroll::desired::{Form, Format, StoreBinding};
use certroll::edges::TroubleKind;
use certroll::form::render;
use certroll::ids::{RotationId, Sha256, TargetId, TargetKind, Thumbprints};
use certroll::issuer::{Issued, Issuer, SubjectKey};
use certroll::key::{Secret, SignatureAlgorithm};
use certroll::observed::record::{Delivered, PublicRecord, RECORD_FORMAT, RecordedPhase};
use certroll::observed::{Current, Generation, Holding, KeyState, Removal, Staging, StoreState};
use certroll::store::{KeyRequest, Pending, Signs, StoreError, StoreErrorKind, StoreWriter};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::ca::TestCa;
use super::keys;
use super::stores::signing_request;
use super::trouble::{Mischief, Trouble};

/// A store under test with the world around it.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The store as a new process of certroll sees it.
    fn store(&self) -> Arc<dyn StoreWriter>;
    /// The entry all is about.
    fn entry(&self) -> StoreBinding;
    /// What the inner calls of the store's process go through.
    fn trouble(&self) -> Arc<Trouble>;
    /// Which mischief its inner calls can suffer.
    fn mischief(&self) -> &'static [Mischief];
    /// Reads as consumers do. Panics when key and certificate do not belong together.
    async fn consume(&self) -> Option<Certificate>;
    /// Returns something that makes something else current, going round certroll.
    fn rival(&self) -> Box<dyn FnOnce() + Send>;
    /// Whether a rival can come between two inner calls and must then be noticed.
    fn rivals_within_calls(&self) -> bool;
    /// Everything the store keeps, for comparing.
    fn snapshot(&self) -> String;
    /// Whether an inner call hands out or uses a private key.
    fn touches_key(&self, call: &str) -> bool;
    /// Makes a key with its certificate (one PEM text) what consumers read, as people do without certroll. `false` where nobody can.
    fn put_by_hand(&self, pem: &str) -> bool;
    /// Whether generations are made by a request that somebody else signs, although the store could stage.
    fn by_request(&self) -> bool {
        false
    }
    /// Who signs, where the store has key and certificate made in one go.
    fn signs(&self) -> Option<Arc<dyn Issuer>> {
        None
    }
}

/// The same store, for certificates that somebody else signs.
pub struct ByRequest<B>(pub B);

#[async_trait]
impl<B: Bench> Bench for ByRequest<B> {
    fn store(&self) -> Arc<dyn StoreWriter> {
        self.0.store()
    }
    fn entry(&self) -> StoreBinding {
        self.0.entry()
    }
    fn trouble(&self) -> Arc<Trouble> {
        self.0.trouble()
    }
    fn mischief(&self) -> &'static [Mischief] {
        self.0.mischief()
    }
    async fn consume(&self) -> Option<Certificate> {
        self.0.consume().await
    }
    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        self.0.rival()
    }
    fn rivals_within_calls(&self) -> bool {
        self.0.rivals_within_calls()
    }
    fn snapshot(&self) -> String {
        self.0.snapshot()
    }
    fn touches_key(&self, call: &str) -> bool {
        self.0.touches_key(call)
    }
    fn put_by_hand(&self, pem: &str) -> bool {
        self.0.put_by_hand(pem)
    }
    fn by_request(&self) -> bool {
        true
    }
}

/// What a store promises that keeps a key before its certificate: the whole contract, and what is true in between.
pub async fn run_by_request<B: Bench>(make: impl Fn() -> B) {
    waits_for_its_certificate(&make()).await;
    run(|| ByRequest(make())).await;
}

async fn waits_for_its_certificate(bench: &dyn Bench) {
    let (store, entry) = (bench.store(), bench.entry());
    let (key, record) = (keys::key(1), requested(Rotation::First));
    let csr = signing_request(&key, SUBJECT);
    let pending = store.keep_request(&entry, &key, &csr, &record).await.unwrap();
    assert_eq!(pending.csr, csr);
    bench.trouble().restart();
    let waiting = of(&observe_well(bench).await, Rotation::First).unwrap();
    assert_eq!(waiting, pending.generation);
    assert_eq!((waiting.key, waiting.record.phase), (KeyState::Held, RecordedPhase::Requested));
    assert_eq!(store.requested(&entry, &waiting).await.unwrap(), csr);
    assert!(!bench.trouble().journal().iter().any(|call| bench.touches_key(call)), "looking touched the key");
    assert!(bench.consume().await.is_none(), "a waiting key is seen");
    assert!(store.signer(&entry, &waiting).await.is_err(), "a key without certificate signs");

    // Another key for the same rotation is never taken.
    let before = bench.snapshot();
    let other = keys::key(2);
    let offered = signing_request(&other, SUBJECT);
    assert_eq!(store.keep_request(&entry, &other, &offered, &record).await.unwrap().csr, csr);
    let stranger = keys::self_signed(SUBJECT, Rotation::First.start(), 1, &other).await;
    let refused =
        store.attach(&entry, &waiting, &stranger, &staged(Rotation::First, &stranger.certificate)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused);
    assert!(refused.reason.contains("for another key"), "{refused}");
    assert_eq!(bench.snapshot(), before);

    // One that is not wanted any more goes with its key, and the rotation can begin anew.
    let expected = match store.shape(&entry).removal {
        Removal::Destroys => KeyState::Destroyed,
        Removal::Disables => KeyState::Disabled,
    };
    assert_eq!(store.remove(&entry, &waiting).await.unwrap(), expected);
    let gone = of(&observe_well(bench).await, Rotation::First);
    assert!(gone.is_none_or(|gone| gone.key == expected && gone.record.phase == RecordedPhase::Retired));
    assert_eq!(store.keep_request(&entry, &other, &offered, &record).await.unwrap().csr, offered);
}

/// Every call of a key whose certificate is awaited; after each `done` is called with its name in the documentation.
pub async fn calls_while_it_waits(store: &dyn StoreWriter, entry: &StoreBinding, done: impl Fn(&str)) {
    let (key, record) = (keys::key(1), requested(Rotation::First));
    let csr = signing_request(&key, SUBJECT);
    let pending = store.keep_request(entry, &key, &csr, &record).await.unwrap();
    done("keep_request");
    store.remove(entry, &pending.generation).await.unwrap();
    done("remove, while it waits");
    let pending = store.keep_request(entry, &key, &csr, &record).await.unwrap();
    done("keep_request");
    attach(store, entry, Rotation::First, pending).await.unwrap();
    done("attach");
}

/// Two rotations of one certificate, half a year apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    First,
    Second,
}

impl Rotation {
    pub fn id(self) -> RotationId {
        RotationId::of(&[format!("{self:?}").as_bytes()])
    }

    /// When it begins.
    pub fn start(self) -> Timestamp {
        let days = match self {
            Rotation::First => 0,
            Rotation::Second => 180,
        };
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * days)
    }

    pub fn promoted_at(self) -> Timestamp {
        self.start() + SignedDuration::from_mins(10)
    }
}

pub const SUBJECT: &str = "CN=CloudM Continuity";

pub fn requested(rotation: Rotation) -> PublicRecord {
    let target = TargetId { kind: TargetKind::Application, object_id: Uuid::from_u128(7) };
    PublicRecord {
        format: RECORD_FORMAT,
        owner: "platform-team".parse().unwrap(),
        tenant_id: Uuid::from_u128(1),
        name: "cloudm".parse().unwrap(),
        rotation_id: Some(rotation.id()),
        thumbprints: None,
        key_id: None,
        target,
        key: Some(KeyKind::Rsa2048),
        subject: SUBJECT.into(),
        issuer: "self_signed".into(),
        form: "pem".into(),
        not_before: None,
        not_after: None,
        phase: RecordedPhase::Requested,
        requested_at: rotation.start(),
        promoted_at: None,
        proven_at: None,
        delivered: BTreeMap::new(),
        rejected: false,
    }
}

/// The record of a generation that waits.
pub fn staged(rotation: Rotation, certificate: &Certificate) -> PublicRecord {
    PublicRecord {
        thumbprints: Some(certificate.thumbprints),
        not_before: Some(certificate.not_before),
        not_after: Some(certificate.not_after),
        phase: RecordedPhase::Staged,
        ..requested(rotation)
    }
}

fn promoted(rotation: Rotation, generation: &Generation) -> PublicRecord {
    PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(rotation.promoted_at()),
        ..generation.record.clone()
    }
}

/// Makes a key and certificate and hands them to a store that can stage.
pub async fn stage(
    store: &dyn StoreWriter,
    entry: &StoreBinding,
    rotation: Rotation,
    key: usize,
) -> Result<Generation, StoreError> {
    let key_pair = keys::key(key);
    let issued = keys::self_signed(SUBJECT, rotation.start(), 1, &key_pair).await;
    store.stage(entry, &key_pair, &issued, &staged(rotation, &issued.certificate)).await
}

/// Gets a generation ready to be promoted, in the way of the store's shape. `attempt` makes each key a new one.
async fn prepare(bench: &dyn Bench, rotation: Rotation, attempt: usize) -> Result<Generation, StoreError> {
    let (store, entry) = (bench.store(), bench.entry());
    if bench.by_request() {
        let (key, record) = (keys::key(attempt), requested(rotation));
        let csr = signing_request(&key, SUBJECT);
        let pending = store.keep_request(&entry, &key, &csr, &record).await?;
        if pending.generation.record.thumbprints.is_some() {
            return Ok(pending.generation);
        }
        return attach(&*store, &entry, rotation, pending).await;
    }
    if let Some(issuer) = bench.signs() {
        return have_made(&*store, &*issuer, &entry, rotation).await;
    }
    if store.shape(&entry).staging != Staging::AppendIsLive {
        return stage(&*store, &entry, rotation, attempt).await;
    }
    let wanted = KeyRequest { key: KeyKind::Rsa2048, subject: SUBJECT.into(), signs: None };
    let pending = store.request(&entry, &wanted, &requested(rotation)).await?;
    if pending.generation.record.thumbprints.is_none() {
        assert_eq!(store.requested(&entry, &pending.generation).await?, pending.csr);
    }
    attach(&*store, &entry, rotation, pending).await
}

/// Has the store make key and certificate, as a chain of `apply` does, and attaches what was made.
async fn have_made(
    store: &dyn StoreWriter,
    issuer: &dyn Issuer,
    entry: &StoreBinding,
    rotation: Rotation,
) -> Result<Generation, StoreError> {
    let request = keys::request(SUBJECT, rotation.start(), 1);
    let signs = Some(Signs { issuer: "Self".into(), validity: request.validity.clone() });
    let wanted = KeyRequest { key: KeyKind::Rsa2048, subject: SUBJECT.into(), signs };
    let pending = store.request(entry, &wanted, &requested(rotation)).await?;
    if pending.generation.record.thumbprints.is_some() {
        return Ok(pending.generation);
    }
    for _ in 0..5 {
        match issuer.issue(&request, SubjectKey::Request(&pending.csr)).await {
            Ok(issued) => {
                let record = staged(rotation, &issued.certificate);
                return store.attach(entry, &pending.generation, &issued, &record).await;
            }
            Err(error) if error.0.kind == TroubleKind::NotYet => {}
            Err(error) => return Err(error.0.into()),
        }
    }
    panic!("the store never signs");
}

async fn attach(
    store: &dyn StoreWriter,
    entry: &StoreBinding,
    rotation: Rotation,
    pending: Pending,
) -> Result<Generation, StoreError> {
    let request = keys::request(SUBJECT, rotation.start(), 1);
    let issued = TestCa::new().issue(&request, SubjectKey::Request(&pending.csr)).await.unwrap();
    store.attach(entry, &pending.generation, &issued, &staged(rotation, &issued.certificate)).await
}

pub async fn observe(bench: &dyn Bench) -> Result<Holding, String> {
    match bench.store().observe(&bench.entry()).await.state {
        StoreState::Known(holding) => Ok(holding),
        StoreState::Absent => Ok(Holding::default()),
        StoreState::Unreadable { reason } => Err(reason),
    }
}

async fn observe_well(bench: &dyn Bench) -> Holding {
    match observe(bench).await {
        Ok(holding) => holding,
        Err(reason) => panic!("unreadable: {reason}"),
    }
}

fn of(holding: &Holding, rotation: Rotation) -> Option<Generation> {
    let same = |g: &&Generation| g.record.rotation_id == Some(rotation.id());
    let found = holding.generations.iter().filter(same);
    found.max_by_key(|g| (g.key == KeyState::Held, g.record.phase)).cloned()
}

fn thumbprints(generation: &Generation) -> Thumbprints {
    generation.record.thumbprints.unwrap()
}

fn current_of(generation: &Generation) -> Current {
    Current::Recorded(thumbprints(generation).sha256)
}

/// What the outside world remembers of a life: what was published for each rotation, and what consumers saw.
#[derive(Debug, Default)]
pub struct Ledger {
    published: BTreeMap<RotationId, BTreeSet<Sha256>>,
    attempts: usize,
    removing: bool,
}

/// A whole life: both rotations prepared, published, promoted, delivered, the first removed. Decides each step from what it
/// observes, as planner and applier do, so that it can be called again after any death.
pub async fn whole_life(bench: &dyn Bench, ledger: &mut Ledger) -> Result<(), StoreError> {
    let (store, entry) = (bench.store(), bench.entry());
    let unreadable = |reason: String| StoreError {
        kind: StoreErrorKind::Unavailable,
        doing: "observing".into(),
        reason,
        hint: None,
    };
    for rotation in [Rotation::First, Rotation::Second] {
        let holding = observe(bench).await.map_err(unreadable)?;
        if rotation == Rotation::First && of(&holding, Rotation::Second).is_some() {
            continue;
        }
        let ready =
            of(&holding, rotation).filter(|g| g.record.thumbprints.is_some() && g.key == KeyState::Held);
        let generation = match ready {
            Some(generation) => generation,
            None => {
                ledger.attempts += 1;
                prepare(bench, rotation, ledger.attempts).await?
            }
        };
        ledger.published.entry(rotation.id()).or_default().insert(thumbprints(&generation).sha256);
        let done =
            holding.current == Some(current_of(&generation)) && generation.record.promoted_at.is_some();
        if !done {
            let record = promoted(rotation, &generation);
            store
                .promote(&entry, &generation, holding.current.as_ref(), password(&entry).as_ref(), &record)
                .await?;
        }
    }
    let holding = observe(bench).await.map_err(unreadable)?;
    let (Some(first), Some(second)) = (of(&holding, Rotation::First), of(&holding, Rotation::Second)) else {
        return Err(unreadable("a generation is lost".into()));
    };
    store.write_record(&entry, &delivered(&second)).await?;
    if first.record.phase != RecordedPhase::Retired {
        ledger.removing = true;
        store.remove(&entry, &first).await?;
    }
    Ok(())
}

fn password(entry: &StoreBinding) -> Option<Secret> {
    entry.form.format.is_pfx().then(|| Secret::new("correct horse battery staple".into()))
}

fn delivered(generation: &Generation) -> PublicRecord {
    let mut record = generation.record.clone();
    let at = Rotation::Second.promoted_at() + SignedDuration::from_mins(1);
    let delivery = Delivered { at, marker: "2026-06-30T00:11:00Z".into(), form: "pfx-base64".into() };
    record.delivered.insert("github_actions contoso/infra M365_PFX".into(), delivery);
    record
}

/// What must be true whenever anybody looks, also right after a death.
pub async fn check_documented(bench: &dyn Bench, ledger: &Ledger, when: &str) {
    bench.trouble().restart();
    let holding = match observe(bench).await {
        Ok(holding) => holding,
        Err(reason) => panic!("{when}: unreadable: {reason}"),
    };
    assert!(
        !bench.trouble().journal().iter().any(|call| bench.touches_key(call)),
        "{when}: observing touched a key"
    );
    let seen = bench.consume().await.map(|certificate| certificate.thumbprints.sha256);
    let current = holding.current.as_ref().map(|current| match current {
        Current::Recorded(sha256) => *sha256,
        Current::Unrecorded { .. } => panic!("{when}: our own current has no record"),
    });
    assert_eq!(seen, current, "{when}: consumers read something else than what is observed");
    for (rotation, published) in &ledger.published {
        assert_eq!(published.len(), 1, "{when}: two keys published for one rotation");
        let held = holding.generations.iter().find(|g| {
            g.record.rotation_id == Some(*rotation)
                && g.record.thumbprints.is_some_and(|t| published.contains(&t.sha256))
        });
        let held = held.unwrap_or_else(|| panic!("{when}: a published generation is lost"));
        let may_go = ledger.removing && *rotation == Rotation::First.id();
        assert!(held.key == KeyState::Held || may_go, "{when}: a published key is lost");
    }
}

/// The whole contract.
pub async fn run<B: Bench>(make: impl Fn() -> B) {
    absent_is_known(&make()).await;
    waits_unseen(&make()).await;
    is_promoted_whole(&make()).await;
    repeats_change_nothing(&make()).await;
    current_is_never_removed(&make()).await;
    old_is_removed(&make()).await;
    records_come_back(&make()).await;
    rivals_are_noticed(&make).await;
    rolls_back(&make()).await;
    signs_with_the_right_key(&make()).await;
    what_is_adopted_is_like_any_other(&make()).await;
    survives_every_death(&make).await;
}

/// Somebody made it, and it is copied to other places, put back into Entra, signed in with, succeeded, rolled back to and removed.
async fn what_is_adopted_is_like_any_other(bench: &dyn Bench) {
    let key = keys::key(5);
    let theirs = keys::self_signed(SUBJECT, Rotation::First.start(), 6, &key).await;
    let (store, entry) = (bench.store(), bench.entry());
    let form = Form { format: Format::Pem, ..entry.form.clone() };
    let pem = render(&form, &key, &theirs, None, "cloudm").unwrap().remove(0).contents;
    if !bench.put_by_hand(std::str::from_utf8(&pem).unwrap()) {
        assert!(!store.shape(&entry).exportable, "a key that leaves the store can also be put there");
        return;
    }
    let current = observe_well(bench).await.current;
    assert!(matches!(current, Some(Current::Unrecorded { .. })), "{current:?}");
    let record = PublicRecord {
        rotation_id: None,
        phase: RecordedPhase::Promoted,
        promoted_at: Some(Rotation::First.start()),
        ..staged(Rotation::First, &theirs.certificate)
    };
    store.write_record(&entry, &record).await.unwrap();
    let adopted = observe_well(bench).await.current_generation().cloned().unwrap();
    assert_eq!((&adopted.record, adopted.key), (&record, KeyState::Held));
    is_usable(bench, &adopted, &theirs).await;

    let second = prepare(bench, Rotation::Second, 2).await.unwrap();
    let second = promote(bench, Rotation::Second, &second, Some(&current_of(&adopted))).await.unwrap();
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&second));
    let old = observe_well(bench).await.generation(&theirs.certificate.thumbprints.sha256).cloned().unwrap();
    assert_eq!(old.key, KeyState::Held, "what was adopted is gone as soon as it is succeeded");
    is_usable(bench, &old, &theirs).await;

    let again = PublicRecord { promoted_at: Some(Rotation::Second.promoted_at()), ..old.record.clone() };
    let expected = Some(current_of(&second));
    let back =
        store.promote(&entry, &old, expected.as_ref(), password(&entry).as_ref(), &again).await.unwrap();
    assert_eq!(bench.consume().await.unwrap(), theirs.certificate);
    is_usable(bench, &back, &theirs).await;
    promote(bench, Rotation::Second, &second, Some(&current_of(&back))).await.unwrap();
    assert_ne!(store.remove(&entry, &back).await.unwrap(), KeyState::Held);
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&second));
}

async fn is_usable(bench: &dyn Bench, generation: &Generation, issued: &Issued) {
    let (store, entry) = (bench.store(), bench.entry());
    assert_eq!(certificate(bench, generation).await, issued.certificate);
    let signer = store.signer(&entry, generation).await.unwrap();
    let signature = signer.sign(SignatureAlgorithm::Ps256, b"message").await.unwrap();
    assert!(keys::verifies_ps256(&issued.certificate, b"message", &signature));
    let key = store.export(&entry, generation).await.unwrap();
    assert!(issued.certificate.matches_key(&key));
}

async fn absent_is_known(bench: &dyn Bench) {
    assert_eq!(observe_well(bench).await, Holding::default());
    assert!(bench.consume().await.is_none());
}

/// Promotes a first generation and gets a second one ready.
async fn one_current_one_waiting(bench: &dyn Bench) -> (Generation, Generation) {
    let first = one_current(bench).await;
    let second = prepare(bench, Rotation::Second, 2).await.unwrap();
    (first, second)
}

async fn one_current(bench: &dyn Bench) -> Generation {
    let first = prepare(bench, Rotation::First, 1).await.unwrap();
    promote(bench, Rotation::First, &first, None).await.unwrap()
}

async fn promote(
    bench: &dyn Bench,
    rotation: Rotation,
    generation: &Generation,
    expected: Option<&Current>,
) -> Result<Generation, StoreError> {
    let (entry, record) = (bench.entry(), promoted(rotation, generation));
    bench.store().promote(&entry, generation, expected, password(&entry).as_ref(), &record).await
}

async fn waits_unseen(bench: &dyn Bench) {
    let first = prepare(bench, Rotation::First, 1).await.unwrap();
    assert!(bench.consume().await.is_none(), "a waiting key is seen");
    let holding = observe_well(bench).await;
    assert_eq!(holding.current, None);
    assert_eq!(holding.generations, vec![first.clone()]);
    assert_eq!(first.record, staged(Rotation::First, &certificate(bench, &first).await));
    assert_eq!(first.key, KeyState::Held);

    let first = promote(bench, Rotation::First, &first, None).await.unwrap();
    prepare(bench, Rotation::Second, 2).await.unwrap();
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&first), "a waiting key is seen");
    assert_eq!(observe_well(bench).await.current, Some(current_of(&first)));
}

async fn certificate(bench: &dyn Bench, generation: &Generation) -> Certificate {
    let Issued { certificate, .. } = bench.store().issued(&bench.entry(), generation).await.unwrap();
    assert_eq!(Some(certificate.thumbprints), generation.record.thumbprints);
    certificate
}

async fn is_promoted_whole(bench: &dyn Bench) {
    let (first, second) = one_current_one_waiting(bench).await;
    let after = promote(bench, Rotation::Second, &second, Some(&current_of(&first))).await.unwrap();
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&second));
    assert_eq!(after.record, promoted(Rotation::Second, &second));
    let holding = observe_well(bench).await;
    assert_eq!(holding.current_generation(), Some(&after));
    let kept = of(&holding, Rotation::First).unwrap();
    assert_eq!(kept.key, KeyState::Held, "the predecessor's key is kept");
    assert_eq!(kept.record.phase, RecordedPhase::Promoted);
    certificate(bench, &kept).await;
}

async fn repeats_change_nothing(bench: &dyn Bench) {
    let first = prepare(bench, Rotation::First, 1).await.unwrap();
    let before = bench.snapshot();
    let again = prepare(bench, Rotation::First, 5).await.unwrap();
    assert_eq!(again, first, "the same rotation gives the same generation, whatever key is offered");
    assert_eq!(bench.snapshot(), before);

    let promoted_once = promote(bench, Rotation::First, &first, None).await.unwrap();
    let before = bench.snapshot();
    for expected in [None, Some(&current_of(&first))] {
        assert_eq!(promote(bench, Rotation::First, &first, expected).await.unwrap(), promoted_once);
        assert_eq!(bench.snapshot(), before);
    }
    bench.store().write_record(&bench.entry(), &promoted_once.record).await.unwrap();
    assert_eq!(bench.snapshot(), before);
}

async fn current_is_never_removed(bench: &dyn Bench) {
    let first = one_current(bench).await;
    let before = bench.snapshot();
    let refused = bench.store().remove(&bench.entry(), &first).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused);
    assert_eq!(bench.snapshot(), before);
}

async fn old_is_removed(bench: &dyn Bench) {
    let (first, second) = one_current_one_waiting(bench).await;
    promote(bench, Rotation::Second, &second, Some(&current_of(&first))).await.unwrap();
    let (store, entry) = (bench.store(), bench.entry());
    let expected = match store.shape(&entry).removal {
        Removal::Destroys => KeyState::Destroyed,
        Removal::Disables => KeyState::Disabled,
    };
    let old = of(&observe_well(bench).await, Rotation::First).unwrap();
    assert_eq!(store.remove(&entry, &old).await.unwrap(), expected);
    let gone = of(&observe_well(bench).await, Rotation::First).unwrap();
    assert_eq!((gone.key, gone.record.phase), (expected, RecordedPhase::Retired));
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&second));
    if let Ok(signer) = store.signer(&entry, &gone).await {
        assert!(signer.sign(SignatureAlgorithm::Ps256, b"message").await.is_err(), "a removed key signs");
    }
    let before = bench.snapshot();
    assert_eq!(store.remove(&entry, &gone).await.unwrap(), expected);
    assert_eq!(bench.snapshot(), before);

    // One that waits and is not wanted any more goes, too.
    let third = prepare(bench, Rotation::First, 3).await.unwrap();
    assert_ne!(thumbprints(&third), thumbprints(&gone), "a destroyed key came back");
    // A pending key is given up with its operation; a second name has versions like the first one.
    let pending = store.shape(&entry).staging == Staging::AppendIsLive;
    let expected = if pending { KeyState::Destroyed } else { expected };
    assert_eq!(store.remove(&entry, &third).await.unwrap(), expected);
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&second));
}

async fn records_come_back(bench: &dyn Bench) {
    let first = one_current(bench).await;
    let mut record = delivered(&first);
    bench.store().write_record(&bench.entry(), &record).await.unwrap();
    assert_eq!(of(&observe_well(bench).await, Rotation::First).unwrap().record, record);
    let second = prepare(bench, Rotation::Second, 2).await.unwrap();
    record = PublicRecord { rejected: true, ..second.record.clone() };
    bench.store().write_record(&bench.entry(), &record).await.unwrap();
    assert_eq!(of(&observe_well(bench).await, Rotation::Second).unwrap().record, record);
    let refused = promote(bench, Rotation::Second, &second, Some(&current_of(&first))).await;
    assert!(refused.is_err(), "a rejected generation was promoted");
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&first));

    let stranger = keys::self_signed("CN=stranger", Rotation::First.start(), 9, &keys::key(9)).await;
    let unknown = PublicRecord { rotation_id: None, ..staged(Rotation::First, &stranger.certificate) };
    assert!(
        bench.store().write_record(&bench.entry(), &unknown).await.is_err(),
        "a record of nothing was kept"
    );
}

async fn rivals_are_noticed<B: Bench>(make: &impl Fn() -> B) {
    // Between plan and apply.
    let bench = make();
    let (first, second) = one_current_one_waiting(&bench).await;
    (bench.rival())();
    let refused = promote(&bench, Rotation::Second, &second, Some(&current_of(&first))).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival, "{refused}");
    let current = observe_well(&bench).await.current;
    assert!(
        matches!(current, Some(Current::Unrecorded { .. })),
        "the rival's is not seen as foreign: {current:?}"
    );
    assert!(bench.consume().await.is_none_or(|seen| seen.thumbprints != thumbprints(&second)));

    if !bench.rivals_within_calls() {
        return;
    }
    // Between any two inner calls of the promotion.
    for call in 0.. {
        let bench = make();
        let (first, second) = one_current_one_waiting(&bench).await;
        bench.trouble().restart();
        bench.trouble().plan_visit(call, bench.rival());
        let result = promote(&bench, Rotation::Second, &second, Some(&current_of(&first))).await;
        if bench.trouble().journal().len() as u64 <= call {
            return;
        }
        let current = observe_well(&bench).await.current;
        match result {
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Rival, "rival before call {call}: {error}"),
            Ok(_) => assert!(
                matches!(current, Some(Current::Unrecorded { .. })),
                "rival before call {call}: overwritten and nobody told"
            ),
        }
    }
}

async fn rolls_back(bench: &dyn Bench) {
    let (first, second) = one_current_one_waiting(bench).await;
    let second = promote(bench, Rotation::Second, &second, Some(&current_of(&first))).await.unwrap();
    let old = of(&observe_well(bench).await, Rotation::First).unwrap();
    let again = PublicRecord { promoted_at: Some(Rotation::Second.promoted_at()), ..old.record.clone() };
    let (store, entry) = (bench.store(), bench.entry());
    let result =
        store.promote(&entry, &old, Some(&current_of(&second)), password(&entry).as_ref(), &again).await;
    if store.shape(&entry).staging == Staging::AppendIsLive {
        assert_eq!(result.unwrap_err().kind, StoreErrorKind::Unsupported);
        assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&second));
        return;
    }
    result.unwrap();
    assert_eq!(bench.consume().await.unwrap().thumbprints, thumbprints(&first));
    let holding = observe_well(bench).await;
    assert_eq!(holding.current, Some(current_of(&first)));
    assert_eq!(of(&holding, Rotation::First).unwrap().record, again, "the overlap counts from the roll-back");
    assert_eq!(of(&holding, Rotation::Second).unwrap().key, KeyState::Held);
}

async fn signs_with_the_right_key(bench: &dyn Bench) {
    let (first, second) = one_current_one_waiting(bench).await;
    let (store, entry) = (bench.store(), bench.entry());
    for generation in [&first, &second] {
        let signer = match store.signer(&entry, generation).await {
            Err(error) if store.shape(&entry).staging == Staging::AppendIsLive && generation == &second => {
                assert_eq!(error.kind, StoreErrorKind::Unsupported, "a pending key cannot sign");
                continue;
            }
            other => other.unwrap(),
        };
        let certificate = certificate(bench, generation).await;
        assert_eq!(signer.certificate(), &certificate);
        let signature = signer.sign(SignatureAlgorithm::Ps256, b"message").await.unwrap();
        assert!(keys::verifies_ps256(&certificate, b"message", &signature));
        let exported = store.export(&entry, generation).await;
        assert_eq!(exported.is_ok(), store.shape(&entry).exportable);
        assert!(exported.is_err() || certificate.matches_key(&exported.unwrap()));
    }
}

async fn survives_every_death<B: Bench>(make: &impl Fn() -> B) {
    let quiet = make();
    whole_life(&quiet, &mut Ledger::default()).await.unwrap();
    let wanted = outcome(&quiet).await;
    for mischief in quiet.mischief() {
        for call in 0.. {
            let (bench, mut ledger) = (make(), Ledger::default());
            bench.trouble().plan(call, *mischief);
            let first_run = whole_life(&bench, &mut ledger).await;
            let calls = bench.trouble().journal();
            if calls.len() as u64 <= call {
                break;
            }
            let when = format!("{mischief:?} at call {call} ({})", calls[usize::try_from(call).unwrap()]);
            check_documented(&bench, &ledger, &when).await;
            bench.trouble().restart();
            let resumed = whole_life(&bench, &mut ledger).await;
            assert!(resumed.is_ok(), "{when}: first {first_run:?}, then {resumed:?}");
            check_documented(&bench, &ledger, &when).await;
            assert_eq!(outcome(&bench).await, wanted, "{when}");
        }
    }
}

/// The end of a life in words that do not depend on which keys were made.
async fn outcome(bench: &dyn Bench) -> Vec<String> {
    bench.trouble().restart();
    let holding = observe_well(bench).await;
    let current = holding.current_generation().map(|g| g.record.rotation_id);
    assert_eq!(current, Some(Some(Rotation::Second.id())));
    let words = |g: &Generation| {
        let PublicRecord { phase, promoted_at, delivered, .. } = &g.record;
        format!("{:?} {:?} {phase:?} {promoted_at:?} {delivered:?}", g.record.rotation_id, g.key)
    };
    let not_a_remnant = |g: &&Generation| g.record.promoted_at.is_some();
    holding.generations.iter().filter(not_a_remnant).map(words).collect()
}
