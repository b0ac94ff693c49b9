//! The lives of keys over the generations: how long each opens what it sealed.
use dauth_protocol::{
    Owner, RecordHeader,
    host::{KeyKind, KeysetChange},
    limit::MAX_ENVELOPE_LIFE_S,
};
use dauth_sealing::{SealedRecord, Secret};

use super::{
    super::{Keyset, generation, statement::MAX_FORMER_RECEIPTS},
    fleet::{Fleet, order},
};

const DAY_S: u64 = 24 * 3600;

fn ids(keyset: &Keyset) -> Vec<[u8; 8]> {
    keyset.recipients().iter().map(|key| *key.id()).collect()
}

#[tokio::test]
async fn each_generation_renews_what_was_asked_and_keeps_the_rest() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    let files = [fleet.parent.file()];

    let second = fleet.change(&first, [KeyKind::Recipient]).await.unwrap();
    assert_eq!(second.recipients().len(), 2);
    assert!(ids(&second).iter().all(|id| !ids(&first).contains(id)));
    assert_eq!(second.record_key().id(), first.record_key().id());
    assert_eq!(second.receipt_key().spki(), first.receipt_key().spki());

    let third = fleet.change(&second, [KeyKind::Record]).await.unwrap();
    assert_eq!(ids(&third), ids(&second));
    assert_ne!(third.record_key().id(), second.record_key().id());
    assert_eq!(third.receipt_key().spki(), second.receipt_key().spki());

    let fourth = fleet.change(&third, [KeyKind::Receipt]).await.unwrap();
    assert_eq!(ids(&fourth), ids(&third));
    assert_eq!(fourth.record_key().id(), third.record_key().id());
    assert_ne!(fourth.receipt_key().spki(), third.receipt_key().spki());
    let former: Vec<_> = fourth.former_receipt_keys().collect();
    assert_eq!(former, [first.receipt_key().spki()]);

    // Nothing to renew: the same keys under another data key.
    let before = fleet.parent.file();
    let fifth = fleet.change(&fourth, []).await.unwrap();
    assert_eq!(ids(&fifth), ids(&fourth));
    assert_eq!(fifth.record_key().id(), fourth.record_key().id());
    assert_eq!(fifth.receipt_key().spki(), fourth.receipt_key().spki());
    let wrapped = |file: &[u8]| super::File::from_cbor(file).unwrap().wrapped_key;
    assert_ne!(wrapped(&before), wrapped(&fleet.parent.file()));
    assert_ne!(wrapped(&before), wrapped(&files[0]));

    let loaded = fleet.load().await.unwrap();
    for (generation, keyset) in (1..).zip([&first, &second, &third, &fourth, &fifth]) {
        assert_eq!(keyset.generation(), generation);
        assert_eq!(keyset.id(), loaded.id());
    }
    assert_eq!(loaded.generation(), 5);
    assert_eq!(loaded.statement, fifth.statement);
}

#[tokio::test]
async fn an_envelope_under_way_opens_for_twice_its_life() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    let second = fleet.change(&first, [KeyKind::Recipient]).await.unwrap();
    let opens = |keyset: &Keyset| {
        let keys = first.recipients().iter();
        let open = keys.map(|key| keyset.recipient(key.id()).map(|kept| kept.public()));
        open.map(|kept| kept.is_some()).collect::<Vec<_>>()
    };
    for key in first.recipients() {
        let kept = second.recipient(key.id()).unwrap();
        assert_eq!(kept.public(), key.public());
        assert_eq!(kept.private_key(), key.private_key());
    }
    fleet.pass_s(2 * MAX_ENVELOPE_LIFE_S - 1);
    let third = fleet.change(&second, [KeyKind::Recipient]).await.unwrap();
    assert_eq!(opens(&third), [true, true]);
    assert!(
        second
            .recipients()
            .iter()
            .all(|key| third.recipient(key.id()).is_some())
    );
    fleet.pass_s(1);
    let fourth = fleet.change(&third, []).await.unwrap();
    assert_eq!(
        opens(&fourth),
        [false, false],
        "forgotten at the first change after that"
    );
    assert!(
        second
            .recipients()
            .iter()
            .all(|key| fourth.recipient(key.id()).is_some())
    );
    assert_eq!(opens(&fleet.load().await.unwrap()), [false, false]);
}

fn header() -> RecordHeader {
    RecordHeader {
        layout: 1,
        handle: "ddls:conn:0191f3a4-7c1e-7b1a-8f00-000000000001"
            .parse()
            .unwrap(),
        owner: Owner {
            issuer: "https://issuer.test".into(),
            subject: "owner".into(),
            thumbprint: "key".into(),
        },
        tenant: "tenant".into(),
        policy: Vec::new().into(),
        version: 1,
        created: 1,
        expires: 2,
    }
}

/// A record that `keyset` sealed.
fn record(keyset: &Keyset) -> Vec<u8> {
    let secret = Secret::new(b"a credential of some length".to_vec()).unwrap();
    keyset
        .record_key()
        .seal(&header(), &secret, [1; 12])
        .unwrap()
}

