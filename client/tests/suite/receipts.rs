//! Receipts as a control plane answers them, page by page.
use std::sync::atomic::{AtomicUsize, Ordering};

use dauth_client::{
    Owner, OwnerError, VaultError,
    audit::{Since, Wanted},
};
use dauth_protocol::{
    Fingerprint, Handle,
    audit::{
        CallReceipt, Digest, Ending, Outcome, ReceiptsPage, Reflection, StoredBatch, StoredReceipt,
    },
};
use http::Response;
use tempfile::TempDir;

use crate::{
    control_plane,
    enclave::Enclave,
    owner::profile,
    plain_server::{PlainServer, Seen, proof, reply},
};

/// An owner whose control plane answers requests for receipts by `answer`.
async fn owner(
    answer: impl Fn(&Seen) -> Response<String> + Send + Sync + 'static,
) -> (Owner, PlainServer, TempDir) {
    let enclave = Enclave::start(|_| ()).await;
    let server = control_plane::with_tokens(answer).await;
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(folder.path(), &server.url, &enclave);
    (Owner::new(&profile).unwrap(), server, folder)
}

fn handle() -> Handle {
    "ddls:conn:0191f3a4-7c1e-7b1a-8f00-000000000001"
        .parse()
        .unwrap()
}

/// A page of one receipt, in a batch that it shares with the page before.
fn page(sequence: u64, next: Option<&str>) -> ReceiptsPage {
    let details = CallReceipt {
        layout: 1,
        boot: [1; 16].into(),
        sequence,
        ordinal: sequence,
        id: [2; 16].into(),
        handle: handle(),
        owner: "subject-1".to_owned(),
        fingerprint: Fingerprint::of(b"record"),
        caller: "thumbprint".to_owned(),
        server: None,
        token_id: "jti".to_owned(),
        method: "GET".to_owned(),
        path_hash: Digest::of(b"path"),
        mark_key: [3; 16].into(),
        outcome: Outcome::Answered { status: 200 },
        ending: Ending::Complete,
        reflection: Reflection::None,
        request_bytes: 0,
        response_bytes: 0,
        started_ms: sequence * 1000,
        duration_ms: 1,
    };
    let batch = |number: u64| StoredBatch {
        head: format!("head-{number}"),
        digests: vec![Digest::of(b"receipt")],
    };
    ReceiptsPage {
        receipts: vec![StoredReceipt {
            receipt: "AA==".to_owned(),
            details,
        }],
        batches: vec![batch(sequence - 1), batch(sequence)],
        next: next.map(str::to_owned),
    }
}

fn three_pages(seen: &Seen) -> Response<String> {
    let page = match seen.head.uri.query().unwrap() {
        query if query.contains("after=a%26b") => page(2, Some("c")),
        query if query.contains("after=c") => page(3, None),
        _ => page(1, Some("a&b")),
    };
    reply(200, None, &serde_json::to_string(&page).unwrap())
}

#[tokio::test]
async fn every_page_is_fetched_and_made_one() {
    let (owner, server, _folder) = owner(three_pages).await;
    let wanted = Wanted {
        handle: Some(handle()),
        since: Since::Ever,
    };
    let whole = owner.receipts(&wanted).await.unwrap();
    let places: Vec<u64> = (whole.receipts.iter())
        .map(|receipt| receipt.details.sequence)
        .collect();
    assert_eq!((places, whole.next), (vec![1, 2, 3], None));
    let heads: Vec<&str> = whole.batches.iter().map(|b| b.head.as_str()).collect();
    assert_eq!(heads, ["head-0", "head-1", "head-2", "head-3"]);
    let asked = server.seen("/v1/receipts");
    assert_eq!(asked.len(), 3);
    for seen in asked {
        let query = seen.head.uri.query().unwrap();
        let escaped = handle().as_str().replace(':', "%3A");
        assert!(query.contains(&format!("handle={escaped}")), "{query}");
        let (htu, headers) = (format!("{}/v1/receipts", server.url), &seen.head.headers);
        let token = headers["authorization"].to_str().unwrap();
        proof(headers, "GET", &htu, token.strip_prefix("DPoP "));
    }
}

#[tokio::test]
async fn pages_of_earlier_calls_alone_are_left_out() {
    let (owner, _server, _folder) = owner(three_pages).await;
    let wanted = Wanted {
        handle: None,
        since: Since::Time(2000),
    };
    let part = owner.receipts(&wanted).await.unwrap();
    let places: Vec<u64> = (part.receipts.iter())
        .map(|receipt| receipt.details.sequence)
        .collect();
    assert_eq!(places, [2, 3]);
}

/// An enclave's receipts may be stored long after the calls: those of another came between.
#[tokio::test]
async fn no_page_is_left_out_after_the_first_that_is_wanted() {
    let (owner, _server, _folder) = owner(|seen| {
        let page = match seen.head.uri.query().unwrap() {
            query if query.contains("after=b") => page(1, Some("c")),
            query if query.contains("after=c") => page(3, None),
            _ => page(2, Some("b")),
        };
        reply(200, None, &serde_json::to_string(&page).unwrap())
    })
    .await;
    let wanted = Wanted {
        handle: None,
        since: Since::Time(2000),
    };
    let part = owner.receipts(&wanted).await.unwrap();
    let places = part.receipts.iter().map(|r| r.details.sequence);
    assert_eq!(places.collect::<Vec<_>>(), [2, 1, 3]);
}

/// The attack: pages of nothing, each with another one to ask for.
#[tokio::test]
async fn a_control_plane_that_has_nothing_and_no_end() {
    let asked = AtomicUsize::new(0);
    let (owner, _server, _folder) = owner(move |_| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        assert!(number < 3);
        let empty = ReceiptsPage {
            receipts: vec![],
            ..page(1, Some(&number.to_string()))
        };
        reply(200, None, &serde_json::to_string(&empty).unwrap())
    })
    .await;
    let refused = owner.receipts(&Wanted::default()).await.unwrap_err();
    let is_malformed = matches!(refused, OwnerError::Vault(VaultError::Malformed));
    assert!(is_malformed, "{refused}");
}

/// One that never comes to an end is left.
#[tokio::test]
async fn a_control_plane_that_repeats_itself() {
    let asked = AtomicUsize::new(0);
    let (owner, _server, _folder) = owner(move |_| {
        assert!(asked.fetch_add(1, Ordering::SeqCst) < 3);
        let again = serde_json::to_string(&page(1, Some("again"))).unwrap();
        reply(200, None, &again)
    })
    .await;
    let refused = owner.receipts(&Wanted::default()).await.unwrap_err();
    let is_malformed = matches!(refused, OwnerError::Vault(VaultError::Malformed));
    assert!(is_malformed, "{refused}");
}
