use clap::Parser;

use super::{notes::notes, *};

const ROLE: &str = "arn:aws:iam::123456789012:role/parent";

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    command: KmsPolicy,
}

fn pcr(index: u16, byte: u8) -> String {
    format!("--pcr={index}={}", hex::encode([byte; 48]))
}

/// A command line with these options in place of the usual ones of the same name.
fn line(changes: &[&str]) -> Vec<String> {
    let usual = [
        "--account=123456789012".to_owned(),
        "--region=eu-west-1".to_owned(),
        format!("--role={ROLE}"),
    ];
    let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let kept = usual
        .into_iter()
        .filter(|option| !changes.iter().any(|change| name(change) == name(option)));
    std::iter::once("kms-policy".to_owned())
        .chain(kept)
        .chain(changes.iter().map(|change| (*change).to_owned()))
        .collect()
}

fn parse(changes: &[&str]) -> Result<KmsPolicy, String> {
    Program::try_parse_from(line(changes))
        .map(|program| program.command)
        .map_err(|error| error.to_string())
}

fn policy(changes: &[&str]) -> Result<KeyPolicy, String> {
    parse(changes)?
        .policy()
        .map_err(|error| format!("{error:?}"))
}

fn policy_of_one_image(changes: &[&str]) -> Result<KeyPolicy, String> {
    let (image, configuration) = (pcr(0, 1), pcr(16, 2));
    policy(&[&[image.as_str(), configuration.as_str()], changes].concat())
}

#[test]
fn the_accounts_root_administers_unless_another_is_named() {
    let root = "arn:aws:iam::123456789012:root".parse().unwrap();
    let user = "arn:aws:iam::123456789012:user/u".parse().unwrap();
    let named = "--admin=arn:aws:iam::123456789012:user/u";
    for (changes, administration) in [
        (vec![], Administration::By(root)),
        (vec![named], Administration::By(user)),
        (
            vec!["--lock"],
            Administration::Locked(ROLE.parse::<PrincipalArn>().unwrap().root()),
        ),
        (
            vec!["--lock", named],
            Administration::Locked("arn:aws:iam::123456789012:user/u".parse().unwrap()),
        ),
    ] {
        let policy = policy_of_one_image(&changes).unwrap();
        assert_eq!(policy.administration, administration, "{changes:?}");
        assert_eq!(policy.role.to_string(), ROLE);
        assert_eq!(policy.images.len(), 1);
    }
}

#[test]
fn pcr_0_begins_another_image() {
    let arguments = [pcr(0, 1), pcr(16, 2), pcr(8, 3), pcr(0, 4), pcr(16, 5)];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let value = |byte| Pcr::from([byte; 48]);
    let expected = vec![
        AttestedImage::new([(0, value(1)), (8, value(3)), (16, value(2))]).unwrap(),
        AttestedImage::new([(0, value(4)), (16, value(5))]).unwrap(),
    ];
    assert_eq!(policy(&arguments).unwrap().images, expected);
    // PCR0 need not come first, as long as there is one image.
    let policy = policy(&[&arguments[1], &arguments[2], &arguments[0]].map(|a| *a)).unwrap();
    assert_eq!(policy.images, expected[..1]);
}

#[test]
fn what_would_trust_too_much_is_refused_with_its_reason() {
    for (pcrs, reason) in [
        (vec![], "PCR0 is missing"),
        (vec![pcr(8, 1)], "PCR8 alone would trust a signer"),
        (vec![pcr(16, 1)], "PCR0 is missing"),
        (vec![pcr(0, 1)], "PCR16 is missing"),
        (vec![pcr(0, 1), pcr(8, 2)], "PCR0 alone would trust"),
        (vec![pcr(0, 0), pcr(16, 2)], "PCR0 is zero"),
        (vec![pcr(0, 1), pcr(16, 0)], "PCR16 is zero"),
        (
            vec![pcr(0, 1), pcr(16, 2), pcr(0, 3)],
            "image 2: PCR16 is missing",
        ),
        (
            vec![pcr(0, 1), pcr(0, 3), pcr(16, 2)],
            "image 1: PCR16 is missing",
        ),
    ] {
        let arguments: Vec<&str> = pcrs.iter().map(String::as_str).collect();
        let refused = policy(&arguments).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
        assert!(refused.contains("status: 1"), "{refused}");
    }
    let twice = [pcr(0, 1), pcr(16, 2), pcr(16, 3)];
    let twice: Vec<&str> = twice.iter().map(String::as_str).collect();
    let refused = policy(&twice).unwrap_err();
    assert!(
        refused.contains("--pcr 16 is given more than once"),
        "{refused}"
    );
    assert!(refused.contains("status: 2"), "{refused}");
}

