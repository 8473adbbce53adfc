//! What a declaration that somebody proposes, and a service that somebody plays, cannot do: send a token or a secret to a host of their
//! choosing, or have anything run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

const TENANT: &str = "8f5e2c0a-1b2c-4d3e-9f40-51627384a5b6";
const APP: &str = "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d";
const SECRET: &str = "the-operators-own-secret";
const TOKEN: &str = "eyJ0b2tlbg.of.certroll";

fn declaration() -> String {
    format!(
        "certroll: v1\nowner: platform\ntenants:\n  contoso: {{ id: {TENANT} }}\nstores:\n  keys: {{ kind: file, directory: secrets }}\n\
         certificates:\n  billing:\n    application: {{ app_id: {APP} }}\n    store: keys\n"
    )
}

/// Answers requests, by their path, and keeps them whole.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` gives the status line's end, further header lines, and the body.
    fn new(answer: impl Fn(&str) -> (String, String, String) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection is logged, too: nobody but who was sent here would open one.
                let request = request(&stream);
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap().push(request);
                let (status, headers, body) = answer(&path);
                let length = body.len();
                let _ = write!(
                    &stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
                );
            }
        });
        Server { url, seen }
    }

    /// One that nobody should ever ask.
    fn trap() -> Server {
        Server::new(|_| ("200 OK".to_owned(), String::new(), r#"{"value":[]}"#.to_owned()))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Header and body of one request.
fn request(stream: &TcpStream) -> String {
    let (mut reader, mut head, mut line) = (BufReader::new(stream), String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        head.push_str(&line);
        line.clear();
    }
    let length = head
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = reader.read_exact(&mut body);
    head + &String::from_utf8_lossy(&body)
}

/// The real binary with the operator's sign-in and hosts; exit code and everything said.
fn run(folder: &Path, hosts: &Server, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
    command.env_clear().current_dir(folder).args(args).stdin(Stdio::null());
    command.env("AZURE_AUTHORITY_HOST", &hosts.url).env("CERTROLL_GRAPH_HOST", &hosts.url);
    command.env("CERTROLL_GRAPH_SCOPE", "https://graph.microsoft.com/.default");
    command.env("AZURE_CLIENT_ID", APP).env("AZURE_CLIENT_SECRET", SECRET);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn token() -> (String, String, String) {
    let body = format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{TOKEN}"}}"#);
    ("200 OK".to_owned(), "Content-Type: application/json\r\n".to_owned(), body)
}

/// A folder with that declaration.
fn declared(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("certroll.yaml"), text).unwrap();
    folder
}

#[test]
fn no_link_redirect_or_challenge_of_graph_takes_a_token_to_another_host() {
    type Trick = fn(&str) -> (String, String, String);
    let tricks: [(&str, Trick); 6] = [
        ("302", |trap| {
            ("302 Found".to_owned(), format!("Location: {trap}/v1.0/applications\r\n"), String::new())
        }),
        ("307", |trap| ("307 Temporary Redirect".to_owned(), format!("Location: {trap}\r\n"), String::new())),
        ("308", |trap| ("308 Permanent Redirect".to_owned(), format!("Location: {trap}\r\n"), String::new())),
        ("a next link", |trap| {
            (
                "200 OK".to_owned(),
                String::new(),
                format!(r#"{{"value":[],"@odata.nextLink":"{trap}/v1.0/applications?$skiptoken=1"}}"#),
            )
        }),
        ("a challenge", |trap| {
            let challenge =
                format!("WWW-Authenticate: Bearer authorization_uri=\"{trap}\", claims=\"e30=\"\r\n");
            ("401 Unauthorized".to_owned(), challenge, String::new())
        }),
        ("a place to look", |trap| {
            (
                "202 Accepted".to_owned(),
                format!("Location: {trap}\r\nOperation-Location: {trap}\r\nLink: <{trap}>; rel=next\r\n"),
                String::new(),
            )
        }),
    ];
    for (name, trick) in tricks {
        let trap = Server::trap();
        let away = trap.url.clone();
        let hosts = Server::new(move |path| if path.contains("/token") { token() } else { trick(&away) });
        let (code, said) = run(declared(&declaration()).path(), &hosts, &["plan"]);
        assert_ne!(code, 0, "{name}: {said}");
        assert!(
            hosts.seen().iter().any(|request| request.contains(TOKEN)),
            "{name}: no token was used: {said}"
        );
        assert_eq!(trap.seen(), Vec::<String>::new(), "{name}");
        assert!(!said.contains(TOKEN) && !said.contains(SECRET), "{name}: {said}");
    }
}

#[test]
fn no_redirect_of_the_login_service_takes_a_secret_to_another_host() {
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let trap = Server::trap();
        let away = trap.url.clone();
        let hosts =
            Server::new(move |_| (status.to_owned(), format!("Location: {away}/token\r\n"), String::new()));
        let (code, said) = run(declared(&declaration()).path(), &hosts, &["plan"]);
        assert_ne!(code, 0, "{status}: {said}");
        assert!(hosts.seen().iter().any(|request| request.contains(SECRET)), "{status}: nobody signed in");
        assert_eq!(trap.seen(), Vec::<String>::new(), "{status}");
        assert!(!said.contains(SECRET), "{status}: {said}");
    }
}

#[test]
fn a_declaration_cannot_choose_where_tokens_and_secrets_go() {
    let trap = Server::trap();
    let away = &trap.url;
    let host = away.strip_prefix("http://").unwrap();
    let tenant = format!("{{ id: {TENANT} }}");
    let keys =
        ["authority", "login", "graph", "endpoint", "host", "url", "proxy", "ca_file", "scope", "emulator"];
    let with_key = keys.map(|key| (tenant.clone(), format!("{{ id: {TENANT}, {key}: \"{away}\" }}")));
    let global =
        keys.map(|key| ("owner: platform".to_owned(), format!("owner: platform\n{key}: \"{away}\"")));
    let ids = [
        away.to_owned(),
        host.to_owned(),
        format!("{host}/"),
        "../evil".to_owned(),
        format!("@{host}"),
        format!("//{host}"),
        format!("{TENANT}@{host}"),
        format!("{TENANT}/../../{host}"),
    ];
    let ids = ids.map(|id| (tenant.clone(), format!("{{ id: \"{id}\" }}")));
    let clouds = [away.to_owned(), host.to_owned()]
        .map(|cloud| (tenant.clone(), format!("{{ id: {TENANT}, cloud: \"{cloud}\" }}")));
    let connection = [(tenant.clone(), format!("{{ id: {TENANT}, connection: \"{away}\" }}"))];
    let store = "{ kind: file, directory: secrets }".to_owned();
    let stores = [
        format!("{{ kind: file, directory: \"//{host}/share\" }}"),
        format!("{{ kind: file, directory: secrets, url: \"{away}\" }}"),
        format!("{{ kind: hashicorp_vault, url: \"{away}\" }}"),
    ];
    let stores = stores.map(|other| (store.clone(), other));
    let deliver = [format!("deliver: [{{ kind: file, path: \"{away}\" }}]")];
    let deliver = deliver.map(|list| ("store: keys".to_owned(), format!("store: keys\n    {list}")));
    let attempts = with_key
        .into_iter()
        .chain(global)
        .chain(ids)
        .chain(clouds)
        .chain(connection)
        .chain(stores)
        .chain(deliver);
    let hosts = Server::trap();
    for (here, instead) in attempts {
        let text = declaration().replacen(&here, &instead, 1);
        assert_ne!(text, declaration(), "{here}");
        let folder = declared(&text);
        for args in [&["validate"][..], &["plan"], &["drift"], &["verify"], &["apply", "--auto-approve"]] {
            let (code, said) = run(folder.path(), &hosts, args);
            assert_eq!(code, 1, "{instead}: {args:?}: {said}");
            assert!(said.contains("certroll.yaml:"), "{instead}: {args:?}: {said}");
        }
    }
    // A connection that the operator has not set up leads nowhere either.
    let folder =
        declared(&declaration().replacen(&tenant, &format!("{{ id: {TENANT}, connection: mine }}"), 1));
    for args in [&["plan"][..], &["drift"], &["verify"], &["apply", "--auto-approve"]] {
        let (code, said) = run(folder.path(), &hosts, args);
        assert_eq!(code, 1, "{args:?}: {said}");
        assert!(said.contains("the operator of this run has not set it up"), "{args:?}: {said}");
    }
    assert_eq!(
        (trap.seen(), hosts.seen()),
        (Vec::new(), Vec::new()),
        "a declaration that is refused reaches nobody"
    );
}

#[test]
fn the_language_has_no_key_for_an_address_on_the_network() {
    let schema = include_str!("../../schemas/certroll.v1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut keys = Vec::new();
    names_of_properties(&schema, &mut keys);
    assert!(keys.contains(&"tenants") && keys.contains(&"connection"), "{keys:?}");
    let places =
        ["url", "uri", "host", "endpoint", "authority", "proxy", "server", "login", "graph", "audience"];
    let found: Vec<_> = keys.iter().filter(|key| key.split('_').any(|word| places.contains(&word))).collect();
    assert!(found.is_empty(), "{found:?}");
    // The one word for it is the operator's: a name without a dot, a colon or a slash.
    let name = &schema["$defs"]["Name"]["pattern"];
    assert_eq!(name, "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$");
    assert_eq!(schema["$defs"]["Tenant"]["properties"]["connection"]["$ref"], "#/$defs/Name");
}

fn names_of_properties<'s>(schema: &'s Value, names: &mut Vec<&'s str>) {
    if let Some(properties) = schema["properties"].as_object() {
        names.extend(properties.keys().map(String::as_str));
    }
    match schema {
        Value::Object(members) => members.values().for_each(|value| names_of_properties(value, names)),
        Value::Array(items) => items.iter().for_each(|value| names_of_properties(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn p7_nothing_but_an_exec_delivery_and_the_operators_azure_cli_starts_another_program() {
    // What a delivery names, in `apply` alone; and az, which the operator's variables or connections choose and no declaration can.
    // kube starts a plugin of the operator's kubeconfig; src/kubernetes/connect.rs lets it, in `apply` alone.
    let may_start = ["src/delivery/exec.rs", "src/entra/azure_cli.rs"];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            if may_start.iter().any(|own| path.ends_with(own)) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for way in [
                "process::Command",
                "Command::new(\"",
                "CommandExt",
                "fn exec",
                "posix_spawn",
                "rustix::runtime",
            ] {
                assert!(!shipped.contains(way), "{}: {way}", path.display());
            }
            read += 1;
        }
    }
    assert!(read > 100, "{read} files were read");
}
