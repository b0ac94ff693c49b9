//! Records that an enclave sealed anew, under a newer key of its keyset.
//!
//! They stand beside what the owner deposited and never replace it. The host that brings them is
//! not trusted: it can bring bytes that no enclave opens, and so spoil a connection until its owner
//! rotates it. It cannot bring back an older version of a connection, or another's record, since a
//! record's header is authenticated with its credential, and must be the deposited one's.
use coset::{CborSerializable as _, CoseEncrypt0, Label, cbor::Value};
use dauth_protocol::Fingerprint;
use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError, integer};

/// How long a token may still name a re-encryption after a newer one was stored.
const SUPERSEDED_LIFE_S: u64 = 3600;
/// Re-encryptions of one connection at a time: more than an honest fleet makes in an hour.
const MAX_LIVE: i64 = 16;
/// The protected header parameter that holds a record's header.
const DAUTH: &str = "dauth";

/// A record under a newer key, and the receipt that vouches for it.
pub(crate) struct Reencryption<'a> {
    pub(crate) record: &'a [u8],
    pub(crate) receipt: &'a [u8],
}

/// Why a re-encryption is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReencryptError {
    /// Nothing has the fingerprint of the record that was opened.
    #[error("there is no record of this fingerprint")]
    NotFound,
    /// The owner revoked the connection.
    #[error("the connection is revoked")]
    Revoked,
    /// It is not the newest record of its connection, or the new one is known.
    #[error("a newer record is stored, or this one")]
    Superseded,
    /// Its header is not that of the deposited record.
    #[error("the record is not the deposited one under another key")]
    OtherRecord,
    /// There are [`MAX_LIVE`] of this connection.
    #[error("the connection was sealed anew too often")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Stores `new` as the newest record of the connection whose newest record is `opened`.
    pub(crate) async fn reencrypt(
        &self,
        opened: &Fingerprint,
        new: &Reencryption<'_>,
        now_s: u64,
    ) -> Result<(), ReencryptError> {
        let mut transaction = self.begin().await?;
        let connection = find(&mut transaction, opened)
            .await?
            .ok_or(ReencryptError::NotFound)?;
        if connection.is_revoked {
            return Err(ReencryptError::Revoked);
        }
        let fingerprint = Fingerprint::of(new.record).to_string();
        if connection.newest != opened.to_string()
            || is_known(&mut transaction, &fingerprint).await?
        {
            return Err(ReencryptError::Superseded);
        }
        let deposited = header(&connection.deposited).ok_or(ReencryptError::OtherRecord)?;
        if header(new.record) != Some(deposited) {
            return Err(ReencryptError::OtherRecord);
        }
        prune(&mut transaction, connection.id, now_s).await?;
        if count(&mut transaction, connection.id).await? >= MAX_LIVE {
            return Err(ReencryptError::TooMany);
        }
        sqlx::query(
            "INSERT INTO reencryptions (connection, fingerprint, record, receipt, created)
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(connection.id)
        .bind(&fingerprint)
        .bind(new.record)
        .bind(new.receipt)
        .bind(integer(now_s))
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}

/// Removes those of a connection: its owner has deposited another record.
pub(super) async fn remove(
    transaction: &mut Transaction<'static, Sqlite>,
    connection: i64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM reencryptions WHERE connection = ?")
        .bind(connection)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Takes their bytes away: the connection is revoked. Fingerprints stay, as the deposited one's
/// does, so that tokens that name them are told so.
pub(super) async fn empty(
    transaction: &mut Transaction<'static, Sqlite>,
    connection: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE reencryptions SET record = X'', receipt = X'' WHERE connection = ?")
        .bind(connection)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Whether a record is a re-encryption of another connection than `own`, if any.
pub(super) async fn is_anothers(
    transaction: &mut Transaction<'static, Sqlite>,
    fingerprint: &str,
    own: Option<i64>,
) -> Result<bool, StoreError> {
    let found: Option<(i64,)> = sqlx::query_as(
        "SELECT connection FROM reencryptions WHERE fingerprint = ? AND connection IS NOT ?",
    )
    .bind(fingerprint)
    .bind(own)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(found.is_some())
}

struct Found {
    id: i64,
    is_revoked: bool,
    deposited: Vec<u8>,
    newest: String,
}

/// The connection that a fingerprint names, by what was deposited or by a re-encryption.
async fn find(
    transaction: &mut Transaction<'static, Sqlite>,
    fingerprint: &Fingerprint,
) -> Result<Option<Found>, StoreError> {
    let row: Option<(i64, bool, Vec<u8>, String)> = sqlx::query_as(
        "SELECT c.id, c.revoked IS NOT NULL, c.record,
            coalesce((SELECT n.fingerprint FROM reencryptions n WHERE n.connection = c.id
                ORDER BY n.id DESC LIMIT 1), c.fingerprint)
         FROM connections c
         WHERE c.fingerprint = ?1
            OR c.id = (SELECT r.connection FROM reencryptions r WHERE r.fingerprint = ?1)",
    )
    .bind(fingerprint.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.map(|(id, is_revoked, deposited, newest)| Found {
        id,
        is_revoked,
        deposited,
        newest,
    }))
}

async fn is_known(
    transaction: &mut Transaction<'static, Sqlite>,
    fingerprint: &str,
) -> Result<bool, StoreError> {
    let (known,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM connections WHERE fingerprint = ?1)
            OR EXISTS (SELECT 1 FROM reencryptions WHERE fingerprint = ?1)",
    )
    .bind(fingerprint)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(known)
}

/// A record's age counts from when it stopped being the newest: until then tokens named it.
async fn prune(
    transaction: &mut Transaction<'static, Sqlite>,
    connection: i64,
    now_s: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM reencryptions AS old WHERE connection = ?1 AND EXISTS (
            SELECT 1 FROM reencryptions newer WHERE newer.connection = ?1
                AND newer.id > old.id AND newer.created < ?2)",
    )
    .bind(connection)
    .bind(integer(now_s.saturating_sub(SUPERSEDED_LIFE_S)))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn count(
    transaction: &mut Transaction<'static, Sqlite>,
    connection: i64,
) -> Result<i64, StoreError> {
    let (count,) = sqlx::query_as("SELECT count(*) FROM reencryptions WHERE connection = ?")
        .bind(connection)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(count)
}

/// The header's bytes, as a record carries them: owner, handle, policy, version, times.
fn header(record: &[u8]) -> Option<Vec<u8>> {
    let object = CoseEncrypt0::from_slice(record).ok()?;
    let mut parameters = object.protected.header.rest.into_iter();
    parameters.find_map(|(label, value)| match (label, value) {
        (Label::Text(name), Value::Bytes(bytes)) if name == DAUTH => Some(bytes),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
