//! Receipts on their way to the control plane.
use dauth_protocol::limit::MAX_BATCH_BYTES;

use super::*;

/// How the control plane of these tests answers: with the status that the body names, or a
/// redirect.
pub(super) async fn taken(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_good = text(header::AUTHORIZATION) == Some("Bearer host-credential")
        && text(header::CONTENT_TYPE) == Some("application/cbor")
        && head.uri.path() == "/internal/receipts";
    let body = body.collect().await.unwrap().to_bytes();
    if !is_good {
        return status(StatusCode::IM_A_TEAPOT);
    }
    if body.len() == MAX_BATCH_BYTES {
        return status(StatusCode::NO_CONTENT);
    }
    let code: u16 = String::from_utf8_lossy(&body).parse().unwrap();
    let mut reply = problem(StatusCode::from_u16(code).unwrap(), "canary");
    let elsewhere = http::HeaderValue::from_static("/internal/receipts");
    reply.headers_mut().insert(header::LOCATION, elsewhere);
    reply
}

async fn post(stack: &Stack, body: impl Into<Bytes>) -> (u16, Bytes) {
    let body = Full::from(body.into());
    let request = Request::post(paths::RECEIPTS).body(body).unwrap();
    read(stack.send(request).await).await
}

#[tokio::test]
async fn a_batch_is_passed_on_and_its_status_comes_back() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    for code in [204, 400, 409, 507] {
        assert_eq!(post(&stack, code.to_string()).await.0, code);
    }
    for code in [200, 307, 401, 404, 418, 429, 503] {
        let (status, body) = post(&stack, code.to_string()).await;
        assert_eq!(status, 502, "{code}");
        assert!(!String::from_utf8_lossy(&body).contains("canary"));
    }
    let text = stack.metrics.to_text(&[]);
    assert!(text.contains("receipt_batches_total 1\n"), "{text}");
    assert!(text.contains("receipt_failures_total 10\n"), "{text}");
}

#[tokio::test]
async fn the_largest_batch_passes_and_nothing_larger() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    assert_eq!(post(&stack, vec![0; MAX_BATCH_BYTES]).await.0, 204);
    assert_eq!(post(&stack, vec![0; MAX_BATCH_BYTES + 1]).await.0, 413);
    assert_eq!(stack.get(paths::RECEIPTS).await.0, 405);
}

#[tokio::test]
async fn a_control_plane_that_is_gone_is_told() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let stack = Stack::with_control_plane(format!("http://{address}"), "127.0.0.0/8", 8).await;
    assert_eq!(post(&stack, "204").await.0, 502);
}
