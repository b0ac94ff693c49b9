//! As many receipts arrive as calls were made.
use std::{collections::BTreeSet, net::TcpListener, sync::Arc};

use dauth_client::{Owner, OwnerError};
use dauth_dispatch::DpopKey;
use dauth_protocol::{
    Code,
    audit::{CallReceipt, Ending, Outcome, Reflection},
};
use dauth_simulator::mcp_client::call_tool;
use dauth_tests::wait_until;
use http::Method;
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use crate::scene::{REPLY, SECRET, Scene, request};

/// Calls that the flow of `dauth simulate` makes: by the owner, by the MCP server, one that reflects
/// and one that is refused.
const OF_THE_FLOW: usize = 4;

/// How a call went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Served,
    /// The upstream answers with an error.
    UpstreamError,
    /// The caller leaves the reply before its end.
    Abandoned,
    Refused(Code),
}

/// Makes a call; its `DAuth-Receipt-Id`, where the reply shows one.
async fn made(owner: Arc<Owner>, handle: String, way: Way) -> Option<String> {
    let (method, path, code) = match way {
        Way::Served => (Method::GET, "/ok", None),
        Way::UpstreamError => (Method::GET, "/fails", None),
        Way::Abandoned => (Method::GET, "/events", None),
        Way::Refused(code @ Code::PolicyDenied) => (Method::POST, "/ok", Some(code)),
        Way::Refused(code) => (Method::GET, "/ok", Some(code)),
    };
    let called = owner.call(request(&handle, method, path)).await;
    if code.is_some() {
        let refused = called.as_ref().err().and_then(OwnerError::code);
        assert_eq!(refused, code);
        return None;
    }
    let reply = called.unwrap();
    let id = reply.headers()["dauth-receipt-id"].to_str().unwrap();
    let id = id.to_owned();
    let mut body = reply.into_body();
    match way {
        Way::Abandoned => drop(body.frame().await.unwrap().unwrap()),
        _ => assert_eq!(body.collect().await.unwrap().to_bytes(), REPLY),
    }
    Some(id)
}

