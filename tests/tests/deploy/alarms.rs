//! What the alarms of `deploy/terraform` match, by the rules of EventBridge that they use.
use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use super::{files, text};

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000";
const ROLE: &str = "arn:aws:iam::123456789012:role/dauth-parent";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:dauth-alarms";

/// The patterns by name, with the values that Terraform puts in.
fn patterns() -> BTreeMap<String, Value> {
    files("deploy/terraform/alarms", "json")
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let pattern = fs::read_to_string(&file)
                .unwrap()
                .replace("${key_arn}", KEY)
                .replace("${role_arn}", ROLE)
                .replace("${role_name}", "dauth-parent")
                .replace("${rule_names}", "[\"dauth-use-denied\"]")
                .replace("${topic_arn}", TOPIC);
            assert!(
                !pattern.contains("${"),
                "{name}: a value that Terraform does not give"
            );
            (name, serde_json::from_str(&pattern).unwrap())
        })
        .collect()
}

/// EventBridge's rules for a pattern: every field matches; an array of events' values matches when one
/// of its values does; `$or` when one of its patterns does.
fn matches(pattern: &Value, event: &Value) -> bool {
    let Value::Object(fields) = pattern else {
        panic!("a pattern is an object: {pattern}");
    };
    fields
        .iter()
        .all(|(key, wanted)| match (key.as_str(), wanted) {
            ("$or", Value::Array(patterns)) => patterns.iter().any(|p| matches(p, event)),
            (_, Value::Array(values)) => values.iter().any(|v| is_value(v, &at(event, key))),
            (_, nested) => {
                let found = at(event, key);
                let found = if found.is_empty() {
                    vec![Value::Null]
                } else {
                    found
                };
                found.iter().any(|value| matches(nested, value))
            }
        })
}

/// The values of a field; of an array's elements, all of them.
fn at(event: &Value, key: &str) -> Vec<Value> {
    let found = match event {
        Value::Array(events) => return events.iter().flat_map(|event| at(event, key)).collect(),
        _ => event.get(key),
    };
    match found {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values.clone(),
        Some(value) => vec![value.clone()],
    }
}

fn is_value(wanted: &Value, found: &[Value]) -> bool {
    let Value::Object(rule) = wanted else {
        return found.contains(wanted);
    };
    assert_eq!(rule.len(), 1, "{wanted}");
    let (name, argument) = rule.iter().next().unwrap();
    match name.as_str() {
        "exists" => found.is_empty() != argument.as_bool().unwrap(),
        "prefix" => {
            let prefix = argument.as_str().unwrap();
            let begins = |v: &Value| v.as_str().is_some_and(|text| text.starts_with(prefix));
            found.iter().any(begins)
        }
        "anything-but" => {
            let but = argument.as_array().unwrap();
            found.iter().any(|value| !but.contains(value))
        }
        other => panic!("a rule that is not tested: {other}"),
    }
}

/// A call of KMS as CloudTrail has it, by the enclave of this deployment.
fn attested() -> Value {
    json!({
        "source": "aws.kms",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": "kms.amazonaws.com",
            "eventName": "Decrypt",
            "userIdentity": {
                "type": "AssumedRole",
                "arn": "arn:aws:sts::123456789012:assumed-role/dauth-parent/i-0",
                "sessionContext": { "sessionIssuer": { "type": "Role", "arn": ROLE } }
            },
            "resources": [{ "accountId": "123456789012", "type": "AWS::KMS::Key", "ARN": KEY }],
            "additionalEventData": { "recipient": {
                "attestationDocumentModuleId": "i-0-enc0",
                "attestationDocumentEnclaveImageDigest": "5a"
            } }
        }
    })
}

/// Which alarms an event raises, after a change at a place of it.
fn raised(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut event = attested();
    change(&mut event);
    let raised = patterns()
        .into_iter()
        .filter(|(_, pattern)| matches(pattern, &event));
    raised.map(|(name, _)| name).collect()
}

#[test]
fn the_enclaves_own_uses_raise_none() {
    assert_eq!(raised(|_| ()), [""; 0]);
    assert_eq!(
        raised(|e| e["detail"]["eventName"] = "GenerateDataKey".into()),
        [""; 0]
    );
    // What `dauth kms-policy` lets the role do beside, and administrators look at.
    assert_eq!(
        raised(|e| e["detail"]["eventName"] = "GetKeyPolicy".into()),
        [""; 0]
    );
}

#[test]
fn each_use_that_is_not_the_enclaves_raises_its_alarm() {
    let without_recipient = |e: &mut Value| e["detail"]["additionalEventData"] = Value::Null;
    assert_eq!(raised(without_recipient), ["use-without-attestation"]);

    let issuer = "/detail/userIdentity/sessionContext/sessionIssuer/arn";
    let by = |arn: &'static str| move |e: &mut Value| *e.pointer_mut(issuer).unwrap() = arn.into();
    let other = "arn:aws:iam::123456789012:role/admin";
    assert_eq!(raised(by(other)), ["use-by-another-role"]);
    // A user has no session; the account's root user neither.
    let by_user = |e: &mut Value| {
        e["detail"]["userIdentity"] = json!({"type": "IAMUser", "userName": "mallory"});
    };
    assert_eq!(raised(by_user), ["use-by-another-role"]);
    let both = raised(|e| {
        by_user(e);
        without_recipient(e);
    });
    assert_eq!(both, ["use-by-another-role", "use-without-attestation"]);
    // Whoever may encrypt knows what he wrapped.
    let encrypts = raised(|e| {
        e["detail"]["eventName"] = "Encrypt".into();
        without_recipient(e);
    });
    assert_eq!(encrypts, ["use-without-attestation"]);
}

