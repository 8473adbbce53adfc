//! Signing in with a key, and what each answer of the login service says about it.

use std::sync::Arc;

use async_trait::async_trait;
use certroll::edges::{Trouble, TroubleKind};
use certroll::emulator::{Change, Every, Faults, TokenFaults, TokenPropagation};
use certroll::entra::{EmulatorClock, ErrorKind, Line, SignIn, try_sign_in};
use certroll::key::{LocalSigner, SignatureAlgorithm, Signer};
use certroll::runtime::Clock;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::scripted::{self, Script, answer};
use super::support::{TENANT, World, application_id};
use super::writing::{entry_for, pair};

/// An application that carries a certificate, and the signer for it.
async fn published(world: &World) -> (Uuid, Uuid, LocalSigner) {
    let (object_id, app_id) = world.application("orders-api");
    let target = application_id(object_id);
    let (key, certificate) = pair(world).await;
    let (_, new) = entry_for(world, &target, &certificate);
    world.writer().replace_entries(target, &[new]).await.unwrap();
    (object_id, app_id, LocalSigner::new(&key, certificate).unwrap())
}

async fn sign_in(world: &World, app_id: Uuid, signer: &LocalSigner) -> SignIn {
    try_sign_in(&world.line(), &TENANT.to_string(), app_id, signer, SignatureAlgorithm::Ps256).await
}

#[tokio::test]
async fn a_published_key_signs_in_with_both_algorithms() {
    let world = World::new();
    let (_, app_id, signer) = published(&world).await;
    for algorithm in [SignatureAlgorithm::Ps256, SignatureAlgorithm::Rs256] {
        let outcome = try_sign_in(&world.line(), &TENANT.to_string(), app_id, &signer, algorithm).await;
        let SignIn::Accepted(evidence) = outcome else { panic!("{outcome:?}") };
        assert_eq!(evidence.at, world.emulator.now());
    }
}

