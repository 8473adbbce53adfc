//! Fresh evidence that what consumers read works: the key matches the certificate, Entra has the certificate, and sign-ins succeed
//! several times in a row. Nothing of an earlier run is believed.
//!
//! The certificate is read from the store, not from the record; the key is used where it lives. A file store reads the key in
//! this process to sign with it, a store that signs by itself is asked to; no service is asked to hand out a key.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use serde::Serialize;

use crate::certificate::Certificate;
use crate::desired::{Declared, Desired, Issuer};
use crate::edges::{Provers, SignInAnswer, Trouble};
use crate::ids::{Address, Sha1};
use crate::key::{SignatureAlgorithm, Signer};
use crate::observed::{Credential, Current, Generation, Observed, StoreState, Target, TargetState};
use crate::plan::policy::Policy;
use crate::plan::situation::Situation;
use crate::runtime::{Clock, Random};
use crate::store::{StoreError, StoreErrorKind};

/// What verifying one certificate showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Verdict {
    /// Everything asked was answered well.
    Verified {
        /// Correlation ids of the sign-ins in a row.
        correlation_ids: Vec<String>,
    },
    /// Entra has it, and its key is not where certroll could sign in with it.
    Present {
        /// Why no sign-in was tried.
        reason: String,
    },
    /// It may be true soon: the key is new and has not spread.
    NotYet {
        /// What is not true yet.
        reason: String,
    },
    /// It does not work.
    Failed {
        /// Why.
        reason: String,
        /// What to try.
        hint: Option<String>,
    },
    /// It could not be found out.
    Unknown {
        /// Why.
        reason: String,
        /// What to try.
        hint: Option<String>,
    },
}

/// One certificate and what verifying it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// `tenant/name`.
    pub address: Address,
    /// The current one.
    pub thumbprint: Option<Sha1>,
    /// When its credential ends.
    pub end: Option<Timestamp>,
    /// What it showed.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What verifying takes from outside.
pub struct Means<'a> {
    /// Stores and sign-ins; cannot change anything.
    pub provers: &'a dyn Provers,
    /// Time and waiting.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for what is signed to compare key and certificate.
    pub random: Arc<dyn Random>,
}

/// Verifies every selected certificate, several at a time.
pub async fn verify(
    desired: &Desired,
    observed: &Observed,
    policy: &Policy,
    means: &Means<'_>,
) -> Vec<Verified> {
    let chosen = desired.certificates.values().filter(|declared| policy.selects(declared));
    let mut at_work: FuturesUnordered<_> =
        chosen.map(|declared| verify_one(desired, declared, observed, policy, means)).collect();
    let mut verified = Vec::new();
    while let Some(one) = at_work.next().await {
        verified.push(one);
    }
    verified.sort_by(|one, two| one.address.cmp(&two.address));
    verified
}

async fn verify_one(
    desired: &Desired,
    declared: &Declared,
    observed: &Observed,
    policy: &Policy,
    means: &Means<'_>,
) -> Verified {
    let address = declared.address.clone();
    let with = |thumbprint, end, verdict| Verified { address, thumbprint, end, verdict };
    let target = match target(declared, observed) {
        Ok(target) => target,
        Err(verdict) => return with(None, None, verdict),
    };
    let now = means.clock.now();
    if !declared.key_lives_here() {
        let (thumbprint, end, verdict) = without_key(declared, target, now);
        return with(thumbprint, end, verdict);
    }
    let generation = match current(desired, declared, observed) {
        Ok(Some(generation)) => generation,
        Ok(None) => {
            let (thumbprint, end, verdict) = elsewhere(declared, target, now);
            return with(thumbprint, end, verdict);
        }
        Err(verdict) => return with(None, None, verdict),
    };
    let thumbprint = generation.record.thumbprints.map(|thumbprints| thumbprints.sha1);
    let (end, verdict) = match key_and_entra(declared, generation, target, policy, means).await {
        Ok((end, verdict)) => (end, verdict),
        Err(verdict) => (None, verdict),
    };
    with(thumbprint, end, verdict)
}

fn failed(reason: impl Into<String>) -> Verdict {
    Verdict::Failed { reason: reason.into(), hint: None }
}

fn failed_by(trouble: &Trouble) -> Verdict {
    Verdict::Failed { reason: trouble.to_string(), hint: trouble.hint.clone() }
}

/// What consumers read is damaged or not there: that is an answer. Only a store that could not be asked leaves it open.
fn of_store(error: StoreError) -> Verdict {
    match error.kind {
        StoreErrorKind::Missing | StoreErrorKind::Corrupt | StoreErrorKind::Refused => {
            failed_by(&error.into())
        }
        StoreErrorKind::Unavailable
        | StoreErrorKind::Network
        | StoreErrorKind::Unauthenticated
        | StoreErrorKind::Throttled
        | StoreErrorKind::Denied
        | StoreErrorKind::Rival
        | StoreErrorKind::Unsupported => unknown(&error.into()),
    }
}

