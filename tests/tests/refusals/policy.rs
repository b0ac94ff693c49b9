//! The sealed policy, and secrets that cannot be protected.
use crate::scene::{SECRET, Scene, assert_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_sealed_policy_does_not_allow() {
    let scene = Scene::set().await;
    scene.assert_works();
    let before = scene.upstream.requests().len();
    for (method, path) in [
        ("POST", "/ok"),
        ("GET", "/"),
        ("GET", "/OK"),
        ("GET", "/ok/"),
        ("GET", "/ok/more"),
    ] {
        let ran = scene.stack.dauth(&["call", &scene.handle, method, path]);
        assert_refused(&ran, "POLICY_DENIED", "no rule");
    }
    for path in [
        "/../ok",
        "/./ok",
        "//ok",
        "/ok//",
        "/%2e%2e/ok",
        "/ok%2f",
        "/ok%00",
        "/ok;x",
        "/%ff",
        "/ok%0d%0aX:1",
        "/%6",
    ] {
        let ran = scene.stack.dauth(&["call", &scene.handle, "GET", path]);
        assert_refused(&ran, "INVALID_REQUEST", "path");
    }
    for path in ["ok", "/ok#x", "/o k", "https://evil.test/ok"] {
        let ran = scene.stack.dauth(&["call", &scene.handle, "GET", path]);
        assert_refused(&ran, "", "path must begin with /");
    }
    assert_eq!(scene.upstream.requests().len(), before, "nothing was sent");

    let arguments = [
        "connect",
        "closed",
        "--base-url",
        &scene.upstream.base_url(),
        "--bearer",
    ];
    let connected = scene.stack.dauth_with_input(&arguments, SECRET.as_bytes());
    assert_eq!(connected.code, 0);
    assert!(
        connected.stderr.contains("nothing is allowed"),
        "{connected:?}"
    );
    let handle = connected.stdout.trim_end();
    assert!(handle.starts_with("ddls:conn:") && connected.stdout.lines().count() == 1);
    assert_refused(
        &scene.stack.dauth(&["call", handle, "GET", "/ok"]),
        "POLICY_DENIED",
        "no rule",
    );

    for short in ["", "x", "0123456789abcde", "0123456789abcde\n"] {
        let arguments = [&arguments[..], &["--allow", "GET /ok"]].concat();
        let ran = scene.stack.dauth_with_input(&arguments, short.as_bytes());
        let words = if short.is_empty() {
            "must have"
        } else {
            "16 bytes"
        };
        assert_refused(&ran, "", words);
    }
}
