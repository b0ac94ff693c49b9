//! What an owner reads.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_protocol::{
    Handle,
    audit::{CallReceipt, Digest, StoredBatch, StoredReceipt},
    cbor::CborError,
};
use sqlx::{Sqlite, Transaction};

use super::super::{Store, StoreError};

/// What one page may take as JSON, so that clients can bound what they read.
const MAX_PAGE_BYTES: usize = 768 * 1024;
/// The names and quotes of a batch, and around a digest.
const BATCH_JSON_BYTES: usize = 64;
const DIGEST_JSON_BYTES: usize = 2 * 32 + 3;

/// Which receipts of an owner.
#[derive(Clone, Debug)]
pub(crate) struct PageQuery {
    /// Of one connection alone.
    pub(crate) handle: Option<Handle>,
    /// After the receipt of this number.
    pub(crate) after: i64,
    /// How many at most: one at least.
    pub(crate) limit: u32,
}

/// Receipts, and the batches that they are in.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) receipts: Vec<StoredReceipt>,
    pub(crate) batches: Vec<StoredBatch>,
    /// The number of the last one, when there are more.
    pub(crate) next: Option<i64>,
}

type Row = (i64, i64, Vec<u8>);

impl Store {
    /// An owner's receipts, the oldest first, as many as fit: none only when there are no more.
    pub(crate) async fn receipts(
        &self,
        owner: &str,
        query: &PageQuery,
    ) -> Result<Page, StoreError> {
        let mut query = query.clone();
        loop {
            let page = self.receipts_after(owner, &query).await?;
            match page.next {
                // Not one of those that were selected can be read.
                Some(next) if page.receipts.is_empty() => query.after = next,
                _ => return Ok(page),
            }
        }
    }

    async fn receipts_after(&self, owner: &str, query: &PageQuery) -> Result<Page, StoreError> {
        // One snapshot, so that no batch goes away beneath its receipts.
        let mut transaction = self.pool.begin().await?;
        let mut rows = select(&mut transaction, owner, query).await?;
        let mut is_last = !pop_beyond(&mut rows, query.limit);
        let mut page = Page {
            receipts: Vec::new(),
            batches: Vec::new(),
            next: None,
        };
        let (mut bytes, mut last, mut batch_id) = (0, query.after, None);
        for (id, batch, receipt) in rows {
            let Ok(stored) = stored_receipt(&receipt) else {
                // The others are still to be had, and of this one there is a gap.
                tracing::error!(id, "a stored receipt is malformed, and left out");
                last = id;
                continue;
            };
            let mut more =
                serde_json::to_vec(&stored).map_or(usize::MAX / 2, |json| json.len() + 1);
            // Receipts of a batch follow one another.
            let new_batch = if batch_id == Some(batch) {
                None
            } else {
                let batch = stored_batch(&mut transaction, batch).await?;
                more += batch_bytes(&batch);
                Some(batch)
            };
            if !page.receipts.is_empty() && bytes + more > MAX_PAGE_BYTES {
                is_last = false;
                break;
            }
            bytes += more;
            (last, batch_id) = (id, Some(batch));
            page.receipts.push(stored);
            page.batches.extend(new_batch);
        }
        page.next = (!is_last).then_some(last);
        Ok(page)
    }
}

/// One more than the page holds, to see whether there are more.
async fn select(
    transaction: &mut Transaction<'static, Sqlite>,
    owner: &str,
    query: &PageQuery,
) -> Result<Vec<Row>, StoreError> {
    let select = match query.handle {
        Some(_) => {
            "SELECT id, batch, bytes FROM receipts
             WHERE owner = ?1 AND id > ?2 AND handle = ?4 ORDER BY id LIMIT ?3"
        }
        None => {
            "SELECT id, batch, bytes FROM receipts
             WHERE owner = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        }
    };
    let rows = sqlx::query_as(select)
        .bind(owner)
        .bind(query.after)
        .bind(i64::from(query.limit) + 1);
    let rows = match &query.handle {
        Some(handle) => rows.bind(handle.as_str()),
        None => rows,
    };
    Ok(rows.fetch_all(&mut **transaction).await?)
}

fn pop_beyond(rows: &mut Vec<Row>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_beyond = rows.len() > limit;
    rows.truncate(limit);
    is_beyond
}

fn stored_receipt(bytes: &[u8]) -> Result<StoredReceipt, CborError> {
    let details = CallReceipt::from_cbor(bytes)?;
    Ok(StoredReceipt {
        receipt: BASE64_STANDARD.encode(bytes),
        details,
    })
}

async fn stored_batch(
    transaction: &mut Transaction<'static, Sqlite>,
    id: i64,
) -> Result<StoredBatch, StoreError> {
    let (head, digests): (Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT head, digests FROM receipt_batches WHERE id = ?")
            .bind(id)
            .fetch_one(&mut **transaction)
            .await?;
    let (digests, rest) = digests.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(StoreError::Malformed("list of digests"));
    }
    Ok(StoredBatch {
        head: BASE64_STANDARD.encode(head),
        digests: digests.iter().map(|digest| Digest::from(*digest)).collect(),
    })
}

fn batch_bytes(batch: &StoredBatch) -> usize {
    BATCH_JSON_BYTES + batch.head.len() + batch.digests.len() * DIGEST_JSON_BYTES
}
