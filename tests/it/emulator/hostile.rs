//! Whatever is sent, something is answered.

use http::Request;
use proptest::prelude::*;

use super::world::*;

/// Any request at all, with the operator's token.
fn send(directory: &Directory, method: &str, target: &str, body: Vec<u8>) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(format!("{BASE}{target}"))
        .header("Authorization", format!("Bearer {}", directory.token))
        .header("Content-Type", "application/json")
        .body(body);
    match request {
        Ok(request) => answer(&directory.emulator, &request).expect("an answer").status,
        // Not even HTTP.
        Err(_) => 400,
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_filter_is_answered(filter in "[a-zA-Z(),' /:é]{0,60}|(not |\\(){0,80}(appId|displayName|tags/any\\(t:t) (eq|ne|in) \\(?'[a-z']{0,9}'?\\)?") {
        let directory = Directory::new();
        let status = send(&directory, "GET", &format!("/v1.0/applications?$filter={}", percent(&filter)), Vec::new());
        prop_assert!(status == 200 || status == 400, "{status}");
    }

    #[test]
    fn any_path_and_body_is_answered(path in "/[ -~é]{0,40}", body in "\\{\"keyCredentials\":\\[[\\x20-\\x7e]{0,40}\\]\\}|.{0,40}") {
        let directory = Directory::new();
        let (id, _) = directory.application("orders-api", vec![]);
        for method in ["GET", "POST", "PATCH", "DELETE", "PUT"] {
            let status = send(&directory, method, &path.replace(['#', ' '], "%23"), body.clone().into_bytes());
            prop_assert!((200..500).contains(&status), "{status}");
        }
        let status = send(&directory, "PATCH", &format!("/v1.0/applications/{id}"), body.into_bytes());
        prop_assert!(status == 204 || status == 400, "{status}");
    }

    #[test]
    fn any_assertion_is_refused(text in "[A-Za-z0-9_.=-]{0,120}") {
        let directory = Directory::new();
        let client = directory.application("orders-api", vec![]).1;
        prop_assert_eq!(sign_in(&directory.emulator, client, &text).status, 401);
    }
}
