//! What a chain does with keys in its store: request, issue, promote, record, reject, destroy.
//!
//! A key made here is in this process from its making until its store has it, and is dropped before anything else happens.

use crate::apply::chain::Chain;
use crate::apply::context::{earlier, later};
use crate::apply::outcome::{Done, Shown, Stop};
use crate::certificate::{KeyKind, PublicKey, SignatureHash};
use crate::desired::{Form, Issuer, Password};
use crate::edges::{Trouble, TroubleKind};
use crate::ids::{KeyId, Thumbprints};
use crate::issuer::{CertificateRequest, Issued, SubjectKey, signing_request};
use crate::key::{KeyError, PrivateKey, Secret};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, KeyState, Staging};
use crate::period::Period;
use crate::plan::PlannedStep;
use crate::plan::records::Recorded;
use crate::plan::step::{GenerationRef, RecordWrite, Step};
use crate::random::{generate_password, serial_number};
use crate::store::{KeyRequest, Pending, Signs};

/// What is to be issued.
pub(crate) struct ToIssue<'s> {
    pub(crate) which: &'s GenerationRef,
    pub(crate) key: KeyKind,
    pub(crate) signature_hash: SignatureHash,
    pub(crate) subject: &'s str,
    pub(crate) validity: &'s Period,
    pub(crate) requested: bool,
}

