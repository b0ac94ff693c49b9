use coset::{CoseEncrypt0Builder, HeaderBuilder, iana};
use dauth_protocol::Handle;

use super::*;
use crate::store::{
    Change, NewConnection, RotateError, Source,
    connections::{Deposited, StoredRecord},
};

const NOW_S: u64 = 1_000_000;

/// A record of these header bytes; `body` stands for what a key makes of it.
fn record(header: &str, body: &str) -> Vec<u8> {
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::A256GCM)
        .key_id(body.into())
        .text_value(DAUTH.to_owned(), Value::Bytes(header.into()))
        .build();
    let record = CoseEncrypt0Builder::new().protected(protected);
    record.ciphertext(body.into()).build().to_vec().unwrap()
}

struct Vault {
    store: Store,
    alice: String,
    bob: String,
    _directory: tempfile::TempDir,
}

impl Vault {
    /// Alice's and Bob's connections of the same handle.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("a.db")).await.unwrap();
        let subject = async |id| {
            let source = Source::Client { issuer: "i", id };
            store.subject(source, NOW_S).await.unwrap()
        };
        let (alice, bob) = (subject("alice").await, subject("bob").await);
        let vault = Self {
            store,
            alice,
            bob,
            _directory: directory,
        };
        vault.create(&vault.alice, &record("alice 1", "a")).await;
        vault.create(&vault.bob, &record("bob 1", "a")).await;
        vault
    }

    async fn create(&self, owner: &str, record: &[u8]) {
        let new = NewConnection {
            owner,
            org: "acme",
            handle: &handle(),
            name: "notes",
            change: change(record),
        };
        self.store.create(&new, NOW_S).await.unwrap();
    }

    async fn rotate(&self, record: &[u8]) -> Result<(String, u64), RotateError> {
        let change = change(record);
        self.store
            .rotate(&self.alice, &handle(), &change, None, NOW_S)
            .await
    }

    /// Status of a PUT, by its name.
    async fn put(&self, opened: &[u8], new: &[u8]) -> &'static str {
        self.put_at(opened, new, NOW_S).await
    }

    async fn put_at(&self, opened: &[u8], new: &[u8], now_s: u64) -> &'static str {
        let new = Reencryption {
            record: new,
            receipt: b"new receipt",
        };
        let fingerprint = Fingerprint::of(opened);
        match self.store.reencrypt(&fingerprint, &new, now_s).await {
            Ok(()) => "stored",
            Err(ReencryptError::NotFound) => "not found",
            Err(ReencryptError::Revoked) => "revoked",
            Err(ReencryptError::Superseded) => "superseded",
            Err(ReencryptError::OtherRecord) => "another record",
            Err(ReencryptError::TooMany) => "too many",
            Err(ReencryptError::Store(error)) => panic!("{error}"),
        }
    }

    async fn served(&self, record: &[u8]) -> Option<StoredRecord> {
        let fingerprint = Fingerprint::of(record);
        self.store.record(&fingerprint).await.unwrap()
    }

    async fn is_served(&self, record: &[u8]) -> bool {
        let served = self.served(record).await;
        served.is_some_and(|served| served.bytes == record && !served.is_revoked)
    }

    /// What tokens of an owner name, what the owner is shown, and its version.
    async fn newest(&self, owner: &str) -> (String, Deposited, u64) {
        let live = self.store.live_connections(owner, NOW_S).await.unwrap();
        let shown = self.store.deposited(owner, &handle()).await.unwrap();
        let one = live.first().unwrap();
        (one.fingerprint.clone(), shown.unwrap(), one.version)
    }

    async fn newest_is(&self, owner: &str, record: &[u8]) -> bool {
        let (fingerprint, shown, version) = self.newest(owner).await;
        fingerprint == Fingerprint::of(record).to_string() && shown.record == record && version == 1
    }
}

fn handle() -> Handle {
    "ddls:conn:1".parse().unwrap()
}

fn change(record: &[u8]) -> Change<'_> {
    Change {
        record,
        receipt: b"receipt",
        base_url: "https://api.example",
        servers: &[],
        expires: NOW_S + 100_000,
    }
}

#[tokio::test]
async fn the_newest_one_counts_and_the_deposited_one_stays() {
    let vault = Vault::new().await;
    let [a, b, c] = ["a", "b", "c"].map(|body| record("alice 1", body));
    assert!(vault.newest_is(&vault.alice, &a).await);
    assert_eq!(vault.put(&a, &b).await, "stored");
    assert!(vault.newest_is(&vault.alice, &b).await);
    let (_, shown, _) = vault.newest(&vault.alice).await;
    assert_eq!(shown.receipt, b"new receipt");
    assert_eq!(vault.put(&b, &c).await, "stored");
    assert!(vault.newest_is(&vault.alice, &c).await);
    for older in [&a, &b] {
        assert!(vault.is_served(older).await, "older tokens stay good");
    }
    assert!(vault.newest_is(&vault.bob, &record("bob 1", "a")).await);
}

#[tokio::test]
async fn of_two_at_once_one_is_stored() {
    let vault = Vault::new().await;
    let [a, b, c] = ["a", "b", "c"].map(|body| record("alice 1", body));
    let outcomes: (_, _) = tokio::join!(vault.put(&a, &b), vault.put(&a, &c));
    assert!(matches!(
        outcomes,
        ("stored", "superseded") | ("superseded", "stored")
    ));
    let (won, lost) = if outcomes.0 == "stored" {
        (&b, &c)
    } else {
        (&c, &b)
    };
    assert!(vault.newest_is(&vault.alice, won).await);
    assert!(vault.served(lost).await.is_none());
    assert_eq!(vault.put(&a, &a).await, "superseded");
    assert_eq!(vault.put(won, won).await, "superseded", "the same record");
}

