//! Everything the emulator remembers, as plain values, and what has changed since it was last saved.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::clock::Clock;
use crate::emulator::faults::Faults;
use crate::emulator::ids;
use crate::emulator::settings::Settings;
use crate::emulator::shapes;

/// The two kinds of directory object that carry credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An application (registration).
    Application,
    /// A service principal (an application's identity in one tenant).
    ServicePrincipal,
}

impl Kind {
    /// The name of the collection in URLs.
    pub(crate) fn collection(self) -> &'static str {
        match self {
            Kind::Application => "applications",
            Kind::ServicePrincipal => "servicePrincipals",
        }
    }

    /// The name of the type in OData.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Kind::Application => "application",
            Kind::ServicePrincipal => "servicePrincipal",
        }
    }
}

/// A certificate entry. `entry` is what a read shows with `key` null, text for text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyCredential {
    pub(crate) entry: Map<String, Value>,
    /// The certificate in base64.
    pub(crate) key: Option<String>,
    /// When it was added: what propagation counts from.
    pub(crate) added: Timestamp,
}

/// A client secret entry; `entry` is what a read shows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PasswordCredential {
    pub(crate) entry: Map<String, Value>,
    pub(crate) secret: String,
    pub(crate) added: Timestamp,
}

/// A certificate that was removed; front ends may go on accepting it for a while.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Removed {
    pub(crate) credential: KeyCredential,
    pub(crate) at: Timestamp,
}

/// An application or a service principal.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) id: Uuid,
    pub(crate) app_id: Uuid,
    pub(crate) kind: Kind,
    /// The properties that differ from what they begin with, credentials apart.
    pub(crate) properties: Map<String, Value>,
    pub(crate) keys: Vec<KeyCredential>,
    pub(crate) passwords: Vec<PasswordCredential>,
    /// Federated identity credentials as they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) federated: Vec<Value>,
    /// Object ids of the service principals that own it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) owners: BTreeSet<Uuid>,
    /// The app management policies assigned to it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) policies: BTreeSet<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<Removed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<Timestamp>,
}

impl Object {
    /// A property that is no credential, whether it was ever set or not.
    pub(crate) fn value(&self, property: &str) -> Option<&Value> {
        self.properties.get(property).or_else(|| shapes::defaults(self.kind).get(property))
    }

    pub(crate) fn text(&self, property: &str) -> Option<&str> {
        self.value(property).and_then(Value::as_str)
    }

    pub(crate) fn flag(&self, property: &str) -> Option<bool> {
        self.value(property).and_then(Value::as_bool)
    }
}

impl KeyCredential {
    pub(crate) fn text(&self, property: &str) -> Option<&str> {
        self.entry.get(property).and_then(Value::as_str)
    }

    pub(crate) fn key_id(&self) -> Option<Uuid> {
        self.text("keyId").and_then(|id| id.parse().ok())
    }

    pub(crate) fn time(&self, property: &str) -> Option<Timestamp> {
        self.text(property).and_then(|at| at.parse().ok())
    }
}

impl PasswordCredential {
    pub(crate) fn key_id(&self) -> Option<Uuid> {
        self.entry.get("keyId").and_then(Value::as_str).and_then(|id| id.parse().ok())
    }

    pub(crate) fn time(&self, property: &str) -> Option<Timestamp> {
        self.entry.get(property).and_then(Value::as_str).and_then(|at| at.parse().ok())
    }
}

/// The tool's own identity in a tenant.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredOperator {
    pub(crate) client_id: Uuid,
    pub(crate) secret: String,
}

/// What a tenant holds beside its objects.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TenantFacts {
    pub(crate) id: Uuid,
    pub(crate) domain: Option<String>,
    /// The tenant's default app management policy, as it is read.
    pub(crate) default_policy: Value,
    /// Assigned app management policies by id, as they are read.
    pub(crate) policies: BTreeMap<Uuid, Value>,
    /// Foreign token issuers whose keys are known: issuer to RSA public keys (PKCS#1 DER, base64).
    pub(crate) issuers: BTreeMap<String, Vec<String>>,
    /// A Conditional Access policy blocks every workload sign-in.
    pub(crate) conditional_access: bool,
    pub(crate) operator: Option<StoredOperator>,
    /// App-only permissions by client id.
    pub(crate) grants: BTreeMap<Uuid, BTreeSet<String>>,
}

