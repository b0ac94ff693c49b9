//! The JSON of `TrentService.GenerateDataKey` and `TrentService.Decrypt`, with `Recipient`.
use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{ErrorCode, KmsError, envelope::MAX_ENVELOPE_BYTES};

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

/// What KMS released, after every check but the envelope's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Released {
    /// The envelope that holds the data key.
    pub envelope: Vec<u8>,
    /// The data key under the KMS key; empty in a reply to `Decrypt`.
    pub wrapped: Vec<u8>,
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

impl Released {
    /// Parses and checks the reply to `operation`.
    pub(super) fn parse(
        body: &[u8],
        operation: Operation<'_>,
        arn: &str,
    ) -> Result<Self, KmsError> {
        let malformed = |_| KmsError::ReplyMalformed;
        let reply: ReplyBody = serde_json::from_slice(body).map_err(malformed)?;
        if reply.key_id != arn {
            return Err(KmsError::OtherKey);
        }
        if reply
            .plaintext
            .is_some_and(|plaintext| !plaintext.is_empty())
        {
            return Err(KmsError::PlaintextPresent);
        }
        let wrapped = match operation {
            Operation::GenerateDataKey => {
                let blob = reply.ciphertext_blob.ok_or(KmsError::ReplyMalformed)?;
                bounded_base64(&blob, MAX_WRAPPED_KEY_BYTES)?
            }
            Operation::Decrypt(_)
                if reply.encryption_algorithm.as_deref() != Some(ENCRYPTION_ALGORITHM) =>
            {
                return Err(KmsError::OtherAlgorithm);
            }
            Operation::Decrypt(_) => Vec::new(),
        };
        let envelope = bounded_base64(&reply.ciphertext_for_recipient, MAX_ENVELOPE_BYTES)?;
        Ok(Self { envelope, wrapped })
    }
}

fn bounded_base64(text: &str, max: usize) -> Result<Vec<u8>, KmsError> {
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|_| KmsError::ReplyMalformed)?;
    if bytes.is_empty() || bytes.len() > max {
        return Err(KmsError::ReplyMalformed);
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

    fn released(operation: Operation<'_>, change: &Value) -> Result<Released, KmsError> {
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
        Released::parse(reply.to_string().as_bytes(), operation, ARN)
    }

    #[test]
    fn a_right_reply_is_taken() {
        for change in [json!({}), json!({"Plaintext": null})] {
            let reply = released(Operation::GenerateDataKey, &change).unwrap();
            assert_eq!((reply.envelope, reply.wrapped), (vec![0; 3], vec![1, 2, 3]));
            let reply = released(Operation::Decrypt(b"x"), &change).unwrap();
            assert_eq!(reply.wrapped, b"");
        }
    }

    #[test]
    fn a_reply_with_a_plaintext_is_refused() {
        for operation in [Operation::GenerateDataKey, Operation::Decrypt(b"x")] {
            let refused = released(operation, &json!({"Plaintext": "AAAA"}));
            assert!(matches!(refused, Err(KmsError::PlaintextPresent)));
        }
    }

    #[test]
    fn a_reply_for_another_key_or_algorithm_is_refused() {
        let other = json!({"KeyId": "arn:aws:kms:eu-west-1:000000000000:key/other"});
        for operation in [Operation::GenerateDataKey, Operation::Decrypt(b"x")] {
            assert!(matches!(
                released(operation, &other),
                Err(KmsError::OtherKey)
            ));
        }
        for algorithm in [json!("RSAES_OAEP_SHA_256"), Value::Null] {
            let change = json!({"EncryptionAlgorithm": algorithm});
            let refused = released(Operation::Decrypt(b"x"), &change);
            assert!(matches!(refused, Err(KmsError::OtherAlgorithm)));
        }
    }

    #[test]
    fn a_reply_without_its_parts_is_refused() {
        let long = BASE64_STANDARD.encode(vec![0; MAX_ENVELOPE_BYTES + 1]);
        for change in [
            json!({"CiphertextForRecipient": ""}),
            json!({"CiphertextForRecipient": null}),
            json!({"CiphertextForRecipient": "%"}),
            json!({"CiphertextForRecipient": long}),
            json!({"CiphertextBlob": null}),
            json!({"CiphertextBlob": ""}),
        ] {
            let refused = released(Operation::GenerateDataKey, &change);
            assert!(matches!(refused, Err(KmsError::ReplyMalformed)));
        }
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
}