impl Chain<'_> {
    /// Has the store make a key that stays there. One that is pending already is done.
    pub(crate) async fn request(
        &mut self,
        which: &GenerationRef,
        key: KeyKind,
        subject: &str,
    ) -> Result<Done, Stop> {
        let already = self.find(which).is_some();
        let by_hand = matches!(self.declared()?.issuer, Issuer::Csr { .. });
        if already && !by_hand {
            return Ok(Done::already(Shown::default()));
        }
        let csr = self.ask_for_request(which, key, subject).await?;
        if by_hand {
            // The key is safe: now a person may be asked.
            let issuer = self.run.job.writers.issuer(self.declared()?)?;
            self.run.changing_in_slot(issuer.ask(&csr)).await?.map_err(Trouble::from)?;
        }
        self.csr = Some(csr);
        Ok(Done::now(Shown::default()))
    }

    /// The signing request of the pending key: from this run, or asked for again.
    async fn ask_for_request(
        &mut self,
        which: &GenerationRef,
        key: KeyKind,
        subject: &str,
    ) -> Result<Vec<u8>, Stop> {
        if let Some(csr) = self.csr.take() {
            return Ok(csr);
        }
        let record = self.recorded()?.requested(which.rotation_id, key, subject);
        let (store, entry) = self.store()?;
        let declared = self.declared()?;
        let signs = declared.issuer.signs_in_store().map(str::to_owned);
        let signs = signs.map(|issuer| Signs { issuer, validity: declared.validity.clone() });
        let pending = if signs.is_some() || store.shape(entry).staging == Staging::AppendIsLive {
            let asked = KeyRequest { key, subject: subject.to_owned(), signs };
            self.run.changing_in_slot(store.request(entry, &asked, &record)).await?
        } else if let Some(generation) = self.find(which).cloned() {
            let csr = self.run.looking_in_slot(store.requested(entry, &generation)).await?;
            csr.map(|csr| Pending { generation, csr })
        } else {
            let key = self.make_key(key).await?;
            let csr = signing_request(&key, subject, self.declared()?.signature_hash);
            let csr = csr.map_err(|reason| self.wrong_certificate(&reason))?;
            self.run.changing_in_slot(store.keep_request(entry, &key, &csr, &record)).await?
        };
        let pending = pending.map_err(Trouble::from)?;
        self.remember(pending.generation);
        Ok(pending.csr)
    }

    async fn make_key(&self, kind: KeyKind) -> Result<PrivateKey, Stop> {
        let _maker = self.run.key_maker().await?;
        Ok(self.run.looking(self.run.job.random.key_pair(kind)).await?.map_err(Trouble::from)?)
    }

    /// Makes a certificate and keeps it in the store, unseen by consumers. A generation of this rotation that is there already is used.
    pub(crate) async fn issue(&mut self, wanted: &ToIssue<'_>) -> Result<Done, Stop> {
        if let Some(generation) = self.find(wanted.which).filter(|g| g.record.thumbprints.is_some()) {
            let record = &generation.record;
            let shown = Shown { thumbprints: record.thumbprints, end: record.not_after, ..Shown::default() };
            return Ok(Done::already(shown));
        }
        if wanted.requested {
            self.issue_for_pending(wanted).await?
        } else {
            self.issue_with_key(wanted).await?
        }
        let record = &self.generation(wanted.which)?.record;
        Ok(Done::now(Shown { thumbprints: record.thumbprints, end: record.not_after, ..Shown::default() }))
    }

    async fn issue_with_key(&mut self, wanted: &ToIssue<'_>) -> Result<(), Stop> {
        let record = self.recorded()?.requested(wanted.which.rotation_id, wanted.key, wanted.subject);
        let issuer = self.run.job.writers.issuer(self.declared()?)?;
        let (store, entry) = self.store()?;
        let key = self.make_key(wanted.key).await?;
        let request = self.certificate_request(wanted);
        let issued = self.run.changing_in_slot(issuer.issue(&request, SubjectKey::Local(&key))).await?;
        let issued = issued.map_err(Trouble::from)?;
        if !issued.certificate.matches_key(&key) {
            return Err(self.wrong_certificate("the issuer's certificate is for another key"));
        }
        let record = with_certificate(record, &issued);
        let staged = self.run.changing_in_slot(store.stage(entry, &key, &issued, &record)).await?;
        drop(key);
        self.remember(staged.map_err(Trouble::from)?);
        Ok(())
    }

    async fn issue_for_pending(&mut self, wanted: &ToIssue<'_>) -> Result<(), Stop> {
        let csr = self.ask_for_request(wanted.which, wanted.key, wanted.subject).await?;
        let pending = self.generation(wanted.which)?;
        let issued = self.have_signed(wanted, &csr).await?;
        let bits = u32::from(wanted.key.bits());
        if issued.certificate.public_key != PublicKey::Rsa(bits) {
            let made = &issued.certificate.public_key;
            return Err(self.wrong_certificate(&format!("its key is {made}, and RSA {bits} was asked for")));
        }
        let record = with_certificate(PublicRecord { key_id: None, ..pending.record.clone() }, &issued);
        let (store, entry) = self.store()?;
        let attached = self.run.changing_in_slot(store.attach(entry, &pending, &issued, &record)).await?;
        self.remember(attached.map_err(Trouble::from)?);
        self.csr = None;
        Ok(())
    }

    /// Has a request signed. Where the store's own issuer signs, that takes a moment or days: some of it is waited for, holding no slot.
    async fn have_signed(&self, wanted: &ToIssue<'_>, csr: &[u8]) -> Result<Issued, Stop> {
        let declared = self.declared()?;
        let issuer = self.run.job.writers.issuer(declared)?;
        let settings = self.run.job.settings;
        let deadline = later(self.run.now(), settings.sign_deadline);
        loop {
            let request = self.certificate_request(wanted);
            let issued = self.run.changing_in_slot(issuer.issue(&request, SubjectKey::Request(csr))).await?;
            let trouble = match issued.map_err(Trouble::from) {
                Ok(issued) => return Ok(issued),
                Err(trouble) => trouble,
            };
            if trouble.kind != TroubleKind::NotYet || declared.issuer.signs_in_store().is_none() {
                return Err(Stop::Failed(trouble));
            }
            if self.run.now() >= deadline {
                return Err(Stop::NotYet(trouble));
            }
            self.progress("issue", &trouble.reason);
            self.run.wait(settings.read_interval).await?;
        }
    }

    fn certificate_request(&self, wanted: &ToIssue<'_>) -> CertificateRequest {
        let now = self.run.now();
        CertificateRequest {
            subject: wanted.subject.to_owned(),
            signature_hash: wanted.signature_hash,
            not_before: earlier(now, self.run.job.settings.backdate),
            validity: wanted.validity.clone(),
            now,
            serial: serial_number(self.run.job.random),
        }
    }

    fn wrong_certificate(&self, reason: &str) -> Stop {
        let doing = format!("issuing a certificate for {}", self.plan.address);
        Stop::Failed(Trouble::new(TroubleKind::Invalid, doing, reason))
    }

    /// What every record of this certificate says.
    fn recorded(&self) -> Result<Recorded<'_>, Stop> {
        let target = self.target()?;
        Ok(Recorded {
            declared: self.declared()?,
            owner: &self.run.job.plan.owner,
            tenant_id: target.tenant_id,
            target: target.id,
            now: self.run.now(),
        })
    }

    /// Makes the generation what consumers read.
    pub(crate) async fn promote(&mut self, which: &GenerationRef) -> Result<Done, Stop> {
        let generation = self.generation(which)?;
        let thumbprints = super::prove::thumbprints_of(&generation)?;
        let (store, entry) = self.store()?;
        let password = self.password(&entry.form)?;
        let current = Current::Recorded(thumbprints.sha256);
        let already = self.expected.as_ref() == Some(&current) && generation.record.promoted_at.is_some();
        let record = match already {
            true => generation.record.clone(),
            false => generation.record.clone().promoted(self.run.now()),
        };
        let proven_at = record.proven_at.or_else(|| self.signed_in_now(&thumbprints));
        let record = PublicRecord { proven_at, phase: RecordedPhase::Promoted, ..record };
        let promoting = store.promote(entry, &generation, self.expected.as_ref(), password.as_ref(), &record);
        let promoted = self.run.changing_in_slot(promoting).await?.map_err(Trouble::from)?;
        self.remember(promoted);
        self.expected = Some(current);
        let shown = Shown { thumbprints: Some(thumbprints), ..Shown::default() };
        Ok(Done { already, shown })
    }

    /// The password a form is rendered with.
    pub(crate) fn password(&self, form: &Form) -> Result<Option<Secret>, Stop> {
        if !form.format.is_pfx() {
            return Ok(None);
        }
        match form.password {
            Password::Generate => Ok(Some(generate_password(self.run.job.random))),
            Password::None => Ok(None),
            Password::Env(_) | Password::SecretFile(_) => {
                let secret = self.run.job.writers.secret(&form.password)?;
                let doing =
                    || format!("reading the password of {} from {}", self.plan.address, form.password);
                // A missing source must never become a container without a password.
                let secret =
                    secret.ok_or_else(|| Trouble::new(TroubleKind::Missing, doing(), "it is not set"))?;
                let unfit = |error: KeyError| Trouble::new(TroubleKind::Refused, doing(), error.0);
                secret.check_as_password().map_err(unfit)?;
                Ok(Some(secret))
            }
        }
    }

    /// Reads the passwords that these steps will need, so that a source that is not set stops the chain before anything is made or
    /// published. Each is forgotten again: it is read where it is used.
    pub(crate) fn has_passwords_for(&self, steps: &[PlannedStep]) -> Result<(), Stop> {
        for planned in steps {
            let form = match (&planned.step, self.declared, self.binding) {
                (Step::Promote { .. }, _, Some(entry)) => Some(&entry.form),
                (Step::Deliver { generation: _, slot, kept_as: _ }, Some(declared), _) => {
                    let place = declared.deliveries.iter().find(|delivery| delivery.slot == *slot);
                    place.map(|place| &place.form)
                }
                _ => None,
            };
            let sourced = form.filter(|form| form.password.has_source());
            sourced.map_or(Ok(None), |form| self.password(form))?;
        }
        Ok(())
    }

    /// Writes what the store should remember and does not.
    pub(crate) async fn record(&mut self, which: &GenerationRef, write: RecordWrite) -> Result<Done, Stop> {
        match write {
            RecordWrite::Promoted => {
                let generation = self.generation(which)?;
                let shown = Shown { thumbprints: generation.record.thumbprints, ..Shown::default() };
                if generation.record.promoted_at.is_some() {
                    return Ok(Done::already(shown));
                }
                self.write_record(&generation.record.promoted(self.run.now())).await?;
                Ok(Done::now(shown))
            }
            RecordWrite::Adopted => self.record_adopted(which).await,
        }
    }

    async fn record_adopted(&mut self, which: &GenerationRef) -> Result<Done, Stop> {
        let Some(thumbprints) = which.thumbprints else {
            return Err(self.wrong_certificate("the plan adopts a generation without naming it"));
        };
        let shown = Shown { thumbprints: Some(thumbprints), ..Shown::default() };
        if self.find(which).is_none() {
            let record = self.adopted_record(thumbprints).await?;
            let (store, entry) = self.store()?;
            let written = self.run.changing_in_slot(store.write_record(entry, &record)).await?;
            written.map_err(Trouble::from)?;
            self.look_at_store().await?;
            self.generation(which)?;
            self.now_recorded(thumbprints);
            return Ok(Done::now(shown));
        }
        self.now_recorded(thumbprints);
        Ok(Done::already(shown))
    }

    /// What consumers read is the same as before and has a record now.
    fn now_recorded(&mut self, thumbprints: Thumbprints) {
        if self.expected == Some(Current::Unrecorded { thumbprints: Some(thumbprints) }) {
            self.expected = Some(Current::Recorded(thumbprints.sha256));
        }
    }

    /// What is known of a generation that was made elsewhere: its credential's dates.
    async fn adopted_record(&self, thumbprints: Thumbprints) -> Result<PublicRecord, Stop> {
        let directory = self.directory()?;
        let list = super::replace::read(self.run, &*directory, self.target()?.id).await?;
        let credential = list.iter().find(|one| one.reserved.is_none() && one.is_of(&thumbprints));
        Ok(self.recorded()?.adopted(thumbprints, credential))
    }

    /// Marks a generation as rolled back from.
    pub(crate) async fn reject(&mut self, which: &GenerationRef) -> Result<Done, Stop> {
        let generation = self.generation(which)?;
        let shown = Shown { thumbprints: generation.record.thumbprints, ..Shown::default() };
        if generation.record.rejected {
            return Ok(Done::already(shown));
        }
        self.write_record(&PublicRecord { rejected: true, ..generation.record }).await?;
        Ok(Done::now(shown))
    }

    /// Writes a record and remembers it.
    pub(crate) async fn write_record(&mut self, record: &PublicRecord) -> Result<(), Stop> {
        let (store, entry) = self.store()?;
        let written = self.run.changing_in_slot(store.write_record(entry, record)).await?;
        written.map_err(Trouble::from)?;
        let same = |one: &&mut crate::observed::Generation| {
            one.record.rotation_id == record.rotation_id && one.record.thumbprints == record.thumbprints
        };
        if let Some(generation) = self.generations.iter_mut().find(same) {
            generation.record = record.clone();
        }
        Ok(())
    }

    /// Destroys or disables a key that nobody reads. One that is gone already is done.
    pub(crate) async fn destroy(&mut self, which: &GenerationRef) -> Result<Done, Stop> {
        let shown = Shown { thumbprints: which.thumbprints, ..Shown::default() };
        let Some(generation) = self.find(which).filter(|one| one.key == KeyState::Held).cloned() else {
            return Ok(Done::already(shown));
        };
        let (store, entry) = self.store()?;
        let removed = self.run.changing_in_slot(store.remove(entry, &generation)).await?;
        let key = removed.map_err(Trouble::from)?;
        if let Some(thumbprints) = generation.record.thumbprints {
            self.run.ended(generation.record.target, thumbprints.sha1);
        }
        if let Some(own) = self.generations.iter_mut().find(|one| one.handle == generation.handle) {
            own.key = key;
            own.record.phase = RecordedPhase::Retired;
        }
        Ok(Done::now(Shown { thumbprints: generation.record.thumbprints, ..Shown::default() }))
    }
}

/// The record of a generation whose certificate is made.
fn with_certificate(record: PublicRecord, issued: &Issued) -> PublicRecord {
    let certificate = &issued.certificate;
    PublicRecord {
        thumbprints: Some(certificate.thumbprints),
        key_id: Some(KeyId::derive(&record.target, &certificate.thumbprints.sha1)),
        not_before: Some(certificate.not_before),
        not_after: Some(certificate.not_after),
        phase: RecordedPhase::Staged,
        ..record
    }
}
