//! What a key is: only one kind can be locked.
use serde::Deserialize;

use super::CustodyError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeKeyReply {
    key_metadata: KeyMetadata,
}

// AWS adds fields to its replies over time, so unknown ones are let pass. A missing one is not.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyMetadata {
    arn: String,
    enabled: bool,
    key_manager: String,
    key_spec: String,
    key_state: String,
    key_usage: String,
    multi_region: bool,
    origin: String,
}

impl DescribeKeyReply {
    /// Refuses a key that others may have or govern, whatever its policy says.
    pub(super) fn require_lockable(&self, arn: &str) -> Result<(), CustodyError> {
        let key = &self.key_metadata;
        let is_symmetric =
            key.key_spec == "SYMMETRIC_DEFAULT" && key.key_usage == "ENCRYPT_DECRYPT";
        let rules = [
            (key.arn == arn, CustodyError::OtherKey),
            (
                key.key_manager == "CUSTOMER",
                CustodyError::NotCustomerManaged,
            ),
            (is_symmetric, CustodyError::NotSymmetric),
            (key.origin == "AWS_KMS", CustodyError::ForeignMaterial),
            (!key.multi_region, CustodyError::MultiRegion),
            (
                key.enabled && key.key_state == "Enabled",
                CustodyError::NotEnabled,
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(()), |(_, error)| Err(error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/k";

    fn described(field: &str, value: Value) -> Result<(), String> {
        let mut metadata = json!({
            "AWSAccountId": "123456789012",
            "Arn": ARN,
            "CreationDate": 1.7e9,
            "Enabled": true,
            "KeyManager": "CUSTOMER",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyState": "Enabled",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "MultiRegion": false,
            "Origin": "AWS_KMS",
        });
        metadata[field] = value;
        let reply = json!({ "KeyMetadata": metadata }).to_string();
        let reply: Result<DescribeKeyReply, _> = serde_json::from_str(&reply);
        let reply = reply.map_err(|_| "malformed".to_owned())?;
        reply
            .require_lockable(ARN)
            .map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn only_a_key_that_kms_alone_has_can_be_locked() {
        described("Description", json!("of no matter")).unwrap();
        for (field, value, error) in [
            ("Arn", json!(format!("{ARN}2")), "OtherKey"),
            ("Arn", json!("k"), "OtherKey"),
            ("KeyManager", json!("AWS"), "NotCustomerManaged"),
            ("KeySpec", json!("RSA_2048"), "NotSymmetric"),
            ("KeySpec", json!("HMAC_256"), "NotSymmetric"),
            ("KeyUsage", json!("KEY_AGREEMENT"), "NotSymmetric"),
            ("Origin", json!("EXTERNAL"), "ForeignMaterial"),
            ("Origin", json!("AWS_CLOUDHSM"), "ForeignMaterial"),
            ("Origin", json!("EXTERNAL_KEY_STORE"), "ForeignMaterial"),
            ("Origin", json!("aws_kms"), "ForeignMaterial"),
            ("MultiRegion", json!(true), "MultiRegion"),
            ("Enabled", json!(false), "NotEnabled"),
            ("KeyState", json!("PendingDeletion"), "NotEnabled"),
            ("KeyState", json!("Updating"), "NotEnabled"),
            ("MultiRegion", Value::Null, "malformed"),
            ("Origin", Value::Null, "malformed"),
            ("Arn", json!([ARN]), "malformed"),
        ] {
            assert_eq!(
                described(field, value.clone()),
                Err(error.to_owned()),
                "{field} {value}"
            );
        }
    }
}
