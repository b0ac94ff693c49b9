//! An administrator who wants the keyset and wrote the policy himself: each of his ways.
use dauth_protocol::key_policy::{Administration, AttestedImage, KeyPolicy};
use serde_json::{Value, json};

use super::*;

mod conditions;

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/k";
const ROLE: &str = "arn:aws:iam::123456789012:role/parent";
const ROOT: &str = "arn:aws:iam::123456789012:root";

const IMAGE: &str = "kms:RecipientAttestation:ImageSha384";
const PCR16: &str = "kms:RecipientAttestation:PCR16";

fn pcr(byte: u8) -> Pcr {
    Pcr::from([byte; 48])
}

/// The running image (1, 2), and the one before (3, 4).
fn known() -> Vec<Predecessor> {
    [(1, 2), (3, 4)]
        .map(|(image, configuration)| Predecessor {
            pcr0: pcr(image),
            pcr16: pcr(configuration),
        })
        .to_vec()
}

fn generated(administration: Administration) -> String {
    let images = known().into_iter();
    let images = images.map(|image| AttestedImage::new([(0, image.pcr0), (16, image.pcr16)]));
    KeyPolicy {
        role: ROLE.parse().unwrap(),
        images: images.collect::<Result<_, _>>().unwrap(),
        administration,
    }
    .to_json()
}

fn locked() -> String {
    generated(Administration::Locked(ROOT.parse().unwrap()))
}

fn judge(policy: &str) -> Result<(), UnlockedPolicy> {
    let images = known();
    let custody = Custody {
        key_arn: KEY,
        images: &images,
    };
    custody.require_locked(policy)
}

/// What becomes of the locked policy with this statement at its head.
fn with(statement: Value) -> Result<(), StatementFault> {
    let mut policy: Value = serde_json::from_str(&locked()).unwrap();
    policy["Statement"]
        .as_array_mut()
        .unwrap()
        .insert(0, statement);
    match judge(&policy.to_string()) {
        Ok(()) => Ok(()),
        Err(UnlockedPolicy::Statement { number: 1, fault }) => Err(fault),
        Err(other) => panic!("{other}"),
    }
}

fn allow(actions: impl Into<Value>) -> Value {
    let mut statement = json!({"Effect": "Allow", "Principal": {"AWS": ROOT}, "Resource": "*"});
    statement["Action"] = actions.into();
    statement
}

/// Use of the key under these conditions.
fn usage(condition: Value) -> Value {
    let mut statement = allow(json!(["kms:Decrypt", "kms:GenerateDataKey"]));
    statement["Condition"] = condition;
    statement
}

fn registers(image: impl Into<Value>, configuration: impl Into<Value>) -> Value {
    let mut statement = usage(json!({"StringEquals": {}}));
    let equals = &mut statement["Condition"]["StringEquals"];
    equals[IMAGE] = image.into();
    equals[PCR16] = configuration.into();
    statement
}

#[test]
fn what_the_generator_locks_is_locked() {
    judge(&locked()).unwrap();
}

#[test]
fn what_it_leaves_to_an_administrator_is_not() {
    let open = generated(Administration::By(ROOT.parse().unwrap()));
    assert!(matches!(
        judge(&open),
        Err(UnlockedPolicy::Statement { .. })
    ));
}

