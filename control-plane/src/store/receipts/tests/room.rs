//! How much is kept, and for how long.
use super::*;

#[tokio::test]
async fn a_full_database_takes_no_more_and_keeps_what_it_has() {
    let vault = Vault::new().await;
    let mut chain = Chain::new(1);
    let room = Room {
        bytes: 512 * 1024,
        ..ROOM
    };
    let mut kept = 0;
    let refused = loop {
        let batch = chain.of_one(&vault.alice, ONE, 100);
        match vault.keep_at(&batch, room, NOW_S + kept).await {
            "now" => kept += 1,
            _ => break batch,
        }
        assert!(kept < 100, "there is no bound");
    };
    assert_eq!(vault.keep_at(&refused, room, NOW_S).await, "full");
    assert_eq!(vault.page(&vault.alice, 0, 1).await.0, [1]);
    // What is removed makes room.
    assert_eq!(vault.remove(NOW_S + 1).await, (100, 1));
    assert_eq!(vault.keep_at(&refused, room, NOW_S).await, "now");
}

/// An owner, or a server that acts for one, who makes calls without end.
#[tokio::test]
async fn one_owner_does_not_take_the_room_of_all() {
    let vault = Vault::new().await;
    let (alice, bob) = (vault.alice.as_str(), vault.bob.as_str());
    let mut chain = Chain::new(1);
    let first = chain.of_one(alice, ONE, 10);
    let room = Room {
        owner_bytes: first.len() as u64,
        ..ROOM
    };
    assert_eq!(vault.keep_at(&first, room, NOW_S).await, "now");
    let mut calls = vec![(alice, ONE); 10];
    calls[8] = (bob, ONE);
    let second = chain.batch(&calls).to_cbor();
    assert_eq!(vault.keep_at(&second, room, NOW_S + 1).await, "in part");
    assert_eq!(vault.keep_at(&second, room, NOW_S + 1).await, "before");
    let third = chain.of_one(alice, ONE, 1);
    assert_eq!(vault.keep_at(&third, room, NOW_S + 2).await, "in part");
    let kept = vault.all(alice).await;
    assert_eq!(kept[..10], (1..=10).collect::<Vec<_>>(), "what was first");
    assert!(kept.len() < 19);
    assert_eq!(vault.all(bob).await, [19], "others have theirs");

    // What goes makes room, and batches of digests alone go too.
    assert_eq!(vault.remove(NOW_S + 1).await, (10, 1));
    let fourth = chain.of_one(alice, ONE, 5);
    assert_eq!(vault.keep_at(&fourth, room, NOW_S + 3).await, "now");
    let rest = kept.len() as u64 - 10 + 1;
    assert_eq!(vault.remove(NOW_S + 3).await, (rest, 2));
}

#[tokio::test]
async fn old_batches_go_whole_a_few_at_a_time() {
    let vault = Vault::new().await;
    let alice = vault.alice.as_str();
    let mut chain = Chain::new(1);
    for at in 0..40 {
        let batch = chain.of_one(alice, ONE, 2);
        assert_eq!(vault.keep_at(&batch, ROOM, NOW_S + at).await, "now");
    }
    assert_eq!(vault.remove(NOW_S).await, (0, 0));
    let first = vault.remove(NOW_S + 39).await;
    assert_eq!(first, (64, 32), "a step is bounded");
    assert_eq!(vault.remove(NOW_S + 39).await, (14, 7));
    assert_eq!(vault.remove(NOW_S + 39).await, (0, 0));
    assert_eq!(vault.all(alice).await, [79, 80]);
    let (last, _) = vault.page(alice, 0, 1).await;
    assert_eq!(last, [79]);
    assert_eq!(vault.remove(NOW_S + 40).await, (2, 1));
    // The numbers of what is gone are not given again: a page's end stays an end.
    assert_eq!(vault.keep(&chain.of_one(alice, ONE, 1)).await, "now");
    assert_eq!(vault.page(alice, 80, 10).await.0, [81]);
}
