//! Reading a tenant: every declared object, what stands in the way of writing to it, and the policies over it.
//!
//! Sends no write and asks for no key. One object that cannot be read never hides the others; a refusal that concerns the whole
//! tenant (sign-in, rights, network) is an error of that kind.

mod assemble;
mod deleted;
mod policies;
mod shelf;

use std::cell::Cell;
use std::collections::BTreeSet;

use uuid::Uuid;

use super::error::EntraError;
use super::http::GraphClient;
use super::tenant::tenant_id;
use crate::desired::{SelectBy, TargetSelector};
use crate::ids::{Address, TargetKind};
use crate::observed::ObservedTenant;
use assemble::Assembly;
use deleted::Deleted;
use policies::Policies;
use shelf::Shelf;

/// Looks at one tenant. Cannot write: that is another type.
#[derive(Debug)]
pub struct DirectoryReader {
    client: std::sync::Arc<GraphClient>,
}

impl DirectoryReader {
    /// A reader on that client.
    pub fn new(client: std::sync::Arc<GraphClient>) -> DirectoryReader {
        DirectoryReader { client }
    }

    /// The directory's id: the tenant's name if that is one, else what the login service says.
    pub async fn tenant_id(&self) -> Result<Uuid, EntraError> {
        tenant_id(&self.client.line, self.client.tenant()).await
    }
}

/// Reads the objects of the declared certificates and of the `removed:` entries, in the fewest requests.
pub async fn observe(
    reader: &DirectoryReader,
    requests: &[(Address, TargetSelector)],
    removed: &[TargetSelector],
) -> Result<ObservedTenant, EntraError> {
    let client = &*reader.client;
    let tenant_id = reader.tenant_id().await?;
    let selectors: BTreeSet<&TargetSelector> =
        requests.iter().map(|(_, selector)| selector).chain(removed).collect();
    if selectors.is_empty() {
        return Ok(ObservedTenant {
            tenant_id,
            clock_skew: client.clock_skew(),
            targets: Default::default(),
            removed: Vec::new(),
            policies_unread: None,
        });
    }
    // First and alone: a sign-in that fails concerns everything that follows.
    client.sign_in().await?;
    let ((applications, service_principals), policies) = {
        let (shelves, policies) =
            futures_util::future::join(fetch(client, &selectors), Policies::read(client)).await;
        (shelves?, policies)
    };
    let (policies, policies_unread) = match policies {
        Ok(policies) => (policies, None),
        Err(error) => (Policies::default(), Some(error.to_string())),
    };
    let deleted = Deleted::read(client, &missing(&selectors, &applications, &service_principals)).await;
    let compared = Cell::new(0);
    let assembly = Assembly { tenant_id, applications, service_principals, deleted, policies, compared };
    Ok(ObservedTenant {
        tenant_id,
        targets: requests.iter().map(|(address, s)| (address.clone(), assembly.state(s))).collect(),
        removed: removed.iter().map(|selector| assembly.state(selector)).collect(),
        clock_skew: client.clock_skew(),
        policies_unread,
    })
}

/// Reads all objects of both kinds. Service principals that are named otherwise than by app id come first, then the applications of
/// all targets, then the service principals of all of those.
async fn fetch<'a>(
    client: &'a GraphClient,
    selectors: &BTreeSet<&TargetSelector>,
) -> Result<(Shelf<'a>, Shelf<'a>), EntraError> {
    let of = |kind: TargetKind| selectors.iter().filter(move |s| s.kind == kind).map(|s| s.by.clone());
    let wanted_applications: BTreeSet<SelectBy> = of(TargetKind::Application).collect();
    let wanted_principals: BTreeSet<SelectBy> =
        of(TargetKind::ServicePrincipal).filter(|by| !matches!(by, SelectBy::UniqueName(_))).collect();
    let by_app_id =
        |keys: &BTreeSet<SelectBy>| keys.iter().filter(|k| matches!(k, SelectBy::AppId(_))).count();

    let mut applications = Shelf::new(client, TargetKind::Application, !wanted_applications.is_empty());
    let mut principals = Shelf::new(client, TargetKind::ServicePrincipal, !wanted_principals.is_empty());
    let named = by_app_id(&wanted_applications);
    let others = wanted_applications.len() - named;
    applications.open(named + wanted_principals.len(), others, &wanted_applications).await?;
    let named = by_app_id(&wanted_principals);
    let others = wanted_principals.len() - named;
    principals.open(named + wanted_applications.len(), others, &wanted_principals).await?;

    principals
        .fetch(wanted_principals.iter().filter(|key| !matches!(key, SelectBy::AppId(_))).cloned())
        .await?;
    let app_id_of = |shelf: &Shelf<'_>, key: &SelectBy| -> Vec<SelectBy> {
        match key {
            SelectBy::AppId(id) => vec![SelectBy::AppId(*id)],
            _ => shelf.find(key).iter().map(|object| SelectBy::AppId(object.app_id)).collect(),
        }
    };
    let of_principals = wanted_principals.iter().flat_map(|key| app_id_of(&principals, key));
    let keys: Vec<SelectBy> = wanted_applications.iter().cloned().chain(of_principals).collect();
    applications.fetch(keys).await?;
    let of_applications = wanted_applications.iter().flat_map(|key| app_id_of(&applications, key));
    let named = wanted_principals.iter().filter(|key| matches!(key, SelectBy::AppId(_))).cloned();
    let keys: Vec<SelectBy> = named.chain(of_applications).collect();
    principals.fetch(keys).await?;

    let lost = |shelf: &Shelf<'_>, keys: &BTreeSet<SelectBy>| -> BTreeSet<SelectBy> {
        keys.iter()
            .filter(|key| shelf.find(key).is_empty() && shelf.trouble(key).is_none())
            .cloned()
            .collect()
    };
    applications.look_around(&lost(&applications, &wanted_applications)).await;
    principals.look_around(&lost(&principals, &wanted_principals)).await;
    Ok((applications, principals))
}

/// The kinds of which something is missing.
fn missing(
    selectors: &BTreeSet<&TargetSelector>,
    applications: &Shelf<'_>,
    service_principals: &Shelf<'_>,
) -> BTreeSet<TargetKind> {
    let shelf = |kind: TargetKind| match kind {
        TargetKind::Application => applications,
        TargetKind::ServicePrincipal => service_principals,
    };
    let lost = selectors.iter().filter(|selector| {
        let shelf = shelf(selector.kind);
        shelf.find(&selector.by).is_empty() && shelf.trouble(&selector.by).is_none()
    });
    lost.map(|selector| selector.kind).collect()
}
