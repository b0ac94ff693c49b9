//! Reading connections: one row for each handle of an owner, with the record that counts now: the
//! newest re-encryption of what the owner deposited last, or that itself.
use dauth_protocol::{Fingerprint, Handle};
use serde::Serialize;
use sqlx::SqliteExecutor;

use super::{Store, StoreError, integer, natural};

/// A connection, without its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Connection {
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) base_url: String,
    pub(crate) servers: Vec<String>,
    pub(crate) version: u64,
    pub(crate) fingerprint: String,
    pub(crate) created: u64,
    pub(crate) expires: u64,
    pub(crate) revoked: Option<u64>,
}

/// The record that counts now, and the receipt by which the owner's client checks it.
pub(crate) struct Deposited {
    pub(crate) record: Vec<u8>,
    pub(crate) receipt: Vec<u8>,
}

/// A record as it is stored.
pub(crate) struct StoredRecord {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_revoked: bool,
}

type Row = (
    String,
    String,
    String,
    String,
    i64,
    String,
    i64,
    i64,
    Option<i64>,
);

const COLUMNS: &str = "SELECT c.handle, c.name, c.base_url,
        (SELECT json_group_array(s.resource) FROM connection_servers s WHERE s.connection = c.id),
        c.version,
        coalesce((SELECT r.fingerprint FROM reencryptions r WHERE r.connection = c.id
            ORDER BY r.id DESC LIMIT 1), c.fingerprint),
        c.created, c.expires, c.revoked
    FROM connections c WHERE c.owner = ?";

impl TryFrom<Row> for Connection {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let (handle, name, base_url, servers, version, fingerprint, created, expires, revoked) =
            row;
        Ok(Self {
            handle,
            name,
            base_url,
            servers: serde_json::from_str(&servers)
                .map_err(|_| StoreError::Malformed("list of servers"))?,
            version: natural(version, "version")?,
            fingerprint,
            created: natural(created, "time")?,
            expires: natural(expires, "time")?,
            revoked: revoked.map(|at| natural(at, "time")).transpose()?,
        })
    }
}

impl Connection {
    /// What it takes in an owner's token at most: handle, fingerprint and punctuation, and once more
    /// the handle under its name; or under the handle again, when a newer one has the name.
    pub(super) fn claim_bytes(handle: &str, name: &str) -> usize {
        let name = serde_json::to_string(name).map_or(usize::MAX / 4, |name| name.len());
        2 * handle.len() + name.max(handle.len() + 2) + 64 + 12
    }
}

impl Store {
    /// All of an owner's connections, the newest first.
    pub(crate) async fn connections(&self, owner: &str) -> Result<Vec<Connection>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY c.id DESC")))
                .bind(owner)
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(Connection::try_from).collect()
    }

    /// An owner's connections that are neither revoked nor expired, the newest first.
    pub(crate) async fn live_connections(
        &self,
        owner: &str,
        now_s: u64,
    ) -> Result<Vec<Connection>, StoreError> {
        live(&self.pool, owner, now_s).await
    }

    /// One of an owner's connections.
    pub(crate) async fn connection(
        &self,
        owner: &str,
        handle: &Handle,
    ) -> Result<Option<Connection>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} AND c.handle = ?")))
                .bind(owner)
                .bind(handle.as_str())
                .fetch_optional(&self.pool)
                .await?;
        row.map(Connection::try_from).transpose()
    }

    /// The newest record of one of an owner's connections, unless it is revoked.
    pub(crate) async fn deposited(
        &self,
        owner: &str,
        handle: &Handle,
    ) -> Result<Option<Deposited>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT coalesce(r.record, c.record), coalesce(r.receipt, c.receipt)
             FROM connections c LEFT JOIN reencryptions r ON r.connection = c.id
             WHERE c.owner = ? AND c.handle = ? AND c.revoked IS NULL
             ORDER BY r.id DESC LIMIT 1",
        )
        .bind(owner)
        .bind(handle.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(record, receipt)| Deposited { record, receipt }))
    }

    /// The record of a fingerprint, deposited or sealed anew, by the stored fingerprint. Its bytes
    /// are returned as they are: the enclave, not this process, finds out if they were changed.
    pub(crate) async fn record(
        &self,
        fingerprint: &Fingerprint,
    ) -> Result<Option<StoredRecord>, StoreError> {
        let row: Option<(Vec<u8>, Option<i64>)> = sqlx::query_as(
            "SELECT record, revoked FROM connections WHERE fingerprint = ?1
                 UNION ALL
                 SELECT r.record, c.revoked
                 FROM reencryptions r JOIN connections c ON c.id = r.connection
                 WHERE r.fingerprint = ?1
                 LIMIT 1",
        )
        .bind(fingerprint.to_string())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(bytes, revoked)| StoredRecord {
            bytes,
            is_revoked: revoked.is_some(),
        }))
    }
}

/// An owner's live connections, also inside a transaction.
pub(super) async fn live(
    executor: impl SqliteExecutor<'_>,
    owner: &str,
    now_s: u64,
) -> Result<Vec<Connection>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} AND c.revoked IS NULL AND c.expires > ? ORDER BY c.id DESC"
    )))
    .bind(owner)
    .bind(integer(now_s))
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Connection::try_from).collect()
}
