//! One enclave from its start to its end.
use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::nitro_cli::ImageId;
use crate::{
    configuration::Enclave,
    fleet::{Fleet, Member},
};

/// An enclave that was started, or found running.
pub(super) struct Instance {
    pub(super) serving: Serving,
    pub(super) enclave_id: String,
    /// What it was started as.
    pub(super) enclave: Enclave,
    /// What it measures, once nitro-cli said so.
    pub(super) image: Option<ImageId>,
    pub(super) since: Instant,
    /// When it was first ready.
    pub(super) ready_since: Option<Instant>,
}

impl Instance {
    /// How long it has served.
    pub(super) fn served(&self) -> Duration {
        self.ready_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        self.serving.member()
    }
}

/// Its place in the fleet, and its host services. Both end with this.
pub(super) struct Serving {
    member: Arc<Member>,
    fleet: Arc<Fleet>,
    sockets: Vec<PathBuf>,
    _services: JoinSet<()>,
}

impl Serving {
    pub(super) fn new(
        member: Arc<Member>,
        fleet: Arc<Fleet>,
        services: JoinSet<()>,
        sockets: Vec<PathBuf>,
    ) -> Self {
        Self {
            member,
            fleet,
            sockets,
            _services: services,
        }
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The enclave is gone: its sockets are nobody's.
    pub(super) fn remove_sockets(&self) {
        for socket in &self.sockets {
            // It may never have made its own.
            let _ = fs::remove_file(socket);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.fleet.remove(&self.member);
    }
}
