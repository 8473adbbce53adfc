//! A consumer: reads what the store offers, holds the key for a while, signs in with it. The client that signs in is the shipped one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::desired::Cloud;
use certroll::emulator::Kind;
use certroll::entra::{
    EmulatorTransport, EndpointOverrides, Endpoints, Line, SignIn, Transport, TransportError, try_sign_in,
};
use certroll::key::{LocalSigner, SignatureAlgorithm};
use certroll::period::Period;
use certroll::runtime::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::declaration::Target;
use super::dice::{Dice, SeededRandom};
use super::world::{Identity, World};

/// What a consumer holds.
struct Held {
    identity: Identity,
    since: Timestamp,
}

/// The consumers of a world, one for each certificate.
#[derive(Default)]
pub struct Consumers(Mutex<BTreeMap<String, Held>>);

struct WorldClock(Arc<World>);

#[async_trait]
impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: SignedDuration) {
        tokio::time::sleep(duration.try_into().unwrap_or_default()).await;
    }
}

struct Wire(Arc<World>);

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        self.0.sync();
        EmulatorTransport::new(self.0.emulator.clone()).send(request).await
    }
}

impl Consumers {
    /// Forgets what it held: it is restarted, or a person hands the new key over.
    pub fn restart(&self, certificate: &str) {
        self.0.lock().unwrap().remove(certificate);
    }

    /// Reads if it has nothing, or held what it has for as long as it may; then signs in.
    pub async fn sign_in(&self, world: &Arc<World>, certificate: &str) {
        let (overlap, acknowledges, on) = {
            let state = world.state();
            let Some(keys) = state.declaration.certificates.get(certificate) else { return };
            let overlap: Period = keys.get("overlap").map_or("14d", String::as_str).parse().unwrap();
            let by_person = keys.get("acknowledge").is_some_and(|word| word == "required");
            (overlap, by_person, keys["on"].clone())
        };
        let now = world.now();
        // A little earlier than the overlap ends: clocks of processes differ.
        let patience = overlap.nominal_seconds() - 1_800;
        let held = self.0.lock().unwrap().remove(certificate);
        let mine = held.filter(|held| {
            // The key of a vault never leaves it: what signs is always the newest.
            held.identity.key.is_some()
                && (acknowledges || now.duration_since(held.since).as_secs() < patience.max(0))
        });
        let held = match mine {
            Some(held) => held,
            None => match world.read(certificate) {
                Some(identity) => Held { identity, since: now },
                None => return,
            },
        };
        let sha1 = held.identity.sha1();
        // After a move to another object, what was made for the former one signs in as that one.
        let on = world.state().oracles.target_of(certificate, &sha1).unwrap_or(on);
        if !world.is_there(&on) {
            return;
        }
        let target = world.state().declaration.targets[&on].clone();
        // Where the file asks for no sign-in, nobody has seen that the login service knows the key yet.
        let unproven = world.state().declaration.says(certificate, "read_back").is_some();
        let answer = self.try_often(world, &held.identity, &target, unproven).await;
        if let Some(reason) = answer {
            let now = world.now();
            let excused = {
                let oracles = &world.state().oracles;
                oracles.is_excused(&sha1) || oracles.is_just_repaired(&sha1, now)
            };
            let known = world.state().oracles.end_of(certificate, &sha1);
            let end = known.unwrap_or(held.identity.issued.certificate.not_after);
            if !excused && end > world.now() + SignedDuration::from_mins(1) {
                let name = world.name(&sha1);
                world.violation(format!(
                    "P1 a consumer of {certificate} cannot sign in with {name}: {reason}"
                ));
            }
        }
        self.0.lock().unwrap().insert(certificate.to_owned(), held);
    }

    /// Why it cannot sign in, if it cannot. What says nothing about the key is tried again.
    async fn try_often(
        &self,
        world: &Arc<World>,
        identity: &Identity,
        target: &Target,
        unproven: bool,
    ) -> Option<String> {
        let Some(key) = &identity.key else { return self.listed(world, identity, target) };
        let signer = LocalSigner::new(key, identity.issued.certificate.clone()).unwrap();
        let propagation = world.emulator.faults().token_propagation;
        let uneven = propagation.is_some_and(|propagation| propagation.front_ends > 1);
        for _ in 0..6 {
            // A line of its own each time: what the service says of the time is not to be believed just now.
            let line = Line::new(
                Arc::new(Wire(world.clone())),
                Arc::new(WorldClock(world.clone())),
                Arc::new(SeededRandom::new(Dice::of(world.seed, "consumer"), Arc::default())),
                Endpoints::resolve(Cloud::Emulator, &EndpointOverrides::default()).unwrap(),
                Arc::new(Semaphore::new(1)),
            );
            let tenant = target.tenant_id.to_string();
            match try_sign_in(&line, &tenant, target.app_id, &signer, SignatureAlgorithm::Ps256).await {
                SignIn::Accepted(_) => {
                    world.state().coverage.hit("consumer", "signed in");
                    return None;
                }
                SignIn::Busy(_)
                | SignIn::CannotSign(_)
                | SignIn::Network { .. }
                | SignIn::PolicyBlocked { .. } => {}
                // Three sign-ins in a row cannot have met every one of several login servers.
                SignIn::NotYet { .. } if uneven || (unproven && propagation.is_some()) => {}
                SignIn::NotYet { reason, .. }
                | SignIn::Expired { reason, .. }
                | SignIn::NotYetValid { reason, .. }
                | SignIn::Refused { reason, .. } => return Some(reason),
            }
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        }
        world.state().coverage.hit("consumer", "could not ask");
        None
    }

    /// For a key that cannot be had: whether its credential is there and valid.
    fn listed(&self, world: &World, identity: &Identity, target: &Target) -> Option<String> {
        let (sha1, now) = (identity.sha1(), world.now());
        let kind = if target.service_principal { Kind::ServicePrincipal } else { Kind::Application };
        let there = world.entries_of(target.tenant_id, kind, target.object_id).into_iter().any(|entry| {
            entry.sha1.as_deref() == Some(&sha1)
                && entry.start.is_none_or(|start| start <= now)
                && entry.end.is_none_or(|end| now < end)
        });
        (!there).then(|| "its credential is not there".to_owned())
    }
}
