//! Taking a credential off a target. Nothing is taken off without a warrant, and a warrant comes from a proof made in this run
//! or from a `removed:` entry that was reviewed. The write itself is in `replace`.

use crate::apply::chain::Chain;
use crate::apply::must_show::Write;
use crate::apply::outcome::{Done, Shown, Stop};
use crate::apply::prove::{Evidenced, Proof, Seen};
use crate::apply::replace::{Change, Takes, carefully};
use crate::edges::Emptying;
use crate::ids::Thumbprints;
use crate::observed::{Credential, Current};
use crate::plan::PlannedStep;
use crate::plan::reason::Because;
use crate::plan::step::CredentialRef;

/// Why a credential may be taken off. Can be made from a proof of this run and from a reviewed `removed:` step, and in no other way.
pub(crate) struct Warrant<'c>(Strength<'c>);

enum Strength<'c> {
    /// The successor signed in during this run.
    Proven(&'c Proof),
    /// The successor was read back during this run. Weaker; comes only from a plan whose own *prove* step asks for no more.
    Seen(&'c Seen),
    /// What a `removed:` entry names has no successor: the file says that it should go, and the plan that says so was reviewed.
    Removed,
}

impl<'c> Warrant<'c> {
    /// On the strength of what this run showed of the successor.
    pub(crate) fn from_evidence(evidence: &'c Evidenced) -> Warrant<'c> {
        Warrant(match evidence {
            Evidenced::SignIn(proof) => Strength::Proven(proof),
            Evidenced::ReadBack(seen) => Strength::Seen(seen),
        })
    }

    /// On the strength of a `removed:` entry; only if that is the step's reason.
    pub(crate) fn from_removed_entry(planned: &PlannedStep) -> Option<Warrant<'static>> {
        (planned.because == Because::Removed).then_some(Warrant(Strength::Removed))
    }

    /// The credential that must stay in the list.
    fn successor(&self) -> Option<Thumbprints> {
        match self.0 {
            Strength::Proven(proof) => Some(proof.thumbprints()),
            Strength::Seen(seen) => Some(seen.thumbprints()),
            Strength::Removed => None,
        }
    }

    /// Says what is wrong with a read that does not show the successor. The list that is written comes from that read, so the body of
    /// every removing write holds what was proven.
    pub(crate) fn hidden_from(&self, list: &[Credential]) -> Option<String> {
        let successor = self.successor()?;
        let shown = list.iter().any(|one| one.reserved.is_none() && one.is_of(&successor));
        (!shown).then(|| format!("reads do not show {}, which was proven in this run", successor.sha1))
    }

    /// Whether the object may be left without any credential: only where no successor is to stay.
    pub(crate) fn emptying(&self) -> Emptying {
        match self.0 {
            Strength::Proven(_) | Strength::Seen(_) => Emptying::Forbidden,
            Strength::Removed => Emptying::ByRemovedEntry,
        }
    }

    /// Whether it would take off the very credential it rests on.
    fn rests_on(&self, credential: &CredentialRef) -> bool {
        self.successor().is_some_and(|successor| successor.sha1 == credential.sha1)
    }
}

impl Chain<'_> {
    /// Takes exactly that credential off. One that is gone already is done.
    pub(crate) async fn retire(
        &mut self,
        planned: &PlannedStep,
        credential: &CredentialRef,
    ) -> Result<Done, Stop> {
        let target = self.target()?;
        let doing = format!(
            "taking credential {} off {} {:?}",
            credential.key_id, target.id.kind, target.display_name
        );
        self.is_still_current(&doing).await?;
        let warrant = self.warrant(planned)?;
        if warrant.rests_on(credential) {
            return Err(Stop::Refused(format!(
                "{} is the credential that was proven in this run; it is not taken off",
                credential.sha1
            )));
        }
        let change = Change {
            target: target.id,
            doing,
            add: None,
            must_show: self.must_show(target.id, credential.sha1, Write::Removes),
            takes: Takes::One(credential, warrant),
        };
        let directory = self.directory()?;
        let written =
            carefully(self.run, &*directory, &change, &|what| self.progress("retire", what)).await?;
        self.run.ended(target.id, credential.sha1);
        self.tell_of_disappeared(&written.disappeared);
        let shown = Shown {
            key_id: Some(credential.key_id),
            read_backs: written.read_backs,
            writes: written.writes,
            disappeared: written.disappeared,
            ..Shown::default()
        };
        Ok(Done { already: written.already, shown })
    }

    /// What allows the step to take something off.
    fn warrant(&self, planned: &PlannedStep) -> Result<Warrant<'_>, Stop> {
        if let Some(warrant) = Warrant::from_removed_entry(planned) {
            return Ok(warrant);
        }
        let Some(evidence) = &self.evidence else {
            return Err(Stop::Refused(
                "nothing is taken off before the current generation was proven in this run".to_owned(),
            ));
        };
        // What signed in must be what consumers read, else they could still hold what is about to go.
        let proven = evidence.thumbprints().sha256;
        let in_use = match &self.expected {
            _ if self.binding.is_none() => true,
            Some(Current::Recorded(sha256)) => *sha256 == proven,
            Some(Current::Unrecorded { thumbprints }) => thumbprints.is_some_and(|own| own.sha256 == proven),
            None => false,
        };
        if !in_use {
            return Err(Stop::Refused("what was proven in this run is not what consumers read".to_owned()));
        }
        Ok(Warrant::from_evidence(evidence))
    }
}
