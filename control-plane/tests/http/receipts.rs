//! Receipts of calls: from the parent, and to their owners.
use dauth_protocol::{audit::ReceiptsPage, limit::MAX_BATCH_BYTES};
use http::Method;

use crate::{
    owner::{Party, claims},
    stack::{HOST_CREDENTIAL, ISSUER, MCP, Reply, Stack},
};

#[path = "../../src/batch/tests/chain.rs"]
mod chain;
mod room;

use chain::Chain;

const ONE: &str = "ddls:conn:1";
const TWO: &str = "ddls:conn:2";

async fn post_as(stack: &Stack, credential: &str, batch: &[u8]) -> Reply {
    let authorization = format!("Bearer {credential}");
    let fields = [("authorization", authorization.as_str())];
    stack
        .send(Method::POST, "/internal/receipts", &fields, batch)
        .await
}

async fn post(stack: &Stack, batch: &[u8]) -> u16 {
    let reply = post_as(stack, HOST_CREDENTIAL, batch).await;
    reply.status.as_u16()
}

async fn subject(stack: &Stack, party: &Party) -> String {
    let token = party.token(stack, ISSUER).await;
    claims(stack, &token, ISSUER).await.sub
}

async fn page(stack: &Stack, party: &Party, query: &str) -> ReceiptsPage {
    let path = format!("/v1/receipts{query}");
    let reply = party.call(stack, Method::GET, &path, "").await;
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    assert_eq!(reply.field("cache-control"), "no-store");
    serde_json::from_slice(&reply.body).unwrap()
}

fn sequences(page: &ReceiptsPage) -> Vec<u64> {
    page.receipts.iter().map(|r| r.details.sequence).collect()
}

struct Parties {
    alice: Party,
    bob: Party,
    /// Their subjects.
    a: String,
    b: String,
}

async fn parties(stack: &Stack) -> Parties {
    let (alice, bob) = (Party::new("alice"), Party::new("bob"));
    Parties {
        a: subject(stack, &alice).await,
        b: subject(stack, &bob).await,
        alice,
        bob,
    }
}

#[tokio::test]
async fn an_owner_reads_their_own_and_of_others_digests_alone() {
    let stack = Stack::start().await;
    let Parties { alice, bob, a, b } = parties(&stack).await;
    let mut chain = Chain::new(1);
    let batch = chain.batch(&[(&a, ONE), (&b, ONE), (&a, TWO)]);
    assert_eq!(post(&stack, &batch.to_cbor()).await, 204);

    let alices = page(&stack, &alice, "").await;
    assert_eq!((sequences(&alices), &alices.next), (vec![1, 3], &None));
    assert_eq!(alices.batches.len(), 1);
    assert_eq!(alices.batches[0].digests.len(), 3);
    for stored in &alices.receipts {
        assert_eq!(stored.details.owner, a);
        let bytes = batch.receipts.iter().map(|bytes| base64(bytes));
        assert!(bytes.into_iter().any(|text| text == stored.receipt));
    }
    assert_eq!(alices.batches[0].head, base64(&batch.head));
    let path = "/v1/receipts?handle=ddls:conn:1";
    let text = bob.call(&stack, Method::GET, path, "").await.body;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(&b) && !text.contains(&a), "{text}");

    let filtered = page(&stack, &alice, "?handle=ddls%3Aconn%3A2").await;
    assert_eq!(sequences(&filtered), [3]);
    let none = page(&stack, &alice, "?handle=ddls:conn:3").await;
    assert_eq!((none.receipts.len(), none.batches.len()), (0, 0));
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let stack = Stack::start().await;
    let Parties { alice, bob, a, b } = parties(&stack).await;
    let mut chain = Chain::new(1);
    for _ in 0..2 {
        assert_eq!(post(&stack, &chain.of_one(&a, ONE, 60)).await, 204);
        assert_eq!(post(&stack, &chain.of_one(&b, ONE, 1)).await, 204);
    }
    let first = page(&stack, &alice, "").await;
    assert_eq!(first.receipts.len(), 100, "the size of a page");
    let after = first.next.clone().unwrap();
    let second = page(&stack, &alice, &format!("?after={after}")).await;
    let all = [sequences(&first), sequences(&second)].concat();
    assert_eq!(all, (1..=60).chain(62..=121).collect::<Vec<_>>());
    assert_eq!(second.next, None);
    // The end of another's page is a place among one's own receipts.
    let bobs = page(&stack, &bob, &format!("?after={after}&limit=500")).await;
    assert_eq!(sequences(&bobs), [122]);

    for query in [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=",
        "after=1",
        "after=",
        "handle=x",
        "handle=",
        "owner=somebody",
        "limit=1&limit=2",
        "after=' OR 1=1 --",
    ] {
        let path = format!("/v1/receipts?{}", query.replace(' ', "%20"));
        let reply = alice.call(&stack, Method::GET, &path, "").await;
        assert_eq!(reply.code(), (400, "INVALID_REQUEST".into()), "{query}");
    }
}

