//! Each rule of the payload, broken once in a document that is signed as it should be.
use ciborium::Value;
use dauth_attestation::{CborError, Error, Field, MAX_DOCUMENT_BYTES};

use crate::forge::{Forge, MapForm, bytes};

type Edit = fn(&mut Forge);

fn refuse(cases: &[(&str, Edit, Error)]) {
    for (name, edit, expected) in cases {
        let mut forge = Forge::new();
        edit(&mut forge);
        assert_eq!(forge.judge(), Err(expected.clone()), "{name}");
    }
}

fn accept(cases: &[(&str, Edit)]) {
    for (name, edit) in cases {
        let mut forge = Forge::new();
        edit(&mut forge);
        assert!(forge.judge().is_ok(), "{name}: {:?}", forge.judge());
    }
}

#[test]
fn what_aws_allows_is_accepted() {
    accept(&[
        ("nothing changed", |_| ()),
        ("definite map", |forge| forge.map_form = MapForm::Definite),
        ("indefinite map, pcrs and cabundle", |forge| {
            forge.map_form = MapForm::AllIndefinite;
        }),
        ("17 PCRs in indefinite maps", |forge| {
            forge.map_form = MapForm::AllIndefinite;
            forge.pcrs().push((Value::from(16), bytes(&[7; 48])));
        }),
        ("optional fields absent", |forge| {
            for key in ["public_key", "user_data", "nonce"] {
                forge.remove(key);
            }
        }),
        ("optional fields empty", |forge| {
            for key in ["public_key", "user_data", "nonce"] {
                forge.set(key, bytes(&[]));
            }
        }),
        ("optional fields of 1024 bytes", |forge| {
            for key in ["public_key", "user_data", "nonce"] {
                forge.set(key, bytes(&[1; 1024]));
            }
        }),
        ("PCRs of every length", |forge| {
            forge.pcrs()[13].1 = bytes(&[1; 32]);
            forge.pcrs()[14].1 = bytes(&[1; 64]);
        }),
        ("one PCR", |forge| forge.pcrs().truncate(1)),
        ("32 PCRs", |forge| {
            for index in 16..32 {
                forge.pcrs().push((Value::from(index), bytes(&[0; 48])));
            }
        }),
        ("fields in another order", |forge| forge.fields.reverse()),
        ("another bundled root", |forge| {
            forge.cabundle()[0] = bytes(b"x");
        }),
    ]);
}

#[test]
fn optional_fields_are_absent_when_empty() {
    let mut forge = Forge::new();
    forge.set("user_data", bytes(&[]));
    forge.set("nonce", bytes(b"n"));
    let result = forge.judge().expect("accepted");
    assert_eq!(result.user_data(), None);
    assert_eq!(result.public_key(), None);
    assert_eq!(result.nonce(), Some(&b"n"[..]));
}

#[test]
fn every_rule_of_a_field_is_kept() {
    let wrong_type = |field| Error::Value {
        field,
        source: CborError::UnexpectedType,
    };
    refuse(&[
        (
            "empty module id",
            |f| f.set("module_id", ""),
            Error::EmptyModuleId,
        ),
        (
            "module id in bytes",
            |f| f.set("module_id", bytes(b"i")),
            wrong_type(Field::ModuleId),
        ),
        ("SHA256", |f| f.set("digest", "SHA256"), Error::Digest),
        ("lower case", |f| f.set("digest", "sha384"), Error::Digest),
        (
            "timestamp 0",
            |f| f.set("timestamp", 0),
            Error::ZeroTimestamp,
        ),
        (
            "timestamp -1",
            |f| f.set("timestamp", -1),
            wrong_type(Field::Timestamp),
        ),
        (
            "float",
            |f| f.set("timestamp", 1.5),
            wrong_type(Field::Timestamp),
        ),
        (
            "null certificate",
            |f| f.set("certificate", Value::Null),
            wrong_type(Field::Certificate),
        ),
        (
            "nonce in text",
            |f| f.set("nonce", "n"),
            wrong_type(Field::Nonce),
        ),
        (
            "user data of 1025 bytes",
            |f| f.set("user_data", bytes(&[1; 1025])),
            Error::OptionalLength {
                field: Field::UserData,
                length: 1025,
            },
        ),
        (
            "public key of 1025 bytes",
            |f| f.set("public_key", bytes(&[1; 1025])),
            Error::OptionalLength {
                field: Field::PublicKey,
                length: 1025,
            },
        ),
        (
            "nonce of 1025 bytes",
            |f| f.set("nonce", bytes(&[1; 1025])),
            Error::OptionalLength {
                field: Field::Nonce,
                length: 1025,
            },
        ),
    ]);
}

