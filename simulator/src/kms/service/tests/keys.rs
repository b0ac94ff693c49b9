//! Several keys, their policies while these change, and what the role sees of them.
use super::*;
use crate::kms::key::Grant;

impl Bench {
    fn attested(&self, operation: &str, mut body: Value) -> Result<Value, &'static str> {
        body["Recipient"] = recipient(&self.document());
        self.ask(ROLE, operation, &body)
    }

    fn put_policy(&self, text: &str) {
        fs::write(self.state.path().join("policy-k"), text).unwrap();
    }
}

#[test]
fn a_ciphertext_opens_under_its_own_key_alone() {
    let bench = Bench::new();
    let generate = json!({"KeyId": OTHER_ARN, "KeySpec": "AES_256"});
    let generated = bench.attested("GenerateDataKey", generate).unwrap();
    assert_eq!(generated["KeyId"], OTHER_ARN);
    let decrypt = |key_id: Value| {
        let blob = &generated["CiphertextBlob"];
        bench.attested("Decrypt", json!({"KeyId": key_id, "CiphertextBlob": blob}))
    };
    assert_eq!(decrypt(json!(ARN)), Err("IncorrectKeyException"));
    assert_eq!(decrypt(json!("k")), Err("IncorrectKeyException"));
    for key_id in [json!(OTHER_ARN), json!("other"), Value::Null] {
        assert_eq!(decrypt(key_id).unwrap()["KeyId"], OTHER_ARN);
    }
    assert_eq!(decrypt(json!("none")), Err("NotFoundException"));
    // Each key has its own policy: the other one's is no help.
    bench.put_policy(&attested_policy(0x20));
    assert!(decrypt(json!(OTHER_ARN)).is_ok());
    let generate = json!({"KeyId": ARN, "KeySpec": "AES_256"});
    let refused = bench.attested("GenerateDataKey", generate);
    assert_eq!(refused, Err("AccessDeniedException"));
}

/// An administrator admits a new image, or takes an old one's right away, while KMS runs.
#[test]
fn a_changed_policy_is_in_force_with_the_next_request() {
    let bench = Bench::new();
    let document = bench.document();
    assert!(bench.generate(Some(&document)).is_ok());
    bench.put_policy(&attested_policy(0x20));
    assert_eq!(
        bench.generate(Some(&document)),
        Err("AccessDeniedException")
    );
    bench.put_policy(&attested_policy(IMAGE));
    assert!(bench.generate(Some(&document)).is_ok());
    // A damaged file, or a half-written one, is no policy: not even the last good one.
    let whole = attested_policy(IMAGE);
    for damaged in ["", "{}", &whole[..whole.len() - 2]] {
        bench.put_policy(damaged);
        assert_eq!(bench.generate(Some(&document)), Err("KMSInternalException"));
    }
    fs::remove_file(bench.state.path().join("policy-k")).unwrap();
    assert_eq!(bench.generate(Some(&document)), Err("KMSInternalException"));
}

#[test]
fn the_role_sees_what_guards_the_key() {
    let mut bench = Bench::new();
    bench.kms.keys[1].origin = Origin::External;
    bench.kms.keys[1].multi_region = true;
    let ask = |operation, key_id| bench.ask(ROLE, operation, &json!({"KeyId": key_id}));
    let key = &ask("DescribeKey", ARN).unwrap()["KeyMetadata"];
    for (name, value) in [
        ("AWSAccountId", json!("000000000000")),
        ("Arn", json!(ARN)),
        ("Enabled", json!(true)),
        ("KeyId", json!("k")),
        ("KeyManager", json!("CUSTOMER")),
        ("KeySpec", json!("SYMMETRIC_DEFAULT")),
        ("KeyState", json!("Enabled")),
        ("KeyUsage", json!("ENCRYPT_DECRYPT")),
        ("MultiRegion", json!(false)),
        ("Origin", json!("AWS_KMS")),
    ] {
        assert_eq!(key[name], value, "{name}");
    }
    let other = &ask("DescribeKey", OTHER_ARN).unwrap()["KeyMetadata"];
    assert_eq!(other["Origin"], "EXTERNAL");
    assert_eq!(other["MultiRegion"], true);

    let policy = ask("GetKeyPolicy", ARN).unwrap();
    assert_eq!(policy["Policy"], attested_policy(IMAGE));
    assert_eq!(policy["PolicyName"], "default");
    let body = json!({"KeyId": ARN, "PolicyName": "other"});
    let refused = bench.ask(ROLE, "GetKeyPolicy", &body);
    assert_eq!(refused, Err("NotFoundException"));

    let grants = ask("ListGrants", ARN).unwrap();
    assert_eq!(grants, json!({"Grants": [], "Truncated": false}));
    assert_eq!(ask("ListGrants", "none"), Err("NotFoundException"));

    // The operations are for whom the policy names, and there is no recipient of their replies.
    bench.put_policy(&attested_policy(IMAGE).replace(ROLE, TESTER));
    for operation in ["DescribeKey", "GetKeyPolicy", "ListGrants"] {
        let refused = bench.ask(ROLE, operation, &json!({"KeyId": ARN}));
        assert_eq!(refused, Err("AccessDeniedException"), "{operation}");
        let refused = bench.attested(operation, json!({"KeyId": ARN}));
        assert_eq!(refused, Err("ValidationException"), "{operation}");
    }
}

