//! `stack.json`: where every party is, for tests and for people.
use std::collections::BTreeMap;

use dauth_protocol::measurement::Pcr;
use serde_json::{Value, json};

use super::{
    party::Party,
    plan::Plan,
    state::{Port, State},
    supervisor::Pids,
};
use crate::failure::Failure;

/// Writes `stack.json` atomically, once every party has a pid.
pub(crate) fn write(state: &State, plan: &Plan, pids: &Pids) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(&stack(state, plan, pids)).unwrap_or_default();
    state.write("stack.json", &text)
}

fn stack(state: &State, plan: &Plan, pids: &Pids) -> Value {
    let pid = |party| pids.get(&party);
    let pcrs: BTreeMap<&str, Pcr> = plan
        .trusted_pcrs
        .iter()
        .map(|(i, pcr)| (*i, *pcr))
        .collect();
    json!({
        "issuer": plan.issuer,
        "profile": state.path("profile.toml"),
        "control_plane": {
            "url": plan.issuer,
            "pid": pid(Party::ControlPlane),
            "jwks": plan.jwks_url,
            "store": {
                "path": plan.store,
                "table": dauth_control_plane::RECORD_TABLE,
                "column": dauth_control_plane::RECORD_COLUMN,
            },
        },
        "parent": {
            "ingress": state.address(Port::Ingress),
            "metrics": state.url("http", Port::Monitor) + "/metrics",
            "pid": pid(Party::Parent),
        },
        "enclave": { "pid": pid(Party::Enclave), "resource": plan.resource },
        "kms": { "url": state.url("https", Port::Kms), "pid": pid(Party::Kms) },
        "gateway": {
            "url": state.url("http", Port::Gateway),
            "pid": pid(Party::Gateway),
            "key": plan.mcp_key_thumbprint,
            "deployment_id": plan.gateway_deployment,
            "auth_secret": plan.gateway_auth_secret,
        },
        "mcp": { "url": plan.mcp_resource, "pid": pid(Party::Mcp) },
        "upstream": { "url": state.url("https", Port::Upstream), "pid": pid(Party::Upstream) },
        "ca": {
            "cert": state.path("trust/upstream-ca.pem"),
            "key": state.path("trust/upstream-ca-key.pem"),
        },
        "trust": { "root": state.path("trust/nsm-root.pem"), "pcrs": pcrs },
        "clients": {
            "sdk": { "client_id": plan.sdk.id, "client_secret": plan.sdk.secret },
            "mcp": {
                "client_id": plan.mcp.id,
                "client_secret": plan.mcp.secret,
                "resource": plan.mcp_resource,
            },
        },
    })
}
