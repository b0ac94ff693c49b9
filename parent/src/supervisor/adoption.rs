//! What a former parent left running.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Supervisor, ending::drain, instance::Instance, nitro_cli::Described};
use crate::{
    configuration::{DebugMode, Enclave, EnclaveName},
    stream,
};

/// How long an enclave that runs may take to accept a connection before it is not taken to be ready.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Takes over one running enclave for each that is wanted; drains further ones of that name, and
    /// ends what else runs of ours.
    pub(super) async fn adopt(
        &self,
        found: Vec<Described>,
        enclaves: &[Enclave],
    ) -> BTreeMap<EnclaveName, Instance> {
        let mut ours: BTreeMap<EnclaveName, Vec<Described>> = BTreeMap::new();
        let mut orphans = Vec::new();
        for described in found {
            let Some(name) = self.shared.name_within(&described) else {
                continue;
            };
            let is_wanted = enclaves.iter().any(|enclave| enclave.name == name);
            match is_wanted && self.is_usable(&described) {
                true => ours.entry(name).or_default().push(described),
                false => orphans.push(described),
            }
        }
        let mut adopted = BTreeMap::new();
        for enclave in enclaves {
            let candidates = ours.remove(&enclave.name).unwrap_or_default();
            let wanted = match candidates.is_empty() {
                true => continue,
                false => self.shared.cli.measure(&enclave.eif).await.ok(),
            };
            let mut instances = Vec::new();
            for candidate in candidates {
                match self.instance(enclave, &candidate).await {
                    Some(instance) => instances.push(instance),
                    None => orphans.push(candidate),
                }
            }
            // One that serves, of the wanted image, the last started; in this order.
            instances.sort_by_key(|instance| {
                let is_wanted = wanted.is_some() && instance.image == wanted;
                (
                    instance.ready_since.is_some(),
                    is_wanted,
                    instance.member().cid(),
                )
            });
            if let Some(chosen) = instances.pop() {
                adopted.insert(enclave.name.clone(), chosen);
            }
            // The parent died in the middle of an upgrade: calls go on there.
            let mut running = self.running.lock().await;
            for other in instances {
                running.spawn(drain(Arc::clone(&self.shared), other));
            }
        }
        for orphan in orphans {
            self.shared.end_orphan(&orphan).await;
        }
        adopted
    }

    fn is_usable(&self, described: &Described) -> bool {
        let may_debug = self.shared.settings.debug_mode == DebugMode::Used;
        described.is_running() && (may_debug || !described.is_in_debug_mode())
    }

    async fn instance(&self, enclave: &Enclave, described: &Described) -> Option<Instance> {
        let cid = described.cid;
        let serving = match self.shared.admit(&enclave.name, cid) {
            Ok(serving) => serving,
            Err(error) => {
                tracing::error!(enclave = %enclave.name, cid, "cannot serve an enclave that runs: {error}");
                return None;
            }
        };
        let member = serving.member();
        let accepts = stream::connect(member.endpoint(), ACCEPT_TIMEOUT).await;
        let now = Instant::now();
        let ready_since = accepts.is_ok().then(|| {
            member.found_ready();
            now
        });
        tracing::info!(enclave = %enclave.name, cid, "adopted an enclave that runs");
        Some(Instance {
            // Without a measurement it counts as another image than the wanted one.
            image: described.image(),
            enclave_id: described.enclave_id.clone(),
            enclave: enclave.clone(),
            since: now,
            ready_since,
            serving,
        })
    }
}
