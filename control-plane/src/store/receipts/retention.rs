//! Receipts do not stay for ever.
use super::super::{Store, StoreError, integer};

/// Batches that are removed in one transaction: so few that nobody waits long for it.
const STEP: u32 = 32;

/// What one step removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Receipts that were kept in full.
    pub(crate) receipts: u64,
    /// Batches: none when there are no more.
    pub(crate) batches: u64,
}

impl Store {
    /// Removes one step of the batches that were received before a time, the oldest first.
    pub(crate) async fn remove_receipts(
        &self,
        received_before_s: u64,
    ) -> Result<Removed, StoreError> {
        let mut transaction = self.begin().await?;
        let old = "SELECT id FROM receipt_batches WHERE received < ? ORDER BY received, id LIMIT ?";
        let delete = |what: &str, of: &str| {
            sqlx::AssertSqlSafe(format!("DELETE FROM {what} WHERE {of} IN ({old})"))
        };
        let receipts = sqlx::query(delete("receipts", "batch"))
            .bind(integer(received_before_s))
            .bind(STEP)
            .execute(&mut *transaction)
            .await?;
        let batches = sqlx::query(delete("receipt_batches", "id"))
            .bind(integer(received_before_s))
            .bind(STEP)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Removed {
            receipts: receipts.rows_affected(),
            batches: batches.rows_affected(),
        })
    }
}