/// One directory.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) facts: TenantFacts,
    pub(crate) applications: BTreeMap<Uuid, Object>,
    pub(crate) service_principals: BTreeMap<Uuid, Object>,
    /// App id to object ids, deleted objects included; rebuilt on loading.
    #[serde(skip)]
    pub(crate) by_app_id: BTreeMap<(Kind, Uuid), BTreeSet<Uuid>>,
}

impl Tenant {
    pub(crate) fn objects(&self, kind: Kind) -> &BTreeMap<Uuid, Object> {
        match kind {
            Kind::Application => &self.applications,
            Kind::ServicePrincipal => &self.service_principals,
        }
    }

    fn objects_mut(&mut self, kind: Kind) -> &mut BTreeMap<Uuid, Object> {
        match kind {
            Kind::Application => &mut self.applications,
            Kind::ServicePrincipal => &mut self.service_principals,
        }
    }

    /// The object that is there now, not one in the recycle bin.
    pub(crate) fn live(&self, kind: Kind, id: Uuid) -> Option<&Object> {
        self.objects(kind).get(&id).filter(|object| object.deleted.is_none())
    }

    pub(crate) fn live_by_app_id(&self, kind: Kind, app_id: Uuid) -> Option<&Object> {
        let ids = self.by_app_id.get(&(kind, app_id))?;
        ids.iter().find_map(|id| self.live(kind, *id))
    }

    fn put(&mut self, object: Object) {
        self.by_app_id.entry((object.kind, object.app_id)).or_default().insert(object.id);
        self.objects_mut(object.kind).insert(object.id, object);
    }

    fn take(&mut self, kind: Kind, id: Uuid) -> Option<Object> {
        let object = self.objects_mut(kind).remove(&id)?;
        if let Some(ids) = self.by_app_id.get_mut(&(kind, object.app_id)) {
            ids.remove(&id);
        }
        Some(object)
    }
}

/// How long a replica lags behind at most.
const LAG_MAX: SignedDuration = SignedDuration::from_mins(15);

/// A replica that has not caught up with one object: what it still shows, and for how many reads.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Lag {
    pub(crate) replica: u32,
    pub(crate) reads_left: u32,
    /// When it has caught up however seldom it was read.
    #[serde(default)]
    pub(crate) until: Timestamp,
    /// None: the object did not exist.
    pub(crate) shows: Option<Object>,
}

/// What faults count. Saved only while a fault is set, so that calm reading never writes.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    pub(crate) requests: u64,
    pub(crate) graph_requests: u64,
    pub(crate) graph_writes: u64,
    pub(crate) conflict_candidates: u64,
    pub(crate) token_requests: u64,
    pub(crate) sign_ins: u64,
    pub(crate) reads: u64,
    pub(crate) lags: BTreeMap<Uuid, Vec<Lag>>,
}

/// What belongs to no tenant.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) version: u32,
    pub(crate) seed: u64,
    pub(crate) next_id: u64,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) settings: Settings,
}

/// The state format this build writes and reads.
pub(crate) const STATE_VERSION: u32 = 1;

/// Everything.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) meta: Meta,
    #[serde(default)]
    pub(crate) counters: Counters,
    pub(crate) tenants: BTreeMap<Uuid, Tenant>,
    #[serde(skip)]
    pub(crate) dirty: Dirty,
}

/// What differs from what was last saved.
#[derive(Clone, Default)]
pub(crate) struct Dirty {
    pub(crate) everything: bool,
    pub(crate) meta: bool,
    pub(crate) counters: bool,
    pub(crate) tenants: BTreeSet<Uuid>,
    pub(crate) objects: BTreeSet<(Uuid, Kind, Uuid)>,
}

