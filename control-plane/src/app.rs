//! What every handler shares.
use aws_lc_rs::{constant_time, digest};
use dauth_token::Jwks;

use crate::{
    configuration::Settings, dpop::Dpop, metrics::Metrics, random::RandomError,
    signing_key::SigningKey, store::Store,
};

/// The authorization server and vault.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) key: SigningKey,
    pub(crate) jwks: Jwks,
    pub(crate) store: Store,
    pub(crate) dpop: Dpop,
    pub(crate) metrics: Metrics,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        key: SigningKey,
        store: Store,
        now_s: u64,
    ) -> Result<Self, RandomError> {
        Ok(Self {
            jwks: key.jwks(),
            dpop: Dpop::new(now_s)?,
            metrics: Metrics::default(),
            settings,
            key,
            store,
        })
    }

    /// The URL of a path, as clients see it. It follows from the configured issuer alone, never
    /// from what a request says of its host.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.issuer)
    }

    /// Whether a credential is the parent's.
    pub(crate) fn is_host_credential(&self, credential: &str) -> bool {
        let given = digest::digest(&digest::SHA256, credential.as_bytes());
        let expected = &self.settings.host_credential_sha256;
        constant_time::verify_slices_are_equal(expected, given.as_ref()).is_ok()
    }
}
