//! What the control plane keeps: subjects, connections with their sealed records, and receipts of
//! calls.
//!
//! SQLite, in write-ahead mode with full synchronisation: what was answered with success survives
//! kill -9 and loss of power.
mod changes;
mod connections;
mod receipts;
mod reencryptions;
mod schema;
mod subjects;

use std::{path::Path, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(crate) use changes::{Change, CreateError, NewConnection, RotateError};
pub(crate) use connections::Connection;
pub(crate) use receipts::{KeepError, Kept, PageQuery, Room};
pub(crate) use reencryptions::{ReencryptError, Reencryption};
pub use schema::{RECORD_COLUMN, RECORD_TABLE};
pub(crate) use subjects::Source;

use crate::private_file;

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: SqlitePool,
}

/// The database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The file could not be created.
    #[error("the database file could not be created: {0}")]
    File(#[from] std::io::Error),
    /// The database was written by a later version of this program.
    #[error("the database has schema {found}, and this program knows none after {known}")]
    TooNew {
        /// Its schema.
        found: i64,
        /// The last one known here.
        known: i64,
    },
    /// What is stored is not what was written.
    #[error("the database holds a malformed {0}")]
    Malformed(&'static str),
    /// No random bytes for a new name.
    #[error("the system's random source failed")]
    Random,
}

impl Store {
    /// Opens the database, creating it with mode 0600 if there is none, and brings its schema up
    /// to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        private_file::create_empty(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await?;
        schema::migrate(&pool).await?;
        Ok(Self { pool })
    }

    /// Whether the database answers.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Writes back what is pending and closes the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// SQLite's integers are signed. Times and versions are bounded far below.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn natural(value: i64, name: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Malformed(name))
}
