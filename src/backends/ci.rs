//! Reaches a CI system: a named connection, or the variables of the system's own tools.

use std::sync::Arc;

use super::reach::Reach;
use crate::delivery::DeliveryWriter;
use crate::delivery::azure_devops::AzureDevopsDelivery;
use crate::delivery::github::GithubDelivery;
use crate::delivery::gitlab::GitlabDelivery;
use crate::desired::Delivery;
use crate::edges::{Trouble, TroubleKind};
use crate::key::Secret;
use crate::net::Service;
use crate::token_source::Source;

/// What applies where the declaration names no connection, or the connection no address.
struct Usual {
    name: &'static str,
    address: &'static str,
    address_variable: Option<&'static str>,
    token_variables: &'static [&'static str],
}

pub(super) fn github(delivery: &Delivery, reach: &Reach) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
    let usual = Usual {
        name: "GitHub",
        address: "https://api.github.com",
        address_variable: Some("GITHUB_API_URL"),
        // In the order of GitHub's own tool: a job's own GITHUB_TOKEN can write no secret.
        token_variables: &["GH_TOKEN", "GITHUB_TOKEN"],
    };
    let (service, token) = usual.reach(delivery, reach)?;
    Ok(Arc::new(GithubDelivery::new(delivery, service, token)?))
}

pub(super) fn gitlab(delivery: &Delivery, reach: &Reach) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
    let usual = Usual {
        name: "GitLab",
        address: "https://gitlab.com",
        address_variable: Some("CI_SERVER_URL"),
        token_variables: &["GITLAB_TOKEN"],
    };
    let (service, token) = usual.reach(delivery, reach)?;
    Ok(Arc::new(GitlabDelivery::new(delivery, service, token)?))
}

pub(super) fn azure_devops(delivery: &Delivery, reach: &Reach) -> Result<Arc<dyn DeliveryWriter>, Trouble> {
    let usual = Usual {
        name: "Azure DevOps",
        address: "https://dev.azure.com",
        address_variable: None,
        token_variables: &["AZURE_DEVOPS_EXT_PAT", "SYSTEM_ACCESSTOKEN"],
    };
    let (service, token) = usual.reach(delivery, reach)?;
    Ok(Arc::new(AzureDevopsDelivery::new(delivery, service, token)?))
}

impl Usual {
    /// The service and what is shown to it. A token of the environment goes to the usual address, one of a connection to the
    /// connection's.
    fn reach(&self, delivery: &Delivery, reach: &Reach) -> Result<(Service, Source), Trouble> {
        let operator = &reach.operator;
        let missing = |hint: String| {
            let reason = format!("there is no token for {}", self.name);
            Trouble::new(TroubleKind::Authentication, format!("reaching {}", delivery.slot), reason)
                .with_hint(hint)
        };
        let Some(named) = operator.connection(delivery.connection().as_ref())? else {
            let token = self.token_variables.iter().find_map(|name| operator.variable(name));
            let token = token.ok_or_else(|| {
                let names = self.token_variables.join(" or ");
                missing(format!("set {names}, or let the delivery name a connection"))
            })?;
            let address = self.address_variable.and_then(|name| operator.variable(name));
            let service = reach.service_trusting(self.name, address.unwrap_or(self.address), None)?;
            return Ok((service, Source::Given(Secret::new(token.trim().to_owned()))));
        };
        let given = named.secret("token").cloned().map(Source::Given);
        let token = given.or_else(|| named.text("token_file").map(|path| Source::File(path.to_owned())));
        let token = token.ok_or_else(|| {
            missing(format!("set {} or {}", named.variable("token"), named.variable("token_file")))
        })?;
        let name = format!("{} ({})", self.name, named.name());
        let address = named.text("address").unwrap_or(self.address);
        Ok((reach.service_trusting(&name, address, named.text("ca_file"))?, token))
    }
}
