//! How much is kept, and for how long.
use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_host_cannot_fill_the_disk() {
    let stack = Stack::start().await;
    let Parties { alice, a, .. } = parties(&stack).await;
    let stack = stack.restart_with(|c| c.receipts.max_mib = 1).await;
    let mut chain = Chain::new(1);
    let mut stored = 0;
    let refused = loop {
        let batch = chain.of_one(&a, ONE, 128);
        match post(&stack, &batch).await {
            204 => stored += 128,
            status => break (status, batch),
        }
        assert!(stored < 10_000, "there is no bound");
    };
    assert_eq!(refused.0, 507);
    let first = page(&stack, &alice, "?limit=1").await;
    assert_eq!(sequences(&first), [1], "what is stored stays");
    let connected = alice.connect(&stack, TWO, &[]).await;
    assert_eq!(connected.status, 201, "and connections are made");
    let text = String::from_utf8(stack.get("/metrics").await.body).unwrap();
    assert!(text.contains("receipt_batches_put_off_total 1\n"), "{text}");
    let stack = stack.restart().await;
    assert_eq!(post(&stack, &refused.1).await, 204, "there is room again");
}

#[tokio::test]
async fn an_owner_who_has_too_many_gets_no_more_in_full() {
    let stack = Stack::start().await;
    let Parties { bob, a, b, .. } = parties(&stack).await;
    let stack = stack.restart_with(|c| c.receipts.max_owner_mib = 1).await;
    let mut chain = Chain::new(1);
    for _ in 0..24 {
        assert_eq!(post(&stack, &chain.of_one(&a, ONE, 128)).await, 204);
    }
    assert_eq!(post(&stack, &chain.of_one(&b, ONE, 1)).await, 204);
    assert_eq!(sequences(&page(&stack, &bob, "").await), [24 * 128 + 1]);
    let text = String::from_utf8(stack.get("/metrics").await.body).unwrap();
    let none = "dauth_control_plane_receipts_digests_alone_total 0\n";
    assert!(text.contains("receipts_digests_alone_total"), "{text}");
    assert!(!text.contains(none), "{text}");
}

#[tokio::test]
async fn old_receipts_are_removed_by_the_running_program() {
    let stack = Stack::start().await;
    let Parties { alice, a, .. } = parties(&stack).await;
    let mut chain = Chain::new(1);
    assert_eq!(post(&stack, &chain.of_one(&a, ONE, 3)).await, 204);
    let path = stack.state_dir().join("control-plane.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE receipt_batches SET received = received - 90 * 86400 - 1")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    assert_eq!(post(&stack, &chain.of_one(&a, ONE, 1)).await, 204);
    // It looks when it starts.
    let stack = stack.restart().await;
    let metric = "dauth_control_plane_receipts_removed_total 3\n";
    let removed = async {
        loop {
            let text = String::from_utf8(stack.get("/metrics").await.body).unwrap();
            if text.contains(metric) {
                break;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), removed).await;
    assert!(in_time.is_ok(), "they were not removed");
    assert_eq!(sequences(&page(&stack, &alice, "").await), [4]);
}
