//! What a former parent left running.
use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{
    Supervisor,
    instance::Instance,
    nitro_cli::{Described, ImageId},
};
use crate::{
    configuration::{DebugMode, Enclave, EnclaveName},
    stream,
};

/// How long an enclave that runs may take to accept a connection before it is not taken to be ready.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Takes over one running enclave for each that is wanted, of the wanted image where there is
    /// one; ends what else runs of ours.
    pub(super) async fn adopt(
        &self,
        found: Vec<Described>,
        enclaves: &[Enclave],
    ) -> BTreeMap<EnclaveName, Instance> {
        let mut ours: BTreeMap<EnclaveName, Vec<Described>> = BTreeMap::new();
        let mut orphans = Vec::new();
        for described in found {
            let Some(name) = self.name_within(&described) else {
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
            let mut candidates = ours.remove(&enclave.name).unwrap_or_default();
            let wanted = match candidates.is_empty() {
                true => continue,
                false => self.shared.cli.measure(&enclave.eif).await.ok(),
            };
            // The last started of the wanted image; without one, the last started.
            candidates.sort_by_key(|c| (wanted.is_some() && c.image() == wanted, c.cid));
            let chosen = candidates.pop();
            orphans.append(&mut candidates);
            if let Some(chosen) = chosen {
                match self.instance(enclave, chosen.clone(), wanted).await {
                    Some(instance) => drop(adopted.insert(enclave.name.clone(), instance)),
                    None => orphans.push(chosen),
                }
            }
        }
        for orphan in orphans {
            self.end_orphan(&orphan).await;
        }
        adopted
    }

    /// The name of the enclave in the configuration, when this is one of ours.
    fn name_within(&self, described: &Described) -> Option<EnclaveName> {
        let rest = described
            .name
            .strip_prefix(self.shared.settings.prefix.as_str())?
            .strip_prefix('-')?;
        let (name, _cid) = rest.rsplit_once('-')?;
        EnclaveName::try_from(name.to_owned()).ok()
    }

    fn is_usable(&self, described: &Described) -> bool {
        let may_debug = self.shared.settings.debug_mode == DebugMode::Used;
        described.is_running() && (may_debug || !described.is_in_debug_mode())
    }

    async fn instance(
        &self,
        enclave: &Enclave,
        described: Described,
        wanted: Option<ImageId>,
    ) -> Option<Instance> {
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
            // An image that cannot be measured now is taken to be the one that runs.
            image: described.image().or(wanted),
            enclave_id: described.enclave_id,
            enclave: enclave.clone(),
            since: now,
            ready_since,
            serving,
        })
    }

    async fn end_orphan(&self, orphan: &Described) {
        tracing::warn!(
            name = orphan.name,
            cid = orphan.cid,
            "ends an enclave that is not wanted"
        );
        if let Err(error) = self.shared.cli.terminate(&orphan.enclave_id).await {
            tracing::error!(name = orphan.name, "it does not end: {error}");
        }
    }
}
