//! One certificate: what it inherits, what it names, and whether all of it holds together.

use jiff::civil::Weekday;

use super::super::collect::File;
use super::super::grammar::{self, Selector};
use super::super::tree::NodeRef;
use super::super::written::{Item, WrittenCertificate, WrittenDefaults};
use super::{Resolver, consumer, delivery, issuer, named, placeholder, store, tenant, timing, vault_signs};
use crate::certificate::{KeyKind, SignatureHash};
use crate::consumer::Acknowledge;
use crate::desired::{
    Cloud, Declared, Delivery, Freeze, Hold, Issuer, Prove, SelectBy, StoreBinding, TargetSelector, Timing,
    Window,
};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::ids::{Address, DISPLAY_NAME_MAX_BYTES, Marker, Name, TargetKind};
use crate::period::Period;
use crate::subject::Subject;

/// Keys that mean something only where certroll makes the key.
const NEED_A_KEY_HERE: [&str; 10] = [
    "key",
    "signature_hash",
    "subject",
    "validity",
    "rotation_period",
    "renew_before",
    "spread",
    "store",
    "deliver",
    "keep_retired",
];

/// A certificate as written, with what it inherits and where everything stands.
pub(super) struct Scope<'a, 'w> {
    name: &'w Name,
    written: &'w WrittenCertificate<'a>,
    item: &'w Item<'a, grammar::Certificate>,
    defaults: Option<&'w Item<'a, grammar::Defaults>>,
    /// Own values, and inherited ones where there is no own.
    pub(super) value: grammar::Certificate,
}

impl<'a, 'w> Scope<'a, 'w> {
    pub(super) fn new(written: &'w WrittenCertificate<'a>) -> Scope<'a, 'w> {
        let defaults = written.defaults.as_deref().map(|defaults| &defaults.item);
        let mut value = written.item.value.clone();
        if let Some(defaults) = defaults {
            value.inherit(&defaults.value);
        }
        Scope { name: &written.name, written, item: &written.item, defaults, value }
    }

    /// Whether a mistake in the key, here or where it is inherited from, was already reported.
    pub(super) fn is_broken(&self, key: &str) -> bool {
        let inherited = self.written.defaults.as_ref().filter(|_| !self.is_explicit(key));
        self.written.broken.contains(key) || inherited.is_some_and(|defaults| defaults.broken.contains(key))
    }

    pub(super) fn is_explicit(&self, key: &str) -> bool {
        self.item.node.entry(key).is_some()
    }

    /// Where a key's value stands: here, in the defaults, or nowhere.
    fn site(&self, key: &str) -> Option<(&'a File, NodeRef<'a>)> {
        let inherited = || self.defaults.and_then(|defaults| Some((defaults.file, defaults.node.get(key)?)));
        self.item.node.get(key).map(|node| (self.item.file, node)).or_else(inherited)
    }

    /// The place of a key's value: here, in the defaults, or the certificate's name.
    pub(super) fn place(&self, path: &[&str]) -> Place {
        let key = path.first().copied().unwrap_or_default();
        match self.defaults {
            Some(defaults) if !self.is_explicit(key) && defaults.node.entry(key).is_some() => {
                defaults.place_of(path)
            }
            _ => self.item.place_of(path),
        }
    }
}

/// The tenant a certificate belongs to.
pub(super) fn tenant(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>) -> Option<Name> {
    if scope.is_broken("tenant") {
        return None;
    }
    let tenants = &resolver.written.tenants;
    if let Some(name) = &scope.value.tenant {
        let declared = tenants.items.contains_key(name) || tenants.broken.contains(name);
        resolver.refer("tenant", tenants, name, || scope.place(&["tenant"]));
        return declared.then(|| name.clone());
    }
    let mut names = tenants.names();
    match (names.next(), names.next()) {
        (Some(only), None) => Some(only.clone()),
        // That no tenant is declared at all is said once, at the top.
        (None, _) => None,
        (Some(_), Some(_)) => {
            let names: Vec<&str> = tenants.names().map(Name::as_str).collect();
            let help = format!("write `tenant:` with one of {}", names.join(", "));
            let message = format!("certificate `{}` needs a `tenant`: several are declared", scope.name);
            resolver.error(Code::MissingKey, scope.item.place(), message).help.push(help);
            None
        }
    }
}

