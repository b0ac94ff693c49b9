//! What an operator changes while the parent serves.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    configuration::{Configuration, Enclave, InvalidEnclaves},
    egress::names::HostsError,
    fleet::Fleet,
    host::{Egress, HostServices},
    ingress::{Ingress, Timeouts},
    metrics::Metrics,
    supervisor::Supervisor,
};

/// Applies another configuration to a parent that serves.
#[derive(Clone)]
pub struct Reloader(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) applied: Mutex<Configuration>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) host: Arc<HostServices>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) supervisor: Option<Arc<Supervisor>>,
}

impl Parts {
    pub(crate) fn enclaves(&self) -> Vec<Enclave> {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.enclaves.clone()
    }
}

/// What became of another configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Keys that differ and are read at the start alone.
    pub needs_restart: Vec<&'static str>,
}

/// Why a configuration was not applied: all is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// `[egress]` is not usable.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The enclaves are not described as a parent can have them.
    #[error(transparent)]
    Enclaves(#[from] InvalidEnclaves),
}

impl Reloader {
    /// Applies all that can be: egress, limits and timeouts of ingress, the enclaves. Either all of
    /// it or, on an error, nothing.
    pub async fn apply(&self, configuration: Configuration) -> Result<Applied, ReloadError> {
        configuration.check()?;
        let egress = Egress::new(&configuration.egress)?;
        self.0.host.egress.replace(egress);
        let timeouts = Timeouts::new(&configuration.ingress);
        self.0.ingress.timeouts.replace(timeouts);
        self.0
            .ingress
            .slots
            .limit(configuration.ingress.max_connections);
        if let Some(supervisor) = &self.0.supervisor
            && !configuration.enclaves.is_empty()
        {
            supervisor.change(&configuration.enclaves).await;
        }
        let mut applied = self
            .0
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let needs_restart = restart_keys(&applied, &configuration);
        // What was not applied still stands.
        applied.egress = configuration.egress;
        applied.ingress.max_connections = configuration.ingress.max_connections;
        applied.ingress.idle_timeout_s = configuration.ingress.idle_timeout_s;
        applied.ingress.connect_timeout_ms = configuration.ingress.connect_timeout_ms;
        Metrics::add(&self.0.ingress.metrics.reloads);
        Ok(Applied { needs_restart })
    }

    /// A configuration could not be read or applied.
    pub fn count_failure(&self) {
        Metrics::add(&self.0.ingress.metrics.reload_failures);
    }

    /// How many enclaves take connections, and how many there are.
    pub fn ready_enclaves(&self) -> (usize, usize) {
        let members = self.0.fleet.members();
        let ready = members.iter().filter(|m| m.takes_connections()).count();
        (ready, members.len())
    }

    /// How long the enclaves may take to end when the parent stops; `None` when they run on.
    pub fn longest_stop(&self) -> Option<Duration> {
        let supervisor = self.0.supervisor.as_ref()?;
        supervisor.longest_stop()
    }
}

/// Keys that are read at the start alone and differ.
fn restart_keys(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    let differs = [
        ("ingress.listen", old.ingress.listen != new.ingress.listen),
        (
            "ingress.listen_unix",
            old.ingress.listen_unix != new.ingress.listen_unix,
        ),
        (
            "ingress.enclave",
            old.ingress.enclave != new.ingress.enclave,
        ),
        ("[host]", old.host != new.host),
        (
            "[[enclaves]]",
            old.enclaves.is_empty() != new.enclaves.is_empty(),
        ),
        ("[supervisor]", old.supervisor != new.supervisor),
        ("[records]", old.records != new.records),
        ("[monitor]", old.monitor != new.monitor),
        ("[process]", old.process != new.process),
    ];
    let keys = differs.into_iter().filter(|(_, differs)| *differs);
    keys.map(|(key, _)| key).collect()
}
