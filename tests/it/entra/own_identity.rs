//! Signing in as somebody whom the machine or the CI system vouches for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::connections::Operator;
use certroll::emulator::Change;
use certroll::entra::{
    DirectoryReader, EntraError, ErrorKind, GraphClient, GraphSettings, Line, OwnCredential, Transport,
    TransportError, from_connection, from_environment, observe,
};
use certroll::net::{HttpsOptions, HttpsTransport, TransportErrorKind, Trust};
use http::{Request, Response};
use serde_json::json;

use super::scripted::{TOKEN, answer, line};
use super::support::{TENANT, World, address, app, permissions};
use certroll::desired::SelectBy;

const ID: &str = "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d";
const JOB: &str = "job-token-hunter2";
const JWT: &str = "eyJ.job.sig";

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn own(pairs: &[(&str, &str)]) -> Result<OwnCredential, EntraError> {
    from_environment(&variables(pairs))
}

async fn read_one(line: Line, own: OwnCredential) -> Result<(), EntraError> {
    let client = GraphClient::new(line, &TENANT.to_string(), own, GraphSettings::default());
    let wanted = [(address(0), app(SelectBy::DisplayName("read me".to_owned())))];
    observe(&DirectoryReader::new(Arc::new(client)), &wanted, &[]).await.map(|_| ())
}

#[tokio::test]
async fn a_managed_identity_reads_with_a_token_of_its_machine() {
    let world = World::new();
    world.application("read me");
    let (_, client_id) = world.service_principal("vm", json!({ "servicePrincipalType": "ManagedIdentity" }));
    let granted = permissions(&["Application.Read.All", "Policy.Read.All"]);
    world.change(Change::Grant { client_id, permissions: granted });
    let client_id = client_id.to_string();
    let app_service = [
        ("IDENTITY_ENDPOINT", "http://169.254.129.2:8081/msi/token"),
        ("IDENTITY_HEADER", "emulator-identity-header"),
    ];
    let chosen = ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
    for set in [
        vec![chosen],
        vec![chosen, ("AZURE_CLIENT_ID", client_id.as_str())],
        vec![("ARM_USE_MSI", "true"), ("ARM_CLIENT_ID", client_id.as_str())],
        [vec![chosen], app_service.to_vec()].concat(),
    ] {
        let own = own(&set).unwrap();
        read_one(world.line(), own).await.unwrap_or_else(|error| panic!("{set:?}: {error}"));
    }
    // Another identity than the machine has.
    let error = read_one(world.line(), own(&[chosen, ("AZURE_CLIENT_ID", ID)]).unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Authentication);
    let text = format!("{error} {:?}", error.hint);
    assert!(text.contains(&format!("the managed identity {ID} of this machine")), "{text}");
    assert!(text.contains("Identity not found") && text.contains("AZURE_CLIENT_ID"), "{text}");
}

#[test]
fn an_identity_endpoint_that_is_not_this_machines_is_refused() {
    let world = World::new();
    let away = [
        ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"),
        ("IDENTITY_ENDPOINT", "http://10.0.0.7/msi/token"),
        ("IDENTITY_HEADER", "header-hunter2"),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(read_one(world.line(), own(&away).unwrap())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Settings);
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn nothing_but_the_machines_identity_is_asked_over_plain_http() {
    let transport = HttpsTransport::new(HttpsOptions { trust: Trust::System, ..HttpsOptions::default() });
    let request = Request::get("http://169.254.169.254/latest/meta-data").body(Vec::new()).unwrap();
    let error = transport.unwrap().send(request).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::NotAllowed);
}

/// A CI system, the login service and Graph, told apart by their hosts.
#[derive(Default)]
struct Hosts(Mutex<Vec<(String, String, String)>>);

#[async_trait]
impl Transport for Hosts {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let bearer = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(request.body().clone()).unwrap();
        let uri = format!("{} {}", request.method(), request.uri());
        self.0.lock().unwrap().push((uri, bearer.unwrap_or_default(), body));
        Ok(match request.uri().host().unwrap() {
            "run.actions.githubusercontent.com" => {
                answer(200, &json!({ "count": 1, "value": JWT }).to_string())
            }
            "dev.azure.com" => answer(200, &json!({ "oidcToken": JWT }).to_string()),
            "login.microsoftonline.com" => {
                answer(200, &json!({ "expires_in": 3599, "access_token": TOKEN }).to_string())
            }
            _ => answer(200, &json!({ "value": [] }).to_string()),
        })
    }
}

