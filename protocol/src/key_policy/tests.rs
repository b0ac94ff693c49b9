use super::*;
use crate::measurement::Pcr;

const ROLE: &str = "arn:aws:iam::123456789012:role/dauth/parent";
const ROOT: &str = "arn:aws:iam::123456789012:root";

fn pcr(byte: u8) -> Pcr {
    Pcr::from([byte; 48])
}

fn policy(administration: Administration) -> KeyPolicy {
    KeyPolicy {
        role: ROLE.parse().unwrap(),
        images: vec![
            AttestedImage::new([(0, pcr(0x10)), (16, pcr(0x11))]).unwrap(),
            AttestedImage::new([(0, pcr(0x20)), (16, pcr(0x21)), (8, pcr(0x22))]).unwrap(),
        ],
        administration,
    }
}

/// Operators compare policies of different days; a key's policy cannot be changed once locked.
#[test]
fn a_policy_is_the_same_bytes_each_time() {
    let open = policy(Administration::By(ROOT.parse().unwrap()));
    let locked = policy(Administration::Locked(ROOT.parse().unwrap()));
    assert_eq!(open.to_json() + "\n", include_str!("golden/open.json"));
    assert_eq!(locked.to_json() + "\n", include_str!("golden/locked.json"));
}

#[test]
fn no_action_is_both_allowed_and_denied_to_all() {
    for action in NEVER_ACTIONS.iter().chain([&CHANGE_OF_POLICY]) {
        assert!(!ATTESTED_ACTIONS.contains(action));
        assert!(!INSPECTION_ACTIONS.contains(action));
        assert!(!LIFECYCLE_ACTIONS.contains(action));
    }
    for action in NEVER_ACTIONS {
        assert!(!ADMINISTRATION_ACTIONS.contains(&action));
    }
}

#[test]
fn an_image_is_named_by_image_and_configuration() {
    let full = [(0, pcr(1)), (16, pcr(2)), (8, pcr(3))];
    assert_eq!(AttestedImage::new(full).unwrap().registers().len(), 3);
    for (registers, refused) in [
        (vec![], InvalidImage::NoImage),
        (vec![(8, pcr(1)), (16, pcr(2))], InvalidImage::NoImage),
        (
            vec![(0, pcr(1)), (8, pcr(2))],
            InvalidImage::NoConfiguration,
        ),
        (vec![(0, Pcr::ZERO), (16, pcr(2))], InvalidImage::Zero(0)),
        (vec![(0, pcr(1)), (16, Pcr::ZERO)], InvalidImage::Zero(16)),
        (
            vec![(0, pcr(1)), (16, pcr(2)), (3, Pcr::ZERO)],
            InvalidImage::Zero(3),
        ),
        (
            vec![(0, pcr(1)), (16, pcr(2)), (32, pcr(3))],
            InvalidImage::Register(32),
        ),
    ] {
        let registers: BTreeMap<_, _> = registers.into_iter().collect();
        assert_eq!(AttestedImage::new(registers), Err(refused));
    }
}

#[test]
fn principals_are_named_in_full() {
    for text in [
        ROLE,
        ROOT,
        "arn:aws:iam::123456789012:user/a.b+c=d,e@f_g-h",
        "arn:aws-us-gov:iam::123456789012:role/r",
        "arn:aws-cn:iam::123456789012:root",
    ] {
        let principal: PrincipalArn = text.parse().unwrap();
        assert_eq!(principal.to_string(), text);
        assert_eq!(principal.account().to_string(), "123456789012");
        assert!(principal.root().is_root());
    }
    use InvalidPrincipal::{Account, Malformed, NoRole, Session};
    for (text, refused) in [
        ("", Malformed),
        ("*", Malformed),
        ("123456789012", Malformed),
        ("arn:aws:iam::123456789012:role/*", Malformed),
        ("arn:aws:iam::123456789012:role/a?", Malformed),
        ("arn:aws:iam::123456789012:role/", Malformed),
        ("arn:aws:iam::123456789012:role//a", Malformed),
        ("arn:aws:iam::123456789012:role/a:b", Malformed),
        ("arn:aws:iam::123456789012:role", Malformed),
        ("arn:aws:iam::123456789012:root/a", Malformed),
        ("arn:aws:iam::123456789012:group/a", Malformed),
        ("arn:aws:iam:eu-west-1:123456789012:role/a", Malformed),
        ("arn:aws:ec2::123456789012:role/a", Malformed),
        ("arn:other:iam::123456789012:role/a", Malformed),
        ("arn:aws:iam::*:role/a", Account(InvalidAccount)),
        ("arn:aws:iam::12345678901:role/a", Account(InvalidAccount)),
        ("arn:aws:iam::1234567890123:role/a", Account(InvalidAccount)),
        ("arn:aws:sts::123456789012:assumed-role/a/b", Session),
    ] {
        assert_eq!(text.parse::<PrincipalArn>(), Err(refused), "{text}");
        assert_eq!(text.parse::<RoleArn>(), Err(refused), "{text}");
    }
    let long = format!("arn:aws:iam::123456789012:role/{}", "a".repeat(640));
    assert_eq!(long.parse::<PrincipalArn>(), Err(Malformed));
    for text in [ROOT, "arn:aws:iam::123456789012:user/a"] {
        assert_eq!(text.parse::<RoleArn>(), Err(NoRole));
    }
}