impl Resolver<'_> {
    pub(super) fn is_emulated(&self, tenant: &Name) -> bool {
        self.tenants.get(tenant).is_some_and(|tenant| tenant.cloud == Cloud::Emulator)
    }
}

/// What a certificate means, every mistake reported. `None` when that could not be worked out.
pub(super) fn meaning<'a>(
    resolver: &mut Resolver<'a>,
    scope: &Scope<'a, '_>,
    address: Option<&Address>,
) -> Option<Declared> {
    let value = &scope.value;
    let tenant = address.map(|address| &address.tenant);
    let emulated = tenant.is_some_and(|tenant| resolver.is_emulated(tenant));
    let target = target(resolver, scope, emulated);
    let issuer =
        issuer::choose(resolver, value.issuer.as_ref(), scope.site("issuer"), || scope.place(&["issuer"]));
    let consumer = consumer::find(resolver, scope);
    let description = description(resolver, scope, issuer.as_ref());
    let windows = windows(resolver, scope);
    let mut freeze = tenant::freezes(resolver, &value.freeze, |keys| scope.place(keys));
    freeze
        .extend(tenant.and_then(|tenant| resolver.tenant_freezes.get(tenant)).into_iter().flatten().cloned());
    let lead =
        |period: &Option<Period>, default: u16| period.clone().unwrap_or_else(|| Period::days(default));
    let (warn_before, alert_before) = (lead(&value.warn_before, 30), lead(&value.alert_before, 14));
    thresholds(resolver, scope, &warn_before, &alert_before);
    let adopt = named::thumbprints(resolver, scope, address, target.as_ref());
    let issuer = issuer?;
    let here = issuer.makes_keys_here();
    if !here {
        refuse_explicit(resolver, scope, &issuer);
    }
    let times = times(scope);
    if here {
        timing(resolver, scope, &times);
    }
    let store = if here { binding(resolver, scope) } else { None };
    let deliveries = if here { deliveries(resolver, scope) } else { Vec::new() };
    if let Some(store) = &store {
        stays_in_the_vault(resolver, scope, &issuer, store);
    }
    let issuer = match &store {
        Some(store) => vault_signs::check(resolver, scope, issuer, store),
        None => issuer,
    };
    if value.unused_for.is_some() {
        let message =
            "no usage reports are read in this version, so whether a predecessor was used is not known";
        let warning = resolver.warning(Code::Advice, scope.place(&["unused_for"]), message);
        warning.help.push("with `unused_for` it is kept until somebody acknowledges its successor".into());
    }
    if let (Some(entry), Some(store)) = (&consumer, &store) {
        let forms = std::iter::once(&store.form).chain(deliveries.iter().map(|delivery| &delivery.form));
        consumer::warn_unless_one_fits(resolver, scope, entry, forms.map(|form| form.format));
    }
    let says = consumer.as_ref().map(|entry| entry.acknowledge);
    let acknowledge = value.acknowledge.or(says) == Some(Acknowledge::Required);
    Some(Declared {
        address: address?.clone(),
        target: target?,
        consumer: value.consumer.as_ref().zip(consumer).map(|(name, entry)| consumer::meaning(name, entry)),
        description,
        key: value.key.unwrap_or(KeyKind::Rsa2048),
        signature_hash: value.signature_hash.unwrap_or(SignatureHash::Sha256),
        subject: subject(scope)?,
        validity: times.validity,
        timing: times.timing,
        overlap: times.overlap,
        spread: times.spread,
        windows,
        freeze: sorted(freeze),
        store,
        deliveries,
        retire: value.retire.unwrap_or_default(),
        unused_for: value.unused_for.clone(),
        keep_retired: value.keep_retired.unwrap_or(1),
        prove: if here { value.prove.unwrap_or_default() } else { Prove::ReadBack },
        issuer,
        acknowledge,
        warn_before,
        alert_before,
        adopt,
        revoked: value.revoked.iter().flatten().copied().collect(),
        hold: value.hold.as_ref().map(|hold| Hold { until: hold.until.0, reason: hold.reason.clone() }),
        drop_expired_foreign: value.drop_expired_foreign.iter().flatten().copied().collect(),
        ignore: tenant::ignores(&value.ignore),
        labels: value.labels.clone().unwrap_or_default(),
        origin: scope.item.origin(),
    })
}

