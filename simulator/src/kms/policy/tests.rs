use super::*;

const ROLE: &str = "arn:aws:iam::000000000000:role/parent";

fn image(number: u8) -> (Pcr, Pcr) {
    (Pcr::from([number; 48]), Pcr::from([number + 100; 48]))
}

fn policy(value: &Value) -> KeyPolicy {
    KeyPolicy::from_json(value.to_string().as_bytes()).unwrap()
}

fn access<'a>(principal: &'a str, action: &'a str, image: Option<(Pcr, Pcr)>) -> Access<'a> {
    let context = image.into_iter().flat_map(|(pcr0, pcr16)| {
        [
            ("kms:RecipientAttestation:ImageSha384", pcr0.to_string()),
            ("kms:RecipientAttestation:PCR16", pcr16.to_string()),
        ]
    });
    Access {
        principal,
        action,
        context: context
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

#[test]
fn the_attested_policy_lets_named_pairs_pass_alone() {
    let policy = policy(&attested_policy(ROLE, &[image(1), image(2)]));
    let crossed = (image(1).0, image(2).1);
    for (principal, action, image, decision) in [
        (ROLE, "kms:Decrypt", Some(image(1)), Decision::Allowed),
        (
            ROLE,
            "kms:GenerateDataKey",
            Some(image(2)),
            Decision::Allowed,
        ),
        (ROLE, "kms:Decrypt", Some(crossed), Decision::Denied),
        (ROLE, "kms:Decrypt", Some(image(3)), Decision::Denied),
        (ROLE, "kms:Decrypt", None, Decision::Denied),
        (ROLE, "kms:Encrypt", Some(image(1)), Decision::Denied),
        (
            "arn:aws:iam::0:role/x",
            "kms:Decrypt",
            Some(image(1)),
            Decision::Denied,
        ),
    ] {
        let access = access(principal, action, image);
        assert_eq!(policy.decide(&access), decision, "{access:?}");
    }
}

#[test]
fn operators_compare_as_in_iam() {
    let values = ["AB".to_owned(), "cd".to_owned()];
    for (operator, actual, holds) in [
        (Operator::StringEquals, Some("AB"), true),
        (Operator::StringEquals, Some("ab"), false),
        (Operator::StringEquals, None, false),
        (Operator::StringEqualsIgnoreCase, Some("ab"), true),
        (Operator::StringEqualsIgnoreCase, None, false),
        (Operator::StringNotEquals, Some("ab"), true),
        (Operator::StringNotEquals, None, true),
        (Operator::StringNotEqualsIgnoreCase, Some("ab"), false),
    ] {
        assert_eq!(
            operator.holds(actual, &values),
            holds,
            "{operator:?} {actual:?}"
        );
    }
    assert!(Operator::Null.holds(None, &["true".to_owned()]));
    assert!(!Operator::Null.holds(Some(""), &["true".to_owned()]));
    assert!(Operator::Null.holds(Some(""), &["false".to_owned()]));
}

#[test]
fn what_is_not_simulated_is_refused_at_load() {
    let statement = |change: Value| {
        let mut statement = json!({
            "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
        });
        for (name, value) in change.as_object().unwrap() {
            statement[name] = value.clone();
        }
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    assert!(KeyPolicy::from_json(statement(json!({})).as_bytes()).is_ok());
    for change in [
        json!({"Condition": {"StringLike": {"aws:PrincipalArn": "*"}}}),
        json!({"NotAction": "kms:Decrypt"}),
        json!({"Resource": "arn:aws:kms:::key/other"}),
        json!({"Principal": {"Service": "s3.amazonaws.com"}}),
        json!({"Principal": "arn:aws:iam::0:root"}),
        json!({"Effect": "Permit"}),
    ] {
        assert!(
            KeyPolicy::from_json(statement(change.clone()).as_bytes()).is_err(),
            "{change}"
        );
    }
}

#[test]
fn the_accounts_root_denies_but_grants_nothing() {
    let statement = |effect| {
        json!({"Effect": effect, "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
               "Action": "kms:*", "Resource": "*"})
    };
    let anyone = json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"});
    let access = access(ROLE, "kms:Decrypt", None);
    let decide = |statements: Value| {
        policy(&json!({"Version": "2012-10-17", "Statement": statements})).decide(&access)
    };
    assert_eq!(decide(json!([statement("Allow")])), Decision::Denied);
    assert_eq!(decide(json!([anyone])), Decision::Allowed);
    assert_eq!(decide(json!([anyone, statement("Deny")])), Decision::Denied);
}
