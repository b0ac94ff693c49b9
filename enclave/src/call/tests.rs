//! Calls against an upstream in memory, most of them hostile.
mod connection;
mod edge;
mod fixture;
mod forms;
mod receipts;
mod reflection;
mod streams;
pub(crate) mod upstreams;

use dauth_protocol::{Code, RequestPath};
use http::{Method, StatusCode};

use self::fixture::{Fixture, HOST, SECRET, always, call, injection, reply, text};

fn ok() -> Fixture {
    Fixture::new(always(reply("", "fine")))
}

#[tokio::test]
async fn sends_what_the_policy_lets_pass_and_nothing_else() {
    let fixture = ok();
    let mut call = call();
    call.policy.request_headers = vec!["x-custom".to_owned()];
    call.path = RequestPath::parse("/notes/%C3%A9").unwrap();
    call.query = Some("b=2&a=%31".to_owned());
    for (name, value) in [
        ("authorization", "DPoP caller's-token"),
        ("dpop", "proof"),
        ("cookie", "a=b"),
        ("host", "evil.example"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-http-method-override", "DELETE"),
        ("accept-encoding", "br"),
        ("range", "bytes=0-1"),
        ("connection", "close, x-request-id"),
        ("x-request-id", "hop"),
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("dauth-receipt-id", "1"),
        ("accept", "text/a"),
        ("accept", "text/b"),
        ("user-agent", "agent"),
        ("x-custom", "yes"),
    ] {
        call.headers.append(name, value.parse().unwrap());
    }
    let response = fixture.send(call).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response.into_body()).await.unwrap().0, "fine");
    assert_eq!(
        fixture.requests(),
        [format!(
            "GET /v1/notes/%C3%A9?b=2&a=%31 HTTP/1.1\r\nhost: {HOST}\r\naccept: text/a\r\n\
             accept: text/b\r\nuser-agent: agent\r\nx-custom: yes\r\naccept-encoding: identity\r\n\
             authorization: Bearer {SECRET}\r\n\r\n"
        )]
    );
    assert_eq!(
        *fixture.parent.targets.lock().unwrap(),
        [format!("{HOST}:443")]
    );
}

#[tokio::test]
async fn each_injection_reaches_the_upstream() {
    let cases = [
        (
            r#"{"kind":"basic","user":"me"}"#,
            "authorization: Basic bWU6c2stbGl2ZS0wMTIzNDU2Nzg5L2FiYytkZWY=\r\n",
        ),
        (
            r#"{"kind":"header","template":"X-Key: k {secret}!"}"#,
            "x-key: k sk-live-0123456789/abc+def!\r\n",
        ),
        (
            r#"{"kind":"query","name":"key"}"#,
            "GET /v1/me?a=1&key=sk-live-0123456789%2Fabc%2Bdef HTTP/1.1\r\n",
        ),
    ];
    for (json, expected) in cases {
        let fixture = ok();
        let mut call = call();
        call.policy.injection = injection(json);
        call.query = Some("a=1".to_owned());
        fixture.send(call).await.unwrap();
        assert!(
            fixture.requests()[0].contains(expected),
            "{:?}",
            fixture.requests()
        );
    }
}

#[tokio::test]
async fn the_callers_token_never_passes_whatever_the_policy_names() {
    let fixture = ok();
    let mut call = call();
    call.policy.injection = injection(r#"{"kind":"header","template":"X-Key: {secret}"}"#);
    for name in ["authorization", "dpop", "x-key", "host"] {
        call.policy.request_headers.push(name.to_owned());
        call.headers.insert(
            http::HeaderName::from_static(name),
            "the-callers".parse().unwrap(),
        );
    }
    fixture.send(call).await.unwrap();
    assert!(!fixture.requests()[0].contains("the-callers"));
    assert!(fixture.requests()[0].contains(&format!("x-key: {SECRET}\r\n")));
}

#[tokio::test]
async fn bodies_pass_within_their_limit() {
    let fixture = ok();
    let mut post = call();
    post.method = Method::POST;
    post.policy.limits.max_request_bytes = 5;
    fixture.send_body(post, SECRET, "12345").await.unwrap();
    assert!(fixture.requests()[0].contains("content-length: 5\r\n"));
    assert!(fixture.requests()[0].ends_with("\r\n\r\n12345"));

    let mut post = call();
    post.method = Method::POST;
    fixture.send(post).await.unwrap();
    assert!(fixture.requests()[1].contains("content-length: 0\r\n"));

    let mut post = call();
    post.method = Method::POST;
    post.policy.limits.max_request_bytes = 5;
    let refusal = fixture
        .send_body(post, SECRET, "123456")
        .await
        .err()
        .unwrap();
    assert_eq!(refusal.code, Code::InvalidRequest);
    assert_eq!(fixture.requests().len(), 2, "nothing was sent");
}

#[tokio::test]
async fn what_could_split_a_request_is_refused_before_anything_is_dialled() {
    let fixture = ok();
    let secret = "0123456789abcdef\r\nHost: evil.example";
    let refusal = fixture.send_body(call(), secret, "").await.err().unwrap();
    assert_eq!(refusal.code, Code::InvalidRequest);
    for query in ["a b", "a\r\nb", "a#b", "\u{e9}"] {
        let mut call = call();
        call.query = Some(query.to_owned());
        assert_eq!(
            fixture.send(call).await.err().unwrap().code,
            Code::InvalidRequest,
            "{query}"
        );
    }
    let mut call = call();
    call.policy.injection = injection(r#"{"kind":"query","name":"key"}"#);
    call.query = Some("%6bey=mine".to_owned());
    assert_eq!(
        fixture.send(call).await.err().unwrap().code,
        Code::InvalidRequest
    );
    assert_eq!(fixture.dialled(), 0);
}
