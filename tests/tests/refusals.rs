//! What is refused: each with its code, and a sentence that says why.
use std::{fs, future::pending};

use bytes::Bytes;
use dauth_dispatch::{AccessToken, CallBody, CallError, CallRequest, DpopKey, EnclaveClient};
use dauth_protocol::Code;
use dauth_simulator::ca::Authority;
use dauth_tests::{Client, Enclave, Ran, Request, Stack, StackFile, Stored, Upstream, Vault};
use http::{HeaderMap, Method, Response};
use http_body_util::{Empty, Full};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

const SECRET: &str = "sk-0123456789abcdef";

async fn answer(_: Request) -> Response<Full<Bytes>> {
    Response::new(Full::from("done"))
}

/// Asserts exit status 1, the code, and a sentence that holds `words`; no secret, no panic.
#[track_caller]
fn assert_refused(ran: &Ran, code: &str, words: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.starts_with("dauth: "), "{ran:?}");
    assert!(
        ran.stderr.contains(code) && ran.stderr.contains(words),
        "{code}, {words}: {ran:?}"
    );
    assert_eq!(
        ran.stderr.trim_end().lines().count(),
        1,
        "one sentence: {ran:?}"
    );
    assert!(ran.stdout.is_empty(), "{ran:?}");
    assert!(!ran.stderr.contains(SECRET), "{ran:?}");
}

fn target(handle: &str) -> String {
    format!("/v1/connections/{handle}/ok")
}