#[tokio::test]
async fn a_page_that_says_success_and_holds_no_token_proves_nothing() {
    let world = World::new();
    let (key, certificate) = pair(&world).await;
    let signer = LocalSigner::new(&key, certificate).unwrap();
    for page in [
        "<html>Please sign in to the wireless network</html>",
        "",
        "{}",
        r#"{"access_token":"x"}"#,
        r#"{"token_type":"pop","access_token":"x"}"#,
    ] {
        let mut script = Script::new(Vec::new());
        script.token = Some(answer(200, page));
        let line = scripted::line(&Arc::new(script));
        let outcome =
            try_sign_in(&line, &TENANT.to_string(), Uuid::from_u128(1), &signer, SignatureAlgorithm::Ps256)
                .await;
        assert!(matches!(outcome, SignIn::Network { .. }), "{page}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_key_that_has_not_spread_is_not_yet_and_then_accepted() {
    let world = World::new();
    let propagation = TokenPropagation { seconds: 90, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(propagation), ..Faults::default() });
    let (_, app_id, signer) = published(&world).await;
    let outcome = sign_in(&world, app_id, &signer).await;
    assert!(matches!(&outcome, SignIn::NotYet { code, .. } if code == "AADSTS700027"), "{outcome:?}");
    world.emulator.advance(SignedDuration::from_secs(91));
    let outcome = sign_in(&world, app_id, &signer).await;
    assert!(matches!(outcome, SignIn::Accepted(_)), "{outcome:?}");
}

#[tokio::test]
async fn an_application_nobody_knows_is_not_yet() {
    let world = World::new();
    let (_, _, signer) = published(&world).await;
    let outcome = sign_in(&world, Uuid::from_u128(1), &signer).await;
    assert!(matches!(&outcome, SignIn::NotYet { code, .. } if code == "AADSTS700016"), "{outcome:?}");
}

#[tokio::test]
async fn a_credential_whose_end_has_passed_is_expired() {
    let world = World::new();
    let (_, app_id, signer) = published(&world).await;
    world.emulator.advance(SignedDuration::from_hours(24 * 400));
    let outcome = sign_in(&world, app_id, &signer).await;
    assert!(matches!(&outcome, SignIn::Expired { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_credential_that_begins_later_is_not_yet_valid() {
    let world = World::new();
    let (object_id, app_id) = world.application("orders-api");
    let target = application_id(object_id);
    let (key, certificate) = pair(&world).await;
    let start = world.emulator.now() + SignedDuration::from_hours(24);
    let end = certificate.not_after - SignedDuration::from_secs(1);
    let key_id = certroll::ids::KeyId(Uuid::from_u128(3));
    let new = certroll::entra::new_entry(key_id, "later", &certificate, start, end).unwrap();
    world.writer().replace_entries(target, &[new]).await.unwrap();
    let outcome = sign_in(&world, app_id, &LocalSigner::new(&key, certificate).unwrap()).await;
    assert!(matches!(&outcome, SignIn::NotYetValid { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_policy_on_this_machine_says_nothing_about_the_key() {
    let world = World::new();
    let (_, app_id, signer) = published(&world).await;
    world.change(Change::ConditionalAccess { blocks: true });
    let outcome = sign_in(&world, app_id, &signer).await;
    assert!(matches!(&outcome, SignIn::PolicyBlocked { code, .. } if code == "AADSTS53003"), "{outcome:?}");
}

/// A key in a service that does not let certroll sign with it.
struct NotLetSign(certroll::certificate::Certificate);

#[async_trait]
impl Signer for NotLetSign {
    fn certificate(&self) -> &certroll::certificate::Certificate {
        &self.0
    }

    async fn sign(&self, _: SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, Trouble> {
        Err(Trouble::new(TroubleKind::Authorisation, "signing with key cloudm", "ForbiddenByRbac"))
    }
}

#[tokio::test]
async fn a_key_that_may_not_be_used_is_no_trouble_of_the_network() {
    let world = World::new();
    let (_, app_id, signer) = published(&world).await;
    let signer = NotLetSign(signer.certificate().clone());
    let outcome =
        try_sign_in(&world.line(), &TENANT.to_string(), app_id, &signer, SignatureAlgorithm::Ps256).await;
    let SignIn::CannotSign(trouble) = outcome else { panic!("{outcome:?}") };
    assert_eq!(trouble.kind, TroubleKind::Authorisation);
}

#[tokio::test]
async fn a_busy_service_and_a_lost_answer_are_no_verdict() {
    let world = World::new();
    let (_, app_id, signer) = published(&world).await;
    let token = TokenFaults { unavailable_every: Some(1), ..TokenFaults::default() };
    world.emulator.set_faults(Faults { token, ..Faults::default() });
    let outcome = sign_in(&world, app_id, &signer).await;
    assert!(matches!(&outcome, SignIn::Busy(error) if error.kind == ErrorKind::Unavailable), "{outcome:?}");
    world.emulator.set_faults(Faults { connection_refused: Some(Every { every: 1 }), ..Faults::default() });
    let outcome = sign_in(&world, app_id, &signer).await;
    assert!(matches!(&outcome, SignIn::Network { .. }), "{outcome:?}");
}

/// A clock that is wrong by that much.
struct WrongClock(EmulatorClock, SignedDuration);

#[async_trait]
impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }
    async fn sleep(&self, duration: SignedDuration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_minutes_wrong_signs_in_at_the_first_try() {
    let world = World::new();
    let (_, app_id, signer) = published(&world).await;
    for seconds in [-240, -60, 60, 240] {
        let clock =
            WrongClock(EmulatorClock::new(world.emulator.clone()), SignedDuration::from_secs(seconds));
        // Nothing has been measured on this line: the very first request carries the assertion.
        let line = Line { clock: Arc::new(clock), ..world.line() };
        let tenant = TENANT.to_string();
        let outcome = try_sign_in(&line, &tenant, app_id, &signer, SignatureAlgorithm::Ps256).await;
        assert!(matches!(outcome, SignIn::Accepted(_)), "{seconds} s: {outcome:?}");
    }
}