fn sorted(mut freezes: Vec<Freeze>) -> Vec<Freeze> {
    freezes.sort_by(|a, b| (a.from, a.to, &a.reason).cmp(&(b.from, b.to, &b.reason)));
    freezes
}

fn target(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>, emulated: bool) -> Option<TargetSelector> {
    let (kind, written, key) = match (&scope.value.application, &scope.value.service_principal) {
        (Some(selector), None) => (TargetKind::Application, selector, "application"),
        (None, Some(selector)) => (TargetKind::ServicePrincipal, selector, "service_principal"),
        (Some(_), Some(_)) => {
            let place = scope.place(&["service_principal"]);
            let message = "`application` and `service_principal` exclude each other";
            let error = Diagnostic::error(Code::Conflict, place, message);
            resolver.found.push(error.label(scope.place(&["application"]), "the other"));
            return None;
        }
        (None, None) if scope.is_broken("application") || scope.is_broken("service_principal") => {
            return None;
        }
        (None, None) => {
            let message = format!("certificate `{}` needs `application` or `service_principal`", scope.name);
            let error = resolver.error(Code::MissingKey, scope.item.place(), message);
            error.help.push("write `application: { app_id: … }`".into());
            return None;
        }
    };
    let place = || selector_place(scope.item.file, scope.item.node.get(key).unwrap_or(scope.item.key));
    self::selector(resolver, kind, written, emulated, &place)
}

/// The place of a selector's one value.
pub(super) fn selector_place(file: &File, node: NodeRef<'_>) -> Place {
    let value = node.entries().next().map_or(node, |(_, value)| value);
    file.source.place(value.span())
}

/// How a target is found. Placeholder ids are refused, display names warned about.
pub(super) fn selector(
    resolver: &mut Resolver<'_>,
    kind: TargetKind,
    written: &Selector,
    emulated: bool,
    place: &dyn Fn() -> Place,
) -> Option<TargetSelector> {
    let by = match written {
        Selector::AppId(id) => SelectBy::AppId(id.0),
        Selector::ObjectId(id) => SelectBy::ObjectId(id.0),
        Selector::UniqueName(name) => SelectBy::UniqueName(name.clone()),
        Selector::DisplayName(name) => SelectBy::DisplayName(name.clone()),
    };
    if let SelectBy::AppId(id) | SelectBy::ObjectId(id) = &by
        && let Some(problem) = placeholder::id(id, emulated)
    {
        resolver.error(Code::Placeholder, place(), problem);
        return None;
    }
    if matches!(by, SelectBy::DisplayName(_)) {
        let message = "the target is found by its display name, which anybody may change or use again";
        resolver
            .warning(Code::Advice, place(), message)
            .help
            .push("prefer `app_id`, which never changes".into());
    }
    if matches!(by, SelectBy::UniqueName(_)) && kind == TargetKind::ServicePrincipal {
        let message = "a service principal has no unique name";
        resolver.error(Code::NotApplicable, place(), message).help.push("use `app_id` or `object_id`".into());
        return None;
    }
    Some(TargetSelector { kind, by })
}

/// The description, if it fits behind the marker.
fn description(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>, issuer: Option<&Issuer>) -> String {
    let description = scope.value.description.clone().unwrap_or_else(|| scope.name.to_string());
    let publishes = !matches!(issuer, Some(Issuer::ExternalRotator { .. }));
    let Some(owner) = resolver.written.owner.as_ref().filter(|_| publishes) else { return description };
    let marker = Marker { owner: owner.value.clone(), name: scope.name.clone() };
    let room = DISPLAY_NAME_MAX_BYTES.saturating_sub(marker.display_name("").len());
    if description.len() > room {
        let message = format!(
            "the description has {} bytes; the marker `{}` leaves room for {room}",
            description.len(),
            marker.display_name("").trim_end(),
        );
        let error = resolver.error(Code::WrongValue, scope.place(&["description"]), message);
        error
            .help
            .push(format!("Entra keeps {DISPLAY_NAME_MAX_BYTES} characters of a credential's display name"));
    }
    description
}