impl Dirty {
    pub(crate) fn any(&self) -> bool {
        self.everything || self.meta || self.counters || !self.tenants.is_empty() || !self.objects.is_empty()
    }
}

/// One line of the log of changes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Meta(Box<Meta>),
    Counters(Box<Counters>),
    Tenant(Box<TenantFacts>),
    Object { tenant: Uuid, object: Box<Object> },
    Gone { tenant: Uuid, kind: Kind, id: Uuid },
}

impl World {
    pub(crate) fn empty(clock: Clock, seed: u64) -> World {
        let meta = Meta {
            version: STATE_VERSION,
            seed,
            next_id: 0,
            clock,
            faults: Faults::default(),
            settings: Settings::default(),
        };
        World {
            meta,
            counters: Counters::default(),
            tenants: BTreeMap::new(),
            dirty: Dirty { everything: true, ..Dirty::default() },
        }
    }

    /// A world with the same tenants, operators and settings, and nothing else. A running clock shows the
    /// machine's time again, a standing one stays where it is.
    pub(crate) fn emptied(&self) -> World {
        let clock = match self.meta.clock {
            Clock::Frozen(at) => Clock::Frozen(at),
            Clock::Running { .. } => Clock::Running { offset_ns: 0 },
        };
        let mut fresh = World::empty(clock, self.meta.seed);
        fresh.meta.settings = self.meta.settings.clone();
        fresh.meta.next_id = self.meta.next_id;
        for (id, tenant) in &self.tenants {
            let mut facts = tenant.facts.clone();
            facts.policies.clear();
            facts.default_policy = crate::emulator::graph::tenant_default_policy();
            facts.issuers.clear();
            facts.conditional_access = false;
            let operator = facts.operator.as_ref().map(|operator| operator.client_id);
            facts.grants.retain(|client, _| Some(*client) == operator);
            let mut kept = Tenant::empty(facts);
            let all = tenant.applications.values().chain(tenant.service_principals.values());
            for object in all.filter(|object| Some(object.app_id) == operator) {
                kept.put(object.clone());
            }
            fresh.tenants.insert(*id, kept);
        }
        fresh
    }

    /// Rebuilds what is not saved.
    pub(crate) fn index(&mut self) {
        for tenant in self.tenants.values_mut() {
            tenant.by_app_id.clear();
            for object in tenant.applications.values().chain(tenant.service_principals.values()) {
                tenant.by_app_id.entry((object.kind, object.app_id)).or_default().insert(object.id);
            }
        }
    }

    pub(crate) fn new_number(&mut self) -> u64 {
        self.meta.next_id += 1;
        self.dirty.meta = true;
        self.meta.next_id
    }

    pub(crate) fn new_id(&mut self) -> Uuid {
        let number = self.new_number();
        ids::uuid(self.meta.seed, "id", number)
    }

    /// The facts of a tenant, to be changed.
    pub(crate) fn facts_mut(&mut self, tenant: Uuid) -> Option<&mut TenantFacts> {
        let found = self.tenants.get_mut(&tenant)?;
        self.dirty.tenants.insert(tenant);
        Some(&mut found.facts)
    }

    /// Stores an object, new or changed, and lets the replicas lag behind it.
    pub(crate) fn store(&mut self, tenant: Uuid, object: Object) {
        let (kind, id) = (object.kind, object.id);
        self.lag_behind(tenant, kind, id);
        if let Some(found) = self.tenants.get_mut(&tenant) {
            found.put(object);
            self.dirty.objects.insert((tenant, kind, id));
        }
    }

    /// Puts an object there as if it had always been there: no replica lags behind it.
    pub(crate) fn place(&mut self, tenant: Uuid, object: Object) {
        let lags = self.counters.lags.remove(&object.id);
        self.dirty.counters |= lags.is_some();
        if let Some(found) = self.tenants.get_mut(&tenant) {
            self.dirty.objects.insert((tenant, object.kind, object.id));
            found.put(object);
        }
    }

