//! Dashboard and alert rules: every metric that they name is one that the programs give.
use std::collections::{BTreeMap, BTreeSet};

use dauth_tests::{Stack, get, wait_until};
use serde_json::Value;

use super::{at, text};

/// Metrics that are there only once there is something to tell; the source has them.
const LATER: [(&str, &str); 1] = [("dauth_parent_role_age_seconds", "parent/src/metrics.rs")];

/// Expressions by where they stand.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let rules: Value = serde_yaml_ng::from_str(&text("deploy/prometheus/alerts.yaml")).unwrap();
    for group in rules["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap().to_owned();
            for field in ["summary", "remedy"] {
                assert!(
                    rule["annotations"][field].is_string(),
                    "{name} has no {field}"
                );
            }
            assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()));
            found.push((name, rule["expr"].as_str().unwrap().to_owned()));
        }
    }
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/dauth.json")).unwrap();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "two panels of one id"
        );
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap().to_owned();
            found.push((title, target["expr"].as_str().unwrap().to_owned()));
        }
    }
    assert!(found.len() > 50, "{}", found.len());
    found
}

/// The metrics in an expression, each with the labels that it is selected by.
fn selectors(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(from) = rest.find("dauth_") {
        let name: String = rest[from..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[from + name.len()..];
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let labels = inside.map_or_else(BTreeSet::new, |(inside, _)| {
            let matchers = inside
                .split(',')
                .filter_map(|matcher| matcher.split_once('='));
            matchers
                .map(|(label, _)| label.trim().trim_end_matches('!').to_owned())
                .collect()
        });
        found.push((name, labels));
    }
    found
}

/// Every metric with its labels in a text of Prometheus' format.
fn given(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, labels) in samples.flat_map(selectors) {
        metrics.entry(name).or_default().extend(labels);
    }
    metrics
}

/// What parent, enclave and control plane give after a call, a refusal and a client that is unknown.
fn given_by_a_stack() -> BTreeMap<String, BTreeSet<String>> {
    let stack = Stack::start();
    let file = stack.file();
    let handle = stack.connect(
        "metrics",
        &file.upstream.url,
        "sk_metrics_0123456789abcdef",
        &["--bearer", "--allow", "GET /v1/echo"],
    );
    assert_eq!(stack.dauth(&["call", &handle, "GET", "/v1/echo"]).code, 0);
    assert_ne!(stack.dauth(&["call", &handle, "GET", "/v1/other"]).code, 0);
    let profile = stack.dir().join("wrong.toml");
    let text = std::fs::read_to_string(&file.profile).unwrap();
    let text = text.replace(&file.clients.sdk.client_secret, "wrong");
    std::fs::write(&profile, text).unwrap();
    let unknown = [
        "--profile",
        profile.to_str().unwrap(),
        "connections",
        "list",
    ];
    assert_ne!(stack.dauth(&unknown).code, 0);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fetch = |url: String| runtime.block_on(get(url.parse().unwrap()));
    // The enclave tells its figures every few seconds.
    let mut parent = String::new();
    wait_until("the parent has the figures of an enclave", || {
        parent = fetch(file.parent.metrics.clone());
        parent.contains("dauth_enclave_refused_total{")
    });
    let plane = fetch(format!("{}/metrics", file.control_plane.url));
    given(&(parent + &plane))
}

#[test]
fn each_metric_that_is_named_is_given_with_these_labels() {
    let given = given_by_a_stack();
    for (place, expression) in expressions() {
        let named = selectors(&expression);
        assert!(
            !named.is_empty() || expression.contains("up{"),
            "{place}: {expression}"
        );
        for (name, labels) in named {
            if let Some((_, source)) = LATER.iter().find(|(later, _)| *later == name) {
                let source = std::fs::read_to_string(at(source)).unwrap();
                assert!(source.contains(&name), "{place}: {name}");
                continue;
            }
            let Some(known) = given.get(&name) else {
                panic!(
                    "{place}: no program gives {name}; they give {:?}",
                    given.keys()
                );
            };
            // Prometheus adds these when it scrapes.
            let own = labels
                .iter()
                .filter(|label| !["instance", "job"].contains(&label.as_str()));
            for label in own {
                assert!(
                    known.contains(label),
                    "{place}: {name} has no label {label}"
                );
            }
        }
    }
}

#[test]
fn expressions_are_whole() {
    for (place, expression) in expressions() {
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            let count = |c: char| expression.matches(c).count();
            assert_eq!(count(open), count(close), "{place}: {expression}");
        }
        // A counter is of use by its increase alone; a gauge has none.
        for (name, _) in selectors(&expression) {
            let before = &expression[..expression.find(&name).unwrap()];
            let is_increase = before.ends_with("rate(") || before.ends_with("increase(");
            assert_eq!(
                is_increase,
                name.ends_with("_total"),
                "{place}: {expression}"
            );
        }
    }
}

#[test]
fn the_checks_find_what_is_wrong() {
    let named = selectors("rate(dauth_a_total{code=\"x\",instance=~\"y\"}[5m]) > dauth_b");
    let labels = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        named,
        [
            ("dauth_a_total".to_owned(), labels(&["code", "instance"])),
            ("dauth_b".to_owned(), labels(&[])),
        ]
    );
    let given = given("# HELP dauth_c x\ndauth_a_total{code=\"x\"} 1\ndauth_b 2\n");
    assert_eq!(
        given.keys().collect::<Vec<_>>(),
        ["dauth_a_total", "dauth_b"]
    );
}
