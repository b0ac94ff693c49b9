//! What an owner reads.
use super::*;

#[tokio::test]
async fn pages_follow_one_another_and_are_bounded() {
    let vault = Vault::new().await;
    let mut chain = Chain::new(1);
    for _ in 0..3 {
        assert_eq!(
            vault.keep(&chain.of_one(&vault.alice, ONE, 100)).await,
            "now"
        );
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let (sequences, next) = vault.page(&vault.alice, after, 70).await;
        assert!((1..=70).contains(&sequences.len()));
        seen.extend(sequences);
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
    assert_eq!(vault.page(&vault.alice, 0, 300).await.1, None);
    assert_eq!(vault.page(&vault.alice, i64::MAX, 1).await, (vec![], None));
}

/// One receipt in each of many full batches: their digests weigh more than the receipts.
#[tokio::test]
async fn a_page_of_large_batches_ends_early() {
    let vault = Vault::new().await;
    let (alice, bob) = (vault.alice.as_str(), vault.bob.as_str());
    let mut chain = Chain::new(1);
    for _ in 0..100 {
        let mut calls = vec![(bob, ONE); MAX_BATCH_RECEIPTS];
        calls[5].0 = alice;
        assert_eq!(vault.keep(&chain.batch(&calls).to_cbor()).await, "now");
    }
    let (mut after, mut seen, mut pages) = (0, 0, 0);
    loop {
        let query = PageQuery {
            handle: None,
            after,
            limit: 500,
        };
        let page = vault.store.receipts(alice, &query).await.unwrap();
        let json = dauth_protocol::audit::ReceiptsPage {
            receipts: page.receipts,
            batches: page.batches,
            next: page.next.map(|id| id.to_string()),
        };
        assert!(serde_json::to_vec(&json).unwrap().len() < 800 * 1024);
        assert_eq!(json.receipts.len(), json.batches.len());
        (seen, pages) = (seen + json.receipts.len(), pages + 1);
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!((seen, pages), (100, 2));
}

#[tokio::test]
async fn a_malformed_row_hides_no_other() {
    let vault = Vault::new().await;
    let batch = Chain::new(1).of_one(&vault.alice, ONE, 3);
    assert_eq!(vault.keep(&batch).await, "now");
    sqlx::query("UPDATE receipts SET bytes = X'00' WHERE id IN (1, 3)")
        .execute(&vault.store.pool)
        .await
        .unwrap();
    assert_eq!(vault.all(&vault.alice).await, [2]);
    assert_eq!(vault.page(&vault.alice, 0, 1).await, (vec![2], Some(2)));
    assert_eq!(vault.page(&vault.alice, 2, 1).await, (vec![], None));
}