#[test]
fn statements_that_add_no_way_are_let_pass() {
    let hex = |byte| json!(pcr(byte).to_string());
    let mut anyone = registers(hex(1), hex(2));
    anyone["Principal"] = json!("*");
    let mut this_key = allow(json!("kms:DescribeKey"));
    this_key["Resource"] = json!([KEY]);
    for statement in [
        anyone,
        this_key,
        registers(json!([pcr(3).to_string()]), hex(4)),
        registers(json!(pcr(1).to_string().to_uppercase()), hex(2)),
        usage(json!({
            "StringEquals": {"kms:RecipientAttestation:PCR0": hex(1), PCR16: hex(2)},
            "StringEqualsIgnoreCase": {IMAGE: hex(1), "kms:RecipientAttestation:PCR8": ["a", "b"]},
        })),
        allow(json!(["kms:ScheduleKeyDeletion", "kms:ListGrants"])),
        json!({"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "NotAction": "kms:Decrypt",
            "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
    ] {
        assert_eq!(with(statement.clone()), Ok(()), "{statement}");
    }
}

/// Each of these alone changes who may use the key, or uses it without a document.
#[test]
fn actions_that_give_another_a_way_are_refused() {
    for action in [
        "kms:PutKeyPolicy",
        "kms:CreateGrant",
        "kms:ReplicateKey",
        "kms:UpdatePrimaryRegion",
        "kms:ImportKeyMaterial",
        "kms:GetParametersForImport",
        "kms:DeleteImportedKeyMaterial",
        "kms:Encrypt",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:GenerateDataKeyPair",
        "kms:DeriveSharedSecret",
        "kms:SynchronizeMultiRegionKey",
        "kms:RotateKeyOnDemand",
        "kms:RetireGrant",
        "kms:TagResource",
        "kms:ANewAction",
        "kms:putkeypolicy",
        "KMS:PutKeyPolicy",
        "iam:PassRole",
    ] {
        let refused = StatementFault::Action(ActionName::of(action));
        assert_eq!(with(allow(json!(action))), Err(refused.clone()), "{action}");
        let among = allow(json!(["kms:DescribeKey", action]));
        assert_eq!(with(among), Err(refused), "{action}");
    }
    // Another case of a name that needs conditions escapes none.
    for action in ["kms:decrypt", "KMS:DECRYPT", "kms:Decrypt ", ""] {
        let refused = with(allow(json!(action)));
        assert!(
            matches!(refused, Err(StatementFault::Action(_))),
            "{action}"
        );
    }
}

#[test]
fn wildcards_and_inversions_are_refused() {
    for action in ["*", "kms:*", "kms:De*", "kms:?ecrypt", "kms:Describe*"] {
        let refused = with(allow(json!([action])));
        assert_eq!(refused, Err(StatementFault::Wildcard), "{action}");
    }
    for (name, replaced) in [
        ("NotAction", "Action"),
        ("NotPrincipal", "Principal"),
        ("NotResource", "Resource"),
    ] {
        let mut statement = allow(json!("kms:DescribeKey"));
        let value = statement.as_object_mut().unwrap().remove(replaced).unwrap();
        statement[name] = value;
        assert_eq!(
            with(statement.clone()),
            Err(StatementFault::Inverted),
            "{name}"
        );
        statement[replaced] = json!("*");
        assert_eq!(
            with(statement),
            Err(StatementFault::Inverted),
            "{name} and {replaced}"
        );
    }
}

#[test]
fn names_that_come_twice_in_the_text_are_refused() {
    let twice = |from: &str, to: &str| {
        let policy = locked();
        assert!(policy.contains(from), "{from}");
        judge(&policy.replacen(from, to, 1))
    };
    let evil =
        format!("\"Condition\": {{\"StringEquals\": {{\"{PCR16}\": \"x\"}}}}, \"Condition\":");
    for (from, to) in [
        (
            "\"Effect\": \"Allow\"",
            "\"Effect\": \"Deny\", \"Effect\": \"Allow\"",
        ),
        (
            "\"Effect\": \"Deny\"",
            "\"Effect\": \"Allow\", \"Effect\": \"Deny\"",
        ),
        ("\"Condition\":", evil.as_str()),
        ("\"Version\":", "\"Statement\": [], \"Version\":"),
        (
            "\"Version\":",
            "\"\\u0056ersion\": \"2012-10-17\", \"Version\":",
        ),
    ] {
        assert_eq!(twice(from, to), Err(UnlockedPolicy::Malformed), "{to}");
    }
}

#[test]
fn elements_that_are_unknown_or_malformed_are_refused() {
    let mut statements = Vec::new();
    for (name, value) in [
        ("effect", json!("Allow")),
        ("Actions", json!("kms:*")),
        ("action", json!("kms:*")),
        ("Condition ", json!({})),
        ("Action", json!([])),
        ("Action", json!({"kms": "*"})),
        ("Action", json!(null)),
        ("Resource", json!(null)),
    ] {
        let mut statement = allow(json!("kms:DescribeKey"));
        statement[name] = value;
        statements.push((statement, StatementFault::Element));
    }
    for effect in [
        json!("allow"),
        json!("ALLOW"),
        json!("Deny "),
        json!(null),
        json!(["Deny"]),
    ] {
        let mut statement = allow(json!("kms:*"));
        statement["Effect"] = effect;
        statements.push((statement, StatementFault::Effect));
    }
    for principal in [
        json!("AWS"),
        json!(ROOT),
        json!({"Service": "ec2.amazonaws.com"}),
        json!({"Federated": "cognito-identity.amazonaws.com"}),
        json!({"AWS": ROOT, "Service": "ec2.amazonaws.com"}),
        json!({"AWS": []}),
        json!({}),
        json!(null),
    ] {
        let mut statement = allow(json!("kms:DescribeKey"));
        statement["Principal"] = principal;
        statements.push((statement, StatementFault::Principal));
    }
    let mut other_key = allow(json!("kms:DescribeKey"));
    other_key["Resource"] = json!(["*", format!("{KEY}2")]);
    statements.push((other_key, StatementFault::Resource));
    let mut hidden = json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"});
    hidden["effect"] = json!("Allow");
    statements.push((hidden, StatementFault::Element));
    statements.push((json!("Allow"), StatementFault::Element));
    for (statement, fault) in statements {
        assert_eq!(with(statement.clone()), Err(fault), "{statement}");
    }
}

#[test]
fn the_key_is_not_anyone_s_to_destroy() {
    for principal in [
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": [ROOT, "arn:aws:iam::*:root"]}),
    ] {
        let mut statement = allow(json!("kms:ScheduleKeyDeletion"));
        statement["Principal"] = principal;
        assert_eq!(with(statement), Err(StatementFault::Anyone));
    }
}

#[test]
fn documents_of_another_shape_are_refused() {
    let long = format!("{{\"Version\":\"{}\"}}", "x".repeat(MAX_POLICY_BYTES));
    assert_eq!(judge(&long), Err(UnlockedPolicy::TooLong));
    for text in ["", "[]", "null", "\"*\"", "{", "{}x"] {
        assert_eq!(judge(text), Err(UnlockedPolicy::Malformed), "{text}");
    }
    for document in [
        json!({}),
        json!({"Version": "2012-10-17"}),
        json!({"Version": "2008-10-17", "Statement": []}),
        json!({"Statement": []}),
        json!({"Version": "2012-10-17", "Statement": "Allow"}),
        json!({"Version": "2012-10-17", "Statement": [], "statement": []}),
    ] {
        let refused = judge(&document.to_string());
        assert_eq!(refused, Err(UnlockedPolicy::Document), "{document}");
    }
    // One statement needs no list.
    let one = json!({"Version": "2012-10-17", "Statement": allow(json!("kms:*"))});
    let refused = judge(&one.to_string());
    let fault = StatementFault::Wildcard;
    assert_eq!(refused, Err(UnlockedPolicy::Statement { number: 1, fault }));
}

#[test]
fn a_refusal_names_the_statement_and_no_text_of_the_policy() {
    let refused = with(allow(json!("kms:\u{1b}[31m"))).unwrap_err();
    let refused = UnlockedPolicy::Statement {
        number: 1,
        fault: refused,
    };
    assert_eq!(
        refused.to_string(),
        "statement 1 of the key policy unlocks the key: it allows an action without a name, which a \
         locked key is not for; remove that action"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = judge(&text);
    }

    /// A locked policy with a piece cut out, or another written over it: locked still, or refused.
    #[test]
    fn no_changed_policy_makes_it_panic(
        from in 0..2000_usize,
        length in 0..40_usize,
        piece in proptest::sample::select(vec!["", "\"", "*", "Allow", "{}", "[", "null", "kms:*"]),
    ) {
        let policy = locked();
        let from = from % policy.len();
        let to = (from + length).min(policy.len());
        let _ = judge(&format!("{}{piece}{}", &policy[..from], &policy[to..]));
    }
}
