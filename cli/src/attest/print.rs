//! What evidence says, for a person or a program.
use std::collections::BTreeMap;

use dauth_attestation::AttestationResult;
use dauth_image::release::Manifest;
use dauth_protocol::{KeyConfiguration, deployment::KeyPolicyRule};
use serde_json::{Value, json};

use crate::output::{self, Output, utc};

/// Prints what a document says, and the release that its PCRs are of.
pub(super) fn document(result: &AttestationResult, release: Option<&Manifest>, output: Output) {
    match output {
        Output::Json => {
            let mut shown = document_json(result);
            if let (Value::Object(shown), Some(release)) = (&mut shown, release) {
                let release = json!({ "version": release.version, "commit": release.commit });
                shown.insert("release".to_owned(), release);
            }
            output::json(&shown);
        }
        Output::Text => {
            document_text(result);
            if let Some(Manifest {
                version, commit, ..
            }) = release
            {
                field("release", &format!("{version}, commit {commit}"));
            }
        }
    }
}

/// Prints what a document says, and the keys that it endorses.
pub(super) fn evidence(result: &AttestationResult, keys: &KeyConfiguration, output: Output) {
    match output {
        Output::Json => {
            let mut shown = document_json(result);
            if let (Value::Object(shown), Value::Object(of_keys)) = (&mut shown, keys_json(keys)) {
                shown.extend(of_keys);
            }
            output::json(&shown);
        }
        Output::Text => {
            document_text(result);
            keys_text(keys);
        }
    }
}

fn document_json(result: &AttestationResult) -> Value {
    let pcrs: BTreeMap<String, String> = result
        .pcrs()
        .map(|(index, value)| (index.to_string(), hex::encode(value)))
        .collect();
    json!({
        "module_id": result.module_id(),
        "timestamp_ms": result.timestamp_ms(),
        "timestamp": utc(result.timestamp_ms() / 1000),
        "digest": result.digest(),
        "pcrs": pcrs,
        "chain": {
            "valid_from": utc(result.chain_valid_from_s()),
            "valid_until": utc(result.chain_valid_until_s()),
        },
        "user_data": result.user_data().map(hex::encode),
        "public_key": result.public_key().map(hex::encode),
        "nonce": result.nonce().map(hex::encode),
    })
}

fn document_text(result: &AttestationResult) {
    let optional =
        |bytes: Option<&[u8]>| bytes.map_or_else(|| "none".to_owned(), hex::encode::<&[u8]>);
    field("module id", result.module_id());
    field("timestamp", &utc(result.timestamp_ms() / 1000));
    field("digest", result.digest());
    let (from, until) = (result.chain_valid_from_s(), result.chain_valid_until_s());
    let chain = format!("valid from {} until {}", utc(from), utc(until));
    field("chain", &chain);
    for (index, value) in result.pcrs() {
        field(&format!("PCR{index}"), &hex::encode(value));
    }
    field("user_data", &optional(result.user_data()));
    field("public_key", &optional(result.public_key()));
    field("nonce", &optional(result.nonce()));
}

fn keys_json(keys: &KeyConfiguration) -> Value {
    json!({
        "audience": keys.audience,
        "build": keys.build,
        "keyset": { "id": hex::encode(&keys.keyset_id), "generation": keys.generation },
        "kms_key": { "arn": keys.kms_key.arn, "policy": keys.kms_key.policy },
    })
}

fn keys_text(keys: &KeyConfiguration) {
    field("audience", &keys.audience);
    field("build", &keys.build);
    field("keyset", &hex::encode(&keys.keyset_id));
    field("generation", &keys.generation.to_string());
    field("KMS key", &keys.kms_key.arn);
    field("key policy", policy_of(keys.kms_key.policy));
}

fn policy_of(policy: KeyPolicyRule) -> &'static str {
    match policy {
        KeyPolicyRule::Locked => "locked: nobody can let another image open the keyset",
        KeyPolicyRule::Unchecked => {
            "not locked: the key's administrators can let another image open the keyset"
        }
    }
}

#[allow(clippy::print_stdout, reason = "results go to stdout")]
fn field(name: &str, value: &str) {
    anstream::println!("{name:<12} {value}");
}

#[cfg(test)]
mod tests {
    use dauth_protocol::key_configuration::GuardingKey;

    use super::*;

    #[test]
    fn keys_are_shown_to_programs_with_every_value_that_a_client_may_require() {
        let keys = KeyConfiguration {
            version: 1,
            purpose: KeyConfiguration::PURPOSE.to_owned(),
            tls_key: Vec::new(),
            recipients: Vec::new(),
            receipt_key: Vec::new(),
            former_receipt_keys: Vec::new(),
            keyset_id: vec![0xab; 16],
            generation: 7,
            history: Vec::new(),
            kms_key: GuardingKey {
                arn: "arn:aws:kms:eu-west-1:1:key/k".to_owned(),
                policy: KeyPolicyRule::Locked,
            },
            audience: "https://enclave.example".to_owned(),
            build: "1.2.3".to_owned(),
        };
        let expected = json!({
            "audience": "https://enclave.example",
            "build": "1.2.3",
            "keyset": { "id": "ab".repeat(16), "generation": 7 },
            "kms_key": { "arn": "arn:aws:kms:eu-west-1:1:key/k", "policy": "locked" },
        });
        assert_eq!(keys_json(&keys), expected);
    }
}