/// The subject in its one spelling.
fn subject(scope: &Scope<'_, '_>) -> Option<String> {
    match &scope.value.subject {
        Some(subject) => Some(subject.0.to_string()),
        // A name is letters, digits and hyphens: always a common name.
        None => format!("CN={}", scope.name).parse::<Subject>().ok().map(|subject| subject.to_string()),
    }
}

struct Times {
    validity: Period,
    timing: Timing,
    overlap: Period,
    spread: Period,
}

fn times(scope: &Scope<'_, '_>) -> Times {
    let value = &scope.value;
    let timing = match (&value.rotation_period, &value.renew_before) {
        (_, Some(lead)) => Timing::RenewBefore(lead.0.clone()),
        (Some(period), None) => Timing::RotationPeriod(period.clone()),
        (None, None) => Timing::RotationPeriod(Period::days(180)),
    };
    Times {
        validity: value.validity.clone().unwrap_or_else(|| Period::years(1)),
        timing,
        overlap: value.overlap.clone().unwrap_or_else(|| Period::days(14)),
        spread: value.spread.clone().unwrap_or_else(|| Period::days(0)),
    }
}

/// Defaults that no certificate could inherit as they are.
pub(super) fn check_defaults(resolver: &mut Resolver<'_>, defaults: &WrittenDefaults<'_>) {
    let item = &defaults.item;
    if item.value.rotation_period.is_some() && item.value.renew_before.is_some() {
        both_timing_forms(resolver, |key| item.place_of(&[key]));
    }
}

fn both_timing_forms(resolver: &mut Resolver<'_>, place: impl Fn(&str) -> Place) {
    let message = "`rotation_period` and `renew_before` exclude each other";
    let error = Diagnostic::error(Code::Conflict, place("renew_before"), message);
    resolver.found.push(error.label(place("rotation_period"), "the other"));
}

fn timing(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>, times: &Times) {
    if ["validity", "rotation_period", "renew_before", "overlap", "spread"]
        .iter()
        .any(|key| scope.is_broken(key))
    {
        return;
    }
    if scope.value.rotation_period.is_some() && scope.value.renew_before.is_some() {
        return both_timing_forms(resolver, |key| scope.place(&[key]));
    }
    let Times { validity, timing, overlap, spread } = times;
    let texts = format!("{validity} {timing:?} {overlap} {spread}");
    let check = || timing::check(&timing::Periods { validity, timing, overlap, spread });
    for finding in resolver.timings.entry(texts).or_insert_with(check).clone() {
        // What the certificate says itself is the likelier mistake than what it inherits.
        let own = finding.keys.iter().find(|key| scope.is_explicit(key));
        let main = own.or_else(|| finding.keys.iter().find(|key| scope.site(key).is_some()));
        let main = main.copied().unwrap_or_default();
        let mut diagnostic = match finding.severity {
            crate::diagnostic::Severity::Error => {
                Diagnostic::error(finding.code, scope.place(&[main]), finding.message)
            }
            crate::diagnostic::Severity::Warning => {
                Diagnostic::warning(finding.code, scope.place(&[main]), finding.message)
            }
        };
        for key in finding.keys.iter().filter(|key| **key != main && scope.site(key).is_some()) {
            diagnostic = diagnostic.label(scope.place(&[key]), format!("`{key}` is set here"));
        }
        resolver.found.push(diagnostic.help(finding.help));
    }
}

fn thresholds(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>, warn: &Period, alert: &Period) {
    let given = scope.site("warn_before").is_some() || scope.site("alert_before").is_some();
    if given && !alert.never_longer_than(warn) {
        let key = if scope.is_explicit("warn_before") { "warn_before" } else { "alert_before" };
        let message =
            format!("alert_before {alert} is longer than warn_before {warn}: the alert comes first");
        resolver.warning(Code::Timing, scope.place(&[key]), message);
    }
}