#[test]
fn principals_of_another_account_or_partition_are_refused() {
    for (change, reason) in [
        (
            "--account=999999999999",
            "another account than --account 999999999999",
        ),
        (
            "--role=arn:aws:iam::999999999999:role/parent",
            "another account",
        ),
        (
            "--admin=arn:aws:iam::999999999999:role/a",
            "another account",
        ),
        (
            "--admin=arn:aws-cn:iam::123456789012:role/a",
            "another account",
        ),
        (
            "--region=cn-north-1",
            "of the partition aws, and --region cn-north-1 of aws-cn",
        ),
        ("--region=us-gov-west-1", "of aws-us-gov"),
        (
            "--admin=arn:aws:iam::123456789012:role/parent",
            "root on one of them",
        ),
    ] {
        let refused = policy_of_one_image(&[change]).unwrap_err();
        assert!(refused.contains(reason), "{change}: {refused}");
        assert!(refused.contains("status: 1"), "{refused}");
    }
    let china = "--role=arn:aws-cn:iam::123456789012:role/parent";
    policy_of_one_image(&["--region=cn-north-1", china]).unwrap();
}

#[test]
fn malformed_values_are_usage_errors() {
    for change in [
        "--account=12345678901",
        "--account=12345678901x",
        "--region=",
        "--region=europe",
        "--region=eu-west",
        "--region=eu-west-1; rm",
        "--region=EU-WEST-1",
        "--role=parent",
        "--role=arn:aws:iam::123456789012:role/*",
        "--role=arn:aws:iam::123456789012:user/u",
        "--role=arn:aws:iam::123456789012:root",
        "--role=arn:aws:sts::123456789012:assumed-role/parent/i-0",
        "--admin=*",
        "--pcr=0",
        "--pcr=0=00",
        "--pcr=x=00",
        "--pcr=32=00",
        "--lock=yes",
    ] {
        let refused = parse(&[change]).err().expect(change);
        assert!(refused.starts_with("error: "), "{change}: {refused}");
    }
    for region in [
        "ap-southeast-2",
        "us-gov-west-1",
        "mx-central-1",
        "us-isob-east-1",
    ] {
        parse(&[&format!("--region={region}")]).unwrap();
    }
}

/// Notes are read by people; these words are what they must not miss.
#[test]
fn notes_say_who_can_still_do_what() {
    let region: Region = "eu-west-1".parse().unwrap();
    let of = |changes: &[&str]| notes(&policy_of_one_image(changes).unwrap(), &region);
    // Paragraphs are wrapped anywhere.
    let words_of = |notes: &str| notes.split_whitespace().collect::<Vec<_>>().join(" ");
    let every = [
        "aws kms create-key --region eu-west-1 --origin AWS_KMS",
        "aws kms put-key-policy --region eu-west-1",
        "one image and configuration",
        ROLE,
    ];
    let bypass = "--bypass-policy-lockout-safety-check";
    let admin = "--admin=arn:aws:iam::123456789012:role/keys";
    for (changes, words, absent) in [
        (
            vec![],
            vec!["NOT LOCKED", "IAM policies", "reveals every credential"],
            bypass,
        ),
        (
            vec![admin],
            vec!["NOT LOCKED", "role/keys has to do this", "do not see it"],
            bypass,
        ),
        (
            vec!["--lock"],
            vec![
                "LOCKED FOR EVER",
                "seal their credentials again",
                "disable it and delete it",
                "Support",
                "\"key_policy\": \"locked\"",
                bypass,
            ],
            "NOT LOCKED",
        ),
    ] {
        let notes = of(&changes);
        for word in every.iter().chain(&words) {
            assert!(
                words_of(&notes).contains(word),
                "{changes:?} lacks {word}: {notes}"
            );
        }
        assert!(!notes.contains(absent), "{changes:?} has {absent}: {notes}");
        assert!(notes.lines().all(|line| line.len() <= 100), "{notes}");
    }
}

/// The lock is for ever: nobody is sent on a way that ends with an enclave that never starts.
#[test]
fn notes_on_a_lock_for_several_images_say_that_no_enclave_checks_it() {
    let region: Region = "eu-west-1".parse().unwrap();
    let (image, configuration) = (pcr(0, 3), pcr(16, 2));
    let changes = ["--lock", image.as_str(), configuration.as_str()];
    let notes = notes(&policy_of_one_image(&changes).unwrap(), &region);
    assert!(
        notes.contains("SEVERAL IMAGES: no enclave that checks"),
        "{notes}"
    );
    assert!(!notes.contains("key_policy"), "{notes}");
}