fn unknown(trouble: &Trouble) -> Verdict {
    Verdict::Unknown { reason: trouble.to_string(), hint: trouble.hint.clone() }
}

fn target<'o>(declared: &Declared, observed: &'o Observed) -> Result<&'o Target, Verdict> {
    let selector = &declared.target;
    let tenant = observed.tenants.get(&declared.address.tenant);
    match tenant.and_then(|tenant| tenant.targets.get(&declared.address)) {
        Some(TargetState::Found(target)) => Ok(target),
        Some(TargetState::Missing { .. }) => Err(failed(format!("there is no {selector}"))),
        Some(TargetState::Ambiguous { .. }) => Err(failed(format!("several objects match {selector}"))),
        Some(TargetState::SoftDeleted { .. }) => Err(failed(format!("the {selector} was deleted"))),
        Some(TargetState::Unreadable { trouble }) => Err(Verdict::Unknown {
            reason: format!("the {selector} cannot be read: {trouble}"),
            hint: Some(trouble.to_try().to_owned()),
        }),
        None => Err(Verdict::Unknown { reason: format!("the {selector} was not read"), hint: None }),
    }
}

/// The generation consumers read; none where the store has nothing. One that was made for somebody else is not this certificate's, however
/// well it works.
fn current<'o>(
    desired: &Desired,
    declared: &Declared,
    observed: &'o Observed,
) -> Result<Option<&'o Generation>, Verdict> {
    let holding = match observed.stores.get(&declared.address).map(|store| &store.state) {
        Some(StoreState::Known(holding)) => holding,
        Some(StoreState::Absent) => return Ok(None),
        Some(StoreState::Unreadable { reason }) => {
            let reason = format!("the store cannot be read: {reason}");
            return Err(Verdict::Unknown { reason, hint: None });
        }
        None => return Err(Verdict::Unknown { reason: "the store was not read".into(), hint: None }),
    };
    let is_adopted = |thumbprints| declared.adopt.iter().any(|adopt| adopt.thumbprint.names(&thumbprints));
    let Some(generation) = holding.current_generation() else {
        return match &holding.current {
            Some(Current::Unrecorded { thumbprints: Some(thumbprints) }) if is_adopted(*thumbprints) => {
                Err(Verdict::NotYet { reason: "it is adopted, and the next apply takes it over".into() })
            }
            Some(_) => Err(failed("the store's current generation is not one certroll made")),
            None => Ok(None),
        };
    };
    let record = &generation.record;
    let tenant = observed.tenants.get(&declared.address.tenant);
    let is_own = record.owner == desired.owner
        && tenant.is_some_and(|tenant| tenant.tenant_id == record.tenant_id)
        && Situation::names_of(desired, &declared.address).contains(&record.name);
    match is_own || record.thumbprints.is_some_and(is_adopted) {
        true => Ok(Some(generation)),
        false => {
            let made_for = format!("{}/{}", record.owner, record.name);
            Err(failed(format!("the store's current generation was made for {made_for}")))
        }
    }
}

async fn key_and_entra(
    declared: &Declared,
    generation: &Generation,
    target: &Target,
    policy: &Policy,
    means: &Means<'_>,
) -> Result<(Option<Timestamp>, Verdict), Verdict> {
    let Some(entry) = &declared.store else { return Err(failed("it has no store")) };
    let store = means.provers.store(entry).map_err(|trouble| unknown(&trouble))?;
    let issued = store.issued(entry, generation).await.map_err(of_store)?;
    let certificate = issued.certificate;
    if generation.record.thumbprints != Some(certificate.thumbprints) {
        return Err(failed("the certificate in the store is not the one its record names"));
    }
    let signers = means.provers.signers(entry).map_err(|trouble| unknown(&trouble))?;
    let signer = signers.signer(entry, generation).await.map_err(of_store)?;
    if !key_matches(&*signer, &certificate, &*means.random).await? {
        return Err(failed("the key in the store does not belong to the certificate beside it"));
    }
    drop(signer);
    let credential =
        target.client_credentials().find(|credential| credential.is_of(&certificate.thumbprints));
    let Some(credential) = credential else {
        return Err(Verdict::Failed {
            reason: "consumers read it from the store, and Entra does not have it".into(),
            hint: Some("certroll plan shows the repair".into()),
        });
    };
    let end = credential.end;
    if let Some(reason) = &target.sign_in_impossible {
        return Ok((end, failed(format!("nobody can sign in with it: {reason}"))));
    }
    let sign_ins = means.provers.sign_ins(&declared.address.tenant).map_err(|trouble| unknown(&trouble))?;
    let (mut in_a_row, mut unanswered, started) = (Vec::new(), 0, means.clock.now());
    loop {
        let signer = signers.signer(entry, generation).await.map_err(of_store)?;
        let answer = sign_ins.try_sign_in(target.app_id, &*signer, policy.settings.assertion).await;
        drop(signer);
        let mut pause = policy.settings.sign_in_interval;
        match answer {
            SignInAnswer::Accepted { correlation_id } => {
                unanswered = 0;
                in_a_row.push(correlation_id);
                if in_a_row.len() >= policy.settings.sign_ins as usize {
                    return Ok((end, Verdict::Verified { correlation_ids: in_a_row }));
                }
            }
            SignInAnswer::NotYet(trouble) => {
                unanswered = 0;
                in_a_row.clear();
                let waited = means.clock.now().duration_since(started);
                if waited >= policy.settings.prove_deadline {
                    return Ok((end, not_known_to_entra(generation, policy, &trouble, means.clock.now())));
                }
            }
            SignInAnswer::OutsideDates(trouble) | SignInAnswer::Refused(trouble) => {
                return Ok((end, failed_by(&trouble)));
            }
            SignInAnswer::PolicyBlocked(trouble) => return Ok((end, unknown(&trouble))),
            SignInAnswer::NoAnswer(trouble) => {
                unanswered += 1;
                pause = pause.max(trouble.retry_after().unwrap_or_default());
                if unanswered > policy.settings.write_retries || pause > policy.settings.read_deadline {
                    return Ok((end, unknown(&trouble.after_tries(unanswered))));
                }
            }
        }
        means.clock.sleep(pause).await;
    }
}

