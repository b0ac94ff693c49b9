//! The configurations to begin with, as the programs read them.
use dauth_protocol::DeploymentConfiguration;

use super::{help, text};

#[test]
fn the_parents_is_one() {
    let configuration: dauth_parent::Configuration =
        toml::from_str(&text("deploy/etc/parent.toml")).unwrap();
    configuration.check().unwrap();
    assert_eq!(configuration.enclaves.len(), 1);
    assert!(configuration.host.imds.is_some() && configuration.monitor.is_some());
}

#[test]
fn the_control_planes_is_one() {
    let configuration: dauth_control_plane::Configuration =
        toml::from_str(&text("deploy/etc/control-plane.toml")).unwrap();
    configuration.store_path().unwrap();
    assert!(configuration.ingress.is_some());
}

/// What the one says of the other: clients would be sent elsewhere, or refused.
#[test]
fn they_speak_of_one_deployment() {
    let deployment = text("deploy/etc/deployment.json");
    let deployment = DeploymentConfiguration::from_json(deployment.as_bytes()).unwrap();
    let plane: dauth_control_plane::Configuration =
        toml::from_str(&text("deploy/etc/control-plane.toml")).unwrap();
    let parent: dauth_parent::Configuration =
        toml::from_str(&text("deploy/etc/parent.toml")).unwrap();
    assert_eq!(deployment.issuer, plane.issuer);
    assert_eq!(deployment.audience, plane.enclave);
    assert_eq!(parent.records.control_plane, plane.issuer);
    let port = format!(":{}", parent.ingress.listen.port());
    assert!(plane.ingress.unwrap().ends_with(&port));
    let keys = format!(":{}/.well-known/jwks.json", plane.listen_tls.port());
    assert!(deployment.issuer_keys.url.ends_with(&keys));
}

/// The example of `--help` is a configuration as well.
#[test]
fn the_examples_of_the_help_texts_are_ones() {
    let example = |program: &str, first: &str| -> String {
        let help = help(program, &[]).unwrap();
        let from = help.find(first).unwrap();
        let lines = help[from..].lines();
        let is_example =
            |line: &&str| line.is_empty() || line.starts_with(' ') || line.starts_with(first);
        let lines: Vec<_> = lines.take_while(is_example).map(str::trim).collect();
        lines.join("\n").replace("<64 hex digits>", &"0".repeat(64))
    };
    let parent = example("dauth-parent", "[ingress]");
    let parent: dauth_parent::Configuration = toml::from_str(&parent).unwrap();
    parent.check().unwrap();
    let plane = example("dauth-control-plane", "issuer = ");
    toml::from_str::<dauth_control_plane::Configuration>(&plane).unwrap();
}
