//! The manifests that the chart gives.
use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::{
    all, at, files, help, options_of,
    template::{Names, render},
    text, tool,
};

const CHART: &str = "deploy/helm/dauth";
const DEPLOYMENT: &str = include_str!("../../../deploy/etc/deployment.json");

fn values() -> Value {
    let mut values: Value =
        serde_yaml_ng::from_str(&text(&format!("{CHART}/values.yaml"))).unwrap();
    values["deployment"] = DEPLOYMENT.into();
    values["podMonitors"] = true.into();
    values["controlPlane"]["clients"] = format!(
        "[[clients]]\nid = \"alice\"\norg = \"acme\"\nsecret_sha256 = \"{}\"\n",
        "0".repeat(64)
    )
    .into();
    values
}

/// Every object, with these values.
fn objects(values: &Value) -> Vec<Value> {
    let names = Names {
        values,
        release: "test",
    };
    let mut objects = Vec::new();
    for file in files(&format!("{CHART}/templates"), "yaml") {
        let rendered = render(&fs::read_to_string(&file).unwrap(), &names);
        for document in serde_yaml_ng::Deserializer::from_str(&rendered) {
            let object = <Value as serde::Deserialize>::deserialize(document)
                .unwrap_or_else(|error| panic!("{}: {error}\n{rendered}", file.display()));
            if !object.is_null() {
                objects.push(object);
            }
        }
    }
    objects
}

fn of_kind<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |o: &&Value| o["kind"] == kind && o["metadata"]["name"] == name;
    objects
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The pods of the chart: what makes them, and their one container.
fn pods(objects: &[Value]) -> Vec<(&Value, &Value)> {
    objects
        .iter()
        .filter_map(|object| object.pointer("/spec/template/spec"))
        .map(|pod| (pod, &pod["containers"][0]))
        .collect()
}

#[test]
fn every_object_has_what_kubernetes_wants_and_a_name_of_its_own() {
    let objects = objects(&values());
    let mut names = BTreeSet::new();
    for object in &objects {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            assert!(
                object.pointer(field).is_some_and(Value::is_string),
                "{object:#}"
            );
        }
        assert!(names.insert((
            object["kind"].to_string(),
            object["metadata"]["name"].to_string()
        )));
        if let Some(selector) = object.pointer("/spec/selector/matchLabels")
            && let Some(template) = object.pointer("/spec/template/metadata/labels")
        {
            assert_eq!(selector, template, "it would select none of its own pods");
        }
    }
    assert_eq!(objects.len(), 9, "{names:?}");
    let mut without = values();
    without["controlPlane"]["enabled"] = false.into();
    without["podMonitors"] = false.into();
    assert_eq!(objects_of(&without), 4);
}

fn objects_of(values: &Value) -> usize {
    objects(values).len()
}

#[test]
fn the_configurations_in_it_are_ones() {
    let objects = objects(&values());
    let parent = &of_kind(&objects, "ConfigMap", "test-parent")["data"];
    let configuration: dauth_parent::Configuration =
        toml::from_str(parent["parent.toml"].as_str().unwrap()).unwrap();
    configuration.check().unwrap();
    // Byte for byte: PCR16 is over it.
    assert_eq!(parent["deployment.json"], DEPLOYMENT);

    let plane = &of_kind(&objects, "ConfigMap", "test-control-plane")["data"];
    let plane: dauth_control_plane::Configuration =
        toml::from_str(plane["control-plane.toml"].as_str().unwrap()).unwrap();
    assert_eq!(plane.clients.len(), 1);
    assert_eq!(configuration.records.control_plane, plane.issuer);
}