/// A stack, an upstream, and a connection to it that the demo MCP server may use for `GET /ok`.
struct Scene {
    stack: Stack,
    file: StackFile,
    upstream: Upstream,
    handle: String,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start();
        let file = stack.file();
        let upstream = Upstream::start(&file, &[], answer).await;
        let resource = &file.clients.mcp.resource;
        let options = ["--bearer", "--allow", "GET /ok", "--server", resource];
        let handle = stack.connect("scene", &upstream.base_url(), SECRET, &options);
        Self {
            stack,
            file,
            upstream,
            handle,
        }
    }

    fn call(&self) -> Ran {
        self.stack.dauth(&["call", &self.handle, "GET", "/ok"])
    }

    #[track_caller]
    fn assert_works(&self) {
        let ran = self.call();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "done"), "{ran:?}");
    }

    /// The owner's token for `resource`, bound to `key`.
    async fn owners_token(&self, resource: &str, key: &DpopKey) -> AccessToken {
        let tokens = self.file.clients.sdk.tokens(&self.file);
        tokens
            .client_credentials(resource, None, key)
            .await
            .unwrap()
    }
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_and_proofs_that_do_not_belong_to_the_call() {
    let scene = Scene::set().await;
    let file = &scene.file;
    let enclave = Enclave::open(file).await;
    let key = scene.stack.owner_key();
    let target = target(&scene.handle);
    let token = scene.owners_token(&file.enclave.resource, &key).await;
    assert_eq!(enclave.call(&target, &token, &key).await.body, "done");

    let dpop = format!("DPoP {}", token.expose());
    let proof = |nonce: Option<&str>| enclave.proof(&key, &token, ("GET", &target), nonce);
    let with = |authorization: String, proof: String| {
        let (enclave, target) = (&enclave, &target);
        async move {
            let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
            enclave.send("GET", target, &fields).await
        }
    };

    // A proof is good for one request, on this session or another.
    let used = proof(Some(&enclave.nonce()));
    assert_eq!(with(dpop.clone(), used.clone()).await.status, 200);
    with(dpop.clone(), used.clone())
        .await
        .assert_refused(Code::InvalidToken, "used before");
    let again = Enclave::open(file).await;
    let fields = [("authorization", dpop.as_str()), ("dpop", &used)];
    again
        .send("GET", &target, &fields)
        .await
        .assert_refused(Code::InvalidToken, "used before");

    // A bound token is no bearer token, and nothing without a proof.
    let bearer = format!("Bearer {}", token.expose());
    let fresh = || proof(Some(&enclave.nonce()));
    with(bearer.clone(), fresh())
        .await
        .assert_refused(Code::InvalidToken, "Bearer");
    let alone = enclave
        .send("GET", &target, &[("authorization", &bearer)])
        .await;
    alone.assert_refused(Code::InvalidToken, "Bearer");
    let alone = enclave
        .send("GET", &target, &[("authorization", &dpop)])
        .await;
    alone.assert_refused(Code::InvalidToken, "proof");
    enclave
        .send("GET", &target, &[])
        .await
        .assert_refused(Code::InvalidToken, "Authorization");
    let twice = [
        ("authorization", dpop.as_str()),
        ("authorization", &dpop),
        ("dpop", &fresh()),
    ];
    enclave
        .send("GET", &target, &twice)
        .await
        .assert_refused(Code::InvalidToken, "more than one");

    // Without a nonce of this very enclave, and with what it answers.
    for stale in [None, Some("AAAA")] {
        let refused = with(dpop.clone(), proof(stale)).await;
        refused.assert_refused(Code::UseDpopNonce, "nonce");
        let nonce = refused.headers["dpop-nonce"].to_str().unwrap();
        assert_eq!(with(dpop.clone(), proof(Some(nonce))).await.status, 200);
    }

    // For another method, another address, another token; by another key.
    let nonce = || enclave.nonce();
    let other = enclave.proof(&key, &token, ("POST", &target), Some(&nonce()));
    with(dpop.clone(), other)
        .await
        .assert_refused(Code::InvalidToken, "another method");
    let elsewhere = target.replace("/ok", "/other");
    let other = enclave.proof(&key, &token, ("GET", &elsewhere), Some(&nonce()));
    with(dpop.clone(), other)
        .await
        .assert_refused(Code::InvalidToken, "another URI");
    let second = scene.owners_token(&file.enclave.resource, &key).await;
    let other = enclave.proof(&key, &second, ("GET", &target), Some(&nonce()));
    with(dpop.clone(), other)
        .await
        .assert_refused(Code::InvalidToken, "not for this access token");
    let stranger = DpopKey::generate().unwrap();
    let other = enclave.call(&target, &token, &stranger).await;
    other.assert_refused(Code::InvalidToken, "another key");

    // For another audience: the issuer itself, and the MCP server.
    for audience in [&file.issuer, &file.clients.mcp.resource] {
        let token = scene.owners_token(audience, &key).await;
        let refused = enclave.call(&target, &token, &key).await;
        refused.assert_refused(Code::InvalidToken, "another resource");
    }
    let (head, signature) = token.expose().rsplit_once('.').unwrap();
    let forged = AccessToken::new(format!(
        "{head}.{}",
        signature.chars().rev().collect::<String>()
    ));
    let refused = enclave.call(&target, &forged, &key).await;
    refused.assert_refused(Code::InvalidToken, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn others_cannot_use_an_owners_connection() {
    let scene = Scene::set().await;
    let file = &scene.file;
    let call = ["call", &scene.handle, "GET", "/ok"];

    // Another owner: to it the handle is one that does not exist.
    let other = &file.clients.mcp.client;
    let key = DpopKey::generate().unwrap();
    let missing = "ddls:conn:00000000-0000-7000-8000-000000000000";
    let mut sentences = [call[1], missing].map(|handle| {
        let ran = scene
            .stack
            .dauth_as(other, &key, &["call", handle, "GET", "/ok"]);
        assert_refused(
            &ran,
            "CONNECTION_NOT_FOUND",
            "does not name this connection",
        );
        for arguments in [
            &["connections", "show", handle][..],
            &["connections", "revoke", handle],
        ] {
            let ran = scene.stack.dauth_as(other, &key, arguments);
            assert_refused(&ran, "", "there is no connection");
        }
        ran.stderr
    });
    sentences.sort();
    assert_eq!(
        sentences[0], sentences[1],
        "nothing tells whether a handle exists"
    );
    let listed = scene
        .stack
        .dauth_as(other, &key, &["connections", "list", "--json"]);
    assert!(!listed.stdout.contains(&scene.handle), "{listed:?}");

    // The owner's client, with another key than the one sealed in the record.
    let refused = scene.stack.dauth_as(&file.clients.sdk, &key, &call);
    assert_refused(&refused, "POLICY_DENIED", "another key");
    let nobody = Client {
        client_id: "sdk".to_owned(),
        client_secret: "guess".to_owned(),
    };
    assert_refused(
        &scene.stack.dauth_as(&nobody, &key, &call),
        "invalid_client",
        "",
    );
    scene.assert_works();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_mcp_server_is_held_to_its_key_and_its_own_tokens() {
    let scene = Scene::set().await;
    let file = &scene.file;
    let enclave = file.enclave.resource.as_str();
    let server = file.clients.mcp.client.tokens(file);
    let client_key = DpopKey::generate().unwrap();
    let subject = scene
        .owners_token(&file.clients.mcp.resource, &client_key)
        .await;

    // With the pinned key it works; the very same with another one does not.
    let pinned = scene.stack.mcp_server_key();
    let token = server
        .exchange(subject.expose(), enclave, None, &pinned)
        .await
        .unwrap();
    let called = call(file, &scene.handle, "/ok", &token, &pinned)
        .await
        .unwrap();
    assert_eq!(called.status(), 200);
    let other = DpopKey::generate().unwrap();
    let token = server
        .exchange(subject.expose(), enclave, None, &other)
        .await
        .unwrap();
    let refused = call(file, &scene.handle, "/ok", &token, &other)
        .await
        .unwrap_err();
    assert_code(&refused, Code::PolicyDenied, "not the one pinned");

    // A connection that does not name the server is not in its token.
    let base_url = scene.upstream.base_url();
    let private = scene.stack.connect(
        "private",
        &base_url,
        SECRET,
        &["--bearer", "--allow", "GET /ok"],
    );
    let subject = scene
        .owners_token(&file.clients.mcp.resource, &client_key)
        .await;
    let token = server
        .exchange(subject.expose(), enclave, None, &pinned)
        .await
        .unwrap();
    let refused = call(file, &private, "/ok", &token, &pinned)
        .await
        .unwrap_err();
    assert_code(&refused, Code::ConnectionNotFound, "does not name");

    // What is not its own it cannot exchange: an owner's tokens, or what an exchange returned.
    let owners = scene.stack.owner_key();
    for audience in [enclave, file.issuer.as_str()] {
        let foreign = scene.owners_token(audience, &owners).await;
        let refused = server
            .exchange(foreign.expose(), enclave, None, &pinned)
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("another resource"),
            "{refused}"
        );
    }
    let refused = server
        .exchange(token.expose(), enclave, None, &pinned)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("another resource"),
        "{refused}"
    );
    // Nor for another audience than the enclave, nor can a client that is no server.
    let refused = server
        .exchange(subject.expose(), &file.issuer, None, &pinned)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("invalid_target"), "{refused}");
    let sdk = file.clients.sdk.tokens(file);
    let refused = sdk
        .exchange(subject.expose(), enclave, None, &owners)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("not registered as an MCP server"),
        "{refused}"
    );
    // The subject token itself opens nothing at the enclave.
    let refused = call(file, &scene.handle, "/ok", &subject, &client_key)
        .await
        .unwrap_err();
    assert_code(&refused, Code::InvalidToken, "another resource");
}

