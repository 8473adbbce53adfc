use super::{EndpointOverrides, Endpoints};
use crate::desired::Cloud;

fn resolve(login: Option<&str>, graph: Option<&str>, scope: Option<&str>) -> Result<Endpoints, String> {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let overrides = EndpointOverrides { login: own(login), graph: own(graph), scope: own(scope) };
    Endpoints::resolve(Cloud::Public, &overrides).map_err(|error| error.to_string())
}

#[test]
fn each_cloud_has_the_hosts_microsoft_documents() {
    let table = [
        (Cloud::Public, "https://login.microsoftonline.com", "https://graph.microsoft.com"),
        (Cloud::UsGov, "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        (Cloud::UsGovDod, "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        (Cloud::China, "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
    ];
    for (cloud, login, graph) in table {
        let endpoints = Endpoints::resolve(cloud, &EndpointOverrides::default()).unwrap();
        assert_eq!(endpoints.token_url("t").unwrap().as_str(), format!("{login}/t/oauth2/v2.0/token"));
        assert_eq!(
            endpoints.graph_url("applications").unwrap().as_str(),
            format!("{graph}/v1.0/applications")
        );
        assert_eq!(endpoints.scope(), format!("{graph}/.default"));
    }
}

#[test]
fn login_host_graph_host_and_scope_are_set_independently() {
    let scope = "https://graph.microsoft.us/.default";
    let endpoints =
        resolve(Some("login.sovcloud-identity.fr"), Some("https://graph.example:8443/"), Some(scope));
    let endpoints = endpoints.unwrap();
    assert_eq!(
        endpoints.token_url("t").unwrap().as_str(),
        "https://login.sovcloud-identity.fr/t/oauth2/v2.0/token"
    );
    assert_eq!(endpoints.graph_url("x").unwrap().as_str(), "https://graph.example:8443/v1.0/x");
    assert_eq!(endpoints.scope(), scope);
    let derived = resolve(None, Some("https://graph.example"), Some(" ")).unwrap();
    assert_eq!(derived.scope(), "https://graph.example/.default");
}

#[test]
fn a_host_setting_is_only_a_host() {
    for wrong in [
        "http://login.example",
        "ftp://login.example",
        "https://user:password@login.example",
        "https://user:password@login.example:99999",
        "https://login.example/path",
        "https://login.example/?x=1",
        "https://login.example/#x",
        "",
        "https://",
    ] {
        let said = resolve(Some(wrong), None, None).unwrap_err();
        assert!(!said.contains("password@"), "{wrong}: {said}");
    }
    assert!(resolve(Some("http://127.0.0.1:8080"), Some("http://localhost"), None).is_ok());
}

#[test]
fn a_tenant_cannot_choose_another_path() {
    let endpoints = resolve(None, None, None).unwrap();
    for wrong in ["", ".", "..", "a/b", "a?b", "a#b", "a b", "%2e%2e", "-x", "a\\b", &"a".repeat(300)] {
        assert!(endpoints.token_url(wrong).is_err(), "{wrong}");
    }
    assert!(endpoints.token_url("contoso.onmicrosoft.com").is_ok());
}
