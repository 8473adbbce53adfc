//! From the declaration to a plan: what plan, apply, drift, verify and ack have in common. It is guarded and proven for those who carry it
//! out or show it to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::backends::shipped::ShippedReaders;
use crate::cli::args::{Global, Parallelism, Selection};
use crate::cli::connect::{Ground, ground};
use crate::cli::declaration;
use crate::cli::one_directory::refuse_two_names;
use crate::cli::world::World;
use crate::cli::{progress, unread};
use crate::desired::Desired;
use crate::edges::{Trouble, TroubleKind};
use crate::error::{Error, Kind};
use crate::ids::{Address, Name, Thumbprint};
use crate::observe::observe;
use crate::observed::Observed;
use crate::plan::policy::{Pattern, Policy};
use crate::plan::successor::{ADD_HOLD, NEEDS_HOLD};
use crate::plan::{Plan, asked, guard, planner};
use crate::settings::Settings;

/// A plan and everything it was made from.
pub struct Prepared {
    /// The declaration.
    pub desired: Desired,
    /// What was asked for.
    pub policy: Policy,
    /// What the run is connected to.
    pub ground: Ground,
    /// What was read.
    pub observed: Observed,
    /// The plan.
    pub plan: Plan,
    /// What could not be read, as the errors the command ends with beside its result.
    pub unread: Vec<Error>,
}

/// What is to be planned.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Which certificates, and overrides.
    pub selection: &'a Selection,
    /// Requests in flight.
    pub parallelism: Parallelism,
    /// Another moment than the present.
    pub at: Option<Timestamp>,
    /// Whether the tenants must be emulated, or must not be; looking may be at either.
    pub emulator: Option<bool>,
    /// A file the command will write.
    pub written: Option<&'a Path>,
    /// Whether the selection is that of a saved plan: what left the declaration since then is no mistake of the command line.
    pub reviewed: bool,
}

impl<'a> Ask<'a> {
    /// To look at what is selected as it is now.
    pub fn looking(selection: &'a Selection, parallelism: Parallelism) -> Ask<'a> {
        Ask { selection, parallelism, at: None, emulator: None, written: None, reviewed: false }
    }
}

impl Prepared {
    /// Whether the plan may be carried out: no prefix of it could lock somebody out, and it leaves nothing to do.
    pub fn check(&self) -> Result<(), Error> {
        self.check_plan(&self.plan, &self.policy).map_err(|error| unsafe_plan(&error))
    }

    fn check_plan(&self, plan: &Plan, policy: &Policy) -> Result<(), guard::Unsafe> {
        guard::check(plan, &self.desired, &self.observed, policy)?;
        guard::settles(plan, &self.desired, &self.observed, policy)
    }

