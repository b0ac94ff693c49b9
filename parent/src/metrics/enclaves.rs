//! What is known of each enclave: what the parent sees, and what the enclave says of itself.
//!
//! An enclave that is replaced by another image is there twice for a while, so the context identifier
//! is a label beside the name.
use std::{fmt::Write, sync::Arc};

use dauth_protocol::host::EnclaveMetrics;

use crate::fleet::Member;

/// A figure of each enclave.
struct Figure<S> {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&S) -> u64,
}

const SEEN: [Figure<Member>; 2] = [
    Figure {
        name: "dauth_parent_enclave_ready",
        kind: "gauge",
        help: "Whether new connections go to the enclave.",
        value: |member| u64::from(member.takes_connections()),
    },
    Figure {
        name: "dauth_parent_enclave_connections",
        kind: "gauge",
        help: "Connections that are relayed to the enclave now.",
        value: |member| member.connections() as u64,
    },
];

const SAID: [Figure<EnclaveMetrics>; 10] = [
    Figure {
        name: "dauth_enclave_uptime_seconds",
        kind: "gauge",
        help: "Time since the enclave began to serve.",
        value: |said| said.uptime_s,
    },
    Figure {
        name: "dauth_enclave_calls_answered_total",
        kind: "counter",
        help: "Calls that were answered by their upstream.",
        value: |said| said.calls_answered,
    },
    Figure {
        name: "dauth_enclave_admitted_total",
        kind: "counter",
        help: "Credentials that were admitted.",
        value: |said| said.admitted,
    },
    Figure {
        name: "dauth_enclave_calls_in_progress",
        kind: "gauge",
        help: "Calls that are in progress now.",
        value: |said| said.calls_in_progress,
    },
    Figure {
        name: "dauth_enclave_open_connections",
        kind: "gauge",
        help: "Connections of callers that are open now.",
        value: |said| said.open_connections,
    },
    Figure {
        name: "dauth_enclave_connections_refused_total",
        kind: "counter",
        help: "Connections that were closed at once, for there was no room.",
        value: |said| said.connections_refused,
    },
    Figure {
        name: "dauth_enclave_receipts_waiting",
        kind: "gauge",
        help: "Receipts that wait for the parent to take them.",
        value: |said| said.receipts_waiting,
    },
    Figure {
        name: "dauth_enclave_receipts_lost_total",
        kind: "counter",
        help: "Receipts that were lost.",
        value: |said| said.receipts_lost,
    },
    Figure {
        name: "dauth_enclave_events_lost_total",
        kind: "counter",
        help: "Events that were lost, because the parent did not read.",
        value: |said| said.events_lost,
    },
    Figure {
        name: "dauth_enclave_resident_bytes",
        kind: "gauge",
        help: "Memory of the enclave's process.",
        value: |said| said.resident_bytes,
    },
];

const REFUSED: &str = "dauth_enclave_refused_total";

pub(super) fn write(text: &mut String, enclaves: &[Arc<Member>]) {
    let seen: Vec<_> = enclaves
        .iter()
        .map(|m| (labels(m), Arc::clone(m)))
        .collect();
    write_figures(text, &SEEN, &seen);
    let said: Vec<_> = enclaves
        .iter()
        .filter_map(|m| Some((labels(m), Arc::new(m.metrics()?))))
        .collect();
    write_figures(text, &SAID, &said);
    write_refusals(text, &said);
}

/// Names are of `a-z`, `0-9` and `_`: nothing to escape.
fn labels(member: &Member) -> String {
    match member.cid() {
        Some(cid) => format!("enclave=\"{}\",cid=\"{cid}\"", member.name()),
        None => format!("enclave=\"{}\"", member.name()),
    }
}

fn write_figures<S>(text: &mut String, figures: &[Figure<S>], sources: &[(String, Arc<S>)]) {
    for figure in figures.iter().filter(|_| !sources.is_empty()) {
        write_head(text, figure.name, figure.kind, figure.help);
        for (labels, source) in sources {
            let value = (figure.value)(source);
            let _ = writeln!(text, "{}{{{labels}}} {value}", figure.name);
        }
    }
}

fn write_refusals(text: &mut String, sources: &[(String, Arc<EnclaveMetrics>)]) {
    if sources.iter().all(|(_, said)| said.refused.is_empty()) {
        return;
    }
    write_head(
        text,
        REFUSED,
        "counter",
        "Requests that were refused, by their code.",
    );
    for (labels, said) in sources {
        for (code, count) in &said.refused {
            let code = code.as_str();
            let _ = writeln!(text, "{REFUSED}{{{labels},code=\"{code}\"}} {count}");
        }
    }
}

fn write_head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

#[cfg(test)]
mod tests {
    use dauth_protocol::Code;

    use super::*;
    use crate::{configuration::Endpoint, fleet::Reach};

    #[test]
    fn each_enclave_has_its_own_figures() {
        let member = |cid| {
            let endpoint = Endpoint::Unix("/run/none".into());
            Arc::new(Member::new(
                "a".to_owned(),
                endpoint,
                Reach::Supervised(cid),
                1,
            ))
        };
        let (old, new) = (member(16), member(17));
        old.take_metrics(EnclaveMetrics {
            calls_answered: 7,
            refused: [(Code::PolicyDenied, 2)].into(),
            ..EnclaveMetrics::default()
        });
        let _watched = new.watched();
        let mut text = String::new();
        write(&mut text, &[old, new]);
        for line in [
            "dauth_parent_enclave_ready{enclave=\"a\",cid=\"16\"} 0",
            "dauth_parent_enclave_ready{enclave=\"a\",cid=\"17\"} 1",
            "dauth_enclave_calls_answered_total{enclave=\"a\",cid=\"16\"} 7",
            "dauth_enclave_refused_total{enclave=\"a\",cid=\"16\",code=\"POLICY_DENIED\"} 2",
            "# TYPE dauth_enclave_refused_total counter",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        // The second has said nothing yet.
        assert!(
            !text.contains("answered_total{enclave=\"a\",cid=\"17\"}"),
            "{text}"
        );
    }
}
