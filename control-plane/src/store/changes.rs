//! Creating, rotating and revoking connections, each in one transaction.
use dauth_protocol::{Fingerprint, Handle};
use sqlx::{Sqlite, Transaction};

use super::{
    Store, StoreError,
    connections::{Connection, live},
    integer, natural, reencryptions,
};

/// What one owner's token for the enclave may say of connections, as JSON. It keeps the token below
/// `dauth_token::MAX_ACCESS_TOKEN_BYTES`, of which base64 takes a quarter.
const MAX_OWNER_CLAIM_BYTES: usize = 14 * 1024;
/// How many connections one owner may ever have: revoked ones stay, to keep their handles taken.
const MAX_OWNER_ROWS: i64 = 10_000;

/// A connection to store.
pub(crate) struct NewConnection<'a> {
    pub(crate) owner: &'a str,
    pub(crate) org: &'a str,
    pub(crate) handle: &'a Handle,
    pub(crate) name: &'a str,
    pub(crate) change: Change<'a>,
}

/// What a rotation changes.
pub(crate) struct Change<'a> {
    pub(crate) record: &'a [u8],
    pub(crate) receipt: &'a [u8],
    pub(crate) base_url: &'a str,
    pub(crate) servers: &'a [String],
    pub(crate) expires: u64,
}