    /// The plan of the same moment that publishes nothing again, if it may be carried out.
    pub fn without_repairs(&self) -> Option<Plan> {
        let policy = Policy { withholds_repair: true, ..self.policy.clone() };
        let plan = planner::plan(&self.desired, &self.observed, &policy, self.plan.now);
        let plan = Plan { emulator: self.plan.emulator, ..plan };
        self.check_plan(&plan, &policy).is_ok().then_some(plan)
    }
}

/// Looks, and makes sure that the plan may be carried out. Writes nothing.
pub async fn prepare(ask: &Ask<'_>, global: &Global, world: &World) -> Result<Prepared, Error> {
    let prepared = look(ask, global, world).await?;
    prepared.check()?;
    Ok(prepared)
}

/// Reads the declaration and everything it speaks of, and plans. The plan is not checked: who only looks is told of everything else
/// when the plan of one certificate is at fault. Writes nothing.
pub async fn look(ask: &Ask<'_>, global: &Global, world: &World) -> Result<Prepared, Error> {
    let Ask { selection, parallelism, at, emulator, written, reviewed } = *ask;
    let desired = declaration::declared(global, world, written)?;
    let policy = policy(selection, &desired, global)?;
    let (addresses, tenants) = chosen(&desired, &policy, reviewed)?;
    let ground = ground(&desired, &tenants, parallelism.parallelism, emulator, global, world).await?;
    if !ground.in_process {
        progress::note(&reading(&tenants), global, world);
    }
    let readers = ShippedReaders::new(&ground.connections);
    let only = (!policy.only.is_empty()).then_some(&addresses);
    let observation = observe(&desired, &readers, only, &ground.slots).await;
    refuse_two_names(&desired, &observation)?;
    let mut unread = unread::errors(&desired, &observation, &policy);
    // When no tenant at all could be read, a plan would only say *blocked* for each certificate: the trouble itself is the answer.
    if !tenants.is_empty() && tenants.iter().all(|tenant| observation.troubles.contains_key(tenant)) {
        let last = unread.pop();
        unread::tell(&unread, global, world);
        return Err(last.unwrap_or_else(|| Error::new(Kind::Internal, "reading the tenants")));
    }
    let observed = observation.observed;
    refuse_unknown(&policy, &desired, &observed)?;
    warn_of_clocks(&observed, &policy.settings);
    let real_now = ground.clock.now();
    let now = at.unwrap_or(real_now);
    let policy = Policy { other_time: at.is_some() && !ground.emulator, ..policy };
    let mut plan = planner::plan(&desired, &observed, &policy, now);
    plan.emulator = ground.emulator;
    Ok(Prepared { desired, policy, ground, observed, plan, unread })
}

fn reading(tenants: &BTreeSet<Name>) -> String {
    let names: Vec<&str> = tenants.iter().map(Name::as_str).collect();
    match names.as_slice() {
        [] => "Reading the stores …".to_owned(),
        [one] => format!("Reading tenant {one} …"),
        several => format!("Reading tenants {} …", several.join(", ")),
    }
}

fn unsafe_plan(error: &guard::Unsafe) -> Error {
    Error::new(Kind::Refused, "checking the plan before anything is done").caused_by(error)
}

/// What the flags ask for, checked against the declaration.
pub fn policy(selection: &Selection, desired: &Desired, global: &Global) -> Result<Policy, Error> {
    let Selection { only, replace, revoke_previous, rollback, max_issue, max_retire } = selection;
    refuse_contradictions(selection)?;
    for (address, doing) in replace
        .iter()
        .map(|(address, _)| (address, "replacing"))
        .chain(rollback.iter().map(|a| (a, "rolling back")))
    {
        let declared = desired.certificates.get(address).ok_or_else(|| not_declared(address, desired))?;
        if !only.is_empty() && !only.iter().any(|pattern| pattern.matches(declared)) {
            return Err(Error::new(Kind::Usage, format!("{doing} {address}"))
                .because("--only leaves it out")
                .hint(format!("add --only {address}, or leave --only out")));
        }
        if !declared.key_lives_here() {
            return Err(Error::new(Kind::Refused, format!("{doing} {address}"))
                .because("its key is made and kept by somebody else, who alone can make another one"));
        }
        if doing == "rolling back" && declared.hold.is_none() {
            return Err(Error::new(Kind::Refused, format!("rolling back {address}"))
                .because(NEEDS_HOLD)
                .hint(ADD_HOLD));
        }
    }
    let settings = settings(global)?;
    refuse_backdate(settings.backdate, desired)?;
    Ok(Policy {
        only: only.clone(),
        replace: replace.iter().cloned().collect(),
        revoke_previous: *revoke_previous,
        rollback: rollback.iter().cloned().collect(),
        max_issue: *max_issue,
        max_retire: *max_retire,
        other_time: false,
        withholds_repair: false,
        settings,
    })
}

/// One certificate is asked one thing: two wishes would leave one of them undone.
fn refuse_contradictions(selection: &Selection) -> Result<(), Error> {
    let mut asked: BTreeMap<&Address, &Thumbprint> = BTreeMap::new();
    for (address, thumbprint) in &selection.replace {
        let error = || Error::new(Kind::Usage, format!("replacing {address}"));
        if selection.rollback.contains(address) {
            return Err(error()
                .because("--rollback names it too, and a rollback makes no new generation")
                .hint("leave one of the two out"));
        }
        if asked.insert(address, thumbprint).is_some_and(|other| other != thumbprint) {
            return Err(error().because("--replace names it twice, with two thumbprints").hint(
                "replace the generation that is current; --revoke-previous or revoked: takes off others",
            ));
        }
    }
    Ok(())
}

/// The numbers, with what `--set` changes.
pub fn settings(global: &Global) -> Result<Settings, Error> {
    let mut settings = Settings::default();
    for (name, value) in &global.settings {
        settings
            .set(name, value)
            .map_err(|error| Error::new(Kind::Usage, "reading --set").caused_by(&error))?;
    }
    settings.check().map_err(|error| Error::new(Kind::Usage, "reading --set").caused_by(&error))?;
    Ok(settings)
}

/// Certificates that are backdated further than they are used would be due as soon as they are made. The declaration was checked
/// against the usual number.
fn refuse_backdate(backdate: SignedDuration, desired: &Desired) -> Result<(), Error> {
    let mut declared = desired.certificates.values();
    let due_at_once = declared.find(|declared| declared.timing.is_due_when_made(&declared.spread, backdate));
    due_at_once.map_or(Ok(()), |declared| {
        Err(Error::new(Kind::Usage, "reading --set").because(format!(
            "setting backdate cannot be \"{backdate:#}\": {} would be due as soon as it is made",
            declared.address
        )))
    })
}

/// An address nobody declares, with the nearest that somebody does.
pub fn not_declared(address: &Address, desired: &Desired) -> Error {
    let wanted = address.to_string();
    let nearest = desired
        .certificates
        .keys()
        .map(|known| (strsim::damerau_levenshtein(&wanted, &known.to_string()), known))
        .filter(|(distance, _)| *distance <= wanted.len() / 3)
        .min();
    let error = Error::new(Kind::Input, format!("there is no certificate {address} in the declaration"));
    match nearest {
        Some((_, known)) => error.hint(format!("did you mean {known}?")),
        None => error,
    }
}

/// A pattern of `--only` that selects nothing, so that a slip of the pen in one of several is not taken for *nothing to do*.
fn nothing_selected(pattern: &Pattern, desired: &Desired) -> Error {
    if let Pattern::Address(text) = pattern
        && let Ok(address) = text.parse::<Address>()
    {
        return not_declared(&address, desired);
    }
    Error::new(Kind::Input, format!("nothing in the declaration is selected by --only {pattern}"))
        .hint("an address is tenant/name; globs such as 'contoso/*' need quotes in most shells")
}

/// `--replace` of what nobody knows is a slip of the pen, and no replacement that was made already.
fn refuse_unknown(policy: &Policy, desired: &Desired, observed: &Observed) -> Result<(), Error> {
    let unknown = asked::unknown(&policy.replace, desired, observed);
    let Some((first, _)) = unknown.first() else { return Ok(()) };
    let error = Error::new(Kind::Input, format!("replacing {first}"));
    let error = unknown.iter().fold(error, |error, (address, thumbprint)| {
        error.because(format!(
            "{thumbprint} is no credential of {address}'s object, and its store remembers none of that name"
        ))
    });
    Err(error.hint("certroll drift names the thumbprints that are live; an earlier run may have replaced and retired it already"))
}

/// The addresses the run is about, and their tenants.
pub fn chosen(
    desired: &Desired,
    policy: &Policy,
    reviewed: bool,
) -> Result<(BTreeSet<Address>, BTreeSet<Name>), Error> {
    let declared = desired.certificates.values().filter(|declared| policy.selects(declared));
    let removed = desired.removed.iter().filter(|removed| policy.selects_removed(&removed.address));
    let addresses: BTreeSet<Address> = declared
        .map(|declared| declared.address.clone())
        .chain(removed.map(|removed| removed.address.clone()))
        .collect();
    let selects_nothing = |pattern: &&Pattern| {
        !desired.certificates.values().any(|declared| pattern.matches(declared))
            && !desired.removed.iter().any(|removed| pattern.matches_address(&removed.address))
    };
    let without_match = policy.only.iter().find(selects_nothing);
    if let Some(pattern) = without_match.filter(|_| addresses.is_empty() || !reviewed) {
        return Err(nothing_selected(pattern, desired));
    }
    let tenants = addresses.iter().map(|address| address.tenant.clone()).collect();
    Ok((addresses, tenants))
}

/// A trouble as the error a command ends with.
pub fn of_trouble(trouble: &Trouble, doing: &str) -> Error {
    let kind = match trouble.kind {
        TroubleKind::Network => Kind::Network,
        TroubleKind::Authentication => Kind::Authentication,
        TroubleKind::Authorisation => Kind::Authorisation,
        TroubleKind::Throttled => Kind::Throttled,
        TroubleKind::Internal => Kind::Internal,
        TroubleKind::NotYet
        | TroubleKind::Missing
        | TroubleKind::Conflict
        | TroubleKind::EndDate
        | TroubleKind::StaleEntry
        | TroubleKind::Refused
        | TroubleKind::Unavailable
        | TroubleKind::Invalid
        | TroubleKind::Unsupported => Kind::Service,
    };
    Error::new(kind, doing).because(trouble).hint(trouble.to_try())
}

/// A difference that does not refuse the plan yet.
fn warn_of_clocks(observed: &Observed, settings: &Settings) {
    for (name, tenant) in &observed.tenants {
        if let Some(skew) = tenant.clock_skew.filter(|skew| skew.abs() > settings.skew_warn) {
            let seconds = skew.abs().as_secs();
            tracing::warn!(
                "the clock of this machine and of the service of tenant {name} differ by {seconds} s"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Ending;

    #[test]
    fn a_plan_that_the_guard_refuses_ends_with_4() {
        let unsafe_plan = unsafe_plan(&guard::Unsafe {
            address: "contoso/backup".parse().unwrap(),
            step: 3,
            rule: "promoted before it is proven",
        });
        assert_eq!(crate::cli::ending_of(unsafe_plan.kind), Ending::Refused);
        assert_eq!(Ending::Refused.code(), 4);
        assert!(unsafe_plan.causes.concat().contains("unsafe at step 3: promoted before it is proven"));
    }
}