/// A key that is not found after the deadline is late while it is young, and missing when it is old.
fn not_known_to_entra(
    generation: &Generation,
    policy: &Policy,
    trouble: &Trouble,
    now: Timestamp,
) -> Verdict {
    let age = now.duration_since(generation.record.requested_at);
    if age < policy.settings.prove_give_up {
        return Verdict::NotYet { reason: trouble.to_string() };
    }
    failed_by(trouble)
}

/// Whether the key is the certificate's: it signs something new, and the certificate's public key agrees.
async fn key_matches(
    signer: &dyn Signer,
    certificate: &Certificate,
    random: &dyn Random,
) -> Result<bool, Verdict> {
    if signer.certificate().thumbprints != certificate.thumbprints {
        return Ok(false);
    }
    let mut challenge = [0u8; 32];
    random.fill(&mut challenge);
    let signature = signer.sign(SignatureAlgorithm::Ps256, &challenge).await;
    let signature = signature.map_err(|trouble| failed_by(&trouble))?;
    Ok(certificate.verifies_ps256(&challenge, &signature))
}

/// A provider's or product's certificate: all that can be seen is whether Entra has it, and until when.
fn without_key(
    declared: &Declared,
    target: &Target,
    now: Timestamp,
) -> (Option<Sha1>, Option<Timestamp>, Verdict) {
    let its = |credential: &&Credential| match &declared.issuer {
        Issuer::ExternalPublicKey { files } => {
            files.iter().any(|file| credential.is_of(&file.certificate.thumbprints))
        }
        Issuer::ExternalRotator { matching } => crate::plan::provider::is_matched(matching, credential),
        Issuer::SelfSigned
        | Issuer::CaFile { .. }
        | Issuer::VaultPki { .. }
        | Issuer::KeyVault { .. }
        | Issuer::Csr { .. } => false,
    };
    let Some(newest) = target.client_credentials().filter(its).max_by_key(|credential| credential.end) else {
        return (None, None, failed("nothing of it is on the target"));
    };
    let reason = "its key is not here, so nobody can sign in with it from here";
    (newest.sha1(), newest.end, present(newest, now, reason))
}

/// The store has nothing of it. What `adopt:` names with `key: elsewhere` consumers have from another place.
fn elsewhere(
    declared: &Declared,
    target: &Target,
    now: Timestamp,
) -> (Option<Sha1>, Option<Timestamp>, Verdict) {
    let adopted: Vec<_> = declared.adopt.iter().filter(|adopt| adopt.key_elsewhere).collect();
    let its = target.client_credentials();
    let its = its.filter(|credential| adopted.iter().any(|adopt| credential.is_named(&adopt.thumbprint)));
    match (its.max_by_key(|credential| credential.end), adopted.is_empty()) {
        (Some(newest), _) => {
            let reason = "its key lives elsewhere, as adopt says, so nobody can sign in with it from here";
            (newest.sha1(), newest.end, present(newest, now, reason))
        }
        (None, false) => {
            (None, None, failed("its key lives elsewhere, as adopt says, and Entra does not have it"))
        }
        (None, true) => (None, None, failed("the store has no current generation yet")),
    }
}

/// Entra has it, and more cannot be asked from here.
fn present(credential: &Credential, now: Timestamp, reason: &str) -> Verdict {
    match credential.is_valid_at(now) {
        true => Verdict::Present { reason: reason.to_owned() },
        false => failed("the newest one is outside its dates"),
    }
}