#[test]
fn pods_have_what_they_mount_and_what_they_start_has_these_options() {
    let objects = objects(&values());
    assert_eq!(pods(&objects).len(), 2);
    for (pod, container) in pods(&objects) {
        let volumes: BTreeSet<_> = pod["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect();
        let claims = objects
            .iter()
            .filter_map(|object| object.pointer("/spec/volumeClaimTemplates")?.as_array())
            .flatten()
            .map(|claim| name(&claim["metadata"]));
        let known: BTreeSet<_> = volumes.into_iter().chain(claims).collect();
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(known.contains(&name(mount)), "{mount}");
        }
        let command = container["command"].as_array().unwrap();
        let program = command[0].as_str().unwrap().rsplit('/').next().unwrap();
        let options = options_of(&help(program, &[]).unwrap());
        let used = command.iter().map(|word| word.as_str().unwrap());
        for option in used.filter(|word| word.starts_with('-')) {
            assert!(options.contains(option), "{program} has no {option}");
        }
        let ports: BTreeSet<_> = container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect();
        for probe in ["readinessProbe", "livenessProbe"] {
            let port = container[probe]["httpGet"]["port"].as_str().unwrap();
            assert!(ports.contains(port), "{probe}");
        }
    }
}

fn name(value: &Value) -> String {
    value["name"].as_str().unwrap().to_owned()
}

#[test]
fn pods_are_not_root_and_the_parents_has_an_enclave() {
    let objects = objects(&values());
    for (pod, container) in pods(&objects) {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_ne!(pod["securityContext"]["runAsUser"], 0);
        assert_eq!(pod["automountServiceAccountToken"], false);
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    }
    let parent = of_kind(&objects, "Deployment", "test-parent");
    let container = &parent["spec"]["template"]["spec"]["containers"][0];
    let limits = &container["resources"]["limits"];
    assert_eq!(limits["aws.ec2.nitro/nitro_enclaves"], "1");
    // The kernel's huge pages and the enclave's memory are one thing under two names.
    let memory = values()["parent"]["enclave"]["memoryMib"].to_string();
    assert_eq!(limits["hugepages-2Mi"], format!("{memory}Mi"));
    // Two pods would want the same huge pages and the same keyset.
    assert_eq!(parent["spec"]["strategy"]["type"], "Recreate");
    let keyset = of_kind(&objects, "PersistentVolumeClaim", "test-keyset");
    assert_eq!(
        keyset["metadata"]["annotations"]["helm.sh/resource-policy"],
        "keep"
    );
}

#[test]
fn a_service_finds_its_pods_by_the_names_of_their_ports() {
    let objects = objects(&values());
    for service in objects.iter().filter(|object| object["kind"] == "Service") {
        let selector = &service["spec"]["selector"];
        let is_selected =
            |object: &&Value| object.pointer("/spec/template/metadata/labels") == Some(selector);
        let pod = objects.iter().find(is_selected).unwrap();
        let container = &pod["spec"]["template"]["spec"]["containers"][0];
        let ports: Vec<_> = container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect();
        for port in service["spec"]["ports"].as_array().unwrap() {
            let target = port["targetPort"].as_str().unwrap().to_owned();
            assert!(ports.contains(&target), "{target} of {ports:?}");
        }
    }
}

#[test]
fn kubectl_reads_every_object() {
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (number, object) in objects(&values()).iter().enumerate() {
        let name = format!("{number}.yaml");
        fs::write(folder.path().join(&name), object.to_string()).unwrap();
        names.push(name);
    }
    let kustomization = json!({ "resources": names });
    fs::write(
        folder.path().join("kustomization.yaml"),
        kustomization.to_string(),
    )
    .unwrap();
    if let Some(output) = tool("kubectl", &["kustomize", folder.path().to_str().unwrap()]) {
        assert!(output.status.success(), "{}", all(&output));
        assert_eq!(
            all(&output).matches("\nkind: ").count() + 1,
            names.len() + 1
        );
    }
}

#[test]
fn helm_finds_nothing_wrong_with_it() {
    let chart = at(CHART);
    let chart = chart.to_str().unwrap();
    if let Some(output) = tool("helm", &["lint", "--strict", chart]) {
        assert!(output.status.success(), "{}", all(&output));
        let output = tool("helm", &["template", "test", chart]).unwrap();
        assert!(output.status.success(), "{}", all(&output));
    }
}