async fn call(
    file: &StackFile,
    handle: &str,
    path: &str,
    token: &AccessToken,
    key: &DpopKey,
) -> Result<Response<hyper::body::Incoming>, CallError> {
    let request = CallRequest {
        handle: handle.parse().unwrap(),
        method: Method::GET,
        path_and_query: path.to_owned(),
        headers: HeaderMap::new(),
        body: CallBody::Bytes(Bytes::new()),
    };
    EnclaveClient::new(&file.parent.ingress, file.expectations())
        .call(request, token, key)
        .await
}

#[track_caller]
fn assert_code(error: &CallError, code: Code, words: &str) {
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_vault_that_alters_or_holds_back_records() {
    let scene = Scene::set().await;
    let enclave = Enclave::open(&scene.file).await;
    let key = scene.stack.owner_key();
    let target = target(&scene.handle);
    let mut vault = Vault::open(&scene.file).await;
    let first = vault.get(&scene.handle).await;

    // One bit, in every part of the record: with the honest fingerprint, and with one to match.
    let token = scene.owners_token(&scene.file.enclave.resource, &key).await;
    for at in (0..first.record.len()).step_by(5) {
        let mut changed = first.clone();
        changed.record[at] ^= 1 << (at % 8);
        vault.put(&scene.handle, &changed).await;
        let refused = enclave.call(&target, &token, &key).await;
        refused.assert_refused(Code::DecryptionFailed, "not the one that the token names");
    }
    assert_refused(&scene.call(), "DECRYPTION_FAILED", "");
    for at in (0..first.record.len()).step_by(41) {
        let mut record = first.record.clone();
        record[at] ^= 1 << (at % 8);
        let fingerprint = hex::encode(Sha256::digest(&record));
        vault
            .put(
                &scene.handle,
                &Stored {
                    record,
                    fingerprint,
                },
            )
            .await;
        let token = scene.owners_token(&scene.file.enclave.resource, &key).await;
        let refused = enclave.call(&target, &token, &key).await;
        assert_eq!(
            refused.code.as_deref(),
            Some("DECRYPTION_FAILED"),
            "byte {at}: {refused:?}"
        );
    }
    vault.put(&scene.handle, &first).await;
    scene.assert_works();

    another_record_in_its_place(&scene, &mut vault).await;
    an_old_record_served_again(&scene, &mut vault, &first).await;
    revoked_is_revoked(&scene).await;
}

/// A record of the same owner, under another handle.
async fn another_record_in_its_place(scene: &Scene, vault: &mut Vault) {
    let base_url = scene.upstream.base_url();
    let other = scene.stack.connect(
        "other",
        &base_url,
        SECRET,
        &["--bearer", "--allow", "GET /**"],
    );
    let (mine, theirs) = (vault.get(&scene.handle).await, vault.get(&other).await);
    let parked = Stored {
        fingerprint: "0".repeat(64),
        ..theirs.clone()
    };
    vault.put(&other, &parked).await;
    vault.put(&scene.handle, &theirs).await;
    assert_refused(&scene.call(), "DECRYPTION_FAILED", "another connection's");
    vault.put(&scene.handle, &mine).await;
    vault.put(&other, &theirs).await;
}

async fn an_old_record_served_again(scene: &Scene, vault: &mut Vault, first: &Stored) {
    let rotate = ["connections", "rotate", &scene.handle];
    let rotated = scene
        .stack
        .dauth_with_input(&rotate, b"sk-fedcba9876543210");
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let second = vault.get(&scene.handle).await;
    assert_ne!(first.fingerprint, second.fingerprint);
    scene.assert_works();
    let sent = scene.upstream.requests().pop().unwrap();
    assert_eq!(sent.headers["authorization"], "Bearer sk-fedcba9876543210");

    let before = scene.upstream.requests().len();
    let blob_alone = Stored {
        record: first.record.clone(),
        ..second.clone()
    };
    vault.put(&scene.handle, &blob_alone).await;
    assert_refused(
        &scene.call(),
        "DECRYPTION_FAILED",
        "not the one that the token names",
    );
    // The control plane is in it, too: it puts the old fingerprint into tokens.
    vault.put(&scene.handle, first).await;
    assert_refused(&scene.call(), "DECRYPTION_FAILED", "older version");
    assert_eq!(
        scene.upstream.requests().len(),
        before,
        "the old secret went nowhere"
    );
    vault.put(&scene.handle, &second).await;
    scene.assert_works();
}

/// For a token of before as for one of after.
async fn revoked_is_revoked(scene: &Scene) {
    let enclave = Enclave::open(&scene.file).await;
    let key = scene.stack.owner_key();
    let earlier = scene.owners_token(&scene.file.enclave.resource, &key).await;
    let revoked = scene.stack.dauth(&["connections", "revoke", &scene.handle]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    let refused = enclave.call(&target(&scene.handle), &earlier, &key).await;
    refused.assert_refused(Code::ConnectionRevoked, "revoked");
    assert_refused(&scene.call(), "CONNECTION_REVOKED", "revoked");
    let rotate = ["connections", "rotate", &scene.handle];
    let ran = scene.stack.dauth_with_input(&rotate, SECRET.as_bytes());
    assert_refused(&ran, "", "revoked");
}

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