/// The attack: the host kept an older version, which the owner has since replaced with one that
/// permits less, or one that an enclave sealed anew and that the vault never saw. The vault would
/// name it in tokens.
#[tokio::test]
async fn a_host_cannot_bring_back_an_older_version_or_anothers_record() {
    let vault = Vault::new().await;
    let (first, first_anew) = (record("alice 1", "a"), record("alice 1", "b"));
    let second = record("alice 2", "a");
    vault.rotate(&second).await.unwrap();
    for other in [
        &first,
        &first_anew,
        &record("bob 1", "b"),
        &record("alice 2 and more", "b"),
        &b"no record".to_vec(),
    ] {
        assert_eq!(vault.put(&second, other).await, "another record");
    }
    assert_eq!(
        vault.put(&second, &record("bob 1", "a")).await,
        "superseded"
    );
    let (fingerprint, shown, version) = vault.newest(&vault.alice).await;
    assert_eq!(fingerprint, Fingerprint::of(&second).to_string());
    assert_eq!((shown.record, version), (second, 2));
    assert!(vault.newest_is(&vault.bob, &record("bob 1", "a")).await);
}

#[tokio::test]
async fn a_host_reaches_nothing_whose_fingerprint_it_does_not_know() {
    let vault = Vault::new().await;
    let unknown = record("alice 1", "x");
    let anew = record("alice 1", "b");
    assert_eq!(vault.put(&unknown, &anew).await, "not found");
    assert!(vault.newest_is(&vault.alice, &record("alice 1", "a")).await);
}

#[tokio::test]
async fn an_owners_rotation_removes_them() {
    let vault = Vault::new().await;
    let (a, b) = (record("alice 1", "a"), record("alice 1", "b"));
    assert_eq!(vault.put(&a, &b).await, "stored");
    let second = record("alice 2", "a");
    vault.rotate(&second).await.unwrap();
    for gone in [&a, &b] {
        assert!(vault.served(gone).await.is_none());
        assert_eq!(vault.put(gone, &second).await, "not found");
    }
    let (fingerprint, ..) = vault.newest(&vault.alice).await;
    assert_eq!(fingerprint, Fingerprint::of(&second).to_string());
}

#[tokio::test]
async fn a_revocation_takes_them_away_and_tells_older_tokens() {
    let vault = Vault::new().await;
    let (a, b) = (record("alice 1", "a"), record("alice 1", "b"));
    assert_eq!(vault.put(&a, &b).await, "stored");
    let revoked = vault.store.revoke(&vault.alice, &handle(), NOW_S).await;
    assert!(revoked.unwrap());
    for gone in [&a, &b] {
        let served = vault.served(gone).await.unwrap();
        assert!(served.is_revoked && served.bytes.is_empty());
        assert_eq!(vault.put(gone, &record("alice 1", "c")).await, "revoked");
    }
}

#[tokio::test]
async fn one_is_kept_for_an_hour_after_a_newer_one() {
    let vault = Vault::new().await;
    let of = |body: usize| record("alice 1", &body.to_string());
    let first = record("alice 1", "a");
    assert_eq!(vault.put_at(&first, &of(0), NOW_S).await, "stored");
    // Made a day ago, but tokens have named it until now.
    let day = NOW_S + 86_400;
    assert_eq!(vault.put_at(&of(0), &of(1), day).await, "stored");
    assert!(vault.is_served(&of(0)).await);
    assert_eq!(vault.put_at(&of(1), &of(2), day + 3600).await, "stored");
    assert!(vault.is_served(&of(0)).await);
    assert_eq!(vault.put_at(&of(2), &of(3), day + 3601).await, "stored");
    assert!(!vault.is_served(&of(0)).await, "an hour has passed");
    for kept in [&first, &of(1), &of(2), &of(3)] {
        assert!(vault.is_served(kept).await);
    }
}

#[tokio::test]
async fn a_host_cannot_fill_the_vault() {
    let vault = Vault::new().await;
    let of = |body: i64| record("alice 1", &body.to_string());
    assert_eq!(vault.put(&record("alice 1", "a"), &of(0)).await, "stored");
    for body in 1..MAX_LIVE {
        assert_eq!(vault.put(&of(body - 1), &of(body)).await, "stored");
    }
    let newest = of(MAX_LIVE - 1);
    assert_eq!(vault.put(&newest, &of(MAX_LIVE)).await, "too many");
    let later = NOW_S + SUPERSEDED_LIFE_S + 1;
    assert_eq!(vault.put_at(&newest, &of(MAX_LIVE), later).await, "stored");
}

/// Otherwise its owner could revoke the record of both.
#[tokio::test]
async fn nobody_deposits_anothers_re_encryption() {
    let vault = Vault::new().await;
    let (a, b) = (record("bob 1", "a"), record("bob 1", "b"));
    assert_eq!(vault.put(&a, &b).await, "stored");
    let refused = vault.rotate(&b).await;
    assert!(matches!(refused, Err(RotateError::RecordKnown)));
    assert!(vault.newest_is(&vault.bob, &b).await);
}
