//! Enclaves that share a parent, a KMS and an attestation root.
use std::{collections::BTreeSet, sync::Arc};

use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{KeyPolicyRule, Predecessor},
    host::{KeyKind, KeysetChange, OrderResult},
    key_configuration::GuardingKey,
};
use serde_json::Value;

use super::{IMAGE, configuration, image, kms::Kms, nsm::Nsm, parent::Parent};
use crate::{
    event::{Event, Events},
    host::HostServices,
    keyset::{
        Announcement, Keeper, Keyset, KeysetContext, KeysetError, TrustedTime, create, generation,
    },
};

/// What enclaves share.
pub(crate) struct Fleet {
    nsm: Arc<Nsm>,
    pub(crate) kms: Kms,
    pub(crate) parent: Parent,
}

impl Fleet {
    pub(crate) fn nsm(&self) -> Arc<Nsm> {
        Arc::clone(&self.nsm)
    }

    /// With no keyset yet.
    pub(crate) fn new() -> Self {
        Self {
            nsm: Arc::new(Nsm::new(image(IMAGE))),
            kms: Kms::new(),
            parent: Parent::default(),
        }
    }

    /// With a keyset of generation 1.
    pub(crate) async fn with_keyset() -> Self {
        let fleet = Self::new();
        create(&fleet.context(), fleet.now_ms() / 1000)
            .await
            .unwrap();
        fleet
    }

    /// The same hardware and KMS, and another parent.
    pub(crate) fn elsewhere(&self) -> Self {
        Self {
            nsm: Arc::clone(&self.nsm),
            kms: self.kms.clone(),
            parent: Parent::default(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.nsm.now_ms()
    }

    pub(crate) fn pass_s(&self, seconds: u64) {
        self.nsm.pass_ms(seconds * 1000);
    }

    /// An enclave of the image that created the keyset.
    pub(crate) fn context(&self) -> KeysetContext {
        self.context_of(image(IMAGE), configuration())
    }

    pub(crate) fn context_of(
        &self,
        running: Predecessor,
        configuration: DeploymentConfiguration,
    ) -> KeysetContext {
        let nsm = Arc::new(self.nsm.with_image(running));
        KeysetContext {
            anchors: nsm.anchors(),
            attester: nsm,
            host: self.host(),
            data_keys: Arc::new(self.kms.key(&configuration.kms.key_arn)),
            configuration,
        }
    }

    pub(crate) fn host(&self) -> HostServices {
        HostServices::new(Arc::new(self.parent.clone()))
    }

    pub(crate) async fn load(&self) -> Result<Keyset, KeysetError> {
        generation::load_at(&self.context(), self.now_ms()).await
    }

    /// The next generation, with these kinds of key replaced.
    pub(crate) async fn change(
        &self,
        keyset: &Keyset,
        kinds: impl Into<BTreeSet<KeyKind>>,
    ) -> Result<Keyset, OrderResult> {
        let order = order(keyset.generation(), kinds);
        generation::change(&self.context(), keyset, &order, self.now_ms()).await
    }

    /// A keeper that serves with the keyset that there is.
    pub(crate) async fn keeper(&self) -> Keeper {
        let keyset = self.load().await.unwrap();
        let nsm = Arc::clone(&self.nsm);
        let time: TrustedTime = Box::new(move || Some(nsm.now_ms()));
        let announcement = Announcement {
            tls_key: b"tls key".to_vec(),
            kms_key: GuardingKey {
                arn: configuration().kms.key_arn,
                policy: KeyPolicyRule::Unchecked,
            },
            audience: configuration().audience,
        };
        let events = Events::start(self.host());
        Keeper::new(self.context(), keyset, announcement, time, events)
    }

    /// What the keeper told of this kind, all of it.
    pub(crate) async fn events(&self, keeper: &Keeper, kind: &str) -> Vec<Value> {
        const LAST: &str = "clock_disagrees";
        let told = |kind: &str| {
            let state = self.parent.state();
            let events = state.events.iter();
            let of_kind = events.filter(|event| event["event"] == kind);
            of_kind.cloned().collect::<Vec<_>>()
        };
        // Events arrive in their order: with this one all that came before are there.
        let before = told(LAST).len();
        keeper
            .events()
            .note(Event::ClockDisagrees { difference_s: 0 });
        while told(LAST).len() == before {
            tokio::task::yield_now().await;
        }
        told(kind)
    }
}

/// An order to change a keyset of this generation.
pub(crate) fn order(from_generation: u64, kinds: impl Into<BTreeSet<KeyKind>>) -> KeysetChange {
    KeysetChange {
        id: format!("order-{from_generation}"),
        from_generation,
        renew: kinds.into(),
        retire_after_s: None,
    }
}
