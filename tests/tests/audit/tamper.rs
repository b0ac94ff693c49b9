//! Whatever is done to fetched receipts is found, and said in one sentence.
use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use dauth_dispatch::{ResourceClient, web::SecureUrl};
use dauth_tests::Ran;
use http::Method;
use serde_json::{Value, json};

use crate::scene::Scene;

const CALLS: usize = 6;

/// Asserts exit status 1 and one sentence on standard error that holds `words`.
#[track_caller]
fn assert_found(ran: &Ran, words: &str) {
    assert_eq!(ran.code, 1, "{words}: {ran:?}");
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.starts_with("dauth: "), "{ran:?}");
    assert!(ran.stderr.contains("receipts.json: "), "{ran:?}");
    assert!(ran.stderr.contains(words), "{words}: {ran:?}");
}

fn flipped(base64: &Value) -> Value {
    let mut bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    STANDARD.encode(bytes).into()
}

type Change = fn(&mut Value);

/// What may be done to a page, and a part of the sentence that says so.
const CHANGES: [(Change, &str); 16] = [
    (
        |page| page["receipts"][2]["receipt"] = flipped(&page["receipts"][2]["receipt"]),
        "was changed",
    ),
    (
        |page| page["receipts"][2]["status"] = json!(201),
        "`status` is not what the enclave signed for",
    ),
    (
        |page| page["receipts"][2]["method"] = json!("POST"),
        "`method` is not what",
    ),
    (
        |page| page["receipts"][2]["started_ms"] = json!(1),
        "`started_ms` is not what",
    ),
    (
        |page| page["receipts"][2]["outcome"] = json!("unanswered"),
        "receipt number 3 on page 1",
    ),
    (
        |page| page["receipts"][2]["note"] = json!("seen"),
        "there is no field `note`",
    ),
    (
        |page| drop(page["receipts"][2].as_object_mut().unwrap().remove("owner")),
        "missing field `owner`",
    ),
    (
        |page| drop(array(page, "receipts").remove(0)),
        "a gap: no receipt of call 1 of connection",
    ),
    (
        |page| drop(array(page, "receipts").remove(2)),
        "a gap: no receipt of call 3 of connection",
    ),
    (
        |page| drop(array(page, "receipts").pop()),
        "no receipt is shown",
    ),
    (|page| array(page, "receipts").clear(), "no receipt"),
    (
        |page| array(page, "receipts").swap(1, 2),
        "stands after a later one",
    ),
    (
        |page| drop(array(page, "batches").remove(0)),
        "no valid batch vouches for",
    ),
    (
        |page| page["batches"][0]["head"] = flipped(&page["batches"][0]["head"]),
        "the batch at number 1 on page 1",
    ),
    (
        |page| page["batches"][0]["digests"][0] = json!("00".repeat(32)),
        "do not lead to the head",
    ),
    (
        |page| page["next"] = json!("0000000000000007"),
        "it is not all",
    ),
];

fn array<'a>(page: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    page[name].as_array_mut().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_receipts_is_found() {
    let scene = Scene::set().await;
    for _ in 1..CALLS {
        scene.called();
    }
    scene.arrived(CALLS - 1);
    // The last one stands in a batch of its own.
    scene.called();
    scene.arrived(CALLS);
    let handle = scene.handle.as_str();
    let text = scene.fetched(&["--handle", handle]);
    let ran = scene.verified(&text, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for words in [
        handle,
        "6 receipts are signed for",
        "integrity, not completeness",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {ran:?}");
    }

    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["receipts"].as_array().unwrap().len(), CALLS);
    for (change, words) in CHANGES {
        let mut changed = page.clone();
        change(&mut changed);
        assert_found(&scene.verified(&changed.to_string(), &[]), words);
    }
    // In pieces of text.
    for (length, words) in [
        (0, "it is empty"),
        (1, "not JSON"),
        (text.len() - 9, "not JSON"),
    ] {
        assert_found(&scene.verified(&text[..length], &[]), words);
    }
    let problem = r#"{"code":"INVALID_TOKEN","status":401}"#;
    assert_found(
        &scene.verified(problem, &[]),
        "page 1 is not one of receipts",
    );

    // What was found is in the report as well.
    let mut changed = page.clone();
    array(&mut changed, "receipts").remove(2);
    let ran = scene.verified(&changed.to_string(), &["--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &report["holds"]), (1, &json!(false)));
    let kinds: Vec<&str> = (report["findings"].as_array().unwrap().iter())
        .map(|finding| finding["finding"].as_str().unwrap())
        .collect();
    // And "unused" between them, where it had a batch of its own.
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("calls", "kept_back"));

    pages_as_a_web_client_saves_them(&scene).await;
    later_and_without_the_enclave(scene, &text);
}

