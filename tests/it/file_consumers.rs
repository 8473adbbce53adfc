//! Consumers: what the catalogue says of a product, as far as a declaration and its plans are about it.

use certroll::desired::file::{Loaded, load};

use crate::file::{Memory, everything};

/// A certificate for CloudM Continuity, which takes a PFX, with those keys.
fn loaded(keys: &str) -> Loaded {
    let text = format!(
        "certroll: v1\nowner: team\ntenants: {{ lab: {{ cloud: emulator }} }}\n\
         stores: {{ keys: {{ kind: file, directory: secrets }} }}\n\
         consumers: {{ own: {{ title: Own product }}, crates: {{ title: Crates, formats: [pem, pem-pair] }} }}\n\
         certificates:\n  a:\n    application: {{ unique_name: a }}\n    consumer: cloudm-continuity\n    {}\n",
        keys.replace('\n', "\n    ")
    );
    load(&Memory::of(&[("certroll.yaml", &text)]), &everything()).unwrap()
}

fn warnings(keys: &str) -> Vec<String> {
    loaded(keys).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_form_that_the_consumer_does_not_take_is_warned_of_at_the_consumer() {
    let [warning] = warnings("store: keys").try_into().unwrap();
    assert_eq!(
        warning,
        "certroll.yaml:9:15: warning: CloudM Continuity takes pfx, and what it is given is pem; \
         write `format: pfx` under `store`, or deliver it in that form"
    );
    let [warning] = warnings(
        "store: { use: keys, format: pfx-base64 }\ndeliver: [ { kind: file, directory: out, format: pem } ]",
    )
    .try_into()
    .unwrap();
    assert!(warning.contains("takes pfx, and what it is given is pem, pfx-base64"), "{warning}");
}

#[test]
fn one_form_that_the_consumer_takes_is_enough() {
    let fitting = [
        "store: { use: keys, format: pfx }",
        "store: keys\ndeliver: [ { kind: file, directory: out, name: a, format: pfx, password: none } ]",
    ];
    for keys in fitting {
        assert_eq!(warnings(keys), Vec::<String>::new(), "{keys}");
    }
}

#[test]
fn how_the_key_gets_into_the_product_comes_with_the_certificate() {
    let loaded = loaded("store: { use: keys, format: pfx }");
    let declared = loaded.desired.certificates.values().next().unwrap();
    let handoff = declared.handoff().unwrap();
    assert!(handoff.contains("put the PFX into Private key"), "{handoff}");
}
