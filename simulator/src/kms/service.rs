//! One request of AWS JSON 1.1, from its signature to its reply. Time is an argument; nothing is
//! read but the policy of the key.
use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use dauth_attestation::TrustAnchors;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    error::Refusal,
    key::Key,
    master_key::EncryptionContext,
    operation::Operation,
    policy::{Access, Decision},
    policy_file::PolicyInForce,
    recipient::VerifiedRecipient,
    signature::{self, Principal, ReceivedRequest},
};

mod cryptography;

const KEY_ENCRYPTION_ALGORITHM: &str = "RSAES_OAEP_SHA_256";
/// The one name that a key policy can have.
const POLICY_NAME: &str = "default";

/// Grants in one page.
const DEFAULT_PAGE: usize = 50;

/// A simulated KMS.
pub struct Kms {
    /// The region that requests are signed for.
    pub region: String,
    /// Who may sign requests.
    pub principals: Vec<Principal>,
    /// What they may use, each within its policy.
    pub keys: Vec<Key>,
    /// Who signs attestation documents.
    pub anchors: TrustAnchors,
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
    policy_name: Option<String>,
    limit: Option<usize>,
    marker: Option<String>,
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
        let key = self.key(operation, &parameters)?;
        let recipient = self.recipient(operation, &parameters, now_ms)?;
        let in_force = key.policy.in_force()?;
        let caller = Caller {
            principal,
            recipient: recipient.as_ref(),
        };
        authorize(operation, key, &in_force, &caller, &parameters)?;
        match operation {
            Operation::GenerateDataKey => key.generate_data_key(&parameters, caller.recipient),
            Operation::Decrypt => key.decrypt(&parameters, caller.recipient),
            Operation::Encrypt => key.encrypt(&parameters),
            Operation::DescribeKey => Ok(key.describe()),
            Operation::GetKeyPolicy => key_policy(&parameters, &in_force),
            Operation::ListGrants => {
                let limit = parameters.limit.unwrap_or(DEFAULT_PAGE);
                key.list_grants(limit, parameters.marker.as_deref())
            }
        }
    }

    /// `KeyId` is optional for `Decrypt`, whose blob names the key.
    fn key(&self, operation: Operation, parameters: &Parameters) -> Result<&Key, Refusal> {
        match parameters.key_id.as_deref() {
            Some(key_id) => Key::named(&self.keys, key_id),
            None if operation == Operation::Decrypt => {
                Key::of_ciphertext(&self.keys, &parameters.ciphertext_blob()?)
            }
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
        if !operation.takes_recipient() {
            let message = format!("Recipient does not apply to {}.", operation.name());
            return Err(Refusal::validation(message));
        }
        if recipient.key_encryption_algorithm != KEY_ENCRYPTION_ALGORITHM {
            return Err(Refusal::validation(
                "KeyEncryptionAlgorithm must be RSAES_OAEP_SHA_256.",
            ));
        }
        let document = decode(&recipient.attestation_document, "AttestationDocument")?;
        VerifiedRecipient::verify(&document, &self.anchors, now_ms).map(Some)
    }
}

/// Who asks: by signature, and by document.
struct Caller<'a> {
    principal: &'a Principal,
    recipient: Option<&'a VerifiedRecipient>,
}

fn authorize(
    operation: Operation,
    key: &Key,
    in_force: &PolicyInForce,
    caller: &Caller<'_>,
    parameters: &Parameters,
) -> Result<(), Refusal> {
    let action = format!("kms:{}", operation.name());
    let mut context: BTreeMap<String, String> = caller
        .recipient
        .into_iter()
        .flat_map(VerifiedRecipient::conditions)
        .collect();
    for (name, value) in &parameters.encryption_context {
        context.insert(format!("kms:EncryptionContext:{name}"), value.clone());
    }
    let principal = caller.principal.arn.as_str();
    let access = Access {
        principal,
        action: &action,
        context,
    };
    match in_force.policy.decide(&access) {
        Decision::Allowed => Ok(()),
        Decision::NotAllowed if key.grants(principal, operation) => Ok(()),
        Decision::NotAllowed | Decision::Denied => Err(Refusal::access_denied(format!(
            "User: {principal} is not authorized to perform: {action} on resource: {} because the \
             resource-based policy does not allow it",
            key.master.arn()
        ))),
    }
}

fn key_policy(parameters: &Parameters, in_force: &PolicyInForce) -> Result<Value, Refusal> {
    match parameters.policy_name.as_deref() {
        None | Some(POLICY_NAME) => Ok(json!({
            "Policy": in_force.text,
            "PolicyName": POLICY_NAME,
        })),
        Some(_) => {
            let message = "No such policy exists";
            Err(Refusal::new("NotFoundException", message))
        }
    }
}

impl Parameters {
    fn ciphertext_blob(&self) -> Result<Vec<u8>, Refusal> {
        let blob = self.ciphertext_blob.as_deref();
        decode(blob.unwrap_or_default(), "CiphertextBlob")
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
