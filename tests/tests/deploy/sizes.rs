//! CPUs, memory and times: what is set aside is what the documented upgrade needs, wherever it is said.
use dauth_protocol::limit::MAX_VSOCK_WRITE_BYTES;
use serde_json::Value;

use super::text;

/// An upgrade runs the new image beside the old one.
const SIDE_BY_SIDE: u64 = 2;
/// With hyper-threading, the core that the host keeps.
const HOST_CPUS: u64 = 2;

fn parent() -> dauth_parent::Configuration {
    toml::from_str(&text("deploy/etc/parent.toml")).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&text(path)).unwrap()
}

/// The default of a variable of Terraform, without quotation marks.
fn default_of(variable: &str) -> String {
    let source = text("deploy/terraform/variables.tf");
    let (_, block) = source
        .split_once(&format!("variable \"{variable}\" {{"))
        .unwrap();
    let (block, _) = block.split_once("\n}").unwrap();
    let is_default = |line: &&str| line.trim_start().starts_with("default ");
    let line = block.lines().find(is_default).unwrap();
    let (_, value) = line.split_once('=').unwrap();
    value.trim().trim_matches('"').to_owned()
}

/// vCPUs of the sixth generation's general types.
fn vcpus(instance_type: &str) -> u64 {
    match instance_type.split_once('.').unwrap().1 {
        "large" => 2,
        "xlarge" => 4,
        "2xlarge" => 8,
        "4xlarge" => 16,
        other => panic!("{other}: how many vCPUs has it?"),
    }
}

/// A quantity of Kubernetes, in bytes.
fn bytes(quantity: &str) -> usize {
    let (number, unit) = quantity.split_at(quantity.len() - 2);
    let shift = match unit {
        "Mi" => 20,
        "Gi" => 30,
        other => panic!("{other}"),
    };
    number.parse::<usize>().unwrap() << shift
}

#[test]
fn the_instance_has_cpus_and_memory_for_two_enclaves_side_by_side() {
    let parent = parent();
    let enclave = &parent.enclaves[0];
    let cpus = SIDE_BY_SIDE * u64::from(enclave.cpus);
    let memory = SIDE_BY_SIDE * enclave.memory_mib;
    let allocator = yaml("deploy/allocator.yaml");
    assert_eq!(allocator["cpu_count"], cpus);
    assert_eq!(allocator["memory_mib"], memory);
    assert_eq!(default_of("enclave_cpus"), cpus.to_string());
    assert_eq!(default_of("enclave_memory_mib"), memory.to_string());
    let instance = default_of("instance_type");
    assert!(vcpus(&instance) >= cpus + HOST_CPUS, "{instance}");

    let values = yaml("deploy/helm/dauth/values.yaml");
    assert_eq!(values["parent"]["enclave"]["cpus"], enclave.cpus);
    assert_eq!(values["parent"]["enclave"]["memoryMib"], enclave.memory_mib);

    let document = text("docs/operate.md");
    for said in [
        format!(
            "--cpu-count {} --memory {}",
            enclave.cpus, enclave.memory_mib
        ),
        format!("{cpus} CPUs and {memory} MiB set aside"),
        format!("enclaves enabled (`{instance}`"),
        format!("a month for `{instance}`"),
    ] {
        assert!(document.contains(&said), "{said}");
    }
}

#[test]
fn the_parents_pod_holds_the_buffers_of_all_its_connections() {
    let values = yaml("deploy/helm/dauth/values.yaml");
    let memory = values["parent"]["resources"]["memory"].as_str().unwrap();
    let parent = parent();
    let relays = parent.ingress.max_connections + parent.host.max_connections;
    let buffers = relays * 2 * MAX_VSOCK_WRITE_BYTES;
    // As much again for sockets, tasks and the program.
    assert!(bytes(memory) >= 2 * buffers, "{memory} for {buffers}");
}

#[test]
fn an_upgrade_takes_as_long_as_the_document_says_and_a_pods_end_less_than_its_grace() {
    let drain = parent().supervisor.unwrap().drain_timeout_s;
    let document = text("docs/operate.md");
    assert!(document.contains(&format!("`[supervisor] drain_timeout_s = {drain}`")));
    assert!(u128::from(drain) * 1000 >= u128::from(dauth_protocol::limit::MAX_TIMEOUT_MS));

    let number_after = |text: &str, name: &str| -> u64 {
        let (_, rest) = text.split_once(name).unwrap();
        let line = rest.lines().next().unwrap();
        line.trim_matches([' ', '=', ':']).parse().unwrap()
    };
    let templates = "deploy/helm/dauth/templates";
    let drain = number_after(
        &text(&format!("{templates}/parent-config.yaml")),
        "drain_timeout_s",
    );
    let grace = number_after(
        &text(&format!("{templates}/parent.yaml")),
        "terminationGracePeriodSeconds",
    );
    assert!(drain < grace, "{drain} {grace}");
}
