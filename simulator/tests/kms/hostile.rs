//! A KMS behind the right certificate authority that answers as it likes, and a parent that watches.
//!
//! Whoever can be that KMS holds an envelope of the enclave's data key and wants to read it: he sends
//! changes of it, and looks for a difference. So here is what the parent sees, and the error's text.
use std::sync::Arc;

use dauth_enclave::{
    host::HostServices,
    kms::{Backoff, DataKey, KmsClient, KmsError, KmsSettings},
};

mod credentials;
mod custody;
mod enclave;
mod parent;
mod refusals;
mod retries;
mod server;
mod tampering;

use enclave::{Bare, configuration};
use parent::Parent;
use server::HostileKms;
use tampering::Tampering;

const DECRYPT: &str = "TrentService.Decrypt";
const GENERATE: &str = "TrentService.GenerateDataKey";

/// A client, the KMS that it talks to, and the parent between.
struct Scene {
    client: KmsClient,
    kms: HostileKms,
    parent: Parent,
}

/// All that can be told from outside of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// Display and Debug.
    error: Option<(String, String)>,
    /// Target and length of each request.
    requests: Vec<(String, usize)>,
    connections: usize,
    /// What the parent was asked for.
    host_requests: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let kms = HostileKms::start().await;
        let parent = Parent::new();
        let configuration = configuration(kms.address());
        let client = KmsClient::new(KmsSettings {
            attester: Arc::new(Bare),
            host: HostServices::new(Arc::new(parent.clone())),
            roots: kms.roots(),
            configuration: &configuration,
            configuration_bytes: b"measured",
        })
        .unwrap();
        let client = client.with_backoff(Backoff {
            first: std::time::Duration::from_millis(1),
            ..Backoff::default()
        });
        Self {
            client,
            kms,
            parent,
        }
    }

    fn seen<T>(&self, result: &Result<T, KmsError>) -> Seen {
        let (connections, requests) = self.kms.take_log();
        Seen {
            error: result
                .as_ref()
                .err()
                .map(|error| (error.to_string(), format!("{error:?}"))),
            requests,
            connections,
            host_requests: self.parent.take_log(),
        }
    }

    async fn decrypt(&self) -> (Result<DataKey, KmsError>, Seen) {
        let result = self.client.decrypt(&server::WRAPPED).await;
        let seen = self.seen(&result);
        (result, seen)
    }

    /// The operation whose first reply, or second, is changed.
    async fn generate(
        &self,
        target: &'static str,
        tampering: Tampering,
    ) -> (Option<DataKey>, Seen) {
        self.kms.tamper(target, tampering);
        let result = self.client.generate_data_key().await;
        let seen = self.seen(&result);
        (result.ok().map(|generated| generated.key), seen)
    }
}
