//! Other owners, other keys, and MCP servers that overreach.
use bytes::Bytes;
use dauth_dispatch::{AccessToken, CallBody, CallError, CallRequest, DpopKey, EnclaveClient};
use dauth_protocol::Code;
use dauth_tests::{Client, StackFile};
use http::{HeaderMap, Method, Response};

use crate::scene::{SECRET, Scene, assert_refused};

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
