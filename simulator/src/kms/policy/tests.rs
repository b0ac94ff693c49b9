use serde_json::{Value, json};

use super::*;

const ROLE: &str = "arn:aws:iam::000000000000:role/parent";

fn policy(value: &Value) -> KeyPolicy {
    KeyPolicy::from_json(value.to_string().as_bytes()).unwrap()
}

fn statement(change: &Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
    });
    for (name, value) in change.as_object().unwrap() {
        statement[name] = value.clone();
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

fn access<'a>(principal: &'a str, action: &'a str) -> Access<'a> {
    Access {
        principal,
        action,
        context: BTreeMap::new(),
    }
}

#[test]
fn actions_match_as_in_iam() {
    for (pattern, action, matches) in [
        ("kms:Decrypt", "kms:Decrypt", true),
        ("kms:decrypt", "kms:Decrypt", true),
        ("kms:Decrypt", "kms:DecryptX", false),
        ("*", "kms:Decrypt", true),
        ("kms:ReEncrypt*", "kms:ReEncryptFrom", true),
        ("kms:*Policy", "kms:PutKeyPolicy", true),
        ("kms:*Policy", "kms:PutKeyPolicyX", false),
        ("kms:GenerateDataKey*", "kms:GenerateDataKey", true),
        ("kms:Encryp?", "kms:Encrypt", true),
        ("kms:Encrypt?", "kms:Encrypt", false),
        ("", "kms:Encrypt", false),
    ] {
        let policy = policy(&statement(&json!({"Action": pattern})));
        let allowed = policy.decide(&access(ROLE, action)) == Decision::Allowed;
        assert_eq!(allowed, matches, "{pattern} {action}");
    }
}

#[test]
fn not_action_and_not_principal_name_all_others() {
    let all_but_decrypt = json!({"Action": null, "NotAction": ["kms:Decrypt", "kms:Put*"]});
    let all_but_decrypt = policy(&statement(&all_but_decrypt));
    let decide = |action| all_but_decrypt.decide(&access(ROLE, action));
    assert_eq!(decide("kms:Decrypt"), Decision::NotAllowed);
    assert_eq!(decide("kms:PutKeyPolicy"), Decision::NotAllowed);
    assert_eq!(decide("kms:Encrypt"), Decision::Allowed);
    let all_but_the_role = json!({"Principal": null, "NotPrincipal": {"AWS": ROLE}});
    let all_but_the_role = policy(&statement(&all_but_the_role));
    let decide = |principal| all_but_the_role.decide(&access(principal, "kms:Decrypt"));
    assert_eq!(decide(ROLE), Decision::NotAllowed);
    assert_eq!(decide("arn:aws:iam::1:user/other"), Decision::Allowed);
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
    let parse = |change: &Value| KeyPolicy::from_json(statement(change).to_string().as_bytes());
    assert!(parse(&json!({})).is_ok());
    for change in [
        json!({"Condition": {"StringLike": {"aws:PrincipalArn": "*"}}}),
        json!({"NotAction": "kms:Decrypt"}),
        json!({"NotPrincipal": {"AWS": ROLE}}),
        json!({"Action": null}),
        json!({"NotResource": "*"}),
        json!({"Resource": "arn:aws:kms:::key/other"}),
        json!({"Principal": {"Service": "s3.amazonaws.com"}}),
        json!({"Principal": "arn:aws:iam::0:root"}),
        json!({"Effect": "Permit"}),
    ] {
        assert!(parse(&change).is_err(), "{change}");
    }
}

#[test]
fn the_accounts_root_denies_but_grants_nothing() {
    let statement = |effect| {
        json!({"Effect": effect, "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
               "Action": "kms:*", "Resource": "*"})
    };
    let anyone = json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"});
    let access = access(ROLE, "kms:Decrypt");
    let decide = |statements: Value| {
        policy(&json!({"Version": "2012-10-17", "Statement": statements})).decide(&access)
    };
    assert_eq!(decide(json!([statement("Allow")])), Decision::NotAllowed);
    assert_eq!(decide(json!([])), Decision::NotAllowed);
    assert_eq!(decide(json!([anyone])), Decision::Allowed);
    assert_eq!(decide(json!([anyone, statement("Deny")])), Decision::Denied);
}