/// Why a connection is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("the owner has a connection of this handle")]
    HandleTaken,
    #[error("this record is stored already")]
    RecordKnown,
    #[error("the owner has too many live connections")]
    TooMany,
    #[error("the owner has too many connections, revoked ones among them")]
    TooManyEver,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a connection is not rotated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error("the owner has no connection of this handle")]
    NotFound,
    #[error("the connection is revoked")]
    Revoked,
    #[error("the owner has too many live connections")]
    TooMany,
    #[error("the connection has another version by now")]
    Version,
    #[error("this record is stored already")]
    RecordKnown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Stores a connection, as version 1.
    pub(crate) async fn create(
        &self,
        new: &NewConnection<'_>,
        now_s: u64,
    ) -> Result<String, CreateError> {
        let fingerprint = Fingerprint::of(new.change.record).to_string();
        let mut transaction = self.begin().await?;
        let is_taken = find(&mut transaction, new.owner, new.handle)
            .await?
            .is_some();
        if is_taken {
            return Err(CreateError::HandleTaken);
        }
        if rows(&mut transaction, new.owner).await? >= MAX_OWNER_ROWS {
            return Err(CreateError::TooManyEver);
        }
        if reencryptions::is_anothers(&mut transaction, &fingerprint, None).await? {
            return Err(CreateError::RecordKnown);
        }
        let inserted = sqlx::query(
            "INSERT INTO connections (owner, handle, org, name, base_url, version, fingerprint,
                 record, receipt, created, expires)
             VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?)",
        )
        .bind(new.owner)
        .bind(new.handle.as_str())
        .bind(new.org)
        .bind(new.name)
        .bind(new.change.base_url)
        .bind(&fingerprint)
        .bind(new.change.record)
        .bind(new.change.receipt)
        .bind(integer(now_s))
        .bind(integer(new.change.expires))
        .execute(&mut *transaction)
        .await;
        let id = match inserted {
            Ok(done) => done.last_insert_rowid(),
            Err(error) if is_unique_violation(&error) => return Err(CreateError::RecordKnown),
            Err(error) => return Err(StoreError::from(error).into()),
        };
        put_servers(&mut transaction, id, new.change.servers).await?;
        if !fits_a_token(&mut transaction, new.owner, now_s).await? {
            return Err(CreateError::TooMany);
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(fingerprint)
    }

    /// Replaces the record of a live or expired connection and counts its version up.
    ///
    /// `version` is what the caller sealed the new record as, where it says so.
    pub(crate) async fn rotate(
        &self,
        owner: &str,
        handle: &Handle,
        change: &Change<'_>,
        version: Option<u64>,
        now_s: u64,
    ) -> Result<(String, u64), RotateError> {
        let fingerprint = Fingerprint::of(change.record).to_string();
        let mut transaction = self.begin().await?;
        let (id, current) = find(&mut transaction, owner, handle)
            .await?
            .ok_or(RotateError::NotFound)?;
        if current.revoked.is_some() {
            return Err(RotateError::Revoked);
        }
        let next = current.version + 1;
        if version.is_some_and(|version| version != next) {
            return Err(RotateError::Version);
        }
        if reencryptions::is_anothers(&mut transaction, &fingerprint, Some(id)).await? {
            return Err(RotateError::RecordKnown);
        }
        let updated = sqlx::query(
            "UPDATE connections SET base_url = ?, version = ?, fingerprint = ?, record = ?,
                 receipt = ?, expires = ? WHERE id = ?",
        )
        .bind(change.base_url)
        .bind(integer(next))
        .bind(&fingerprint)
        .bind(change.record)
        .bind(change.receipt)
        .bind(integer(change.expires))
        .bind(id)
        .execute(&mut *transaction)
        .await;
        match updated {
            Ok(_) => {}
            Err(error) if is_unique_violation(&error) => return Err(RotateError::RecordKnown),
            Err(error) => return Err(StoreError::from(error).into()),
        }
        reencryptions::remove(&mut transaction, id).await?;
        remove_servers(&mut transaction, id).await?;
        put_servers(&mut transaction, id, change.servers).await?;
        // An expired connection becomes live again.
        if !fits_a_token(&mut transaction, owner, now_s).await? {
            return Err(RotateError::TooMany);
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok((fingerprint, next))
    }

    /// Revokes a connection. The row stays, so that its handle and record are not used again; what
    /// takes space (record, receipt, servers) goes. False when the owner has none of this handle.
    pub(crate) async fn revoke(
        &self,
        owner: &str,
        handle: &Handle,
        now_s: u64,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let Some((id, _)) = find(&mut transaction, owner, handle).await? else {
            return Ok(false);
        };
        sqlx::query(
            "UPDATE connections SET revoked = coalesce(revoked, ?), record = X'', receipt = X''
             WHERE id = ?",
        )
        .bind(integer(now_s))
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        reencryptions::empty(&mut transaction, id).await?;
        remove_servers(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(true)
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // A deferred transaction that reads first cannot always be made a writing one.
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// Whether a token can still list all of an owner's live connections. A transaction that is not
/// committed is rolled back.
async fn fits_a_token(
    transaction: &mut Transaction<'static, Sqlite>,
    owner: &str,
    now_s: u64,
) -> Result<bool, StoreError> {
    let live = live(&mut **transaction, owner, now_s).await?;
    let claim_bytes: usize = live
        .iter()
        .map(|connection| Connection::claim_bytes(&connection.handle, &connection.name))
        .sum();
    Ok(claim_bytes <= MAX_OWNER_CLAIM_BYTES)
}

struct Current {
    version: u64,
    revoked: Option<i64>,
}

async fn find(
    transaction: &mut Transaction<'static, Sqlite>,
    owner: &str,
    handle: &Handle,
) -> Result<Option<(i64, Current)>, StoreError> {
    let row: Option<(i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT id, version, revoked FROM connections WHERE owner = ? AND handle = ?",
    )
    .bind(owner)
    .bind(handle.as_str())
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(|(id, version, revoked)| {
        let version = natural(version, "version")?;
        Ok((id, Current { version, revoked }))
    })
    .transpose()
}

async fn rows(
    transaction: &mut Transaction<'static, Sqlite>,
    owner: &str,
) -> Result<i64, StoreError> {
    let (rows,) = sqlx::query_as("SELECT count(*) FROM connections WHERE owner = ?")
        .bind(owner)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(rows)
}

async fn remove_servers(
    transaction: &mut Transaction<'static, Sqlite>,
    connection: i64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM connection_servers WHERE connection = ?")
        .bind(connection)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn put_servers(
    transaction: &mut Transaction<'static, Sqlite>,
    connection: i64,
    servers: &[String],
) -> Result<(), StoreError> {
    for server in servers {
        sqlx::query(
            "INSERT INTO connection_servers (connection, resource) VALUES (?, ?)
             ON CONFLICT DO NOTHING",
        )
        .bind(connection)
        .bind(server)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}
