//! The JSON of `TrentService.GenerateDataKey` and `TrentService.Decrypt`, with `Recipient`.
use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{ErrorCode, envelope::MAX_ENVELOPE_BYTES, fault::ReplyFault};

/// A wrapped data key: AWS documents at most 6,144 bytes for a `CiphertextBlob`.
pub const MAX_WRAPPED_KEY_BYTES: usize = 6144;

const KEY_SPEC: &str = "AES_256";
const ENCRYPTION_ALGORITHM: &str = "SYMMETRIC_DEFAULT";
const KEY_ENCRYPTION_ALGORITHM: &str = "RSAES_OAEP_SHA_256";
const CONTEXT_PURPOSE: &str = "dauth-keyset";

/// What is asked of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// A new data key.
    GenerateDataKey,
    /// The data key in these bytes.
    Decrypt(&'a [u8]),
}

impl Operation<'_> {
    /// The value of `X-Amz-Target`.
    pub(super) fn target(self) -> &'static str {
        match self {
            Operation::GenerateDataKey => "TrentService.GenerateDataKey",
            Operation::Decrypt(_) => "TrentService.Decrypt",
        }
    }

    /// The body of the request.
    pub(super) fn body(self, key: &KeyContext<'_>, document: &[u8]) -> Vec<u8> {
        let (wrapped, key_spec, algorithm) = match self {
            Operation::GenerateDataKey => (None, Some(KEY_SPEC), None),
            Operation::Decrypt(wrapped) => (Some(wrapped), None, Some(ENCRYPTION_ALGORITHM)),
        };
        let body = RequestBody {
            key_id: key.arn,
            key_spec,
            encryption_algorithm: algorithm,
            ciphertext_blob: wrapped.map(|bytes| BASE64_STANDARD.encode(bytes)),
            encryption_context: BTreeMap::from([
                ("deployment", key.deployment),
                ("purpose", CONTEXT_PURPOSE),
            ]),
            recipient: RecipientBody {
                key_encryption_algorithm: KEY_ENCRYPTION_ALGORITHM,
                attestation_document: BASE64_STANDARD.encode(document),
            },
        };
        // Strings and maps of strings always serialize.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// The key, and what a data key is bound to: all from measured configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyContext<'a> {
    /// The key's full ARN.
    pub arn: &'a str,
    /// The deployment's name.
    pub deployment: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RequestBody<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_spec: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_algorithm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<String>,
    encryption_context: BTreeMap<&'a str, &'a str>,
    recipient: RecipientBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecipientBody<'a> {
    key_encryption_algorithm: &'a str,
    attestation_document: String,
}

/// A reply, after every check but the envelope's own. Its parts are judged apart, so that a fault
/// of one changes nothing that is done with the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The envelope that holds the data key.
    pub envelope: Result<Vec<u8>, ReplyFault>,
    /// The data key under the KMS key; a reply to `Decrypt` has none.
    pub wrapped: Result<Vec<u8>, ReplyFault>,
}

// AWS adds fields to its replies over time, so unknown ones are let pass.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplyBody {
    key_id: String,
    ciphertext_for_recipient: String,
    plaintext: Option<String>,
    ciphertext_blob: Option<String>,
    encryption_algorithm: Option<String>,
}

impl Reply {
    /// Parses and checks the reply to `operation` of the key `arn`.
    pub(super) fn parse(body: &[u8], operation: Operation<'_>, arn: &str) -> Self {
        let Ok(body) = serde_json::from_slice::<ReplyBody>(body) else {
            return Self::faulty(ReplyFault::Malformed);
        };
        let wrapped = body.ciphertext_blob.as_deref().unwrap_or_default();
        Self {
            wrapped: bounded_base64(wrapped, MAX_WRAPPED_KEY_BYTES),
            envelope: body
                .check(operation, arn)
                .and_then(|()| bounded_base64(&body.ciphertext_for_recipient, MAX_ENVELOPE_BYTES)),
        }
    }

    /// A reply of which nothing can be used.
    pub(super) fn faulty(fault: ReplyFault) -> Self {
        Self {
            envelope: Err(fault),
            wrapped: Err(fault),
        }
    }
}

impl ReplyBody {
    fn check(&self, operation: Operation<'_>, arn: &str) -> Result<(), ReplyFault> {
        if self.key_id != arn {
            return Err(ReplyFault::OtherKey);
        }
        if self
            .plaintext
            .as_deref()
            .is_some_and(|text| !text.is_empty())
        {
            return Err(ReplyFault::PlaintextPresent);
        }
        match (operation, self.encryption_algorithm.as_deref()) {
            (Operation::GenerateDataKey, _)
            | (Operation::Decrypt(_), Some(ENCRYPTION_ALGORITHM)) => Ok(()),
            (Operation::Decrypt(_), _) => Err(ReplyFault::OtherAlgorithm),
        }
    }
}

fn bounded_base64(text: &str, max: usize) -> Result<Vec<u8>, ReplyFault> {
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|_| ReplyFault::Malformed)?;
    if bytes.is_empty() || bytes.len() > max {
        return Err(ReplyFault::Malformed);
    }
    Ok(bytes)
}

