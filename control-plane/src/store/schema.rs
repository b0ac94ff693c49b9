//! The tables, and how they came to be.
use sqlx::SqlitePool;

use super::StoreError;

/// The table that records lie in as their owners deposited them.
pub const RECORD_TABLE: &str = "connections";
/// The column that holds a record's bytes.
pub const RECORD_COLUMN: &str = "record";

/// One step per schema version; a released step is never edited.
const STEPS: &[&str] = &[
    "
    CREATE TABLE subjects (
        id TEXT PRIMARY KEY,
        source_issuer TEXT NOT NULL,
        source_subject TEXT NOT NULL,
        kind TEXT NOT NULL,
        created INTEGER NOT NULL,
        UNIQUE (source_issuer, source_subject, kind)
    ) STRICT;
    CREATE TABLE connections (
        id INTEGER PRIMARY KEY,
        owner TEXT NOT NULL REFERENCES subjects (id),
        handle TEXT NOT NULL,
        org TEXT NOT NULL,
        name TEXT NOT NULL,
        base_url TEXT NOT NULL,
        version INTEGER NOT NULL,
        fingerprint TEXT NOT NULL UNIQUE,
        record BLOB NOT NULL,
        receipt BLOB NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        revoked INTEGER,
        UNIQUE (owner, handle)
    ) STRICT;
    CREATE TABLE connection_servers (
        connection INTEGER NOT NULL REFERENCES connections (id),
        resource TEXT NOT NULL,
        PRIMARY KEY (connection, resource)
    ) STRICT, WITHOUT ROWID;
",
    // Revoking did not always take the bytes away.
    "
    UPDATE connections SET record = X'', receipt = X'' WHERE revoked IS NOT NULL;
",
    // The same records under newer keys of the enclave. What the owner deposited stays beside them.
    "
    CREATE TABLE reencryptions (
        id INTEGER PRIMARY KEY,
        connection INTEGER NOT NULL REFERENCES connections (id),
        fingerprint TEXT NOT NULL UNIQUE,
        record BLOB NOT NULL,
        receipt BLOB NOT NULL,
        created INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX reencryptions_of_connection ON reencryptions (connection, id);
",
    // Receipts of calls. Owners page by their ids, which are never used again.
    "
    CREATE TABLE receipt_batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot BLOB NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        previous BLOB NOT NULL,
        chain BLOB NOT NULL,
        head BLOB NOT NULL,
        digests BLOB NOT NULL,
        received INTEGER NOT NULL,
        UNIQUE (boot, first)
    ) STRICT;
    CREATE INDEX receipt_batches_by_age ON receipt_batches (received);
    CREATE TABLE receipts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        batch INTEGER NOT NULL REFERENCES receipt_batches (id) ON DELETE CASCADE,
        owner TEXT NOT NULL REFERENCES subjects (id),
        handle TEXT NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE INDEX receipts_of_batch ON receipts (batch);
    CREATE INDEX receipts_of_owner ON receipts (owner, id);
    CREATE INDEX receipts_of_connection ON receipts (owner, handle, id);
    CREATE TABLE receipt_owners (
        owner TEXT PRIMARY KEY REFERENCES subjects (id),
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER receipts_come AFTER INSERT ON receipts BEGIN
        INSERT INTO receipt_owners VALUES (new.owner, length(new.bytes))
            ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER receipts_go AFTER DELETE ON receipts BEGIN
        UPDATE receipt_owners SET bytes = bytes - length(old.bytes) WHERE owner = old.owner;
    END;
",
];

/// Applies the steps that the database has not seen, in one transaction.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let (found,): (i64,) = sqlx::query_as("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let seen = usize::try_from(found)
        .ok()
        .filter(|seen| *seen <= STEPS.len());
    let steps = seen
        .and_then(|seen| STEPS.get(seen..))
        .ok_or(StoreError::TooNew { found, known })?;
    for step in steps {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    // A pragma takes no parameters; the number is this program's own.
    let set_version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}"));
    sqlx::raw_sql(set_version)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn refuses_a_later_schema_and_keeps_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        for _ in 0..2 {
            Store::open(&path).await.unwrap().close().await;
        }
        let store = Store::open(&path).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99")
            .execute(&store.pool)
            .await
            .unwrap();
        store.close().await;
        let refusal = Store::open(&path).await.unwrap_err();
        assert!(matches!(refusal, StoreError::TooNew { found: 99, .. }));
    }

    #[tokio::test]
    async fn what_an_earlier_schema_holds_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        std::fs::write(&path, "").unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let rows = "INSERT INTO subjects VALUES ('alice', 'i', 'a', 'client', 1);
            INSERT INTO connections VALUES
                (7, 'alice', 'ddls:conn:1', 'o', 'n', 'https://a.example', 3, 'fingerprint', X'0102',
                 X'03', 1, 99, NULL);
            PRAGMA user_version = 2";
        for sql in STEPS[..2].iter().chain([&rows]) {
            sqlx::raw_sql(*sql).execute(&pool).await.unwrap();
        }
        pool.close().await;

        let store = Store::open(&path).await.unwrap();
        let live = store.live_connections("alice", 2).await.unwrap();
        assert_eq!(
            (live[0].version, live[0].fingerprint.as_str()),
            (3, "fingerprint")
        );
        let handle = "ddls:conn:1".parse().unwrap();
        let kept = store.deposited("alice", &handle).await.unwrap().unwrap();
        assert_eq!((kept.record, kept.receipt), (vec![1, 2], vec![3]));
    }

    #[test]
    fn the_public_names_are_those_of_the_schema() {
        assert!(STEPS[0].contains(&format!("CREATE TABLE {RECORD_TABLE} (")));
        assert!(STEPS[0].contains(&format!("{RECORD_COLUMN} BLOB")));
    }
}
