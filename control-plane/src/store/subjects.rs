//! Opaque names of those on whose behalf tokens are issued.
use super::{Store, StoreError, integer};
use crate::random;

/// Where a subject comes from. Two of different kinds never share an id, even if their sources
/// give them the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// A client that acts for itself.
    Client {
        /// The issuer that registered it.
        issuer: &'a str,
        /// Its `client_id`.
        id: &'a str,
    },
}

impl Store {
    /// The subject's id: random at first sight, the same from then on.
    pub(crate) async fn subject(
        &self,
        source: Source<'_>,
        now_s: u64,
    ) -> Result<String, StoreError> {
        let Source::Client { issuer, id } = source;
        let kind = "client";
        let find = || {
            sqlx::query_as::<_, (String,)>(
                "SELECT id FROM subjects
                 WHERE source_issuer = ? AND source_subject = ? AND kind = ?",
            )
            .bind(issuer)
            .bind(id)
            .bind(kind)
        };
        if let Some((subject,)) = find().fetch_optional(&self.pool).await? {
            return Ok(subject);
        }
        let fresh = random::identifier().map_err(|_| StoreError::Random)?;
        sqlx::query(
            "INSERT INTO subjects (id, source_issuer, source_subject, kind, created)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(fresh)
        .bind(issuer)
        .bind(id)
        .bind(kind)
        .bind(integer(now_s))
        .execute(&self.pool)
        .await?;
        // Of two requests at once, both read what the first one wrote.
        let (subject,) = find().fetch_one(&self.pool).await?;
        Ok(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_id_for_each_source() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("a.db")).await.unwrap();
        let id = async |issuer, id| {
            let source = Source::Client { issuer, id };
            store.subject(source, 1).await.unwrap()
        };
        let first = id("i", "a").await;
        assert_eq!(id("i", "a").await, first);
        assert_ne!(id("i", "b").await, first);
        assert_ne!(id("j", "a").await, first);
    }
}
