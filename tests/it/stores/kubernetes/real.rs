//! What only a real API server can show: rights by role, kube's own client with a kubeconfig, and the official client reading back.

use std::sync::Arc;

use certroll::connections::Operator;
use certroll::desired::Format;
use certroll::ids::Name;
use certroll::kubernetes::Cluster;
use certroll::may::May;
use certroll::store::kubernetes::KubernetesStore;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};
use serde_json::{Value, json};

use super::{Server, binding, current_of, fresh_name, one_current, promoted, set, way};
use crate::support::contract::{self, Rotation};
use crate::support::reach::Nowhere;
use crate::support::trouble::Trouble;
use crate::tools::read_secret;

const JSON: &str = "application/json";

/// A service account with these rules; returns the server as it sees it.
fn service_account(server: &Server, name: &str, rules: &Value) -> Server {
    let core = "/api/v1/namespaces/default/serviceaccounts";
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let made = |path: &str, body: Value| {
        let (status, said) = server.ask("POST", path, JSON, Some(&body));
        assert!((200..300).contains(&status), "{said}");
        said
    };
    let metadata = json!({ "name": name });
    made(core, json!({ "metadata": metadata }));
    made(&format!("{rbac}/roles"), json!({ "metadata": metadata, "rules": rules }));
    let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": "default" });
    let role = json!({ "kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io" });
    made(
        &format!("{rbac}/rolebindings"),
        json!({ "metadata": metadata, "subjects": [subject], "roleRef": role }),
    );
    let token = made(&format!("{core}/{name}/token"), json!({ "spec": { "audiences": [] } }));
    Server::real_as(token["status"]["token"].as_str().unwrap().to_owned())
}

/// The rules of the page, as it gives them: the first block to plan, the second to apply.
fn documented_rules(block: usize, name: &str) -> Value {
    let page = include_str!("../../../../docs/stores/kubernetes.md");
    let blocks = page.split("```yaml\nrules:\n").skip(1);
    let text = blocks.map(|rest| rest.split("```").next().unwrap()).nth(block).unwrap();
    let rules: Vec<Value> = text
        .lines()
        .map(|line| serde_yaml_rule(&line.trim().trim_start_matches("- ").replace("NAME", name)))
        .collect();
    Value::Array(rules)
}

/// `{ apiGroups: [""], resources: [secrets], verbs: [get] }`
fn serde_yaml_rule(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn the_documented_rights_are_enough_on_a_real_server_and_no_more() {
    let admin = Server::real();
    let name = fresh_name();
    let entry = binding(&name, Format::Pem);
    let applier = service_account(&admin, &format!("{name}-apply"), &documented_rules(1, &name));
    let planner = service_account(&admin, &format!("{name}-plan"), &documented_rules(0, &name));

    let first = one_current(&applier, &entry).await;
    let trouble = Trouble::quiet();
    let store = planner.store(&trouble);
    let seen = store.observe(&entry).await;
    let certroll::observed::StoreState::Known(holding) = seen.state else { panic!("{seen:?}") };
    assert_eq!(holding.current, current_of(&first));
    store.issued(&entry, &first).await.unwrap();
    assert!(trouble.journal().iter().all(|call| call.starts_with("GET ") && call.ends_with(" metadata")));
    let refused = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Denied, "{refused}");

    let May::No { reason, .. } = store.may_write(&entry).await.unwrap() else { panic!("it may write") };
    assert!(
        reason.contains(&format!("may not patch Secret default/{name}; patch Secret default/{name}-next")),
        "{reason}"
    );
    assert_eq!(applier.store(&Trouble::quiet()).may_write(&entry).await.unwrap(), May::Yes);

    // The whole of a rotation.
    let store = applier.store(&Trouble::quiet());
    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    let record = promoted(&second, Rotation::Second);
    store.promote(&entry, &second, current_of(&first).as_ref(), None, &record).await.unwrap();
    store.remove(&entry, &first).await.unwrap();
    assert_eq!(applier.ask("GET", &applier.path(""), JSON, None).0, 403, "it may list");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn the_official_client_reads_what_certroll_wrote_on_a_real_server() {
    let kubeconfig = set("CERTROLL_TEST_KUBECONFIG");
    let connection: Name = "cluster".parse().unwrap();
    let variables = [("CERTROLL_CONN_CLUSTER_KUBECONFIG".to_owned(), kubeconfig.clone())];
    let users = [(connection.clone(), std::collections::BTreeSet::new())];
    let operator = Operator::new(variables.into(), None, users.into()).unwrap();
    let named = operator.connection(Some(&connection)).unwrap();
    let cluster = Cluster::choose(&operator, named, Some("test"), way(Arc::new(Nowhere)), false).unwrap();
    let store = KubernetesStore::new(cluster, "default");
    let mut entry = binding(&fresh_name(), Format::PemPair);
    entry.options.object = Some("tls".into());
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    let record = promoted(&staged, Rotation::First);
    store.promote(&entry, &staged, None, None, &record).await.unwrap();
    let read = read_secret(&[&kubeconfig, "default", &entry.entry]);
    let thumbprint = staged.record.thumbprints.unwrap().sha256.to_string();
    assert_eq!(
        read,
        json!({ "type": "kubernetes.io/tls", "fields": ["tls.crt", "tls.key"],
                "thumbprint": thumbprint, "managers": ["certroll"] })
    );
}