async fn pages_as_a_web_client_saves_them(scene: &Scene) {
    let file = scene.stack.file();
    let key = scene.stack.owner_key();
    let tokens = file.clients.sdk.tokens(&file);
    let token = tokens.client_credentials(&file.issuer, None, &key).await;
    let (token, web) = (token.unwrap(), ResourceClient::new().unwrap());
    let mut pages: Vec<String> = Vec::new();
    let mut after = String::new();
    loop {
        let url = format!("{}/v1/receipts?limit=4{after}", file.issuer);
        let url = SecureUrl::parse(&url).unwrap();
        let reply = web.send(Method::GET, &url, None, &token, &key).await;
        let text = String::from_utf8(reply.unwrap().body.to_vec()).unwrap();
        let page: Value = serde_json::from_str(&text).unwrap();
        pages.push(text);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(pages.len() >= 3, "{}", pages.len());
    let forms = [
        pages.concat(),
        pages.join("\n"),
        format!("[{}]", pages.join(",")),
        format!("[{}]\n{}", pages[0], pages[1..].concat()),
    ];
    for form in forms {
        let ran = scene.verified(&form, &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    // One of several is not all: it says so, unless it need not be.
    let (first, last) = (&pages[0], &pages[pages.len() - 1]);
    assert_found(&scene.verified(first, &[]), "");
    assert_found(&scene.verified(last, &[]), "before the first one shown");
    for page in &pages {
        let ran = scene.verified(page, &["--partial"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let ran = scene
        .stack
        .dauth_with_input(&["audit", "verify", "-"], pages.concat().as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    let since = scene.fetched(&["--since", "1h"]);
    assert_eq!(scene.verified(&since, &["--partial"]).code, 0);
}

/// Evidence that was kept vouches for receipts of its time, when nothing runs any more.
fn later_and_without_the_enclave(mut scene: Scene, text: &str) {
    let evidence = scene.stack.dir().join("evidence.json");
    let evidence = evidence.to_str().unwrap().to_owned();
    scene.fetched(&["--evidence", &evidence]);
    scene.stack.stop();
    let ran = scene.verified(text, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = scene.verified(text, &["--evidence", &evidence]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = scene.verified(
        text,
        &["--evidence", &evidence, "--at", "2020-01-01T00:00:00Z"],
    );
    assert!(
        ran.code == 1 && ran.stderr.contains("evidence.json: "),
        "{ran:?}"
    );
    let ran = scene.verified(text, &["--at", "2020-01-01T00:00:00Z"]);
    assert_eq!(ran.code, 2, "{ran:?}");

    let kept: Value = serde_json::from_str(&fs::read_to_string(&evidence).unwrap()).unwrap();
    for part in ["document", "key_configuration"] {
        let mut changed = kept.clone();
        changed[part] = flipped(&changed[part]);
        let changed = scene.file("changed.json", &changed.to_string());
        let ran = scene.verified(text, &["--evidence", changed.to_str().unwrap()]);
        assert!(
            ran.code == 1 && ran.stderr.contains("changed.json: "),
            "{ran:?}"
        );
    }
}