/// Uses the demo MCP server's tool, which calls through the connection of the flow.
async fn tool_used(scene: &Scene) {
    let file = scene.stack.file();
    let key = DpopKey::generate().unwrap();
    let resource = &file.clients.mcp.resource;
    let tokens = file.clients.sdk.tokens(&file);
    let token = tokens.client_credentials(resource, Some("demo:call"), &key);
    let (token, none) = (token.await.unwrap(), serde_json::Map::new());
    let result = call_tool(resource, token, Arc::new(key), "whoami", none).await;
    assert_eq!(result.unwrap()["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_receipts_arrive_as_calls_were_made() {
    let scene = Scene::set().await;
    let base_url = scene.upstream.base_url();
    let basic = ["--basic", "user", "--allow", "GET /**"];
    let second = scene.stack.connect("second", &base_url, SECRET, &basic);
    // Nobody listens there once it is known.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("https://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let bearer = ["--bearer", "--allow", "GET /**"];
    let unreachable = scene.stack.connect("nowhere", &nowhere, SECRET, &bearer);

    let ways = [
        (&scene.handle, Way::Served, 8),
        (&second, Way::Served, 6),
        (&scene.handle, Way::UpstreamError, 3),
        (&second, Way::Abandoned, 3),
        (&scene.handle, Way::Refused(Code::PolicyDenied), 3),
        (&unreachable, Way::Refused(Code::DownstreamUnreachable), 2),
    ];
    let owner = Arc::new(scene.owner());
    let mut calls = JoinSet::new();
    let mut count = 0;
    for (handle, way, times) in ways {
        count += times;
        for _ in 0..times {
            calls.spawn(made(Arc::clone(&owner), handle.clone(), way));
        }
    }
    for _ in 0..3 {
        tool_used(&scene).await;
        count += 1;
    }
    let mut ids = BTreeSet::new();
    while let Some(called) = calls.join_next().await {
        ids.extend(called.unwrap());
    }
    assert_eq!(ids.len(), 20, "each reply names its own receipt");

    // The receipt of a later call comes after those of all that had ended.
    let count = count + OF_THE_FLOW;
    wait_until("the receipts arrive", || {
        scene.page().receipts.len() >= count
    });
    scene.called();
    wait_until("one more arrives", || scene.page().receipts.len() > count);
    let page = scene.page();
    assert_eq!(page.receipts.len(), count + 1);
    let receipts: Vec<CallReceipt> = page.receipts.into_iter().map(|r| r.details).collect();
    let shown: BTreeSet<String> = receipts.iter().map(|r| r.id.to_string()).collect();
    assert_eq!(shown.len(), count + 1);
    assert!(ids.is_subset(&shown), "{ids:?}\n{shown:?}");
    assert_each_says_what_happened(&scene, &receipts, [&second, &unreachable]);
    let report = scene.report();
    assert_eq!(report["receipts"], count + 1);
    assert_eq!(report["connections"].as_array().unwrap().len(), 4);
    assert_eq!(report["boots"].as_array().unwrap().len(), 1);
    assert_eq!(report["boots"][0]["others"], 0);
    assert_others_see_none(&scene);
}

fn assert_each_says_what_happened(
    scene: &Scene,
    receipts: &[CallReceipt],
    [second, unreachable]: [&str; 2],
) {
    let count = |handle: &str, is: &dyn Fn(&CallReceipt) -> bool| {
        let of_handle = receipts.iter().filter(|r| r.handle.as_str() == handle);
        of_handle.filter(|receipt| is(receipt)).count()
    };
    let answered = |with| move |r: &CallReceipt| r.outcome == Outcome::Answered { status: with };
    let refused = |with| move |r: &CallReceipt| r.outcome == Outcome::Refused { code: with };
    let first = scene.handle.as_str();
    assert_eq!(count(first, &answered(200)), 9);
    assert_eq!(count(first, &answered(500)), 3);
    assert_eq!(count(first, &refused(Code::PolicyDenied)), 3);
    assert_eq!(count(second, &answered(200)), 9);
    assert_eq!(count(second, &|r| r.ending == Ending::Abandoned), 3);
    assert_eq!(count(unreachable, &refused(Code::DownstreamUnreachable)), 2);
    let complete = |r: &&CallReceipt| r.ending == Ending::Complete && r.handle.as_str() == first;
    for receipt in receipts.iter().filter(complete) {
        let is_answered = matches!(receipt.outcome, Outcome::Answered { .. });
        assert!(!is_answered || receipt.response_bytes == REPLY.len() as u64);
    }
    // One path of one connection has one hash, and no other connection has it.
    let hashes = |handle: &str, method: &str| -> BTreeSet<String> {
        let of_handle = receipts.iter().filter(|r| r.handle.as_str() == handle);
        let of_method = of_handle.filter(|r| r.method == method);
        of_method.map(|r| r.path_hash.to_string()).collect()
    };
    assert_eq!(hashes(first, "GET").len(), 2);
    assert!(hashes(first, "POST").is_subset(&hashes(first, "GET")));
    assert!(hashes(first, "GET").is_disjoint(&hashes(second, "GET")));
    // The owner's calls name no server; the tool's name the one that the owner permitted.
    let file = scene.stack.file();
    let server = Some(file.clients.mcp.resource.as_str());
    let by_server = receipts.iter().filter(|r| r.server.as_deref() == server);
    assert_eq!(by_server.count(), 3 + 1);
    assert_eq!(count(first, &|r| r.server.is_some()), 0);
    let reflected = receipts
        .iter()
        .filter(|r| r.reflection == Reflection::Redacted);
    assert_eq!(reflected.count(), 1, "the echo of the flow");
}

fn assert_others_see_none(scene: &Scene) {
    let (other, key) = (scene.stack.file().clients.mcp.client, DpopKey::generate());
    let (key, handle) = (key.unwrap(), scene.handle.as_str());
    for options in [
        &["audit", "fetch"][..],
        &["audit", "fetch", "--handle", handle],
    ] {
        let ran = scene.stack.dauth_as(&other, &key, options);
        assert_eq!(ran.code, 0, "{ran:?}");
        let page: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(page, serde_json::json!({ "receipts": [], "batches": [] }));
    }
}