#[tokio::test]
async fn receipts_outlive_the_connection_and_a_restart() {
    let stack = Stack::start().await;
    let Parties { alice, a, .. } = parties(&stack).await;
    alice.connect(&stack, ONE, &[]).await;
    let batch = Chain::new(1).of_one(&a, ONE, 2);
    assert_eq!(post(&stack, &batch).await, 204);
    let path = format!("/v1/connections/{ONE}");
    alice.call(&stack, Method::DELETE, &path, "").await;
    let stack = stack.restart().await;
    let kept = page(&stack, &alice, "?handle=ddls:conn:1").await;
    assert_eq!(sequences(&kept), [1, 2]);
    assert_eq!(
        post(&stack, &batch).await,
        204,
        "once more, and stored once"
    );
    assert_eq!(page(&stack, &alice, "").await, kept);
}

#[tokio::test]
async fn each_outcome_has_its_status_and_is_counted() {
    let stack = Stack::start().await;
    let Parties { alice, a, .. } = parties(&stack).await;
    let good = Chain::new(1).of_one(&a, ONE, 2);
    let changed = {
        let mut batch = Chain::new(3).batch(&[(&a, ONE), (&a, ONE)]);
        batch.receipts.swap(0, 1);
        batch.to_cbor()
    };
    let unknown = Chain::new(2).of_one("nobody", ONE, 1);
    for (batch, status) in [
        (good.as_slice(), 204),
        (&good, 204),
        (&Chain::new(1).of_one(&a, TWO, 2), 409),
        (&Chain::new(1).of_one(&a, ONE, 3), 409),
        (&changed, 400),
        (&unknown, 204),
        (b"", 400),
        (b"garbage", 400),
        (&vec![0; MAX_BATCH_BYTES], 400),
        (&vec![0; MAX_BATCH_BYTES + 1], 413),
    ] {
        assert_eq!(post(&stack, batch).await, status, "{} bytes", batch.len());
    }
    assert_eq!(sequences(&page(&stack, &alice, "").await), [1, 2]);
    let text = String::from_utf8(stack.get("/metrics").await.body).unwrap();
    for line in [
        "receipts_stored_total 2\n",
        "receipts_digests_alone_total 1\n",
        "receipt_batches_refused_total 6\n",
    ] {
        let line = format!("dauth_control_plane_{line}");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test]
async fn the_parent_alone_brings_receipts_and_owners_alone_read_them() {
    let stack = Stack::start().await;
    let Parties { alice, a, .. } = parties(&stack).await;
    let batch = Chain::new(1).of_one(&a, ONE, 1);
    for credential in ["guess", ""] {
        assert_eq!(post_as(&stack, credential, &batch).await.status, 401);
    }
    let owners = alice
        .call(&stack, Method::POST, "/internal/receipts", "")
        .await;
    assert_eq!(owners.status, 401);
    let path = "/internal/receipts";
    assert_eq!(stack.get(path).await.status, 405, "nobody reads there");
    assert_eq!(stack.get("/v1/receipts").await.status, 401);
    assert_eq!(post_as(&stack, HOST_CREDENTIAL, &batch).await.status, 204);
    let authorization = format!("Bearer {HOST_CREDENTIAL}");
    let fields = [("authorization", authorization.as_str())];
    let hosts = stack.send(Method::GET, "/v1/receipts", &fields, "").await;
    assert_eq!(hosts.status, 401);
    // A server that acts for the owner is not the owner.
    let mcp = Party::new("mcp");
    let token = alice.token(&stack, MCP).await;
    let exchanged = mcp.exchange(&stack, &token).await.json();
    for token in [token.as_str(), exchanged["access_token"].as_str().unwrap()] {
        let nonce = crate::owner::nonce(&stack).await;
        let proof = mcp.proof("GET", "/v1/receipts", Some(token), Some(&nonce));
        let authorization = format!("DPoP {token}");
        let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let reply = stack.send(Method::GET, "/v1/receipts", &fields, "").await;
        assert_eq!(reply.code(), (401, "INVALID_TOKEN".into()));
    }
}
