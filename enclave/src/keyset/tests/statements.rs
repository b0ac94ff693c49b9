//! Which statements this build reads.
use super::{
    super::{
        KeysetError, file,
        statement::{FormerRecipient, MAX_FORMER_RECEIPTS, MAX_FORMER_RECIPIENTS, Statement},
    },
    Enclave, first_draft,
};

/// A later build's statement may hold what this one does not know: it is its version that is told.
#[test]
fn a_statement_of_another_layout_is_named_by_its_version() {
    let enclave = Enclave::new();
    let draft = first_draft(&enclave.nsm, &enclave.configuration, 0);
    let mut value: ciborium::Value = draft.statement.to_cbor().map(|b| parsed(&b)).unwrap();
    for (field, content) in [("version", 3.into()), ("novelty", true.into())] {
        let map = value.as_map_mut().unwrap();
        map.retain(|(name, _)| name.as_text() != Some(field));
        map.push((field.into(), content));
    }
    assert!(matches!(
        Statement::from_cbor(&file::encode(&value).unwrap()),
        Err(KeysetError::UnknownVersion(3))
    ));
    for version in [0, 1, 3, u64::MAX] {
        let mut statement = draft.statement.clone();
        statement.version = version;
        assert!(matches!(
            Statement::from_cbor(&statement.to_cbor().unwrap()),
            Err(KeysetError::UnknownVersion(unknown)) if unknown == version
        ));
    }
}

fn parsed(bytes: &[u8]) -> ciborium::Value {
    ciborium::from_reader(bytes).unwrap()
}

#[test]
fn a_statement_of_more_keys_than_are_kept_is_refused() {
    let enclave = Enclave::new();
    let statement = first_draft(&enclave.nsm, &enclave.configuration, 0).statement;
    let former = |count| {
        let key = statement.recipients[1].clone();
        let former = FormerRecipient {
            key,
            superseded_ms: 0,
        };
        vec![former; count]
    };
    let read = |statement: &Statement| Statement::from_cbor(&statement.to_cbor().unwrap());
    let mut many = statement.clone();
    many.former_recipients = former(MAX_FORMER_RECIPIENTS);
    many.former_receipt_keys = vec![many.receipt_key.clone(); MAX_FORMER_RECEIPTS];
    read(&many).unwrap();
    for change in [
        |s: &mut Statement| s.former_recipients.push(s.former_recipients[0].clone()),
        |s: &mut Statement| s.former_receipt_keys.push(s.receipt_key.clone()),
        |s: &mut Statement| s.recipients.clear(),
    ] {
        let mut more = many.clone();
        change(&mut more);
        assert!(matches!(read(&more), Err(KeysetError::TooManyKeys)));
    }
}