#[test]
fn a_key_that_is_disabled_or_dying_is_not_used() {
    let mut bench = Bench::new();
    for (state, code) in [
        (KeyState::Disabled, "DisabledException"),
        (KeyState::PendingDeletion, "KMSInvalidStateException"),
    ] {
        bench.kms.keys[0].state = state;
        assert_eq!(bench.generate(Some(&bench.document())), Err(code));
        let body = json!({"KeyId": ARN});
        let described = bench.ask(ROLE, "DescribeKey", &body).unwrap();
        assert_eq!(described["KeyMetadata"]["Enabled"], false);
        assert_eq!(described["KeyMetadata"]["KeyState"], json!(state));
    }
}

/// Why an enclave asks for grants at boot: the policy does not show them. With one, the holder of
/// another role uses the key from an image of his own; what the policy denies stays denied.
#[test]
fn a_grant_steps_round_the_policy() {
    let mut bench = Bench::new();
    let operations = ["GenerateDataKey", "Encrypt"].map(str::to_owned).to_vec();
    bench.kms.keys[0].grants = vec![Grant {
        grantee: TESTER.to_owned(),
        operations,
    }];
    let other_image = bench.document_of(0x20, &bench.root, NOW_MS);
    let body = json!({"KeyId": ARN, "KeySpec": "AES_256", "Recipient": recipient(&other_image)});
    assert!(bench.ask(TESTER, "GenerateDataKey", &body).is_ok());
    let refused = bench.ask(ROLE, "GenerateDataKey", &body);
    assert_eq!(refused, Err("AccessDeniedException"));
    let unattested = json!({"KeyId": ARN, "KeySpec": "AES_256"});
    let refused = bench.ask(TESTER, "GenerateDataKey", &unattested);
    assert_eq!(refused, Err("AccessDeniedException"));
    let body = json!({"KeyId": ARN, "Plaintext": "AAAA"});
    let refused = bench.ask(TESTER, "Encrypt", &body);
    assert_eq!(refused, Err("AccessDeniedException"));
    let listed = bench
        .ask(ROLE, "ListGrants", &json!({"KeyId": ARN}))
        .unwrap();
    assert_eq!(listed["Grants"][0]["GranteePrincipal"], TESTER);
    assert_eq!(listed["Grants"][0]["KeyId"], ARN);
}

#[test]
fn grants_come_in_pages() {
    let mut bench = Bench::new();
    bench.kms.keys[0].grants = (0..3)
        .map(|number| Grant {
            grantee: format!("arn:aws:iam::000000000000:role/{number}"),
            operations: Vec::new(),
        })
        .collect();
    let mut body = json!({"KeyId": ARN, "Limit": 2});
    let page = bench.ask(ROLE, "ListGrants", &body).unwrap();
    assert_eq!(page["Grants"].as_array().unwrap().len(), 2);
    assert_eq!(page["Truncated"], true);
    body["Marker"] = page["NextMarker"].clone();
    let last = bench.ask(ROLE, "ListGrants", &body).unwrap();
    assert_eq!(last["Grants"].as_array().unwrap().len(), 1);
    assert_ne!(last["Grants"][0]["GrantId"], page["Grants"][0]["GrantId"]);
    assert_eq!(last["Truncated"], false);
    assert_eq!(last.get("NextMarker"), None);
    for (name, value, code) in [
        ("Limit", json!(0), "ValidationException"),
        ("Limit", json!(101), "ValidationException"),
        ("Marker", json!("x"), "InvalidMarkerException"),
        ("Marker", json!("4"), "InvalidMarkerException"),
    ] {
        let mut body = json!({"KeyId": ARN});
        body[name] = value;
        assert_eq!(bench.ask(ROLE, "ListGrants", &body), Err(code));
    }
}
