//! Use of the key by others than the images that this enclave knows.
use super::*;

#[test]
fn use_without_both_registers_is_refused() {
    let one = pcr(1).to_string();
    let two = pcr(2).to_string();
    assert_eq!(
        with(allow(json!("kms:Decrypt"))),
        Err(StatementFault::Unattested)
    );
    for condition in [
        json!({}),
        json!([]),
        json!("StringEquals"),
        json!({"StringEquals": {}}),
        json!({"StringEquals": {IMAGE: one}}),
        json!({"StringEquals": {PCR16: two}}),
        json!({"StringEquals": {"kms:RecipientAttestation:PCR8": one}}),
        json!({"StringEquals": {"kms:RecipientAttestation:PCR8": one, PCR16: two}}),
        json!({"StringEquals": {"kms:EncryptionContext:deployment": "d"}}),
        json!({"StringEquals": {"kms:recipientattestation:imagesha384": one, PCR16: two}}),
        json!({"StringEquals": {"kms:RecipientAttestation:PCR00": one, PCR16: two}}),
        json!({"StringEquals": {"kms:EncryptionContext:kms:RecipientAttestation:PCR0": one,
            PCR16: two}}),
    ] {
        let refused = with(usage(condition.clone()));
        assert_eq!(refused, Err(StatementFault::Unattested), "{condition}");
    }
}

/// Those that match more than they list, or match when there is no document.
#[test]
fn use_under_another_operator_is_refused() {
    let condition = json!({IMAGE: pcr(1).to_string(), PCR16: pcr(2).to_string()});
    for operator in [
        "StringLike",
        "StringNotEquals",
        "StringNotLike",
        "StringEqualsIfExists",
        "StringEqualsIgnoreCaseIfExists",
        "ForAnyValue:StringEquals",
        "ForAllValues:StringEquals",
        "ArnLike",
        "BinaryEquals",
        "Null",
        "Bool",
        "stringequals",
        "StringEquals ",
    ] {
        let alone = json!({ operator: condition });
        assert_eq!(
            with(usage(alone)),
            Err(StatementFault::Operator),
            "{operator}"
        );
        let beside = json!({ "StringEquals": condition, operator: {"aws:username": "x"} });
        assert_eq!(
            with(usage(beside)),
            Err(StatementFault::Operator),
            "{operator}"
        );
    }
}

#[test]
fn images_that_this_enclave_does_not_know_are_refused() {
    let hex = |byte| json!(pcr(byte).to_string());
    for (image, configuration) in [(5, 2), (1, 5), (1, 4), (3, 2), (0, 0), (2, 1)] {
        let refused = with(registers(hex(image), hex(configuration)));
        assert_eq!(
            refused,
            Err(StatementFault::UnknownImage),
            "{image} {configuration}"
        );
    }
    // Both names of PCR0, with different values: one of them decides.
    let both = json!({"StringEquals": {
        IMAGE: hex(1), "kms:RecipientAttestation:PCR0": hex(5), PCR16: hex(2),
    }});
    assert_eq!(with(usage(both)), Err(StatementFault::UnknownImage));
}

/// PCR0 of one image and PCR16 of another: an image under a configuration that nobody released.
#[test]
fn several_values_of_a_register_are_refused() {
    let (one, two) = (pcr(1).to_string(), pcr(2).to_string());
    let (three, four) = (pcr(3).to_string(), pcr(4).to_string());
    for (image, configuration) in [
        (json!([one, three]), json!([two, four])),
        (json!([one, one]), json!(two)),
        (json!(one), json!([two, four])),
    ] {
        let refused = with(registers(image, configuration));
        assert_eq!(refused, Err(StatementFault::SeveralValues));
    }
    for value in [
        json!([]),
        json!(1),
        json!(null),
        json!("*"),
        json!(""),
        json!([["a"]]),
        json!(format!("{one} ")),
        json!("${aws:username}"),
        json!(&one[2..]),
    ] {
        let refused = with(registers(value.clone(), json!(two)));
        assert_eq!(refused, Err(StatementFault::Register), "{value}");
    }
}

/// KMS may join the values of names that differ in their case.
#[test]
fn a_condition_key_that_comes_twice_is_refused() {
    let (one, two, evil) = (pcr(1).to_string(), pcr(2).to_string(), pcr(9).to_string());
    for condition in [
        json!({"StringEquals": {IMAGE: one, PCR16: two, "kms:recipientattestation:pcr16": evil}}),
        json!({"StringEquals": {IMAGE: one, PCR16: two}, "StringEqualsIgnoreCase": {PCR16: evil}}),
    ] {
        assert_eq!(with(usage(condition)), Err(StatementFault::ConditionTwice));
    }
}
