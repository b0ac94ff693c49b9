//! Records for the parent.
use http::Method;

use crate::{
    owner::{Party, connection},
    stack::{HOST_CREDENTIAL, Reply, Stack, sha256},
};

async fn fetch(stack: &Stack, fingerprint: &str, credential: &str) -> Reply {
    let authorization = format!("Bearer {credential}");
    let path = format!("/internal/records/{fingerprint}");
    let fields = [("authorization", authorization.as_str())];
    stack.send(Method::GET, &path, &fields, "").await
}

async fn with_record(record: &str) -> (Stack, Party) {
    let (stack, alice) = (Stack::start().await, Party::new("alice"));
    let body = connection("ddls:conn:1", record, &[]).to_string();
    let reply = alice
        .call(&stack, Method::POST, "/v1/connections", &body)
        .await;
    assert_eq!(reply.status, 201);
    (stack, alice)
}

#[tokio::test]
async fn gives_a_record_as_it_is_stored_until_it_is_revoked() {
    let (stack, alice) = with_record("record").await;
    let fingerprint = sha256("record");
    let reply = fetch(&stack, &fingerprint, HOST_CREDENTIAL).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.as_slice()),
        (200, &b"record"[..])
    );
    assert_eq!(reply.field("content-type"), "application/cose");
    let unknown = fetch(&stack, &sha256("other"), HOST_CREDENTIAL).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(fetch(&stack, "x", HOST_CREDENTIAL).await.status, 404);
    alice
        .call(&stack, Method::DELETE, "/v1/connections/ddls:conn:1", "")
        .await;
    assert_eq!(
        fetch(&stack, &fingerprint, HOST_CREDENTIAL).await.status,
        410
    );
}

#[tokio::test]
async fn refuses_everybody_else() {
    let (stack, alice) = with_record("record").await;
    let path = format!("/internal/records/{}", sha256("record"));
    assert_eq!(stack.get(&path).await.status, 401);
    assert_eq!(fetch(&stack, &sha256("record"), "guess").await.status, 401);
    assert_eq!(fetch(&stack, &sha256("record"), "").await.status, 401);
    let reply = alice.call(&stack, Method::GET, &path, "").await;
    assert_eq!(
        reply.status, 401,
        "an owner's token is not the parent's credential"
    );
    assert_eq!(fetch(&stack, "nothing", "guess").await.status, 401);
}

/// The vault neither hashes nor hides what somebody wrote into it: noticing is the enclave's part.
#[tokio::test]
async fn returns_changed_bytes_under_the_stored_fingerprint() {
    use dauth_control_plane::{RECORD_COLUMN, RECORD_TABLE};
    let (stack, _) = with_record("record").await;
    let path = stack.state_dir().join("control-plane.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let change = format!("UPDATE {RECORD_TABLE} SET {RECORD_COLUMN} = X'00'");
    sqlx::query(sqlx::AssertSqlSafe(change))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let reply = fetch(&stack, &sha256("record"), HOST_CREDENTIAL).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.as_slice()),
        (200, &[0][..])
    );
}
