//! Random worlds: anything that a store and a target may hold, likely or not, and any declaration the file could make of it.

use certroll::certificate::KeyKind;
use certroll::desired::{Prove, Retire, Timing};
use certroll::ids::RotationId;
use certroll::observed::record::RecordedPhase;
use certroll::observed::{
    Credential, Current, DeliveryState, Identifier, KeyState, LifetimePolicy, Reserved, StoreState,
    TargetState,
};
use certroll::period::Lead;
use certroll::plan::step::Step;
use jiff::civil::{Weekday, time};
use proptest::prelude::*;
use proptest::sample::select;

use super::observed::*;
use super::rows::plan_of;

/// Labels that declarations may speak of: generations `g0`…, other credentials `x0`….
const LABELS: [&str; 9] = ["g0", "g1", "g2", "g3", "x0", "x1", "x2", "x3", "x4"];
const SLOTS: [&str; 2] = ["file a", "file b"];

#[derive(Debug, Clone)]
struct GenerationRecipe {
    age_days: i64,
    validity_days: u16,
    published: Published,
    phase: RecordedPhase,
    promoted_after_days: Option<i64>,
    key: KeyState,
    rejected: bool,
    name: &'static str,
    adopted: bool,
    this_rotation: bool,
    delivered: [Option<(i64, &'static str)>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    No,
    Ours,
    UnderAnotherId,
    Twice,
}

#[derive(Debug, Clone)]
struct ExtraRecipe {
    kind: Extra,
    age_days: i64,
    validity_days: u16,
    endless: bool,
}

#[derive(Debug, Clone, Copy)]
enum Extra {
    Orphan,
    OrphanOfFormerName,
    Foreign,
    Claimed,
    Saml,
    Encryption,
    Sibling,
    Undeclared,
    OtherOwner,
    WithoutKeyId,
    Opaque,
}

#[derive(Debug, Clone)]
struct DeclarationRecipe {
    timing: Timing,
    overlap_days: u16,
    retire: Retire,
    prove: Prove,
    acknowledge: bool,
    unused_for: bool,
    keep_retired: u32,
    hold: bool,
    frozen: bool,
    windows: bool,
    key: KeyKind,
    adopt: Vec<(&'static str, bool)>,
    revoked: Vec<&'static str>,
    dropping: Vec<&'static str>,
    deliveries: [Option<DeliveryState>; 2],
    acknowledged: Vec<(&'static str, i64)>,
    moved: bool,
}

#[derive(Debug, Clone)]
struct RunRecipe {
    replace: Option<&'static str>,
    revoke_previous: bool,
    rollback: bool,
    shape: usize,
    sign_in_impossible: bool,
    policy_days: Option<i64>,
    current: CurrentRecipe,
    sibling: bool,
}

#[derive(Debug, Clone, Copy)]
enum CurrentRecipe {
    Nothing,
    Generation(usize),
    Unrecorded(&'static str),
}

fn generation() -> impl Strategy<Value = GenerationRecipe> {
    let life = (0..500i64, select(vec![60u16, 90, 365, 730]));
    let published = prop_oneof![
        4 => Just(Published::Ours),
        2 => Just(Published::No),
        1 => Just(Published::UnderAnotherId),
        1 => Just(Published::Twice),
    ];
    let phase = prop_oneof![
        1 => Just(RecordedPhase::Requested),
        2 => Just(RecordedPhase::Staged),
        4 => Just(RecordedPhase::Promoted),
        1 => Just(RecordedPhase::Retired),
    ];
    let key =
        prop_oneof![6 => Just(KeyState::Held), 1 => Just(KeyState::Disabled), 1 => Just(KeyState::Destroyed)];
    let name = prop_oneof![8 => Just("backup"), 2 => Just("former"), 1 => Just("stranger")];
    let delivered = || prop::option::of((0..40i64, select(vec!["1", "2"])));
    let rare = || prop::bool::weighted(0.12);
    (
        (life, published, phase, prop::option::weighted(0.8, 0..40i64), key),
        (rare(), name, rare(), prop::bool::ANY, delivered(), delivered()),
    )
        .prop_map(
            |(
                ((age_days, validity_days), published, phase, promoted_after_days, key),
                (rejected, name, adopted, this_rotation, first, second),
            )| {
                let delivered = [first, second];
                GenerationRecipe {
                    age_days,
                    validity_days,
                    published,
                    phase,
                    promoted_after_days,
                    key,
                    rejected,
                    name,
                    adopted,
                    this_rotation,
                    delivered,
                }
            },
        )
}

fn extra() -> impl Strategy<Value = ExtraRecipe> {
    let kind = select(vec![
        Extra::Orphan,
        Extra::Orphan,
        Extra::OrphanOfFormerName,
        Extra::Foreign,
        Extra::Claimed,
        Extra::Saml,
        Extra::Encryption,
        Extra::Sibling,
        Extra::Undeclared,
        Extra::OtherOwner,
        Extra::WithoutKeyId,
        Extra::Opaque,
    ]);
    (kind, 0..500i64, select(vec![90u16, 365]), prop::bool::weighted(0.1)).prop_map(
        |(kind, age_days, validity_days, endless)| ExtraRecipe { kind, age_days, validity_days, endless },
    )
}

fn delivery_state() -> impl Strategy<Value = Option<DeliveryState>> {
    prop_oneof![
        4 => Just(None),
        2 => Just(Some(DeliveryState::Marker("1".into()))),
        1 => Just(Some(DeliveryState::Holds(thumbprints("g0")))),
        1 => Just(Some(DeliveryState::Absent)),
        1 => Just(Some(DeliveryState::Unreadable { reason: "403".into() })),
        1 => Just(Some(DeliveryState::NeverTells { reason: "a program".into() })),
    ]
}

fn labels(most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(LABELS.to_vec()), 0..=most)
}

fn declaration() -> impl Strategy<Value = DeclarationRecipe> {
    let timing = prop_oneof![
        Just(Timing::RotationPeriod(period("180d"))),
        Just(Timing::RotationPeriod(period("30d"))),
        Just(Timing::RenewBefore(Lead::Period(period("45d")))),
        Just(Timing::RenewBefore(Lead::Percent(30))),
    ];
    let retire = prop_oneof![5 => Just(Retire::AfterOverlap), 1 => Just(Retire::Never)];
    let prove = prop_oneof![
        4 => Just(Prove::SignIn),
        2 => Just(Prove::AfterPromotion),
        1 => Just(Prove::ReadBack),
    ];
    let rare = || prop::bool::weighted(0.15);
    let adopt = prop::collection::vec((select(LABELS.to_vec()), prop::bool::ANY), 0..=2);
    let acknowledged = prop::collection::vec((select(LABELS.to_vec()), 0..60i64), 0..=3);
    (
        (timing, select(vec![0u16, 7, 14, 30]), retire, prove, prop::bool::weighted(0.3), rare()),
        (0..3u32, rare(), rare(), rare(), rare(), adopt),
        (labels(1), labels(2), delivery_state(), delivery_state(), acknowledged, prop::bool::ANY),
    )
        .prop_map(
            |(
                (timing, overlap_days, retire, prove, acknowledge, unused_for),
                (keep_retired, hold, frozen, windows, other_key, adopt),
                (revoked, dropping, first, second, acknowledged, moved),
            )| DeclarationRecipe {
                timing,
                overlap_days,
                retire,
                prove,
                acknowledge,
                unused_for,
                keep_retired,
                hold,
                frozen,
                windows,
                key: if other_key { KeyKind::Rsa3072 } else { KeyKind::Rsa2048 },
                adopt,
                revoked,
                dropping,
                deliveries: [first, second],
                acknowledged,
                moved,
            },
        )
}

fn run() -> impl Strategy<Value = RunRecipe> {
    let current = prop_oneof![
        1 => Just(CurrentRecipe::Nothing),
        6 => (0..4usize).prop_map(CurrentRecipe::Generation),
        1 => select(LABELS.to_vec()).prop_map(CurrentRecipe::Unrecorded),
    ];
    let rare = || prop::bool::weighted(0.1);
    (
        prop::option::weighted(0.2, select(LABELS.to_vec())),
        prop::bool::ANY,
        rare(),
        0..3usize,
        rare(),
        prop::option::weighted(0.15, select(vec![20i64, 60, 200])),
        current,
        prop::bool::ANY,
    )
        .prop_map(
            |(
                replace,
                revoke_previous,
                rollback,
                shape,
                sign_in_impossible,
                policy_days,
                current,
                sibling,
            )| {
                RunRecipe {
                    replace,
                    revoke_previous,
                    rollback,
                    shape,
                    sign_in_impossible,
                    policy_days,
                    current,
                    sibling,
                }
            },
        )
}

/// Any world.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    (prop::collection::vec(generation(), 0..=4), prop::collection::vec(extra(), 0..=5), declaration(), run())
        .prop_map(|(generations, extras, declaration, run)| build(&generations, &extras, &declaration, &run))
}

fn build(
    generations: &[GenerationRecipe],
    extras: &[ExtraRecipe],
    declaration: &DeclarationRecipe,
    run: &RunRecipe,
) -> World {
    let mut world = declare(world(), declaration);
    world = arrange(world, run);
    for (index, recipe) in extras.iter().enumerate() {
        world = world.credential(credential_of(index, recipe));
    }
    // The current one first: the rotation on its way is the one that replaces it.
    for (index, recipe) in generations.iter().enumerate() {
        let is_current = matches!(run.current, CurrentRecipe::Generation(current) if current == index);
        if is_current {
            world = add(world, index, recipe, true, None);
        }
    }
    // A store keeps one generation for each rotation.
    let mut rotation = begun(&world);
    for (index, recipe) in generations.iter().enumerate() {
        let is_current = matches!(run.current, CurrentRecipe::Generation(current) if current == index);
        if !is_current {
            let rotation = if recipe.this_rotation { rotation.take() } else { None };
            world = add(world, index, recipe, false, rotation);
        }
    }
    if let CurrentRecipe::Unrecorded(label) = run.current {
        let known = world.holding_mut().generation(&sha256(label)).is_some();
        world.holding_mut().current = Some(match known {
            true => Current::Recorded(sha256(label)),
            false => Current::Unrecorded { thumbprints: Some(thumbprints(label)) },
        });
    }
    if run.sibling { with_sibling(world) } else { world }
}

/// Another certificate on the same application, in the middle of its life.
fn with_sibling(world: World) -> World {
    let (start, end) = former("m0", "2027-02-01").life();
    let mut world = world.credential(ours("mail", "m0", application(OBJECT), start, end));
    let own = declared("contoso/mail", OBJECT);
    let its = super::observed::world()
        .with(current("m0", "2027-02-01").named("mail"))
        .record("m0", |record| record.subject = own.subject.clone());
    let store = its.observed.stores[&address(ADDRESS)].clone();
    world = world.with_certificate("contoso/mail", OBJECT);
    world.observed.stores.insert(own.address, store);
    world
}

fn begun(world: &World) -> Option<RotationId> {
    let plan = plan_of(world);
    let steps = plan.certificates.iter().flat_map(|certificate| &certificate.steps);
    let mut ids = steps.filter_map(|planned| match &planned.step {
        Step::Issue { generation, .. } | Step::Request { generation, .. } => generation.rotation_id,
        _ => None,
    });
    ids.next()
}

fn declare(world: World, recipe: &DeclarationRecipe) -> World {
    let mut world = world.declare(|declared| {
        declared.timing = recipe.timing.clone();
        declared.overlap = certroll::period::Period::days(recipe.overlap_days);
        declared.retire = recipe.retire;
        declared.prove = recipe.prove;
        declared.acknowledge = recipe.acknowledge;
        declared.unused_for = recipe.unused_for.then(|| period("30d"));
        declared.keep_retired = recipe.keep_retired;
        declared.hold = hold("2027-03-31").filter(|_| recipe.hold);
        declared.freeze = recipe.frozen.then(|| freeze("2027-02-25", "2027-03-10")).into_iter().collect();
        declared.windows = recipe.windows.then(tuesdays).into_iter().collect();
        declared.key = recipe.key;
        declared.adopt = recipe.adopt.iter().map(|(label, elsewhere)| adopt(label, *elsewhere)).collect();
        declared.revoked = recipe.revoked.iter().map(|label| thumbprint(label)).collect();
        declared.drop_expired_foreign = recipe.dropping.iter().map(|label| random_key_id(label)).collect();
    });
    for (slot, state) in SLOTS.iter().zip(&recipe.deliveries) {
        if state.is_some() {
            world = world.delivery(slot, state.clone());
        }
    }
    for (label, days_ago) in &recipe.acknowledged {
        let moment = (at(NOW) - days(*days_ago)).to_string();
        world = world.acknowledged(ADDRESS, label, &moment);
    }
    if recipe.moved { world.moved("contoso/former", ADDRESS) } else { world }
}

fn tuesdays() -> certroll::desired::Window {
    certroll::desired::Window {
        days: vec![Weekday::Tuesday],
        from: time(2, 0, 0, 0),
        to: time(5, 0, 0, 0),
        zone: "Europe/London".into(),
    }
}

fn arrange(world: World, recipe: &RunRecipe) -> World {
    let max = recipe.policy_days;
    world
        .shape([POINTER, TWO_SLOT, APPEND_IS_LIVE][recipe.shape])
        .run(|policy| {
            policy.revoke_previous = recipe.revoke_previous;
            policy.replace.extend(recipe.replace.map(|label| (address(ADDRESS), thumbprint(label))));
            policy.rollback.extend(recipe.rollback.then(|| address(ADDRESS)));
        })
        .target(|target| {
            target.sign_in_impossible = recipe.sign_in_impossible.then(|| "it is disabled".into());
            target.lifetime_policy =
                max.map(|days| LifetimePolicy { policy_id: "restrict".into(), max_seconds: days * 86_400 });
        })
}

fn add(
    world: World,
    index: usize,
    recipe: &GenerationRecipe,
    is_current: bool,
    rotation: Option<RotationId>,
) -> World {
    let label = LABELS[index];
    // Generations of one certificate are never requested in the same second.
    let made = at(NOW) - days(recipe.age_days) - hours(1 + index as i64);
    let mut generation = former(label, &made.to_string())
        .valid_for(&format!("{}d", recipe.validity_days))
        .key(recipe.key)
        .named(recipe.name)
        .unpublished();
    if is_current {
        generation = generation.current();
    }
    generation = match recipe.promoted_after_days {
        Some(later) => generation.promoted(&(made + days(later)).min(at(NOW)).to_string()),
        None => generation.promotion_unknown(),
    };
    // What consumers read has a certificate, and what was promoted is not on its way.
    let on_its_way = matches!(recipe.phase, RecordedPhase::Requested | RecordedPhase::Staged);
    match is_current {
        true => generation = generation.key(KeyState::Held),
        false if on_its_way => generation = generation.promotion_unknown().phase(recipe.phase),
        false => generation = generation.phase(recipe.phase),
    }
    if recipe.rejected {
        generation = generation.rejected();
    }
    if recipe.age_days % 3 == 0 {
        generation = generation.proof_unknown();
    }
    // What is adopted is in use: it has no phases before that.
    if recipe.adopted && (is_current || !on_its_way) {
        generation = generation.adopted();
    } else if let Some(rotation) = rotation {
        generation = generation.by(rotation);
    }
    for (slot, delivered) in SLOTS.iter().zip(&recipe.delivered) {
        if let Some((later, marker)) = delivered {
            let moment = (made + days(*later)).min(at(NOW)).to_string();
            generation = generation.delivered(slot, &moment, marker);
        }
    }
    let (start, end) = generation.life();
    let own = ours(recipe.name, label, application(OBJECT), start, end);
    let another = Credential {
        key_id: Some(random_key_id(label)),
        display_name: Some("CN=somebody".into()),
        ..own.clone()
    };
    let requested = !is_current && recipe.phase == RecordedPhase::Requested;
    let world = world.with(generation);
    match recipe.published {
        _ if requested => world,
        Published::No => world,
        Published::Ours => world.credential(own),
        Published::UnderAnotherId => world.credential(another),
        Published::Twice => world.credential(another).credential(own),
    }
}

fn credential_of(index: usize, recipe: &ExtraRecipe) -> Credential {
    // The file does not speak of what another certificate has.
    let label = match recipe.kind {
        Extra::Sibling => ["s0", "s1", "s2", "s3", "s4"][index],
        _ => LABELS[4 + index],
    };
    let made = at(NOW) - days(recipe.age_days);
    let generation = former(label, &made.to_string()).valid_for(&format!("{}d", recipe.validity_days));
    let (start, end) = generation.life();
    let own = |name| ours(name, label, application(OBJECT), start, end);
    let theirs = Credential { start: Some(start), end: Some(end), ..foreign(label, &made.to_string()) };
    let credential = match recipe.kind {
        Extra::Orphan => own("backup"),
        Extra::OrphanOfFormerName => own("former"),
        Extra::Foreign => theirs,
        Extra::Claimed => Credential { key_id: Some(random_key_id(label)), ..own("backup") },
        Extra::Saml => reserved(theirs, Reserved::SamlSigning),
        Extra::Encryption => reserved(own("backup"), Reserved::TokenEncryption),
        Extra::Sibling => own("mail"),
        Extra::Undeclared => own("stranger"),
        Extra::OtherOwner => {
            Credential { display_name: Some("certroll:other-team/backup · x".into()), ..own("backup") }
        }
        Extra::WithoutKeyId => Credential { key_id: None, ..own("backup") },
        Extra::Opaque => Credential { identifier: Identifier::Opaque("AA==".into()), ..own("backup") },
    };
    if recipe.endless { Credential { end: None, ..credential } } else { credential }
}

/// The same world, read in another order.
pub(crate) fn shuffled(world: &World, by: usize) -> World {
    fn turn<T>(list: &mut [T], by: usize) {
        if !list.is_empty() {
            let by = by % list.len();
            list.rotate_left(by);
            if by % 2 == 1 {
                list.reverse();
            }
        }
    }
    let mut world = world.clone();
    turn(&mut world.desired.acknowledgements, by);
    turn(&mut world.desired.moved, by);
    turn(&mut world.target_mut().credentials, by);
    for state in &mut world.tenant_mut().removed {
        let TargetState::Found(target) = state else { continue };
        turn(&mut target.credentials, by);
    }
    if let StoreState::Known(holding) = &mut world.store_mut().state {
        turn(&mut holding.generations, by);
    }
    world
}