/// What was asked of whom while one application was looked for.
async fn asked(own: OwnCredential) -> Vec<(String, String, String)> {
    let hosts = Arc::new(Hosts::default());
    let line = Line {
        transport: Arc::clone(&hosts) as Arc<dyn Transport>,
        ..line(&Arc::new(super::scripted::Script::new(Vec::new())))
    };
    read_one(line, own).await.unwrap();
    let asked = hosts.0.lock().unwrap().clone();
    for (uri, bearer, body) in asked.iter().skip(1) {
        assert!(!format!("{uri}{bearer}{body}").contains(JOB), "the job's own token went to {uri}");
    }
    asked
}

#[tokio::test]
async fn a_github_job_shows_its_token_instead_of_a_secret() {
    let runner = [
        (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "https://run.actions.githubusercontent.com/1/idtoken?api-version=2.0",
        ),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB),
    ];
    for who in [vec![("AZURE_CLIENT_ID", ID)], vec![("ARM_CLIENT_ID", ID), ("ARM_USE_OIDC", "true")]] {
        let asked = asked(own(&[who, runner.to_vec()].concat()).unwrap()).await;
        let (uri, bearer, _) = &asked[0];
        assert_eq!(
            uri,
            "GET https://run.actions.githubusercontent.com/1/idtoken?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange"
        );
        assert_eq!(*bearer, format!("Bearer {JOB}"));
        let (uri, _, body) = &asked[1];
        assert!(uri.starts_with("POST https://login.microsoftonline.com/"), "{uri}");
        assert!(body.contains(&format!("client_assertion={JWT}")) && body.contains(ID), "{body}");
        assert_eq!(asked[2].1, format!("Bearer {TOKEN}"));
    }
    // A secret that was set is what is meant, whatever the job offers.
    let secret = [("AZURE_CLIENT_ID", ID), ("AZURE_CLIENT_SECRET", "s")];
    let found = own(&[secret.to_vec(), runner.to_vec()].concat()).unwrap();
    assert!(found.describe().contains("a client secret"), "{}", found.describe());
}

#[tokio::test]
async fn an_azure_devops_job_shows_the_token_of_its_service_connection() {
    let job = [
        ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/contoso/_apis/oidctoken"),
        ("SYSTEM_ACCESSTOKEN", JOB),
    ];
    let connection = "0a9c0f5e-1111-4222-8333-944455556666";
    for who in [
        vec![("AZURE_CLIENT_ID", ID), ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", connection)],
        vec![
            ("ARM_CLIENT_ID", ID),
            ("ARM_USE_OIDC", "true"),
            ("ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", connection),
        ],
    ] {
        let asked = asked(own(&[who, job.to_vec()].concat()).unwrap()).await;
        let (uri, bearer, body) = &asked[0];
        let expected = format!(
            "POST https://dev.azure.com/contoso/_apis/oidctoken?api-version=7.1&serviceConnectionId={connection}"
        );
        assert_eq!((uri, bearer, body.as_str()), (&expected, &format!("Bearer {JOB}"), ""));
        assert!(asked[1].2.contains(&format!("client_assertion={JWT}")));
    }
}

#[test]
fn the_jobs_own_token_goes_to_its_ci_system_only() {
    for url in [
        "https://actions.githubusercontent.com.example.net/x",
        "https://evilactions.githubusercontent.com/x",
        "http://run.actions.githubusercontent.com/x",
        "https://user:pw@run.actions.githubusercontent.com/x",
    ] {
        let set = [
            ("AZURE_CLIENT_ID", ID),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB),
        ];
        let error = own(&set).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Settings, "{url}");
        assert!(!format!("{error:?}").contains(JOB));
    }
    // A server of one's own is at home there.
    let own_server = [
        ("AZURE_CLIENT_ID", ID),
        ("GITHUB_SERVER_URL", "https://github.contoso.com"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://pipelines.github.contoso.com/x"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB),
    ];
    let found = own(&own_server).unwrap();
    assert!(!format!("{found:?}").contains(JOB));
}

