use super::*;
use crate::keys::order::stand_in::{self, Draft, answer, next_change, store};

fn change(renew: &[KeyKind], retire_after: Option<Duration>) -> Change {
    Change {
        renew: renew.iter().copied().collect(),
        retire_after,
        timeout: Duration::from_mins(2),
    }
}

const RECORD: [KeyKind; 1] = [KeyKind::Record];

#[tokio::test(start_paused = true)]
async fn an_order_is_from_the_present_generation_and_ends_with_the_next() {
    let (_folder, keyset) = stand_in::folder();
    keyset.create(&stand_in::keyset(3, 0)).unwrap();
    let (done, ordered) = tokio::join!(
        async { change(&RECORD, None).carry_out(&keyset).await },
        async {
            let change = next_change(&keyset).await;
            store(
                &keyset,
                &Draft {
                    record: 2,
                    ..Draft::new(4)
                },
            );
            answer(&keyset, &change, OrderResult::Done, 4);
            change
        }
    );
    assert_eq!(done.unwrap().generation, 4);
    assert_eq!(ordered.from_generation, 3);
    assert_eq!(ordered.renew, RECORD.into());
    assert_eq!(ordered.retire_after_s, None);
    assert_eq!(ordered.id.len(), 32);
    assert_eq!(keyset.pending_order().unwrap(), None);
}

/// A scheduled change came between reading and order: the order is void, and given again.
#[tokio::test(start_paused = true)]
async fn what_another_change_did_is_not_taken_for_this_one() {
    let (_folder, keyset) = stand_in::folder();
    keyset.create(&stand_in::keyset(3, 0)).unwrap();
    let (done, ()) = tokio::join!(
        async { change(&RECORD, None).carry_out(&keyset).await },
        async {
            let first = next_change(&keyset).await;
            let scheduled = Draft {
                recipient: 2,
                ..Draft::new(4)
            };
            store(&keyset, &scheduled);
            answer(&keyset, &first, OrderResult::Done, 4);
            let second = next_change(&keyset).await;
            assert_eq!(second.from_generation, 4);
            assert_ne!(second.id, first.id);
            store(
                &keyset,
                &Draft {
                    record: 2,
                    recipient: 2,
                    ..Draft::new(5)
                },
            );
            answer(&keyset, &second, OrderResult::Done, 5);
        }
    );
    assert_eq!(done.unwrap().generation, 5);
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_that_was_put_back_is_told() {
    let (_folder, keyset) = stand_in::folder();
    keyset.create(&stand_in::keyset(3, 0)).unwrap();
    let (done, ()) = tokio::join!(
        async { change(&RECORD, None).carry_out(&keyset).await },
        async {
            let change = next_change(&keyset).await;
            answer(&keyset, &change, OrderResult::Done, 4);
        }
    );
    let sentence = done.unwrap_err().to_string();
    assert!(sentence.contains("an old copy was put back"), "{sentence}");
    assert_eq!(keyset.pending_order().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn keys_are_retired_when_the_keyset_does_not_hold_them_any_more() {
    let (_folder, keyset) = stand_in::folder();
    let day_ms = 86_400_000;
    let with = |generation, former_records| Draft {
        made_ms: 100 * day_ms,
        former_records,
        ..Draft::new(generation)
    };
    keyset
        .create(&with(3, vec![90 * day_ms, 10 * day_ms]).to_file())
        .unwrap();
    let retire = change(&[], Some(Duration::from_hours(30 * 24)));
    let (done, ()) = tokio::join!(async { retire.carry_out(&keyset).await }, async {
        let first = next_change(&keyset).await;
        assert_eq!(first.retire_after_s, Some(30 * 86_400));
        store(&keyset, &with(4, vec![90 * day_ms, 10 * day_ms]));
        answer(&keyset, &first, OrderResult::Done, 4);
        let second = next_change(&keyset).await;
        store(&keyset, &with(5, vec![90 * day_ms]));
        answer(&keyset, &second, OrderResult::Done, 5);
    });
    assert_eq!(done.unwrap().generation, 5);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_says_what_to_do() {
    let (_folder, keyset) = stand_in::folder();
    keyset.create(&stand_in::keyset(3, 0)).unwrap();
    for (result, remedy) in [
        (OrderResult::KmsRefused, "`dauth kms-policy`"),
        (OrderResult::NotStored, "may the parent write"),
        (OrderResult::KeysetRefused, "keyset.previous"),
        (OrderResult::NotMade, "`dauth keys retire --older-than 30d`"),
        (OrderResult::Malformed, "the enclave's release"),
    ] {
        let (done, ()) = tokio::join!(
            async { change(&RECORD, None).carry_out(&keyset).await },
            async {
                let change = next_change(&keyset).await;
                answer(&keyset, &change, result, 3);
            }
        );
        let sentence = done.unwrap_err().to_string();
        assert!(sentence.contains(remedy), "{sentence}");
        assert!(sentence.ends_with("the keyset is as it was"), "{sentence}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_stays_when_the_time_is_over_and_the_next_replaces_it() {
    let (_folder, keyset) = stand_in::folder();
    keyset.create(&stand_in::keyset(3, 0)).unwrap();
    // Of another order, and of no matter.
    let other = KeysetChange {
        id: "other".to_owned(),
        from_generation: 2,
        renew: BTreeSet::new(),
        retire_after_s: None,
    };
    answer(&keyset, &other, OrderResult::Done, 3);
    let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
    assert!(failure.to_string().contains("keyset.order"), "{failure}");
    let first = next_change(&keyset).await;
    let failure = change(&[], None).carry_out(&keyset).await.unwrap_err();
    assert!(failure.to_string().contains("keyset.order"), "{failure}");
    let second = next_change(&keyset).await;
    assert_ne!(first.id, second.id);
    assert_eq!(second.renew, BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn without_a_keyset_nothing_is_ordered() {
    let (_folder, keyset) = stand_in::folder();
    let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
    let sentence = failure.to_string();
    assert!(sentence.contains("`dauth keys create`"), "{sentence}");
    assert!(sentence.contains("backup"), "{sentence}");
    std::fs::write(keyset.previous(), "").unwrap();
    let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
    assert!(failure.to_string().contains("keyset.previous"), "{failure}");
    std::fs::write(keyset.path(), "garbage").unwrap();
    let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
    assert!(failure.to_string().contains("not a keyset"), "{failure}");
    assert_eq!(keyset.pending_order().unwrap(), None);
}
