//! The control plane's database, in the hands of whoever has taken it over.
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::StackFile;

/// The table of records.
pub struct Vault {
    database: SqliteConnection,
    table: String,
    column: String,
}

/// A record and the fingerprint that the control plane has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub record: Vec<u8>,
    /// Its fingerprint, as stored: it goes into tokens.
    pub fingerprint: String,
}

impl Vault {
    /// Opens the database of a running control plane.
    pub async fn open(stack: &StackFile) -> Self {
        let store = &stack.control_plane.store;
        let url = format!("sqlite:{}", store.path.display());
        Self {
            database: SqliteConnection::connect(&url).await.unwrap(),
            table: store.table.clone(),
            column: store.column.clone(),
        }
    }

    /// What is stored of a connection.
    pub async fn get(&mut self, handle: &str) -> Stored {
        let sql = format!(
            "SELECT {}, fingerprint FROM {} WHERE handle = ?",
            self.column, self.table
        );
        let (record, fingerprint) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(handle)
            .fetch_one(&mut self.database)
            .await
            .unwrap();
        Stored {
            record,
            fingerprint,
        }
    }

    /// Puts something else in its place.
    pub async fn put(&mut self, handle: &str, stored: &Stored) {
        let sql = format!(
            "UPDATE {} SET {} = ?, fingerprint = ? WHERE handle = ?",
            self.table, self.column
        );
        let done = sqlx::query(AssertSqlSafe(sql))
            .bind(&stored.record)
            .bind(&stored.fingerprint)
            .bind(handle)
            .execute(&mut self.database)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
}