#[test]
fn every_rule_of_pcrs_is_kept() {
    let length = |length| Error::PcrLength { index: 5, length };
    refuse(&[
        ("none", |f| f.pcrs().clear(), Error::NoPcrs),
        (
            "PCR32",
            |f| f.pcrs()[5].0 = Value::from(32),
            Error::PcrIndex(32),
        ),
        (
            "2^64 - 1",
            |f| f.pcrs()[5].0 = Value::from(u64::MAX),
            Error::PcrIndex(u64::MAX),
        ),
        (
            "twice",
            |f| f.pcrs()[5].0 = Value::from(4),
            Error::DuplicatePcr(4),
        ),
        ("31 bytes", |f| f.pcrs()[5].1 = bytes(&[1; 31]), length(31)),
        ("no bytes", |f| f.pcrs()[5].1 = bytes(&[]), length(0)),
        ("65 bytes", |f| f.pcrs()[5].1 = bytes(&[1; 65]), length(65)),
        (
            "text index",
            |f| f.pcrs()[5].0 = Value::from("5"),
            Error::Value {
                field: Field::Pcrs,
                source: CborError::UnexpectedType,
            },
        ),
    ]);
}

#[test]
fn every_rule_of_certificates_is_kept() {
    let length = |field, length| Error::CertificateLength { field, length };
    refuse(&[
        (
            "no cabundle",
            |f| f.cabundle().clear(),
            Error::EmptyCabundle,
        ),
        (
            "empty root",
            |f| f.cabundle()[0] = bytes(&[]),
            length(Field::Cabundle, 0),
        ),
        (
            "1025 bytes",
            |f| f.cabundle()[1] = bytes(&[0; 1025]),
            length(Field::Cabundle, 1025),
        ),
        (
            "empty leaf",
            |f| f.set("certificate", bytes(&[])),
            length(Field::Certificate, 0),
        ),
        (
            "long leaf",
            |f| f.set("certificate", bytes(&[0; 1025])),
            length(Field::Certificate, 1025),
        ),
        (
            "eight in cabundle",
            |f| {
                let instance = f.cabundle()[3].clone();
                f.cabundle().resize(8, instance);
            },
            Error::LongCabundle,
        ),
    ]);
}

#[test]
fn unknown_missing_and_repeated_fields_are_refused() {
    refuse(&[
        (
            "unknown",
            |f| f.fields.push((Value::from("extra"), Value::Null)),
            Error::UnknownField,
        ),
        (
            "integer key",
            |f| f.fields.push((Value::from(1), Value::Null)),
            Error::Payload(CborError::UnexpectedType),
        ),
    ]);
    let mandatory = [
        ("module_id", Field::ModuleId),
        ("digest", Field::Digest),
        ("timestamp", Field::Timestamp),
        ("pcrs", Field::Pcrs),
        ("certificate", Field::Certificate),
        ("cabundle", Field::Cabundle),
    ];
    for (key, field) in mandatory {
        let mut forge = Forge::new();
        forge.remove(key);
        assert_eq!(forge.judge(), Err(Error::MissingField(field)));
    }
    for index in 0..9 {
        let mut forge = Forge::new();
        let again = forge.fields[index].clone();
        forge.fields.push(again);
        assert!(matches!(forge.judge(), Err(Error::DuplicateField(_))));
    }
}

#[test]
fn a_payload_ends_where_its_map_ends() {
    use dauth_attestation::{Appraisal, appraise};
    let forge = Forge::new();
    let judge = |document: &[u8]| {
        let policy = crate::forge::anything();
        let appraisal = Appraisal {
            anchors: &forge.anchors,
            policy: &policy,
            now_ms: crate::forge::NOW_MS,
        };
        appraise(document, &appraisal)
    };
    let document = forge.document();
    let payload = &document[10..document.len() - 98];
    assert_eq!((payload[0], payload[payload.len() - 1]), (0xbf, 0xff));
    assert!(judge(&forge.sign(payload.to_vec())).is_ok());
    assert!(judge(&[&[0xd2], &document[..]].concat()).is_ok(), "tag 18");
    let trailing = [payload, &[0xf6]].concat();
    assert_eq!(
        judge(&forge.sign(trailing)),
        Err(Error::Payload(CborError::TrailingBytes))
    );
    let endless = payload[..payload.len() - 1].to_vec();
    assert_eq!(
        judge(&forge.sign(endless)),
        Err(Error::Payload(CborError::Truncated))
    );
    assert_eq!(
        judge(&vec![0x84; MAX_DOCUMENT_BYTES + 1]),
        Err(Error::TooLong(MAX_DOCUMENT_BYTES + 1))
    );
    // Signed by another key than that of `certificate`.
    let mut other = Forge::new();
    other.fields.clone_from(&forge.fields);
    assert_eq!(judge(&other.document()), Err(Error::DocumentSignature));
}
