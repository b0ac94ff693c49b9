//! COSE_Sign1 and its headers, broken.
use super::{Case, reject};
use crate::cbor::{Cbor, Length};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = envelope();
    cases.extend(headers());
    cases.extend(payload());
    cases
}

fn envelope() -> Vec<Case> {
    vec![
        reject("too_long", "TooLong", "a document of 16513 bytes", |f| {
            let length = 16_513 - (f.document().len() - 39);
            f.set("module_id", Cbor::text(&"i".repeat(length - 1)));
            assert_eq!(f.document().len(), 16_513);
        }),
        reject("truncated", "Envelope", "the last byte is missing", |f| {
            f.edit_document = |document| {
                document.pop();
            };
        }),
        reject("trailing_byte", "Envelope", "a byte follows", |f| {
            f.edit_document = |document| document.push(0);
        }),
        reject("tag_17", "Envelope", "the tag of COSE_Mac0", |f| {
            f.edit_document = |document| document.insert(0, 0xd1);
        }),
        reject("detached_payload", "Envelope", "no payload within", |f| {
            f.edit_items = |items| items[2] = Cbor::Null;
        }),
        reject("empty", "Envelope", "no byte at all", |f| {
            f.edit_document = Vec::clear;
        }),
        reject(
            "claimed_length",
            "Envelope",
            "a payload that claims 2^63 bytes",
            |f| {
                f.edit_document = |document| {
                    document.truncate(6);
                    document.extend_from_slice(&[0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0]);
                };
            },
        ),
        reject("three_items", "NotCoseSign1", "no signature", |f| {
            f.edit_items = |items| items.truncate(3);
        }),
        reject("five_items", "NotCoseSign1", "a fifth item", |f| {
            f.edit_items = |items| items.push(Cbor::Null);
        }),
        reject(
            "signature_95_bytes",
            "SignatureLength",
            "95 bytes of signature",
            |f| {
                f.edit_items = |items| shorten(&mut items[3]);
            },
        ),
        reject(
            "signature_97_bytes",
            "SignatureLength",
            "97 bytes of signature",
            |f| {
                f.edit_items = |items| lengthen(&mut items[3]);
            },
        ),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        reject("algorithm_es256", "OtherAlgorithm", "alg ES256", |f| {
            f.protected = vec![0xa1, 0x01, 0x26];
        }),
        reject("algorithm_es512", "OtherAlgorithm", "alg ES512", |f| {
            f.protected = vec![0xa1, 0x01, 0x38, 0x23];
        }),
        reject("algorithm_text", "OtherAlgorithm", "alg in text", |f| {
            f.protected = b"\xa1\x01\x65ES384".to_vec();
        }),
        reject("algorithm_twice", "DuplicateAlgorithm", "alg twice", |f| {
            f.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22];
        }),
        reject(
            "no_algorithm",
            "NoAlgorithm",
            "a header of no parameter",
            |f| {
                f.protected = vec![0xa0];
            },
        ),
        reject("no_header", "NoAlgorithm", "a header of no byte", |f| {
            f.protected = vec![];
        }),
        reject(
            "header_no_map",
            "ProtectedHeader",
            "a header that is no map",
            |f| f.protected = vec![0x81, 0x01],
        ),
        reject(
            "critical_header",
            "CriticalHeader",
            "a header with crit (RFC 9052 section 3.1)",
            |f| f.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x01],
        ),
        reject("protected_key_id", "OtherHeader", "a key id, signed", |f| {
            f.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x6b];
        }),
        reject(
            "unprotected_key_id",
            "UnprotectedHeader",
            "a key id that nobody has signed",
            |f| {
                f.edit_items = |items| {
                    let key_id = (Cbor::Unsigned(4), Cbor::bytes(b"k"));
                    items[1] = Cbor::Map(Length::Definite, vec![key_id]);
                };
            },
        ),
    ]
}

fn payload() -> Vec<Case> {
    vec![
        reject(
            "payload_trailing_byte",
            "Payload",
            "a byte follows the map",
            |f| {
                f.edit_payload = |payload| payload.push(0xf6);
            },
        ),
        reject(
            "payload_without_end",
            "Payload",
            "a map without its break",
            |f| {
                f.edit_payload = |payload| {
                    payload.pop();
                };
            },
        ),
        reject(
            "payload_array",
            "Payload",
            "an array in place of the map",
            |f| {
                f.edit_payload = |payload| *payload = vec![0x80];
            },
        ),
        reject("integer_key", "Payload", "a key that is no text", |f| {
            f.fields.push((Cbor::Unsigned(1), Cbor::Null));
        }),
        reject("key_not_utf8", "Payload", "a key that is not UTF-8", |f| {
            f.fields.push((Cbor::Raw(vec![0x61, 0xff]), Cbor::Null));
        }),
    ]
}

fn shorten(item: &mut Cbor) {
    if let Cbor::Bytes(bytes) = item {
        bytes.pop();
    }
}

fn lengthen(item: &mut Cbor) {
    if let Cbor::Bytes(bytes) = item {
        bytes.push(0);
    }
}
