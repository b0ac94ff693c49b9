//! Records that the enclave sealed anew.
use super::*;

/// What the enclave hands over: passed on byte for byte.
const ADMITTED: &str = r#"{"record":"AA==","receipt":"AQ=="}"#;

/// How the control plane of these tests answers a PUT: by the fingerprint's first digit.
pub(super) async fn stored_anew(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_good = text(header::AUTHORIZATION) == Some("Bearer host-credential")
        && text(header::CONTENT_TYPE) == Some("application/json")
        && body.collect().await.unwrap().to_bytes() == ADMITTED;
    let digit = head
        .uri
        .path()
        .strip_prefix("/internal/records/")
        .and_then(|fingerprint| fingerprint.chars().next());
    let code = match digit {
        _ if !is_good => 400,
        Some('a') => 204,
        Some('b') => 410,
        Some('c') => 409,
        Some('d') => 404,
        Some('e') => 401,
        Some('f') => 429,
        _ => 503,
    };
    status(StatusCode::from_u16(code).unwrap())
}

async fn put(stack: &Stack, path: &str, body: impl Into<Bytes>) -> u16 {
    let request = Request::put(path).body(Full::from(body.into())).unwrap();
    stack.send(request).await.status().as_u16()
}

#[tokio::test]
async fn what_the_enclave_seals_anew_is_passed_on() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    for (digit, code) in [('a', 204), ('b', 410), ('c', 409), ('d', 404)] {
        assert_eq!(put(&stack, &record_path(digit), ADMITTED).await, code);
    }
    assert!(
        stack
            .metrics
            .to_text(&[])
            .contains("record_failures_total 0\n")
    );
    for digit in ['e', 'f', '0'] {
        assert_eq!(put(&stack, &record_path(digit), ADMITTED).await, 502);
    }
    assert_eq!(put(&stack, &record_path('a'), "{}").await, 502);
    assert!(
        stack
            .metrics
            .to_text(&[])
            .contains("record_failures_total 4\n")
    );
}

#[tokio::test]
async fn what_is_too_long_or_has_no_fingerprint_is_not_passed_on() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let long = vec![b' '; 256 * 1024 + 1];
    assert_eq!(put(&stack, &record_path('a'), long).await, 413);
    for path in ["/v1/records/", "/v1/records/abc", "/v1/records/a/b"] {
        assert_eq!(put(&stack, path, ADMITTED).await, 400, "{path}");
    }
}