/// A folder with an `az` that does what the script says.
#[cfg(unix)]
fn with_az(script: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("az");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[cfg(unix)]
#[tokio::test]
async fn the_azure_cli_hands_out_a_token_and_is_told_nothing_it_need_not_know() {
    let az = with_az(&format!(
        r#"env | cut -d= -f1 | sort > "$HOME/names"; echo "$@" > "$HOME/arguments"
echo '{{ "accessToken": "{TOKEN}", "expiresOn": "2026-11-20 13:00:00.000000", "expires_on": 1795180000, "tokenType": "Bearer" }}'"#
    ));
    let folder = az.path().display().to_string();
    let path = format!("{folder}:/usr/bin:/bin");
    let set = [
        ("ARM_USE_CLI", "true"),
        ("PATH", path.as_str()),
        ("HOME", folder.as_str()),
        ("CERTROLL_SECRET_PFX", "hunter2"),
    ];
    let own = own(&set).unwrap();
    assert!(!format!("{own:?}").contains("hunter2"));
    let hosts = Arc::new(Hosts::default());
    let line = Line {
        transport: Arc::clone(&hosts) as Arc<dyn Transport>,
        ..line(&Arc::new(super::scripted::Script::new(Vec::new())))
    };
    read_one(line, own).await.unwrap();
    let asked = hosts.0.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .all(|(uri, bearer, _)| uri.contains("graph.microsoft.com")
                && *bearer == format!("Bearer {TOKEN}"))
    );
    let arguments = std::fs::read_to_string(az.path().join("arguments")).unwrap();
    let expected = format!(
        "account get-access-token --output json --resource https://graph.microsoft.com --tenant {TENANT}\n"
    );
    assert_eq!(arguments, expected);
    let names = std::fs::read_to_string(az.path().join("names")).unwrap();
    assert!(!names.contains("CERTROLL"), "{names}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_azure_cli_that_is_not_signed_in_is_told_apart_and_its_output_is_not_repeated() {
    let az = with_az("echo secret-hunter2; echo 'ERROR: Please run az login to setup account.' >&2; exit 1");
    let path = format!("{}:/usr/bin:/bin", az.path().display());
    let hosts = Arc::new(Hosts::default());
    let line = Line { transport: hosts, ..line(&Arc::new(super::scripted::Script::new(Vec::new()))) };
    let error = read_one(line, own(&[("ARM_USE_CLI", "1"), ("PATH", &path)]).unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Authentication);
    let text = format!("{error:?} {:?}", error.hint);
    assert!(text.contains("Please run az login") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_connection_says_which_way_is_meant() {
    let name = "lab".parse().unwrap();
    let users = BTreeMap::from([(name, std::collections::BTreeSet::new())]);
    let found = |pairs: &[(&str, &str)]| {
        let operator = Operator::new(variables(pairs), None, users.clone()).unwrap();
        let connection = operator.connection(Some(&"lab".parse().unwrap())).unwrap().unwrap().clone();
        from_connection(&connection, operator.variables())
    };
    let runner = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://run.actions.githubusercontent.com/x"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB),
    ];
    let with = |auth: &'static str| [("CERTROLL_CONN_LAB_AUTH", auth), ("CERTROLL_CONN_LAB_CLIENT_ID", ID)];
    type Case<'a> = (&'static str, &'a [(&'a str, &'a str)], &'static str);
    let table: [Case<'_>; 4] = [
        (
            "managed_identity",
            &[],
            "the managed identity 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d of this machine (connection lab)",
        ),
        ("azure_cli", &[], "whoever is signed in with the Azure CLI (connection lab)"),
        (
            "github",
            &runner,
            "client 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d with a token of this GitHub job (connection lab)",
        ),
        (
            "azure_devops",
            &[
                ("CERTROLL_CONN_LAB_SERVICE_CONNECTION_ID", "sc"),
                ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/x"),
                ("SYSTEM_ACCESSTOKEN", JOB),
            ],
            "client 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d with a token of this Azure DevOps job (connection lab)",
        ),
    ];
    for (auth, more, expected) in table {
        assert_eq!(found(&[&with(auth), more].concat()).unwrap().describe(), expected);
    }
    // The job's token is not taken unless the connection says so.
    assert!(found(&[&[("CERTROLL_CONN_LAB_CLIENT_ID", ID)], &runner[..]].concat()).is_err());
    assert!(found(&with("ldap")).unwrap_err().hint.as_deref().unwrap().contains("managed_identity"));
}
