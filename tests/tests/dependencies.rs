//! Which crate may reach which: the rules of ARCHITECTURE.md, over the transitive graph.
#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// A reviewer reads every one of them. Lower it when one goes; do not raise it.
const MAX_TCB_CRATES: usize = 110;

/// What a crate's program is made of: normal dependencies, transitively.
struct Graph {
    reaches: BTreeMap<String, BTreeSet<String>>,
    ours: BTreeSet<String>,
}

impl Graph {
    fn load() -> Self {
        let metadata = MetadataCommand::new()
            .other_options(["--locked".to_owned()])
            .exec()
            .unwrap();
        let name_of: BTreeMap<_, _> = metadata
            .packages
            .iter()
            .map(|p| (p.id.clone(), p.name.to_string()))
            .collect();
        let ours = metadata
            .workspace_packages()
            .iter()
            .map(|p| p.name.to_string())
            .collect();
        let resolve = metadata.resolve.unwrap();
        let direct: BTreeMap<String, BTreeSet<String>> = resolve
            .nodes
            .iter()
            .map(|node| {
                let normal = node.deps.iter().filter(|dep| {
                    dep.dep_kinds
                        .iter()
                        .any(|kind| kind.kind == DependencyKind::Normal)
                });
                (
                    name_of[&node.id].clone(),
                    normal.map(|dep| name_of[&dep.pkg].clone()).collect(),
                )
            })
            .collect();
        let reaches = direct
            .keys()
            .map(|name| (name.clone(), closure(&direct, name)))
            .collect();
        Self { reaches, ours }
    }

    /// The crates of this workspace that `name` reaches.
    fn ours_reached_by(&self, name: &str) -> BTreeSet<&str> {
        self.reaches[name]
            .intersection(&self.ours)
            .map(String::as_str)
            .collect()
    }
}

fn closure(direct: &BTreeMap<String, BTreeSet<String>>, name: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![name.to_owned()];
    while let Some(next) = waiting.pop() {
        for dependency in direct.get(&next).into_iter().flatten() {
            if reached.insert(dependency.clone()) {
                waiting.push(dependency.clone());
            }
        }
    }
    reached
}

#[test]
fn each_crate_reaches_only_what_its_role_allows() {
    let graph = Graph::load();
    let rules: [(&str, &[&str]); 9] = [
        ("dauth-protocol", &[]),
        ("dauth-attestation", &[]),
        ("dauth-token", &[]),
        ("dauth-image", &["dauth-protocol"]),
        ("dauth-sealing", &["dauth-protocol", "dauth-attestation"]),
        (
            "dauth-attested-tls",
            &["dauth-protocol", "dauth-attestation"],
        ),
        (
            "dauth-dispatch",
            &[
                "dauth-protocol",
                "dauth-attestation",
                "dauth-token",
                "dauth-attested-tls",
            ],
        ),
        ("dauth-parent", &["dauth-protocol"]),
        ("dauth-control-plane", &["dauth-protocol", "dauth-token"]),
    ];
    for (name, allowed) in rules {
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let reached = graph.ours_reached_by(name);
        assert!(
            reached.is_subset(&allowed),
            "{name} reaches {reached:?}, may reach {allowed:?}"
        );
    }
}

#[test]
fn nothing_that_serves_callers_can_open_an_envelope() {
    let graph = Graph::load();
    for name in [
        "dauth-control-plane",
        "dauth-mcp",
        "dauth-parent",
        "dauth-dispatch",
    ] {
        assert!(
            !graph.reaches[name].contains("dauth-sealing"),
            "{name} reaches dauth-sealing"
        );
    }
}

#[test]
fn no_production_crate_reaches_the_simulator() {
    let graph = Graph::load();
    let may = [
        "dauth",
        "dauth-simulator",
        "dauth-tests",
        "dauth-bench",
        "xtask",
    ];
    for name in graph
        .ours
        .iter()
        .filter(|name| !may.contains(&name.as_str()))
    {
        assert!(
            !graph.reaches[name].contains("dauth-simulator"),
            "{name} reaches the simulator"
        );
    }
}

#[test]
fn there_is_one_crypto_provider() {
    // `cargo metadata` lists optional packages that nothing enables; the tree does not.
    let tree = tree(&[
        "--workspace",
        "--edges",
        "normal,build,dev",
        "--target",
        "all",
    ]);
    for banned in [
        "ring",
        "openssl",
        "openssl-sys",
        "native-tls",
        "rsa",
        "aws-lc-fips-sys",
    ] {
        assert!(!tree.contains(banned), "{banned} is in the tree");
    }
}

#[test]
fn pure_crates_do_no_io() {
    let graph = Graph::load();
    for name in [
        "dauth-protocol",
        "dauth-attestation",
        "dauth-token",
        "dauth-sealing",
        "dauth-image",
    ] {
        for io in [
            "tokio", "mio", "socket2", "hyper", "reqwest", "sqlx", "tracing",
        ] {
            assert!(!graph.reaches[name].contains(io), "{name} reaches {io}");
        }
    }
}

#[test]
fn the_trusted_computing_base_is_the_list_that_was_reviewed() {
    let file = root().join("enclave/tcb.txt");
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    let reviewed: BTreeSet<String> = reviewed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    let built = tree(&[
        "--package",
        "dauth-enclave",
        "--edges",
        "normal,no-proc-macro",
        "--target",
        "x86_64-unknown-linux-musl",
    ]);
    let added: Vec<_> = built.difference(&reviewed).collect();
    let gone: Vec<_> = reviewed.difference(&built).collect();
    assert!(
        reviewed.len() <= MAX_TCB_CRATES,
        "{} crates in the trusted computing base, and at most {MAX_TCB_CRATES} are to be reviewed",
        reviewed.len()
    );
    assert!(
        added.is_empty() && gone.is_empty(),
        "enclave/tcb.txt is not what is built: review and add {added:?}, remove {gone:?}"
    );
}

/// The names of the packages that `cargo tree` lists.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
