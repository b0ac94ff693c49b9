//! One request of AWS JSON 1.1, from its signature to its reply. No I/O, and time is an argument.
use std::collections::BTreeMap;

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_STANDARD};
use dauth_attestation::TrustAnchors;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    error::Refusal,
    master_key::{EncryptionContext, MasterKey},
    policy::{Access, Decision, KeyPolicy},
    recipient::VerifiedRecipient,
    signature::{self, Principal, ReceivedRequest},
};

const ENCRYPTION_ALGORITHM: &str = "SYMMETRIC_DEFAULT";
const KEY_ENCRYPTION_ALGORITHM: &str = "RSAES_OAEP_SHA_256";
/// What `Encrypt` takes.
const MAX_PLAINTEXT_BYTES: usize = 4096;
const MAX_DATA_KEY_BYTES: usize = 1024;

/// A simulated KMS with one key.
pub struct Kms {
    /// The region that requests are signed for.
    pub region: String,
    /// Who may sign requests.
    pub principals: Vec<Principal>,
    /// What they may do.
    pub policy: KeyPolicy,
    /// With what.
    pub key: MasterKey,
    /// Who signs attestation documents.
    pub anchors: TrustAnchors,
}

/// An operation of KMS that is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A new data key.
    GenerateDataKey,
    /// The plaintext of a `CiphertextBlob`.
    Decrypt,
    /// A `CiphertextBlob` of a plaintext that the caller knows. There is no `Recipient` for it.
    Encrypt,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GenerateDataKey, Self::Decrypt, Self::Encrypt];

    /// Its name in `X-Amz-Target`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Decrypt => "Decrypt",
            Self::Encrypt => "Encrypt",
        }
    }

    fn of_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("TrentService.")?;
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }
}

/// What became of a request.
pub struct Outcome {
    /// The operation, when it is a known one.
    pub operation: Option<Operation>,
    /// The reply's body, or why there is none.
    pub result: Result<Value, Refusal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    key_id: Option<String>,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    ciphertext_blob: Option<String>,
    plaintext: Option<String>,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    encryption_context: EncryptionContext,
    recipient: Option<RecipientParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecipientParameters {
    key_encryption_algorithm: String,
    attestation_document: String,
}

impl Kms {
    /// Answers one `POST /`.
    pub fn answer(&self, request: &ReceivedRequest<'_>, now_ms: u64) -> Outcome {
        let operation = request
            .header("x-amz-target")
            .and_then(Operation::of_target);
        let result = match operation {
            Some(operation) => self.perform(operation, request, now_ms),
            None => Err(Refusal::new("UnknownOperationException", "")),
        };
        Outcome { operation, result }
    }

    fn perform(
        &self,
        operation: Operation,
        request: &ReceivedRequest<'_>,
        now_ms: u64,
    ) -> Result<Value, Refusal> {
        let (principals, region) = (&self.principals, &self.region);
        let principal = signature::verify(request, principals, region, now_ms / 1000)?;
        let parameters: Parameters = parse(request.body)?;
        self.require_key(operation, &parameters)?;
        let recipient = self.recipient(operation, &parameters, now_ms)?;
        self.authorize(operation, principal, &parameters, recipient.as_ref())?;
        match operation {
            Operation::GenerateDataKey => self.generate_data_key(&parameters, recipient.as_ref()),
            Operation::Decrypt => self.decrypt(&parameters, recipient.as_ref()),
            Operation::Encrypt => self.encrypt(&parameters),
        }
    }

    /// `KeyId` is optional for `Decrypt`, whose blob names the key.
    fn require_key(&self, operation: Operation, parameters: &Parameters) -> Result<(), Refusal> {
        let arn = self.key.arn();
        let id = arn.rsplit('/').next().unwrap_or_default();
        match parameters.key_id.as_deref() {
            Some(key) if key == arn || key == id => Ok(()),
            Some(key) => {
                let message = format!("Key '{key}' does not exist");
                Err(Refusal::new("NotFoundException", message))
            }
            None if operation == Operation::Decrypt => Ok(()),
            None => Err(Refusal::validation("KeyId is missing.")),
        }
    }

    fn recipient(
        &self,
        operation: Operation,
        parameters: &Parameters,
        now_ms: u64,
    ) -> Result<Option<VerifiedRecipient>, Refusal> {
        let Some(recipient) = &parameters.recipient else {
            return Ok(None);
        };
        if operation == Operation::Encrypt {
            return Err(Refusal::validation("Recipient does not apply to Encrypt."));
        }
        if recipient.key_encryption_algorithm != KEY_ENCRYPTION_ALGORITHM {
            return Err(Refusal::validation(
                "KeyEncryptionAlgorithm must be RSAES_OAEP_SHA_256.",
            ));
        }
        let document = decode(&recipient.attestation_document, "AttestationDocument")?;
        VerifiedRecipient::verify(&document, &self.anchors, now_ms).map(Some)
    }

