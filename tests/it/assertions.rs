//! Client assertions: what they say, and that others find their signatures good.

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::assertion::client_assertion;
use certroll::form::RenderedFile;
use certroll::key::{LocalSigner, SignatureAlgorithm};
use uuid::Uuid;

use crate::forms::{Folder, NOW, chained_pair};
use crate::issuers::moment;
use crate::tools::check_forms;

#[tokio::test]
async fn an_assertion_says_what_microsoft_documents_and_its_signature_holds() {
    let (key, issued, _) = chained_pair().await;
    let signer = LocalSigner::new(&key, issued.certificate.clone()).unwrap();
    let jti = Uuid::from_u128(7);
    let audience = "https://login.microsoftonline.com/t/oauth2/v2.0/token";
    let now = moment("2026-11-20T00:00:00.9Z");
    let made = client_assertion(&signer, SignatureAlgorithm::Ps256, "client", audience, now, jti, None)
        .await
        .unwrap();
    let parts: Vec<&str> = made.expose().split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let json = |part: &str| -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let sha256 = URL_SAFE_NO_PAD.encode(issued.certificate.thumbprints.sha256.0);
    assert_eq!(json(header), serde_json::json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": sha256 }));
    let expected = serde_json::json!({
        "aud": audience, "iss": "client", "sub": "client", "jti": "00000000-0000-0000-0000-000000000007",
        // Five minutes before and after.
        "nbf": 1_795_132_500, "iat": 1_795_132_500, "exp": 1_795_133_100,
    });
    assert_eq!(json(claims), expected);
    let pair = aws_lc_rs::rsa::KeyPair::from_pkcs8(key.expose_pkcs8()).unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public.as_ref())
        .verify(format!("{header}.{claims}").as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
}

#[tokio::test]
#[ignore = "needs openssl, keytool and python; .ci/run runs it"]
async fn assertions_of_both_kinds_hold_in_python() {
    let (key, issued, _) = chained_pair().await;
    let signer = LocalSigner::new(&key, issued.certificate.clone()).unwrap();
    for (algorithm, name, chain) in [
        (SignatureAlgorithm::Ps256, "PS256", None),
        (SignatureAlgorithm::Rs256, "RS256", Some(&issued.chain[..])),
    ] {
        let jti = Uuid::from_u128(7);
        let made = client_assertion(&signer, algorithm, "client", "https://a/b", moment(NOW), jti, chain)
            .await
            .unwrap();
        let folder = Folder::with(&[RenderedFile {
            name: "assertion".into(),
            contents: made.expose().as_bytes().to_vec().into(),
            secret: true,
        }]);
        let pem = issued.certificate.to_pem();
        let found = check_forms(&["assertion", &folder.path("assertion")], &[("CERTIFICATE", &pem)]);
        assert_eq!(found["header"]["alg"], name);
        let expected_chain = chain.map(|above| {
            let all = std::iter::once(&issued.certificate).chain(above);
            all.map(|each| STANDARD.encode(each.der())).collect::<Vec<_>>()
        });
        assert_eq!(found["header"].get("x5c"), expected_chain.map(serde_json::Value::from).as_ref());
    }
}