#[test]
fn refusals_and_changes_raise_theirs_and_other_keys_none() {
    let denied = raised(|e| e["detail"]["errorCode"] = "AccessDenied".into());
    assert_eq!(denied, ["use-denied"]);
    // A refusal may name no key.
    let denied = raised(|e| {
        e["detail"]["errorCode"] = "AccessDenied".into();
        e["detail"]["resources"] = Value::Null;
    });
    assert_eq!(denied, ["use-denied"]);
    for change in [
        "PutKeyPolicy",
        "CreateGrant",
        "ScheduleKeyDeletion",
        "DisableKey",
    ] {
        assert_eq!(
            raised(|e| e["detail"]["eventName"] = change.into()),
            ["key-changed"]
        );
    }
    let of_role = raised(|e| {
        e["source"] = "aws.iam".into();
        e["detail"]["eventSource"] = "iam.amazonaws.com".into();
        e["detail"]["eventName"] = "UpdateAssumeRolePolicy".into();
        e["detail"]["requestParameters"] = json!({"roleName": "dauth-parent"});
    });
    assert_eq!(of_role, ["role-changed"]);
    let of_trail = raised(|e| {
        e["source"] = "aws.cloudtrail".into();
        e["detail"]["eventSource"] = "cloudtrail.amazonaws.com".into();
        e["detail"]["eventName"] = "StopLogging".into();
    });
    assert_eq!(of_trail, ["trail-changed"]);
    let of_another_key = raised(|e| {
        e["detail"]["resources"][0]["ARN"] = KEY.replace("key/0", "key/1").into();
        e["detail"]["additionalEventData"] = Value::Null;
    });
    assert_eq!(of_another_key, [""; 0]);
}

/// Whoever silences an alarm is seen, unless he ends this one first: docs/operate.md says so.
#[test]
fn changes_of_the_alarms_themselves_raise_theirs() {
    let of = |service: &str, name: &str, parameters: Value| {
        raised(|e| {
            e["source"] = format!("aws.{service}").into();
            e["detail"]["eventSource"] = format!("{service}.amazonaws.com").into();
            e["detail"]["eventName"] = name.into();
            e["detail"]["resources"] = Value::Null;
            e["detail"]["requestParameters"] = parameters;
        })
    };
    let rule = json!({"name": "dauth-use-denied"});
    let subscription = format!("{TOPIC}:00000000-0000-4000-8000-000000000000");
    for (service, name, parameters) in [
        ("events", "DisableRule", rule.clone()),
        ("events", "DeleteRule", rule.clone()),
        ("events", "PutRule", rule),
        (
            "events",
            "RemoveTargets",
            json!({"rule": "dauth-use-denied", "ids": ["1"]}),
        ),
        ("sns", "DeleteTopic", json!({"topicArn": TOPIC})),
        (
            "sns",
            "Unsubscribe",
            json!({"subscriptionArn": subscription}),
        ),
    ] {
        assert_eq!(of(service, name, parameters), ["alarms-changed"], "{name}");
    }
    let other = json!({"name": "other", "topicArn": format!("{TOPIC}-of-another")});
    assert_eq!(of("events", "DisableRule", other.clone()), [""; 0]);
    assert_eq!(of("sns", "DeleteTopic", other), [""; 0]);
}

/// The names in a map of the locals.
fn listed(map: &str) -> Vec<String> {
    let rules = text("deploy/terraform/alarms.tf");
    let (_, locals) = rules.split_once(&format!("\n  {map} = {{\n")).unwrap();
    let (locals, _) = locals.split_once("\n  }").unwrap();
    let mut named: Vec<_> = locals
        .lines()
        .map(|line| line.split_once('=').unwrap().0.trim().to_owned())
        .collect();
    named.sort();
    named
}

#[test]
fn every_pattern_is_a_rule_and_every_rule_has_its_pattern() {
    let mut named = [listed("alarms"), listed("iam_alarms")].concat();
    named.sort();
    named.dedup();
    assert_eq!(named, patterns().into_keys().collect::<Vec<_>>());
}

/// A rule sees the events of its own region: those of IAM are in one alone.
#[test]
fn rules_are_where_their_events_are_and_each_region_watches_its_own() {
    assert_eq!(listed("iam_alarms"), ["alarms-changed", "role-changed"]);
    let here = listed("alarms");
    assert!(here.contains(&"alarms-changed".to_owned()), "{here:?}");
    for (name, pattern) in patterns() {
        let is_iams = pattern["source"] == json!(["aws.iam"]);
        assert_ne!(here.contains(&name), is_iams, "{name}");
    }
    let variables = text("deploy/terraform/variables.tf");
    let (_, region) = variables.split_once("variable \"iam_region\"").unwrap();
    let (region, _) = region.split_once("\n}").unwrap();
    assert!(region.ends_with("= \"us-east-1\""), "{region}");
    let there = text("deploy/terraform/alarms-iam.tf");
    for block in there.split("\nresource ").skip(1) {
        let (block, _) = block.split_once("\n}").unwrap();
        assert!(block.contains("\n  provider = aws.iam_region\n"), "{block}");
    }
}