/// Keys a certificate sets itself although its issuer leaves nothing for them to do.
fn refuse_explicit(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>, issuer: &Issuer) {
    let rotator = matches!(issuer, Issuer::ExternalRotator { .. });
    let reads_back = scope.value.prove == Some(Prove::ReadBack);
    let and = [("prove", !reads_back), ("description", rotator)];
    let and = and.into_iter().filter(|(_, applies)| *applies).map(|(key, _)| key);
    for key in NEED_A_KEY_HERE.into_iter().chain(and).filter(|key| scope.is_explicit(key)) {
        let message = format!("`{key}` does not apply to issuer kind {}", issuer.as_str());
        let error = resolver.error(Code::NotApplicable, scope.place(&[key]), message);
        error.help.push("the private key is not made or kept here".into());
    }
}

fn binding(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>) -> Option<StoreBinding> {
    if scope.is_broken("store") {
        return None;
    }
    let Some(choice) = &scope.value.store else {
        let message = format!("certificate `{}` needs a `store` for its private key", scope.name);
        let stores: Vec<&str> = resolver.written.stores.names().map(Name::as_str).collect();
        let help = match stores.as_slice() {
            [] => "declare one: `stores: { keys: { kind: file, directory: secrets } }`".to_owned(),
            some => format!("write `store: {}`, or put it under `defaults`", some[0]),
        };
        resolver.error(Code::MissingKey, scope.item.place(), message).help.push(help);
        return None;
    };
    let at = store::At {
        certificate: scope.name,
        whole: &|| scope.place(&["store"]),
        part: &|key| scope.place(&["store", key]),
    };
    store::bind(resolver, choice, &at)
}

fn deliveries(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>) -> Vec<Delivery> {
    let written = scope.written.deliveries.iter();
    written
        .filter_map(|item| {
            let site = delivery::Site { file: item.file, node: item.node, certificate: scope.name };
            delivery::resolve(resolver, &item.value, &site)
        })
        .collect()
}

/// A key that never leaves its vault can be delivered nowhere, and what it signs is live before it is proven.
fn stays_in_the_vault(
    resolver: &mut Resolver<'_>,
    scope: &Scope<'_, '_>,
    issuer: &Issuer,
    store: &StoreBinding,
) {
    if store.options.exportable != Some(false) {
        return;
    }
    let exportable = || scope.place(&["store", "exportable"]);
    if scope.is_explicit("deliver") {
        let message = "a key that is not exportable cannot be delivered";
        let error = Diagnostic::error(Code::Conflict, scope.place(&["deliver"]), message);
        resolver.found.push(error.label(exportable(), "the key stays in the vault"));
    }
    if scope.value.prove != Some(Prove::AfterPromotion) && !scope.is_broken("prove") {
        let message = "a key that is not exportable is live before it can be proven; the file must say so";
        resolver
            .error(Code::Conflict, exportable(), message)
            .help
            .push("write `prove: after_promotion`".into());
    }
    if *issuer == Issuer::SelfSigned {
        let message = "Key Vault does not sign a request with the requested key itself";
        let error = resolver.error(Code::Conflict, exportable(), message);
        error.help.push("name an `issuer` that signs requests: `vault_pki`, `ca_file` or `csr`".into());
    }
}

fn windows(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>) -> Vec<Window> {
    let mut windows = Vec::new();
    for written in scope.value.windows.iter().flatten() {
        if written.from == written.to {
            let message = format!("a window from {0} to {0} is empty", written.from.0.strftime("%H:%M"));
            let error = resolver.error(Code::WrongValue, scope.place(&["windows"]), message);
            error.help.push("for the whole day write 00:00 to 23:59".into());
        }
        let mut days: Vec<Weekday> = written.days.iter().map(|day| weekday(*day)).collect();
        days.sort_by_key(|day| day.to_monday_zero_offset());
        days.dedup();
        windows.push(Window { days, from: written.from.0, to: written.to.0, zone: written.zone.0.clone() });
    }
    windows
}

fn weekday(day: grammar::Weekday) -> Weekday {
    match day {
        grammar::Weekday::Mon => Weekday::Monday,
        grammar::Weekday::Tue => Weekday::Tuesday,
        grammar::Weekday::Wed => Weekday::Wednesday,
        grammar::Weekday::Thu => Weekday::Thursday,
        grammar::Weekday::Fri => Weekday::Friday,
        grammar::Weekday::Sat => Weekday::Saturday,
        grammar::Weekday::Sun => Weekday::Sunday,
    }
}
