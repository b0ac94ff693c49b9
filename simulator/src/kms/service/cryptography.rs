//! What a key does with data, once it is allowed.
use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Parameters, decode};
use crate::kms::{error::Refusal, key::Key, recipient::VerifiedRecipient};

const ENCRYPTION_ALGORITHM: &str = "SYMMETRIC_DEFAULT";
/// What `Encrypt` takes.
const MAX_PLAINTEXT_BYTES: usize = 4096;
const MAX_DATA_KEY_BYTES: usize = 1024;

impl Key {
    pub(super) fn generate_data_key(
        &self,
        parameters: &Parameters,
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<Value, Refusal> {
        self.require_enabled()?;
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
        let blob = self.master.wrap(&parameters.encryption_context, &key)?;
        let mut reply = self.release(&key, recipient)?;
        reply["CiphertextBlob"] = BASE64_STANDARD.encode(blob).into();
        Ok(reply)
    }

    pub(super) fn decrypt(
        &self,
        parameters: &Parameters,
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<Value, Refusal> {
        self.require_enabled()?;
        require_algorithm(parameters)?;
        let blob = parameters.ciphertext_blob()?;
        let plaintext = self.master.unwrap(&parameters.encryption_context, &blob)?;
        let mut reply = self.release(&plaintext, recipient)?;
        reply["EncryptionAlgorithm"] = ENCRYPTION_ALGORITHM.into();
        Ok(reply)
    }

    pub(super) fn encrypt(&self, parameters: &Parameters) -> Result<Value, Refusal> {
        self.require_enabled()?;
        require_algorithm(parameters)?;
        let plaintext = parameters.plaintext.as_deref();
        let plaintext = decode(plaintext.unwrap_or_default(), "Plaintext")?;
        if plaintext.is_empty() || plaintext.len() > MAX_PLAINTEXT_BYTES {
            return Err(Refusal::validation("Plaintext must have 1 to 4096 bytes."));
        }
        let blob = self
            .master
            .wrap(&parameters.encryption_context, &plaintext)?;
        Ok(json!({
            "CiphertextBlob": BASE64_STANDARD.encode(blob),
            "EncryptionAlgorithm": ENCRYPTION_ALGORITHM,
            "KeyId": self.master.arn(),
        }))
    }

    /// A plaintext goes to the recipient alone, where there is one; the plain field is then empty.
    fn release(
        &self,
        plaintext: &[u8],
        recipient: Option<&VerifiedRecipient>,
    ) -> Result<Value, Refusal> {
        let arn = self.master.arn();
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
