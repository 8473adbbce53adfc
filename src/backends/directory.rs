//! The directory and its login service as edges: the Entra client's answers in the terms of planning and applying.

use async_trait::async_trait;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::desired::TargetSelector;
use crate::edges::{
    DirectoryReader, DirectoryWriter, Emptying, NewCredential, SignInAnswer, SignIns, Trouble, TroubleKind,
    WriteTrouble,
};
use crate::entra::{self, EntraError, ErrorKind, Line, Refusal, SignIn, WriteError};
use crate::ids::{Address, TargetId};
use crate::key::{SignatureAlgorithm, Signer};
use crate::observed::{Credential, ObservedTenant};

pub(super) struct EntraReader(pub(super) entra::DirectoryReader);

#[async_trait]
impl DirectoryReader for EntraReader {
    async fn observe(
        &self,
        wanted: &[(Address, TargetSelector)],
        removed: &[TargetSelector],
    ) -> Result<ObservedTenant, Trouble> {
        Ok(entra::observe(&self.0, wanted, removed).await?)
    }
}

pub(super) struct EntraWriter(pub(super) entra::DirectoryWriter);

#[async_trait]
impl DirectoryWriter for EntraWriter {
    async fn ready(&self) {
        self.0.ready().await;
    }

    async fn credentials(&self, target: &TargetId) -> Result<Vec<Credential>, Trouble> {
        Ok(self.0.read_entries(*target).await?)
    }

    async fn replace(
        &self,
        target: &TargetId,
        keep: &[&RawValue],
        add: &[NewCredential],
        emptying: Emptying,
    ) -> Result<(), WriteTrouble> {
        let mut entries: Vec<Box<RawValue>> = keep.iter().map(|entry| (*entry).to_owned()).collect();
        for new in add {
            let NewCredential { key_id, display_name, certificate, start, end } = new;
            let entry = entra::new_entry(*key_id, display_name, certificate, *start, *end);
            entries.push(entry.map_err(|error| WriteTrouble::NotDone(error.into()))?);
        }
        let written = match emptying {
            Emptying::ByRemovedEntry if entries.is_empty() => self.0.remove_all_entries(*target).await,
            Emptying::ByRemovedEntry | Emptying::Forbidden => self.0.replace_entries(*target, &entries).await,
        };
        written.map_err(|error| match error {
            WriteError::NotSent(error) | WriteError::Refused(error) => WriteTrouble::NotDone(error.into()),
            WriteError::UnknownOutcome(error) => WriteTrouble::Unknown(error.into()),
        })
    }
}

pub(super) struct EntraSignIns {
    pub(super) line: Line,
    pub(super) tenant: String,
}

#[async_trait]
impl SignIns for EntraSignIns {
    async fn try_sign_in(
        &self,
        app_id: Uuid,
        signer: &dyn Signer,
        algorithm: SignatureAlgorithm,
    ) -> SignInAnswer {
        let doing = format!("signing in as {app_id}");
        let trouble = |kind, code: Option<String>, reason: String, correlation_id: Option<Uuid>| Trouble {
            code: code.filter(|code| !code.is_empty()).map(String::into_boxed_str),
            request_id: correlation_id.map(|id| id.to_string().into_boxed_str()),
            ..Trouble::new(kind, doing.clone(), reason)
        };
        match entra::try_sign_in(&self.line, &self.tenant, app_id, signer, algorithm).await {
            SignIn::Accepted(evidence) => {
                SignInAnswer::Accepted { correlation_id: evidence.correlation_id.to_string() }
            }
            SignIn::NotYet { code, reason, correlation_id } => {
                SignInAnswer::NotYet(trouble(TroubleKind::NotYet, Some(code), reason, Some(correlation_id)))
            }
            SignIn::Expired { code, reason, correlation_id } => {
                SignInAnswer::Refused(trouble(TroubleKind::Refused, Some(code), reason, Some(correlation_id)))
            }
            SignIn::NotYetValid { code, reason, correlation_id } => SignInAnswer::OutsideDates(trouble(
                TroubleKind::NotYet,
                Some(code),
                reason,
                Some(correlation_id),
            )),
            SignIn::Refused { code, reason, correlation_id, hint } => SignInAnswer::Refused(Trouble {
                hint: hint.map(str::to_owned),
                ..trouble(TroubleKind::Refused, Some(code), reason, Some(correlation_id))
            }),
            SignIn::PolicyBlocked { code, reason, correlation_id } => {
                let hint = "a Conditional Access policy blocks sign-ins of workloads from this machine: run from an allowed \
                            place, or let the policy allow this one";
                let trouble =
                    trouble(TroubleKind::Refused, Some(code), reason, Some(correlation_id)).with_hint(hint);
                SignInAnswer::PolicyBlocked(trouble)
            }
            SignIn::Busy(error) => SignInAnswer::NoAnswer(Trouble { doing, ..error.into() }),
            SignIn::CannotSign(trouble) if trouble.is_passing() => SignInAnswer::NoAnswer(trouble),
            SignIn::CannotSign(trouble) => SignInAnswer::Refused(trouble),
            SignIn::Network { reason } => {
                SignInAnswer::NoAnswer(trouble(TroubleKind::Network, None, reason, None))
            }
        }
    }
}

fn whole_seconds(duration: Option<jiff::SignedDuration>) -> Option<u32> {
    duration.map(|duration| u32::try_from(duration.as_secs().max(0)).unwrap_or(u32::MAX))
}

impl From<EntraError> for Trouble {
    fn from(error: EntraError) -> Trouble {
        let kind = match error.kind {
            ErrorKind::Network => TroubleKind::Network,
            ErrorKind::Authentication => TroubleKind::Authentication,
            ErrorKind::Authorisation => TroubleKind::Authorisation,
            ErrorKind::Throttled => TroubleKind::Throttled,
            ErrorKind::NotYet => TroubleKind::NotYet,
            // Only Graph itself, which names a code, can say that an object is not there.
            ErrorKind::NotFound if error.code.is_none() => TroubleKind::Invalid,
            ErrorKind::NotFound => TroubleKind::Missing,
            ErrorKind::Conflict => TroubleKind::Conflict,
            ErrorKind::Refused(Refusal::EndDate) => TroubleKind::EndDate,
            ErrorKind::Refused(Refusal::RetainedEntryChanged) => TroubleKind::StaleEntry,
            ErrorKind::Refused(_) | ErrorKind::Settings => TroubleKind::Refused,
            ErrorKind::Unavailable => TroubleKind::Unavailable,
            ErrorKind::InvalidAnswer => TroubleKind::Invalid,
        };
        let hint = match (error.hint.clone(), error.least_permission) {
            (Some(hint), _) => Some(hint),
            (None, Some(permission)) => Some(format!("the least permission is {permission}")),
            (None, None) => None,
        };
        Trouble {
            kind,
            doing: error.doing.clone(),
            reason: error.reason(),
            // A service that names no code has at least a status.
            code: error
                .code
                .clone()
                .or(error.status.map(|status| format!("HTTP {status}")))
                .map(String::into_boxed_str),
            request_id: error.request_id.clone().map(String::into_boxed_str),
            hint,
            retry_after_seconds: whole_seconds(error.retry_after),
        }
    }
}
