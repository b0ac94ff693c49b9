//! Receipts of calls, in the batches that an enclave signed for.
//!
//! A batch is stored once, whole, and never changed. What stands in a boot's chain stays what it is
//! until it is too old: a host that brings another batch for the same place is refused.
//!
//! Room is bounded twice. Beyond the bound on the database nothing more is taken, rather than that
//! the oldest goes: nobody can push out what is stored. Beyond an owner's own bound their receipts
//! are kept by their digests alone, which costs others nothing and leaves the owner a gap. So are
//! those of an owner whom nobody here knows: others in the batch are not to lose theirs for it.
mod page;
mod retention;

use dauth_protocol::{audit::Digest, limit::MAX_BATCH_RECEIPTS};
use sqlx::{Sqlite, Transaction};

pub(crate) use page::PageQuery;

use super::{Store, StoreError, integer, natural};
use crate::batch::{Batch, Place, Receipt};

/// What became of a batch that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It was stored.
    Now {
        /// How many receipts are kept in full: of the others, whose owners have too many or are not
        /// known, there are digests alone.
        in_full: u64,
    },
    /// It had been: the host did not learn of it.
    Before,
}

/// Why a batch is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// Another batch stands there, or beside it and does not go on to it.
    #[error("another batch stands in its place, or its neighbour is of another chain")]
    Conflict,
    /// The database is as large as it may become by receipts.
    #[error("there is no room for more receipts")]
    Full,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// In the database, whatever it is.
    pub(crate) bytes: u64,
    /// Of one owner's receipts.
    pub(crate) owner_bytes: u64,
}

impl Store {
    /// Stores a batch, where there is room.
    pub(crate) async fn keep_receipts(
        &self,
        batch: &Batch,
        room: Room,
        now_s: u64,
    ) -> Result<Kept, KeepError> {
        let mut transaction = self.begin().await?;
        for stored in neighbours(&mut transaction, batch.place()).await? {
            if stored.place == *batch.place() && stored.head == batch.head() {
                return Ok(Kept::Before);
            }
            if !stored.place.agrees(batch.place()) {
                return Err(KeepError::Conflict);
            }
        }
        if used_bytes(&mut transaction).await? >= room.bytes {
            return Err(KeepError::Full);
        }
        let id = insert_batch(&mut transaction, batch, now_s).await?;
        let mut in_full = 0;
        for receipt in batch.receipts() {
            in_full += insert_receipt(&mut transaction, id, receipt, room.owner_bytes).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(Kept::Now { in_full })
    }
}

/// A batch that is stored.
struct Stored {
    place: Place,
    head: Vec<u8>,
}

type Row = (i64, i64, Vec<u8>, Vec<u8>, Vec<u8>);

/// The batches that overlap a place, or touch it.
async fn neighbours(
    transaction: &mut Transaction<'static, Sqlite>,
    place: &Place,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT first, count, previous, chain, head FROM receipt_batches
         WHERE boot = ? AND first BETWEEN ? AND ?",
    )
    .bind(&place.boot.as_bytes()[..])
    // None is longer, so none that begins before comes near.
    .bind(integer(
        place.first.saturating_sub(MAX_BATCH_RECEIPTS as u64),
    ))
    .bind(integer(place.first.saturating_add(place.count)))
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|(first, count, previous, chain, head)| {
            let place = Place {
                boot: place.boot,
                first: natural(first, "sequence")?,
                count: natural(count, "count")?,
                previous: digest(&previous)?,
                chain: digest(&chain)?,
            };
            Ok(Stored { place, head })
        })
        .collect()
}

/// What the database holds, without pages that are free again.
async fn used_bytes(transaction: &mut Transaction<'static, Sqlite>) -> Result<u64, StoreError> {
    let (used,): (i64,) = sqlx::query_as(
        "SELECT (p.page_count - f.freelist_count) * s.page_size
         FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s",
    )
    .fetch_one(&mut **transaction)
    .await?;
    natural(used, "size")
}

async fn insert_batch(
    transaction: &mut Transaction<'static, Sqlite>,
    batch: &Batch,
    now_s: u64,
) -> Result<i64, StoreError> {
    let place = batch.place();
    let digests: Vec<&[u8]> = batch.digests().iter().map(|d| &d.as_bytes()[..]).collect();
    let inserted = sqlx::query(
        "INSERT INTO receipt_batches (boot, first, count, previous, chain, head, digests, received)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&place.boot.as_bytes()[..])
    .bind(integer(place.first))
    .bind(integer(place.count))
    .bind(&place.previous.as_bytes()[..])
    .bind(&place.chain.as_bytes()[..])
    .bind(batch.head())
    .bind(digests.concat())
    .bind(integer(now_s))
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.last_insert_rowid())
}

/// Zero when the owner has too many already, or is none.
async fn insert_receipt(
    transaction: &mut Transaction<'static, Sqlite>,
    batch: i64,
    receipt: &Receipt,
    owner_bytes: u64,
) -> Result<u64, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO receipts (batch, owner, handle, bytes) SELECT ?1, ?2, ?3, ?4
         WHERE EXISTS (SELECT 1 FROM subjects WHERE id = ?2)
         AND coalesce((SELECT bytes FROM receipt_owners WHERE owner = ?2), 0) + length(?4) <= ?5",
    )
    .bind(batch)
    .bind(&receipt.details.owner)
    .bind(receipt.details.handle.as_str())
    .bind(&receipt.bytes)
    .bind(integer(owner_bytes))
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected())
}

fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    <[u8; 32]>::try_from(bytes)
        .map(Digest::from)
        .map_err(|_| StoreError::Malformed("digest"))
}

#[cfg(test)]
mod tests;
