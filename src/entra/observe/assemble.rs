//! What was read, put together into targets. Pure: every rule about objects that must not be touched is here.

use std::cell::Cell;

use uuid::Uuid;

use super::deleted::Deleted;
use super::policies::Policies;
use super::shelf::{Shelf, candidate};
use crate::desired::{SelectBy, TargetSelector};
use crate::edges::{Trouble, TroubleKind};
use crate::entra::wire::{Object, credentials};
use crate::ids::{KeyId, TargetKind};
use crate::observed::{Target, TargetState, Untouchable};

/// Everything read of one tenant.
pub(super) struct Assembly<'a> {
    pub tenant_id: Uuid,
    pub applications: Shelf<'a>,
    pub service_principals: Shelf<'a>,
    pub deleted: Deleted,
    pub policies: Policies,
    /// Missing objects for which similar ones have been looked for.
    pub compared: Cell<usize>,
}

/// Missing objects for which similar ones are looked for, at most.
const COMPARED_MAX: usize = 20;

fn unreadable(kind: TroubleKind, selector: impl std::fmt::Display, reason: &str) -> TargetState {
    TargetState::Unreadable { trouble: Trouble::new(kind, format!("reading the {selector}"), reason) }
}

impl Assembly<'_> {
    /// What looking for that object found.
    pub(super) fn state(&self, selector: &TargetSelector) -> TargetState {
        let shelf = match selector.kind {
            TargetKind::Application => &self.applications,
            TargetKind::ServicePrincipal => &self.service_principals,
        };
        if selector.kind == TargetKind::ServicePrincipal && matches!(selector.by, SelectBy::UniqueName(_)) {
            let reason = "service principals have no unique name; name it by app id";
            return unreadable(TroubleKind::Refused, selector, reason);
        }
        if let Some(trouble) = shelf.trouble(&selector.by) {
            return TargetState::Unreadable { trouble };
        }
        match shelf.find(&selector.by).as_slice() {
            [object] => self.found(object),
            [] => self.missing(shelf, selector),
            several => {
                let mut candidates: Vec<_> = several.iter().map(|object| candidate(object)).collect();
                candidates.sort();
                TargetState::Ambiguous { candidates }
            }
        }
    }

    fn missing(&self, shelf: &Shelf<'_>, selector: &TargetSelector) -> TargetState {
        if let Some((object_id, deleted_at)) = self.deleted.find(selector.kind, &selector.by) {
            return TargetState::SoftDeleted { object_id, deleted_at };
        }
        if shelf.has_nameless() {
            let reason = "an object of the answer cannot be understood, and it may be this one";
            return unreadable(TroubleKind::Invalid, selector, reason);
        }
        // Comparing names takes a look at every object, so with thousands missing only the first are compared.
        let compared = self.compared.get();
        self.compared.set(compared + 1);
        let similar = if compared < COMPARED_MAX { shelf.similar(&selector.by) } else { Vec::new() };
        TargetState::Missing { similar }
    }

    fn found(&self, object: &Object) -> TargetState {
        match object.id.kind {
            TargetKind::Application => self.application(object),
            TargetKind::ServicePrincipal => self.service_principal(object),
        }
    }

    fn application(&self, object: &Object) -> TargetState {
        let principal = self.service_principals.with_app_id(&object.app_id);
        let trouble = self.service_principals.trouble(&SelectBy::AppId(object.app_id));
        let mut warnings = Vec::new();
        let sign_in_impossible = match (&object.disabled, principal, trouble) {
            (Some(reason), _, _) => Some(reason.clone()),
            (None, Some(principal), _) => principal.disabled.clone(),
            (None, None, Some(trouble)) => {
                warnings.push(format!("its service principal could not be read: {trouble}"));
                None
            }
            (None, None, None) => Some("the application has no service principal in this tenant".to_owned()),
        };
        let untouchable = object.other_type.clone().map(Untouchable::OtherType);
        self.target(object, principal, untouchable, sign_in_impossible, warnings)
    }

    fn service_principal(&self, object: &Object) -> TargetState {
        let application = self.applications.with_app_id(&object.app_id);
        let own = object.owner_tenant == Some(self.tenant_id);
        let trouble = self.applications.trouble(&SelectBy::AppId(object.app_id));
        if let (None, Some(trouble), true) = (application, trouble, own) {
            let reason = format!("whether its application locks it is not known: {}", trouble.reason);
            return TargetState::Unreadable { trouble: Trouble { reason, ..trouble } };
        }
        let others = match object.owner_tenant {
            Some(owner) => {
                (owner != self.tenant_id).then_some(Untouchable::OtherTenantsApplication(Some(owner)))
            }
            None if application.is_none() => Some(Untouchable::OtherTenantsApplication(None)),
            None => None,
        };
        let locked = application.is_some_and(|application| application.locks_verify_keys);
        // The first that applies is the one shown.
        let untouchable = [
            object.other_type.clone().map(Untouchable::OtherType),
            object.managed_identity.then_some(Untouchable::ManagedIdentity),
            others,
            object.saml.then_some(Untouchable::SamlSignOn),
            locked.then_some(Untouchable::Locked),
        ];
        let sign_in_impossible = object
            .disabled
            .clone()
            .or_else(|| application.and_then(|application| application.disabled.clone()));
        let untouchable = untouchable.into_iter().flatten().next();
        self.target(object, application, untouchable, sign_in_impossible, Vec::new())
    }

    fn target(
        &self,
        object: &Object,
        counterpart: Option<&Object>,
        untouchable: Option<Untouchable>,
        sign_in_impossible: Option<String>,
        mut warnings: Vec<String>,
    ) -> TargetState {
        // Taken for an empty list, this would delete every entry at the next write.
        let Some(entries) = &object.entries else {
            let reason = "the answer leaves out its keyCredentials";
            return unreadable(TroubleKind::Invalid, object.id, reason);
        };
        let both = || [Some(object), counterpart].into_iter().flatten();
        let encryption: Vec<KeyId> = both().filter_map(|object| object.token_encryption_key).collect();
        let signing = both().find_map(|object| object.token_signing);
        let (lifetime_policy, policy_warnings) = self.policies.in_force(object);
        if let Some(reason) = &sign_in_impossible {
            warnings.push(reason.clone());
        }
        if object.personal_accounts {
            warnings.push(
                "it is open to personal accounts: Entra takes at most 60 writes a minute to such".to_owned(),
            );
        }
        warnings.extend(policy_warnings);
        TargetState::Found(Box::new(Target {
            id: object.id,
            app_id: object.app_id,
            display_name: object.display_name.clone(),
            untouchable,
            sign_in_impossible,
            lifetime_policy,
            warnings,
            credentials: credentials(entries, &encryption, signing),
        }))
    }
}
