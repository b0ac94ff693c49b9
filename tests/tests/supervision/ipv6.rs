//! Upstreams that have IPv6 alone: by number and by name, with a body both ways.
use std::fs;

use dauth_tests::{Stack, Upstream};
use http::Response;
use http_body_util::Full;

const SECRET: &str = "ipv6-secret-0123456789";
/// Several TLS records and reads.
const BODY_BYTES: usize = 150_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_has_ipv6_alone_is_called_by_number_and_by_name() {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    fs::write(hosts.path(), "::1 ipv6.test\n").unwrap();
    let stack = Stack::start_with(&["--hosts", hosts.path().to_str().unwrap()]);
    let upstream = Upstream::start_ipv6(&stack.file(), &["ipv6.test"], |request| async move {
        Response::new(Full::new(request.body))
    })
    .await;
    let sent = "x".repeat(BODY_BYTES);
    for (name, base_url) in [
        ("number", upstream.base_url()),
        ("name", upstream.base_url_as("ipv6.test")),
    ] {
        let options = ["--bearer", "--allow", "POST /**"];
        let handle = stack.connect(name, &base_url, SECRET, &options);
        let arguments = ["call", &handle, "POST", "/echo", "--data", "-"];
        let ran = stack.dauth_with_input(&arguments, sent.as_bytes());
        assert_eq!(ran.code, 0, "{base_url}: {}", ran.stderr);
        assert_eq!(ran.stdout.len(), sent.len(), "{base_url}");
        let arrived = upstream.requests().pop().unwrap();
        assert_eq!(arrived.headers["authorization"], format!("Bearer {SECRET}"));
        let host = base_url.strip_prefix("https://").unwrap();
        assert_eq!(arrived.headers["host"], host);
    }
    assert!(upstream.base_url().starts_with("https://[::1]:"));
}
