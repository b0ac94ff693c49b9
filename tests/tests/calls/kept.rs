//! What of a reflected secret stays in the enclave.
use std::time::{Duration, Instant};

use bytes::Bytes;
use dauth_simulator::memory::scan;
use dauth_tests::{Enclave, Request, Stack, Upstream};
use http::Response;
use http_body_util::Full;

use crate::{REDACTED, random_secret};

/// How long after the answer nothing may be left (the promise of `SECURITY.md`).
const GONE_AFTER: Duration = Duration::from_secs(10);

/// Reflects the secret, with a field in the head of each reply that no other reply has.
async fn reflect_at_once(request: Request) -> Response<Full<Bytes>> {
    let secret = request.headers["authorization"].to_str().unwrap();
    Response::builder()
        .header("x-unique", request.uri.path())
        .body(Full::from(format!("<{secret}>")))
        .unwrap()
}

/// A compression table of HTTP/2 keeps field values as long as the session lives; it must not keep
/// the buffer that they were read into, for the reflected secret may lie there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reflected_secret_is_not_kept_by_the_callers_session() {
    let stack = Stack::start();
    let file = stack.file();
    let upstream = Upstream::start(&file, &[], reflect_at_once).await;
    let secret = random_secret();
    let options = ["--bearer", "--allow", "GET /*"];
    let handle = stack.connect("kept", &upstream.base_url(), &secret, &options);
    let key = stack.owner_key();
    let tokens = file.clients.sdk.tokens(&file);
    let resource = &file.enclave.resource;
    let token = tokens
        .client_credentials(resource, None, &key)
        .await
        .unwrap();
    let session = Enclave::open(&file).await;
    for number in 0..20 {
        let target = format!("/v1/connections/{handle}/{number}");
        let answer = session.call(&target, &token, &key).await;
        assert_eq!(answer.body, format!("<Bearer {REDACTED}>"));
    }
    let forms = [("raw", secret.into_bytes())];
    let mut found = Vec::new();
    let deadline = Instant::now() + GONE_AFTER;
    loop {
        match scan(file.enclave.pid, &forms) {
            Ok(now) => found = now,
            // Root alone can look.
            Err(error) => println!("the enclave cannot be looked into: {error}"),
        }
        if found.is_empty() || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(found.is_empty(), "{found:?}");
    drop(session);
}
