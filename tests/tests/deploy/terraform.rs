//! Terraform's files, as far as they can be looked at without AWS's provider.
use std::{collections::BTreeSet, env, fs};

use super::{all, at, files, text, tool};

const FOLDER: &str = "deploy/terraform";

fn source() -> String {
    let files = files(FOLDER, "tf").into_iter();
    files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

/// Words that begin with `prefix`, without it.
fn named(source: &str, prefix: &str) -> BTreeSet<String> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    source
        .match_indices(prefix)
        .filter(|(from, _)| !source[..*from].ends_with(|c| is_name(&c) || c == '.'))
        .map(|(from, _)| {
            source[from + prefix.len()..]
                .chars()
                .take_while(is_name)
                .collect()
        })
        .collect()
}

/// Blocks of a kind, as in `variable "x"`.
fn declared(source: &str, kind: &str) -> BTreeSet<String> {
    let begin = format!("{kind} \"");
    source
        .lines()
        .filter_map(|line| line.strip_prefix(&begin))
        .map(|rest| {
            rest.replace("\" \"", ".")
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn variables_and_resources_that_are_used_are_declared_and_the_other_way_round() {
    let source = source();
    assert_eq!(named(&source, "var."), declared(&source, "variable"));
    let resources = declared(&source, "resource");
    assert!(resources.contains("aws_kms_key.keyset"), "{resources:?}");
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    let references = source
        .split(|c| !is_name(c))
        .filter(|word| word.starts_with("aws_"))
        .filter_map(|word| {
            let mut parts = word.splitn(3, '.');
            Some(format!("{}.{}", parts.next()?, parts.next()?))
        });
    for reference in references {
        assert!(
            resources.contains(&reference),
            "{reference} is not declared"
        );
    }
    for data in named(&source, "data.aws_caller_identity.") {
        assert!(declared(&source, "data").contains(&format!("aws_caller_identity.{data}")));
    }
}

#[test]
fn the_key_outlives_a_mistake_and_the_instance_is_one_for_enclaves() {
    let source = text("deploy/terraform/main.tf");
    let block = |begin: &str| {
        let from = source.find(begin).unwrap();
        let length = source[from..].find("\n}\n").unwrap();
        source[from..from + length].to_owned()
    };
    let key = block("resource \"aws_kms_key\"");
    assert!(key.contains("prevent_destroy = true"));
    // Without it KMS refuses a policy of `dauth kms-policy --lock`.
    assert!(key.contains("bypass_policy_lockout_safety_check = var.key_policy_locks"));
    let instance = block("resource \"aws_instance\"");
    for line in [
        "http_tokens                 = \"required\"",
        "encrypted   = true",
    ] {
        assert!(instance.contains(line), "{line}");
    }
    assert!(instance.contains("enclave_options {\n    enabled = true"));
    // The key's policy has every permission: one of the role's own would go round its conditions.
    assert!(!source.contains("kms:"));
}

#[test]
fn user_data_gets_the_values_that_it_names() {
    let script = text("deploy/terraform/user-data.sh");
    let main = text("deploy/terraform/main.tf");
    for (from, _) in script.match_indices("${") {
        let name = script[from + 2..].split('}').next().unwrap();
        assert!(main.contains(&format!("{name} ")), "{name}");
    }
    if let Some(output) = tool(
        "bash",
        &["-n", at(FOLDER).join("user-data.sh").to_str().unwrap()],
    ) {
        assert!(output.status.success(), "{}", all(&output));
    }
}

#[test]
fn terraform_finds_nothing_wrong_with_them() {
    let folder = at(FOLDER);
    let change = format!("-chdir={}", folder.display());
    // It parses as it formats.
    let Some(output) = tool(
        "terraform",
        &[&change, "fmt", "-check", "-diff", "-recursive"],
    ) else {
        return;
    };
    assert!(output.status.success(), "{}", all(&output));
    // The provider is some hundred megabytes from a registry: who has it names its folder.
    let Some(plugins) = env::var_os("DAUTH_TERRAFORM_PLUGINS") else {
        println!(
            "SKIPPED: terraform validate needs DAUTH_TERRAFORM_PLUGINS, a folder with hashicorp/aws"
        );
        return;
    };
    let copy = tempfile::tempdir().unwrap();
    let from = format!("{}/.", folder.display());
    tool("cp", &["-r", &from, copy.path().to_str().unwrap()]).unwrap();
    let change = format!("-chdir={}", copy.path().display());
    let plugins = format!("-plugin-dir={}", plugins.to_str().unwrap());
    let output = tool("terraform", &[&change, "init", "-backend=false", &plugins]).unwrap();
    assert!(output.status.success(), "{}", all(&output));
    let output = tool("terraform", &[&change, "validate"]).unwrap();
    assert!(output.status.success(), "{}", all(&output));
}