    fn authorize(
        &self,
        operation: Operation,
        principal: &Principal,
        parameters: &Parameters,
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<(), Refusal> {
        let action = format!("kms:{}", operation.name());
        let mut context: BTreeMap<String, String> = recipient
            .into_iter()
            .flat_map(VerifiedRecipient::conditions)
            .collect();
        for (name, value) in &parameters.encryption_context {
            context.insert(format!("kms:EncryptionContext:{name}"), value.clone());
        }
        let access = Access {
            principal: &principal.arn,
            action: &action,
            context,
        };
        match self.policy.decide(&access) {
            Decision::Allowed => Ok(()),
            Decision::Denied => Err(Refusal::access_denied(format!(
                "User: {} is not authorized to perform: {action} on this resource because the \
                 resource-based policy does not allow it",
                principal.arn
            ))),
        }
    }

    fn generate_data_key(
        &self,
        parameters: &Parameters,
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<Value, Refusal> {
        let length = match (parameters.key_spec.as_deref(), parameters.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(length @ 1..=MAX_DATA_KEY_BYTES)) => length,
            _ => {
                return Err(Refusal::validation(
                    "Give KeySpec or NumberOfBytes (1 to 1024).",
                ));
            }
        };
        let mut key = vec![0; length];
        rand::fill(&mut key).map_err(|_| Refusal::internal())?;
        let blob = self.key.wrap(&parameters.encryption_context, &key)?;
        let mut reply = self.release(&key, recipient)?;
        reply["CiphertextBlob"] = BASE64_STANDARD.encode(blob).into();
        Ok(reply)
    }

    fn decrypt(
        &self,
        parameters: &Parameters,
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<Value, Refusal> {
        require_algorithm(parameters)?;
        let blob = parameters.ciphertext_blob.as_deref();
        let blob = decode(blob.unwrap_or_default(), "CiphertextBlob")?;
        let plaintext = self.key.unwrap(&parameters.encryption_context, &blob)?;
        let mut reply = self.release(&plaintext, recipient)?;
        reply["EncryptionAlgorithm"] = ENCRYPTION_ALGORITHM.into();
        Ok(reply)
    }

    fn encrypt(&self, parameters: &Parameters) -> Result<Value, Refusal> {
        require_algorithm(parameters)?;
        let plaintext = parameters.plaintext.as_deref();
        let plaintext = decode(plaintext.unwrap_or_default(), "Plaintext")?;
        if plaintext.is_empty() || plaintext.len() > MAX_PLAINTEXT_BYTES {
            return Err(Refusal::validation("Plaintext must have 1 to 4096 bytes."));
        }
        let blob = self.key.wrap(&parameters.encryption_context, &plaintext)?;
        Ok(json!({
            "CiphertextBlob": BASE64_STANDARD.encode(blob),
            "EncryptionAlgorithm": ENCRYPTION_ALGORITHM,
            "KeyId": self.key.arn(),
        }))
    }

    /// A plaintext goes to the recipient alone, where there is one; the plain field is then empty.
    fn release(
        &self,
        plaintext: &[u8],
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<Value, Refusal> {
        let arn = self.key.arn();
        match recipient {
            Some(recipient) => Ok(json!({
                "KeyId": arn,
                "Plaintext": "",
                "CiphertextForRecipient": BASE64_STANDARD.encode(recipient.encrypt(plaintext)?),
            })),
            None => Ok(json!({"KeyId": arn, "Plaintext": BASE64_STANDARD.encode(plaintext)})),
        }
    }
}

fn require_algorithm(parameters: &Parameters) -> Result<(), Refusal> {
    match parameters.encryption_algorithm.as_deref() {
        None | Some(ENCRYPTION_ALGORITHM) => Ok(()),
        Some(_) => Err(Refusal::validation(
            "EncryptionAlgorithm must be SYMMETRIC_DEFAULT.",
        )),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::new("SerializationException", ""))
}

fn decode(text: &str, field: &'static str) -> Result<Vec<u8>, Refusal> {
    BASE64_STANDARD
        .decode(text)
        .map_err(|_| Refusal::validation(format!("{field} is not base64.")))
}

#[cfg(test)]
mod tests;