/// The code of an error reply; the text beside it is not read.
pub(super) fn error_code(body: &[u8]) -> ErrorCode {
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(rename = "__type")]
        kind: String,
    }
    let kind = serde_json::from_slice(body).map(|body: ErrorBody| body.kind);
    ErrorCode::of_type(&kind.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:kms:eu-west-1:000000000000:key/k";

    fn reply(operation: Operation<'_>, change: &Value) -> Reply {
        let mut reply = json!({
            "KeyId": ARN,
            "CiphertextForRecipient": "AAAA",
            "CiphertextBlob": "AQID",
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "Plaintext": "",
            "KeyMaterialId": "a field of a later version",
        });
        for (name, value) in change.as_object().unwrap() {
            reply[name] = value.clone();
        }
        Reply::parse(reply.to_string().as_bytes(), operation, ARN)
    }

    const BOTH: [Operation<'_>; 2] = [Operation::GenerateDataKey, Operation::Decrypt(b"x")];

    #[test]
    fn a_right_reply_is_taken() {
        for change in [json!({}), json!({"Plaintext": null})] {
            for operation in BOTH {
                let reply = reply(operation, &change);
                assert_eq!(reply.envelope, Ok(vec![0; 3]));
                assert_eq!(reply.wrapped, Ok(vec![1, 2, 3]));
            }
        }
    }

    #[test]
    fn a_reply_with_a_plaintext_or_for_another_key_is_refused() {
        for operation in BOTH {
            for (change, fault) in [
                (json!({"Plaintext": "AAAA"}), ReplyFault::PlaintextPresent),
                (json!({"KeyId": format!("{ARN}2")}), ReplyFault::OtherKey),
                (json!({"KeyId": "k"}), ReplyFault::OtherKey),
                (json!({"KeyId": null}), ReplyFault::Malformed),
            ] {
                assert_eq!(reply(operation, &change).envelope, Err(fault));
            }
        }
    }

    #[test]
    fn a_reply_of_another_algorithm_is_refused() {
        for algorithm in [json!("RSAES_OAEP_SHA_256"), Value::Null] {
            let change = json!({"EncryptionAlgorithm": algorithm});
            let refused = reply(Operation::Decrypt(b"x"), &change).envelope;
            assert_eq!(refused, Err(ReplyFault::OtherAlgorithm));
        }
    }

    #[test]
    fn a_reply_without_its_parts_is_refused() {
        let long = BASE64_STANDARD.encode(vec![0; MAX_WRAPPED_KEY_BYTES + 1]);
        for text in [json!(""), json!("%"), json!(long)] {
            let change = json!({"CiphertextForRecipient": text});
            let reply = reply(Operation::GenerateDataKey, &change);
            assert_eq!(reply.envelope, Err(ReplyFault::Malformed));
            assert_eq!(reply.wrapped, Ok(vec![1, 2, 3]));
        }
        for text in [json!(""), json!("%"), json!(long), Value::Null] {
            let reply = reply(Operation::GenerateDataKey, &json!({"CiphertextBlob": text}));
            assert_eq!(reply.envelope, Ok(vec![0; 3]));
            assert_eq!(reply.wrapped, Err(ReplyFault::Malformed));
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        let body = format!(
            r#"{{"KeyId":"{ARN}","CiphertextForRecipient":"AAAA","Plaintext":"AAAA","Plaintext":""}}"#
        );
        let reply = Reply::parse(body.as_bytes(), Operation::GenerateDataKey, ARN);
        assert_eq!(reply, Reply::faulty(ReplyFault::Malformed));
    }

    #[test]
    fn requests_name_the_recipient_and_the_context() {
        let key = KeyContext {
            arn: ARN,
            deployment: "d",
        };
        let body = Operation::Decrypt(&[1, 2, 3]).body(&key, b"doc");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({
            "KeyId": ARN,
            "CiphertextBlob": "AQID",
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "EncryptionContext": {"deployment": "d", "purpose": "dauth-keyset"},
            "Recipient": {
                "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                "AttestationDocument": "ZG9j",
            },
        });
        assert_eq!(body, expected);
    }

    proptest::proptest! {
        #[test]
        fn no_reply_makes_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Reply::parse(&body, Operation::GenerateDataKey, ARN);
            let _ = error_code(&body);
        }

        /// Pieces of JSON of the kind that a reply has, in any order.
        #[test]
        fn no_likely_reply_makes_it_panic(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "{", "}", "[", "]", ":", ",", "\"", "\\", "\"KeyId\":", "\"Plaintext\":\"\"",
                "\"CiphertextForRecipient\":\"AAAA\"", "\"__type\":\"#:\"", "null", "1e999",
                "\"\\ud800\"", "\u{0}",
            ]), 0..60),
        ) {
            let body = pieces.concat();
            let _ = Reply::parse(body.as_bytes(), Operation::Decrypt(b"x"), ARN);
            let _ = error_code(body.as_bytes());
        }
    }
}
