//! The keyset and its orders, as the enclave sees them.
use http::{HeaderName, header::ETAG};

use super::*;

const ABSENT: (HeaderName, &str) = (header::IF_NONE_MATCH, "*");

impl Stack {
    async fn put_keyset(&self, condition: Option<(HeaderName, &str)>, keyset: &[u8]) -> u16 {
        let mut request = Request::put(paths::KEYSET);
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(keyset.to_vec())).unwrap();
        self.send(request).await.status().as_u16()
    }

    async fn keyset_unless(&self, tag: &str) -> (u16, Option<String>, Bytes) {
        let request = Request::get(paths::KEYSET).header(header::IF_NONE_MATCH, tag);
        let response = self.send(request.body(Full::default()).unwrap()).await;
        let tag = response.headers().get(ETAG);
        let tag = tag.map(|tag| tag.to_str().unwrap().to_owned());
        let (status, body) = read(response).await;
        (status, tag, body)
    }

    async fn post_outcome(&self, outcome: &str) -> u16 {
        let request = Request::post(paths::ORDER_OUTCOME);
        let request = request.body(Full::from(outcome.to_owned())).unwrap();
        self.send(request).await.status().as_u16()
    }
}

#[tokio::test]
async fn a_keyset_is_stored_once_and_ordered_once() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    fs::write(stack.path().join("keyset.order"), r#"{"keyset":"create"}"#).unwrap();
    assert_eq!(stack.get(paths::ORDER).await.1, r#"{"keyset":"create"}"#);
    assert_eq!(stack.get(paths::KEYSET).await.0, 404);

    assert_eq!(stack.put_keyset(None, b"unconditional").await, 428);
    assert_eq!(
        stack.put_keyset(Some(ABSENT), &vec![0; 300 * 1024]).await,
        413
    );
    assert_eq!(stack.put_keyset(Some(ABSENT), b"first").await, 201);
    assert_eq!(stack.put_keyset(Some(ABSENT), b"second").await, 412);

    let first = (200, Bytes::from_static(b"first"));
    assert_eq!(stack.get(paths::KEYSET).await, first);
    assert_eq!(stack.get(paths::ORDER).await.1, r#"{"keyset":"load"}"#);
}

#[tokio::test]
async fn a_keyset_changes_when_it_is_the_one_that_was_read() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let (first, second) = (paths::keyset_tag(b"first"), paths::keyset_tag(b"second"));
    assert_eq!(
        stack
            .put_keyset(Some((header::IF_MATCH, &first)), b"second")
            .await,
        412
    );
    assert_eq!(stack.put_keyset(Some(ABSENT), b"first").await, 201);
    let change = Some((header::IF_MATCH, first.as_str()));
    assert_eq!(stack.put_keyset(change.clone(), b"second").await, 204);
    // Who read the first one as well, and is later, does not undo that.
    assert_eq!(stack.put_keyset(change, b"third").await, 412);

    let known = stack.keyset_unless(&second).await;
    assert_eq!(known, (304, Some(second.clone()), Bytes::new()));
    let other = stack.keyset_unless(&first).await;
    assert_eq!(other, (200, Some(second), Bytes::from_static(b"second")));
    let previous = fs::read(stack.path().join("keyset.previous")).unwrap();
    assert_eq!(previous, b"first");

    let text = stack.metrics.to_text(&[]);
    assert!(text.contains("keyset_changes_total 2\n"), "{text}");
    assert!(text.contains("keyset_conflicts_total 2\n"), "{text}");
}

#[tokio::test]
async fn an_order_is_served_until_its_outcome_is_known() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let order = r#"{"keyset":{"change":{"id":"a-1","from_generation":1,"renew":["record"]}}}"#;
    fs::write(stack.path().join("keyset.order"), order).unwrap();
    assert_eq!(stack.get(paths::ORDER).await.1, r#"{"keyset":"load"}"#);
    assert_eq!(stack.put_keyset(Some(ABSENT), b"first").await, 201);
    assert_eq!(stack.get(paths::ORDER).await.1, order);

    for not_an_outcome in ["", "{}", r#"{"id":"a-1","result":"well","generation":2}"#] {
        assert_eq!(stack.post_outcome(not_an_outcome).await, 400);
    }
    assert_eq!(stack.post_outcome(&" ".repeat(64 * 1024)).await, 413);
    assert_eq!(stack.get(paths::ORDER).await.1, order);

    let outcome = r#"{"id":"a-1","result":"done","generation":2}"#;
    assert_eq!(stack.post_outcome(outcome).await, 204);
    assert_eq!(stack.get(paths::ORDER).await.1, r#"{"keyset":"load"}"#);
    let kept = fs::read_to_string(stack.path().join("keyset.outcome")).unwrap();
    assert_eq!(kept, outcome);
    assert_eq!(stack.get(paths::ORDER_OUTCOME).await.0, 405);
}
