//! Which reads are too old to build a write from.

use uuid::Uuid;

use super::*;
use crate::ids::{Sha1, Sha256, TargetKind};
use crate::observed::Identifier;

fn entry(number: u8) -> Credential {
    Credential {
        key_id: Some(KeyId(Uuid::from_u128(u128::from(number)))),
        identifier: Identifier::Sha1(Sha1([number; 20])),
        display_name: None,
        start: None,
        end: None,
        reserved: None,
        raw: RawValue::from_string(format!("{number}")).unwrap(),
    }
}

fn change(must_show: &[u8]) -> Change<'static> {
    let prints = |number: &u8| Thumbprints { sha1: Sha1([*number; 20]), sha256: Sha256([*number; 32]) };
    Change {
        target: TargetId { kind: TargetKind::Application, object_id: Uuid::nil() },
        doing: "testing".to_owned(),
        add: None,
        takes: Takes::Expired(&[]),
        must_show: must_show.iter().map(prints).collect(),
    }
}

#[test]
fn a_read_without_what_this_run_wrote_is_too_old() {
    let ours = [KeyId(Uuid::from_u128(7))];
    assert!(hidden_from(&change(&[]), &ours, &[entry(1), entry(7)]).is_none());
    assert!(hidden_from(&change(&[]), &ours, &[entry(1)]).is_some());
}

#[test]
fn a_read_without_what_must_show_is_too_old() {
    assert!(hidden_from(&change(&[3]), &[], &[entry(3)]).is_none());
    assert!(hidden_from(&change(&[3]), &[], &[entry(1)]).is_some());
}

#[test]
fn reads_are_equal_whatever_the_order_of_the_list() {
    assert!(same(&[entry(1), entry(2)], &[entry(2), entry(1)]));
    assert!(!same(&[entry(1), entry(2)], &[entry(1)]));
    let mut equal = Equal::default();
    assert_eq!(equal.count(&[entry(1), entry(2)]), 1);
    assert_eq!(equal.count(&[entry(2), entry(1)]), 2);
    assert_eq!(equal.count(&[entry(1)]), 1);
}