fn opens(keyset: &Keyset, record: &[u8]) -> bool {
    let record = SealedRecord::parse(record).unwrap();
    match keyset.record_key_by_id(record.key_id()) {
        Some(key) => record
            .open(key)
            .unwrap()
            .secret
            .expose()
            .starts_with(b"a credential"),
        None => false,
    }
}

#[tokio::test]
async fn records_open_after_many_rotations_until_they_are_retired() {
    let fleet = Fleet::with_keyset().await;
    let mut keyset = fleet.load().await.unwrap();
    let mut records = Vec::new();
    for _ in 0..5 {
        records.push(record(&keyset));
        fleet.pass_s(30 * DAY_S);
        keyset = fleet.change(&keyset, [KeyKind::Record]).await.unwrap();
    }
    let keyset = fleet.load().await.unwrap();
    assert!(records.iter().all(|record| opens(&keyset, record)));

    // Replaced 120, 90, 60, 30 and 0 days ago.
    let retire = |keyset: &Keyset, after_s| KeysetChange {
        retire_after_s: Some(after_s),
        ..order(keyset.generation(), [])
    };
    let order = retire(&keyset, 60 * DAY_S);
    let context = fleet.context();
    let keyset = generation::change(&context, &keyset, &order, fleet.now_ms()).await;
    let keyset = keyset.unwrap();
    let open: Vec<_> = records
        .iter()
        .map(|record| opens(&keyset, record))
        .collect();
    assert_eq!(open, [false, false, true, true, true]);
    let reloaded = fleet.load().await.unwrap();
    assert!(!opens(&reloaded, &records[0]) && opens(&reloaded, &records[4]));
    assert!(opens(&reloaded, &record(&reloaded)));

    // At once: all that was replaced before now.
    fleet.pass_s(1);
    let order = retire(&reloaded, 0);
    let keyset = generation::change(&context, &reloaded, &order, fleet.now_ms()).await;
    let keyset = keyset.unwrap();
    assert!(records.iter().all(|record| !opens(&keyset, record)));
    assert!(
        opens(&keyset, &record(&reloaded)),
        "the current key is never retired"
    );
}

/// A vector that grows copies what it holds and leaves the old room behind as it is.
#[tokio::test]
async fn private_keys_lie_in_room_that_never_grew() {
    let fleet = Fleet::with_keyset().await;
    let mut keyset = fleet.load().await.unwrap();
    for _ in 0..5 {
        let kinds = [KeyKind::Recipient, KeyKind::Record];
        keyset = fleet.change(&keyset, kinds).await.unwrap();
    }
    let (recipients, records) = (&keyset.former_recipients, &keyset.former_record_keys);
    assert_eq!((recipients.len(), records.len()), (10, 5));
    assert_eq!((recipients.capacity(), records.capacity()), (10, 5));
    let new =
        super::NewKeys::generate(&super::all_kinds(), &mut super::Entropy::new(&*fleet.nsm()));
    let renewal = super::super::draft::Renewal::of(super::all_kinds());
    let configuration = super::configuration();
    let now_ms = fleet.now_ms();
    let draft = super::Draft::next(&keyset, &configuration, &renewal, new.unwrap(), now_ms);
    let draft = draft.unwrap();
    assert_eq!(draft.private.len(), draft.statement.private_keys());
    assert_eq!(draft.private.capacity(), draft.private.len());
}

#[tokio::test]
async fn record_keys_are_kept_for_as_long_as_a_record_lives() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    let old = record(&first);
    let second = fleet.change(&first, [KeyKind::Record]).await.unwrap();
    fleet.pass_s(366 * DAY_S);
    let third = fleet.change(&second, [KeyKind::Record]).await.unwrap();
    assert!(opens(&third, &old));
    fleet.pass_s(DAY_S + 1);
    let fourth = fleet.change(&third, []).await.unwrap();
    assert!(!opens(&fourth, &old));
    assert!(opens(&fourth, &record(&second)));
}

#[tokio::test]
async fn former_receipt_keys_are_bounded_and_the_latest_stay() {
    let fleet = Fleet::with_keyset().await;
    let mut keyset = fleet.load().await.unwrap();
    let mut spkis = Vec::new();
    for _ in 0..=MAX_FORMER_RECEIPTS {
        spkis.insert(0, keyset.receipt_key().spki().to_vec());
        keyset = fleet.change(&keyset, [KeyKind::Receipt]).await.unwrap();
    }
    let former: Vec<_> = keyset.former_receipt_keys().collect();
    assert_eq!(former, spkis[..MAX_FORMER_RECEIPTS]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_key_older_than_its_elders() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    let made_ms = first.statement.made_ms;
    fleet.pass_s(3600);
    let second = fleet.change(&first, [KeyKind::Record]).await.unwrap();
    assert_eq!(second.statement.made_ms, made_ms + 3_600_000);
    let renewal = super::super::draft::Renewal::of([KeyKind::Record].into());
    let new = super::NewKeys::generate(&renewal.renew, &mut super::Entropy::new(&*fleet.nsm()));
    let draft = super::Draft::next(
        &second,
        &super::configuration(),
        &renewal,
        new.unwrap(),
        made_ms,
    );
    let statement = draft.unwrap().statement;
    assert_eq!(statement.made_ms, made_ms + 3_600_000);
    assert_eq!(statement.former_records[0].superseded_ms, statement.made_ms);
}
