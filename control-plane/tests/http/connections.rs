//! The connections API.
use http::Method;
use serde_json::{Value, json};

use crate::{
    owner::{Party, claims, connection},
    stack::{ENCLAVE, MCP, Reply, Stack, now_s, sha256, unique},
};

const PATH: &str = "/v1/connections";
const ONE: &str = "/v1/connections/ddls:conn:1";

fn rotation(record: &str) -> Value {
    let mut body = connection("x", record, &[]);
    body.as_object_mut()
        .unwrap()
        .retain(|name, _| name != "handle" && name != "name");
    body
}

async fn rotate(stack: &Stack, party: &Party, body: &Value) -> Reply {
    let path = format!("{ONE}/rotate");
    party
        .call(stack, Method::POST, &path, &body.to_string())
        .await
}

#[tokio::test]
async fn create_list_show_rotate_revoke() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let body = connection("ddls:conn:1", "record 1", &[MCP]).to_string();
    let created = alice.call(&stack, Method::POST, PATH, &body).await;
    assert_eq!(created.status, 201);
    let expected =
        json!({ "handle": "ddls:conn:1", "fingerprint": sha256("record 1"), "version": 1 });
    assert_eq!(created.json(), expected);

    let listed = alice.call(&stack, Method::GET, PATH, "").await.json();
    let one = &listed["connections"][0];
    assert_eq!(one["handle"], "ddls:conn:1");
    assert_eq!(one["name"], "notes");
    assert_eq!(one["base_url"], "https://api.example.com/v1");
    assert_eq!(one["servers"], json!([MCP]));
    assert_eq!(one["revoked"], Value::Null);
    assert!(one["created"].as_u64().unwrap() <= now_s());

    let shown = alice
        .call(&stack, Method::GET, "/v1/connections/ddls%3Aconn%3A1", "")
        .await;
    assert_eq!(shown.json()["receipt"], "cmVjZWlwdA==");
    assert_eq!(shown.json()["record"], "cmVjb3JkIDE=");

    let rotated = rotate(&stack, &alice, &rotation("record 2")).await;
    assert_eq!(rotated.json()["version"], 2);
    assert_eq!(rotated.json()["fingerprint"], sha256("record 2"));
    let shown = alice.call(&stack, Method::GET, ONE, "").await.json();
    assert_eq!(
        (&shown["version"], &shown["servers"]),
        (&json!(2), &json!([]))
    );

    for _ in 0..2 {
        let revoked = alice.call(&stack, Method::DELETE, ONE, "").await;
        assert_eq!(revoked.status, 204);
    }
    let shown = alice.call(&stack, Method::GET, ONE, "").await.json();
    assert!(shown["revoked"].as_u64().is_some());
    assert_eq!(shown.get("record").or(shown.get("receipt")), None);
    let rotated = rotate(&stack, &alice, &rotation("record 3")).await;
    assert_eq!(rotated.code(), (410, "CONNECTION_REVOKED".into()));
    let again = alice.connect(&stack, "ddls:conn:1", &[]).await;
    assert_eq!(again.status, 409, "a handle is not used again");
}

#[tokio::test]
async fn the_alias_creates_too() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let body = connection("ddls:conn:1", "record", &[]).to_string();
    let path = "/v1/connections/create";
    let created = alice.call(&stack, Method::POST, path, &body).await;
    assert_eq!(created.status, 201);
}

#[tokio::test]
async fn another_owners_connection_does_not_exist() {
    let stack = Stack::start().await;
    let (alice, bob) = (Party::new("alice"), Party::new("bob"));
    alice.connect(&stack, "ddls:conn:1", &[]).await;
    let nobodys = "/v1/connections/ddls:conn:2";
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/rotate"),
    ] {
        let body = rotation("record").to_string();
        let theirs = bob
            .call(&stack, method.clone(), &format!("{ONE}{suffix}"), &body)
            .await;
        let none = bob
            .call(&stack, method, &format!("{nobodys}{suffix}"), &body)
            .await;
        assert_eq!(theirs.code(), (404, "CONNECTION_NOT_FOUND".into()));
        assert_eq!(theirs.body, none.body);
    }
    let listed = bob.call(&stack, Method::GET, PATH, "").await.json();
    assert_eq!(listed, json!({ "connections": [] }));
    let shown = alice.call(&stack, Method::GET, ONE, "").await.json();
    assert_eq!(shown["revoked"], Value::Null);
}

#[tokio::test]
async fn owners_may_choose_the_same_handle() {
    let stack = Stack::start().await;
    let (alice, bob) = (Party::new("alice"), Party::new("bob"));
    assert_eq!(alice.connect(&stack, "ddls:conn:1", &[]).await.status, 201);
    assert_eq!(bob.connect(&stack, "ddls:conn:1", &[]).await.status, 201);
    assert_eq!(alice.connect(&stack, "ddls:conn:1", &[]).await.status, 409);
    alice.call(&stack, Method::DELETE, ONE, "").await;
    let bobs = bob.call(&stack, Method::GET, ONE, "").await.json();
    assert_eq!(bobs["revoked"], Value::Null);
}

