//! What certroll's own sign-in is worth: whether it works, and what may be read with it. Only looks.

use jiff::SignedDuration;

use super::error::{EntraError, ErrorKind};
use super::http::{GraphClient, Least, READ_APPLICATIONS, READ_POLICIES};

/// What was tried, in the words of a person.
#[derive(Debug, Clone)]
pub struct Tried {
    /// What: `read applications`.
    pub what: &'static str,
    /// Whether certroll cannot do without.
    pub needed: bool,
    /// How it went.
    pub result: Result<(), EntraError>,
}

/// What a sign-in is worth.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Sign-in first, then one small read of each kind. Nothing is read when the sign-in fails.
    pub tried: Vec<Tried>,
    /// Service time minus ours; none when nothing answered.
    pub clock_skew: Option<SignedDuration>,
}

const READS: [(&str, bool, &str, Least); 3] = [
    ("read applications", true, "applications?$select=id&$top=1", READ_APPLICATIONS),
    ("read service principals", true, "servicePrincipals?$select=id&$top=1", READ_APPLICATIONS),
    ("read app management policies", false, "policies/defaultAppManagementPolicy", READ_POLICIES),
];

impl GraphClient {
    /// Tries the sign-in and what plans are made from.
    pub async fn probe(&self) -> Probe {
        let signed_in = self.sign_in().await;
        let may_read = signed_in.is_ok();
        let mut tried = vec![Tried { what: "sign in", needed: true, result: signed_in }];
        for (what, needed, path, least) in READS.into_iter().filter(|_| may_read) {
            tried.push(Tried { what, needed, result: self.try_read(path, least).await });
        }
        Probe { tried, clock_skew: self.clock_skew() }
    }

    async fn try_read(&self, path: &str, least: Least) -> Result<(), EntraError> {
        let call = self.get(path, "trying what may be read", least)?;
        match self.read(&call).await {
            Ok(_) => Ok(()),
            // A tenant without such a policy.
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Who signs in, with what, from where.
    pub fn describe_identity(&self) -> String {
        self.identity().describe()
    }
}