    /// Puts an object and its replicas back to an earlier state, as if nothing had been written.
    pub(crate) fn undo(&mut self, tenant: Uuid, object: Object, lags: Option<Vec<Lag>>) {
        match lags {
            Some(lags) => self.counters.lags.insert(object.id, lags),
            None => self.counters.lags.remove(&object.id),
        };
        if let Some(found) = self.tenants.get_mut(&tenant) {
            self.dirty.objects.insert((tenant, object.kind, object.id));
            found.put(object);
        }
    }

    /// Removes an object for good.
    pub(crate) fn erase(&mut self, tenant: Uuid, kind: Kind, id: Uuid) -> Option<Object> {
        self.lag_behind(tenant, kind, id);
        let object = self.tenants.get_mut(&tenant)?.take(kind, id)?;
        self.dirty.objects.insert((tenant, kind, id));
        Some(object)
    }

    /// Notes for each slow replica what it will go on showing. A replica that is behind already stays at
    /// the older state and starts counting again.
    fn lag_behind(&mut self, tenant: Uuid, kind: Kind, id: Uuid) {
        let Some(stale) = self.meta.faults.stale_reads else { return };
        let before = self.tenants.get(&tenant).and_then(|found| found.objects(kind).get(&id)).cloned();
        let until = self.meta.clock.now() + LAG_MAX;
        let lags = self.counters.lags.entry(id).or_default();
        for replica in 0..stale.replicas.max(1) {
            let reads = stale.lag(replica);
            if reads == 0 {
                continue;
            }
            match lags.iter_mut().find(|lag| lag.replica == replica) {
                Some(lag) => {
                    (lag.reads_left, lag.until) = (lag.reads_left.max(reads), until);
                }
                None => lags.push(Lag { replica, reads_left: reads, until, shows: before.clone() }),
            }
        }
        self.dirty.counters = true;
    }

    /// The changes to append to the log, in an order that can be replayed.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.dirty.meta {
            changes.push(Change::Meta(Box::new(self.meta.clone())));
        }
        let tenants = self.dirty.tenants.iter().filter_map(|id| self.tenants.get(id));
        changes.extend(tenants.map(|tenant| Change::Tenant(Box::new(tenant.facts.clone()))));
        for (tenant, kind, id) in &self.dirty.objects {
            let Some(found) = self.tenants.get(tenant) else { continue };
            changes.push(match found.objects(*kind).get(id) {
                Some(object) => Change::Object { tenant: *tenant, object: Box::new(object.clone()) },
                None => Change::Gone { tenant: *tenant, kind: *kind, id: *id },
            });
        }
        if self.dirty.counters {
            changes.push(Change::Counters(Box::new(self.counters.clone())));
        }
        changes
    }

    /// Applies one change another process wrote.
    pub(crate) fn replay(&mut self, change: Change) {
        match change {
            Change::Meta(meta) => self.meta = *meta,
            Change::Counters(counters) => self.counters = *counters,
            Change::Tenant(facts) => {
                let id = facts.id;
                match self.tenants.get_mut(&id) {
                    Some(tenant) => tenant.facts = *facts,
                    None => {
                        self.tenants.insert(id, Tenant::empty(*facts));
                    }
                }
            }
            Change::Object { tenant, object } => {
                if let Some(found) = self.tenants.get_mut(&tenant) {
                    found.put(*object);
                }
            }
            Change::Gone { tenant, kind, id } => {
                if let Some(found) = self.tenants.get_mut(&tenant) {
                    found.take(kind, id);
                }
            }
        }
    }
}

impl Tenant {
    pub(crate) fn empty(facts: TenantFacts) -> Tenant {
        Tenant {
            facts,
            applications: BTreeMap::new(),
            service_principals: BTreeMap::new(),
            by_app_id: BTreeMap::new(),
        }
    }
}
