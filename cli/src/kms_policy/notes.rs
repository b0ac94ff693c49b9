//! What a key policy means, and what to do with it: in words, beside the JSON.
use dauth_protocol::key_policy::{Administration, KeyPolicy, PrincipalArn};

use super::region::Region;

const WIDTH: usize = 90;

const CHECK_THE_LOCK: &str = "   Write \"key_policy\": \"locked\" beside it: the enclave then checks the lock at boot, and\n   \
     says in its evidence that it holds.\n";

/// The notes.
pub(super) fn notes(policy: &KeyPolicy, region: &Region) -> String {
    let mut paragraphs = vec![uses(policy)];
    match &policy.administration {
        Administration::By(administrator) => paragraphs.push(unlocked(administrator)),
        Administration::Locked(holder) => paragraphs.extend(locked(policy, holder)),
    }
    let paragraphs: String = paragraphs
        .iter()
        .map(|paragraph| format!("\n{}\n", wrap(paragraph)))
        .collect();
    format!("{paragraphs}\n{}", steps(policy, region))
}

fn uses(policy: &KeyPolicy) -> String {
    let images = match policy.images.len() {
        1 => "one image and configuration".to_owned(),
        several => format!("{several} images, each with its configuration"),
    };
    format!(
        "{} may use the key from {images}, proved by attestation, and in no other way. Give this \
         role no IAM permission for KMS: the policy has all that it needs.",
        policy.role
    )
}

fn unlocked(administrator: &PrincipalArn) -> String {
    let who = if administrator.is_root() {
        format!(
            "{administrator} stands for the account: whoever its IAM policies let call \
             kms:PutKeyPolicy may replace this policy, and so may whoever can write IAM policies. \
             (--admin names one principal instead.)"
        )
    } else {
        format!(
            "{administrator} may replace this policy, and so may whoever can act as that principal \
             or change it in IAM."
        )
    };
    format!(
        "NOT LOCKED. {who} The conditions on PCRs do not bind them: each can admit an image that \
         reveals every credential. CloudTrail records it; the owners of the credentials do not see \
         it. --lock leaves nobody who can."
    )
}

fn locked(policy: &KeyPolicy, holder: &PrincipalArn) -> [String; 3] {
    let checked = if is_checked(policy) {
        "An enclave that checks the lock starts only if the one image named is its own, and has its \
         keyset made under the lock."
    } else {
        "SEVERAL IMAGES: no enclave that checks the lock will ever start under this policy, for it \
         starts only where its own image is the only one. Clients cannot be shown that the key is \
         locked. Name one image, unless you want just that."
    };
    [
        format!(
            "LOCKED FOR EVER. Once it is in force, nobody can change this policy, the account's root \
             user included. The key serves these images with these configurations alone. Any other \
             image, and any change of the configuration, needs a new key, and owners who seal their \
             credentials again. {checked}"
        ),
        format!(
            "{holder} may still look at the key, disable it and delete it. Without the key, no \
             stored credential opens again. The same happens when the role {} is deleted: to KMS, a \
             new role of that name is another principal.",
            policy.role
        ),
        "What is left is AWS: its Support can give an account control of a key that nobody manages."
            .to_owned(),
    ]
}

/// Whether an enclave that is told to expect a locked key would start: one image is its own.
fn is_checked(policy: &KeyPolicy) -> bool {
    policy.images.len() == 1
}

/// The configuration names the key, PCR16 measures the configuration, and the policy names PCR16: so
/// the key comes first.
fn steps(policy: &KeyPolicy, region: &Region) -> String {
    let create = format!("aws kms create-key --region {region} --origin AWS_KMS");
    let put = format!(
        "aws kms put-key-policy --region {region} --key-id ARN \\\n     \
           --policy-name default --policy file://policy.json"
    );
    let (rule, put, last) = match &policy.administration {
        Administration::By(administrator) if administrator.is_root() => ("", put, String::new()),
        Administration::By(administrator) => {
            ("", put, format!("   {administrator} has to do this.\n"))
        }
        Administration::Locked(_) => (
            if is_checked(policy) {
                CHECK_THE_LOCK
            } else {
                ""
            },
            format!("{put} \\\n     --bypass-policy-lockout-safety-check"),
            "   The last option says that you know that you lock yourself out.\n".to_owned(),
        ),
    };
    format!(
        "The key is made before its policy, which names the key's ARN by way of PCR16:\n\
         1. {create}\n\
         2. Write the key's ARN into the deployment configuration.\n{rule}   \
            Measure it: dauth eif config FILE\n\
         3. Run this command with that PCR16, keep its output as policy.json, and\n   \
            {put}\n{last}"
    )
}

/// The words in lines of at most [`WIDTH`], unless one is longer.
fn wrap(paragraph: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text
}