#[tokio::test]
async fn revoked_and_expired_connections_leave_tokens() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    alice.connect(&stack, "ddls:conn:1", &[]).await;
    alice.connect(&stack, "ddls:conn:2", &[]).await;
    let mut short = connection("ddls:conn:3", &unique(), &[]);
    short["expires"] = json!(now_s() + 2);
    alice
        .call(&stack, Method::POST, PATH, &short.to_string())
        .await;
    let handles = async || {
        let token = alice.token(&stack, ENCLAVE).await;
        let claims = claims(&stack, &token, ENCLAVE).await;
        claims.fingerprints.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(handles().await.len(), 3);
    alice.call(&stack, Method::DELETE, ONE, "").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(handles().await, ["ddls:conn:2"]);
}

#[tokio::test]
async fn of_two_rotations_to_one_version_one_is_refused() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    alice.connect(&stack, "ddls:conn:1", &[]).await;
    let to_version_2 = |record| {
        let mut body = rotation(record);
        body["version"] = json!(2);
        body
    };
    assert_eq!(rotate(&stack, &alice, &to_version_2("a")).await.status, 200);
    assert_eq!(rotate(&stack, &alice, &to_version_2("b")).await.status, 409);
    let shown = alice.call(&stack, Method::GET, ONE, "").await.json();
    assert_eq!(shown["fingerprint"], sha256("a"));
}

#[tokio::test]
async fn refuses_malformed_bodies() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let good = connection("ddls:conn:1", "record", &[]);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let cases = [
        with("handle", json!("conn:1")),
        with("handle", json!("ddls:conn:../x")),
        with("name", json!("")),
        with("name", json!("n".repeat(65))),
        with("name", json!("a\nb")),
        with("name", json!("ddls:conn:2")),
        with("record", json!("")),
        with("record", json!("not base64!")),
        with("receipt", json!("")),
        with("base_url", json!("http://api.example.com")),
        with("base_url", json!("https://user@api.example.com")),
        with("servers", json!([""])),
        with("servers", json!(vec!["https://m.example"; 33])),
        with("expires", json!(now_s())),
        with("expires", json!(-1)),
        with("expires", json!(u64::MAX)),
        with("owner", json!("somebody else")),
        json!([]),
    ];
    for body in cases {
        let reply = alice
            .call(&stack, Method::POST, PATH, &body.to_string())
            .await;
        assert_eq!(reply.code(), (400, "INVALID_REQUEST".into()), "{body}");
    }
    let huge = with("record", json!("A".repeat(300 * 1024))).to_string();
    let reply = alice.call(&stack, Method::POST, PATH, &huge).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn an_owners_token_stays_within_bounds() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let expired = format!("ddls:conn:{}", "h".repeat(80));
    let mut short = connection(&expired, &unique(), &[]);
    short["expires"] = json!(now_s() + 1);
    let reply = alice
        .call(&stack, Method::POST, PATH, &short.to_string())
        .await;
    assert_eq!(reply.status, 201);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let mut stored = 0;
    let refused = loop {
        let handle = format!("ddls:conn:{}", "h".repeat(60) + &stored.to_string());
        let reply = alice.connect(&stack, &handle, &[]).await;
        if reply.status != 201 {
            break reply;
        }
        stored += 1;
    };
    assert_eq!(refused.code(), (429, "LIMIT_EXCEEDED".into()));
    let path = format!("{PATH}/{expired}");
    let body = rotation("renewed").to_string();
    let renewed = alice
        .call(&stack, Method::POST, &format!("{path}/rotate"), &body)
        .await;
    assert_eq!(renewed.code(), (429, "LIMIT_EXCEEDED".into()));
    let shown = alice.call(&stack, Method::GET, &path, "").await.json();
    assert_eq!(shown["version"], 1, "a refused rotation changes nothing");
    let token = alice.token(&stack, ENCLAVE).await;
    let claims = claims(&stack, &token, ENCLAVE).await;
    assert_eq!(claims.fingerprints.len(), stored);
}

#[tokio::test]
async fn revoked_connections_take_little_and_are_bounded_in_number() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    alice.connect(&stack, "ddls:conn:1", &[MCP]).await;
    alice.call(&stack, Method::DELETE, ONE, "").await;
    let path = stack.state_dir().join("control-plane.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let kept: (i64, i64) = sqlx::query_as(
        "SELECT length(record) + length(receipt), (SELECT count(*) FROM connection_servers)
         FROM connections",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(kept, (0, 0));
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < 9999)
         INSERT INTO connections SELECT NULL, owner, 'ddls:conn:' || n, org, name, base_url, version,
             'of ' || n, record, receipt, created, expires, revoked FROM connections, numbers",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let last = alice.connect(&stack, "ddls:conn:last", &[]).await;
    assert_eq!(last.status, 201);
    let refused = alice.connect(&stack, "ddls:conn:more", &[]).await;
    assert_eq!(refused.code(), (429, "LIMIT_EXCEEDED".into()));
    let taken = alice.connect(&stack, "ddls:conn:1", &[]).await;
    assert_eq!(taken.status, 409);
}
