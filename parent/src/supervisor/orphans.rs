//! Enclaves of ours that belong to no slot: they hold CPUs and huge pages that a start needs.
//!
//! A `run-enclave` that took too long may have started one, and a `terminate-enclave` that failed may
//! have left one. Whatever is described under our prefix and has no member in the fleet is one: an
//! enclave has its member before it is started, until it was ended.
use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use super::{Shared, nitro_cli::Described};

impl Shared {
    /// Looks for orphans until it is dropped, also while no slot has an enclave to look at.
    pub(super) async fn keep_ending_orphans(&self) {
        let interval = Duration::from_millis(self.settings.health_interval_ms);
        loop {
            sleep(interval).await;
            self.end_orphans().await;
        }
    }

    /// Ends what runs of ours and is nobody's.
    pub(super) async fn end_orphans(&self) {
        // Of before: one that ends in the meantime may still be described.
        let owned = self.owned();
        let described = match self.cli.describe().await {
            Ok(described) => described,
            Err(error) => {
                tracing::error!("cannot tell whether enclaves run that are nobody's: {error}");
                return;
            }
        };
        for orphan in described {
            // And of now: one may have been started in the meantime.
            let is_owned = owned.contains(&orphan.cid) || self.fleet.of_cid(orphan.cid).is_some();
            if !is_owned && self.name_within(&orphan).is_some() {
                self.end_orphan(&orphan).await;
            }
        }
    }

    fn owned(&self) -> BTreeSet<u32> {
        let members = self.fleet.members();
        members.iter().filter_map(|member| member.cid()).collect()
    }

    /// That it stays is an error: its memory is missed by each start until it ends.
    pub(super) async fn end_orphan(&self, orphan: &Described) {
        let (name, cid) = (&orphan.name, orphan.cid);
        tracing::warn!(name, cid, "ends an enclave that is nobody's");
        if let Err(error) = self.cli.terminate(&orphan.enclave_id).await {
            tracing::error!(name, cid, "it does not end: {error}");
        }
    }
}
