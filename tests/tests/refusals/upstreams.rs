//! Upstreams that are not who they should be, or not there, or where nobody may go.
use std::{fs, future::pending};

use bytes::Bytes;
use dauth_simulator::ca::Authority;
use dauth_tests::{Ran, Stack, StackFile, Upstream};
use http::Response;
use http_body_util::Empty;
use tokio::net::TcpListener;

use crate::scene::{SECRET, answer, assert_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn upstreams_that_are_not_who_they_should_be_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let map = "127.0.0.1 api.test other.test\n10.0.0.1 private.test\n169.254.169.254 metadata.test\n\
               100.64.0.1 cgnat.test\n::ffff:10.0.0.1 mapped.test\nfd00::1 local6.test\n64:ff9b::a00:1 nat64.test\n";
    fs::write(&hosts, map).unwrap();
    let stack = Stack::start_with(&["--hosts", hosts.to_str().unwrap()]);
    let file = stack.file();
    let options = ["--bearer", "--allow", "GET /ok", "--timeout", "1s"];
    let connect = |base_url: &str| stack.connect("upstream", base_url, SECRET, &options);
    let call = |base_url: &str| stack.dauth(&["call", &connect(base_url), "GET", "/ok"]);

    let upstream = Upstream::start(&file, &["api.test"], answer).await;
    let ran = call(&upstream.base_url_as("api.test"));
    assert_eq!(ran.stdout, "done", "a mapped name works: {ran:?}");

    // A certificate of nobody we know, or for another name; no TLS at all.
    let unknown = Authority::create(dauth_simulator::UPSTREAM_CA_NAME).unwrap();
    let impostor = Upstream::start_with_authority(&unknown, &["api.test"], answer).await;
    for base_url in [
        impostor.base_url(),
        impostor.base_url_as("api.test"),
        upstream.base_url_as("other.test"),
    ] {
        assert_refused(&call(&base_url), "DOWNSTREAM_TLS_ERROR", "certificate");
    }
    assert!(impostor.requests().is_empty());
    assert_eq!(upstream.requests().len(), 1);

    addresses_that_are_not_dialled(&file, call).await;

    // Nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_refused(
        &call(&format!("https://{closed}")),
        "DOWNSTREAM_UNREACHABLE",
        "",
    );
    assert_refused(
        &call("https://does-not-exist.invalid"),
        "DOWNSTREAM_UNREACHABLE",
        "",
    );

    // Someone who never answers: neither the handshake nor the request.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", mute.local_addr().unwrap());
    assert_refused(&call(&base_url), "DOWNSTREAM_TIMEOUT", "");
    let slow = Upstream::start(&file, &[], |_| pending::<Response<Empty<Bytes>>>()).await;
    assert_refused(&call(&slow.base_url()), "DOWNSTREAM_TIMEOUT", "");
    assert_eq!(slow.requests().len(), 1);
}

/// Names and numbers of the operator's network: the parent refuses, and counts what it refused.
async fn addresses_that_are_not_dialled(file: &StackFile, call: impl Fn(&str) -> Ran) {
    let before = [
        metric(file, "egress_tunnels_total").await,
        metric(file, "egress_refused_total").await,
    ];
    let refused = [
        "https://private.test",
        "https://metadata.test",
        "https://cgnat.test",
        "https://mapped.test",
        "https://local6.test",
        "https://nat64.test",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://192.168.1.1:8443",
    ];
    for base_url in refused {
        let ran = call(base_url);
        assert_refused(&ran, "", "");
        let is_refused = ["DOWNSTREAM_UNREACHABLE", "POLICY_DENIED"]
            .iter()
            .any(|code| ran.stderr.contains(code));
        assert!(is_refused, "{base_url}: {ran:?}");
    }
    let after = [
        metric(file, "egress_tunnels_total").await,
        metric(file, "egress_refused_total").await,
    ];
    let difference = [after[0] - before[0], after[1] - before[1]];
    assert_eq!(difference, [0, refused.len()], "nothing was dialled");
}

async fn metric(file: &StackFile, name: &str) -> usize {
    let url = file.parent.metrics.parse().unwrap();
    let text = dauth_tests::get(url).await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("dauth_parent_{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {text}"))
        .parse()
        .unwrap()
}
