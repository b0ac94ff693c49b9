//! One enclave of the configuration: what runs for it, and what is done when that changes.
use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Shared,
    backoff::Backoff,
    ending::{END_LOOK, drain, terminate},
    instance::Instance,
    nitro_cli::{Described, NitroCliError},
};
use crate::{
    configuration::{DebugMode, Enclave, EnclaveName},
    fleet::Readiness,
    metrics::Metrics,
};

mod upgrade;

/// The task of one enclave.
pub(super) struct Slot {
    name: EnclaveName,
    shared: Arc<Shared>,
    wanted: watch::Receiver<Option<Enclave>>,
    backoff: Backoff,
    /// What did not get ready in an upgrade, and what runs in its place until the next order.
    declined: Option<Declined>,
    draining: JoinSet<()>,
}

struct Declined {
    new: Enclave,
    proven: Enclave,
}

/// What happened to an enclave that is watched.
enum Event {
    /// It does not run, or not as it should.
    Ended(Ailment),
    /// Something else may be wanted.
    Wanted,
}

/// Why an enclave is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Ailment {
    #[error("it ended")]
    Ended,
    #[error("it is ending")]
    Ending,
    #[error("it is in debug mode")]
    DebugMode,
    #[error("it did not become ready in time")]
    NotReady,
    #[error("it has no connection to its parent")]
    Silent,
}

/// Why an enclave did not start, or did not get ready.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("host services: {0}")]
    HostServices(io::Error),
    #[error(transparent)]
    NitroCli(#[from] NitroCliError),
    #[error(transparent)]
    Ailment(#[from] Ailment),
}

impl Slot {
    pub(super) fn new(
        name: EnclaveName,
        shared: Arc<Shared>,
        wanted: watch::Receiver<Option<Enclave>>,
    ) -> Self {
        Self {
            name,
            shared,
            wanted,
            backoff: Backoff::default(),
            declined: None,
            draining: JoinSet::new(),
        }
    }

    /// Keeps one enclave running until none is wanted.
    pub(super) async fn keep(mut self, first: Option<Instance>) {
        let mut running = first;
        loop {
            let Some(wanted) = self.wanted() else {
                if let Some(instance) = running {
                    drain(Arc::clone(&self.shared), instance).await;
                }
                while self.draining.join_next().await.is_some() {}
                return;
            };
            let instance = match running.take() {
                Some(instance) => self.upgraded(instance, wanted).await,
                None => self.start_or_pause(self.proven(wanted)).await,
            };
            let Some(mut instance) = instance else {
                continue;
            };
            match self.watch(&mut instance).await {
                Event::Wanted => {
                    self.declined = None;
                    running = Some(instance);
                }
                Event::Ended(why) => self.bury(instance, why).await,
            }
        }
    }

    /// What is started for `wanted`: what ran before, where `wanted` did not get ready.
    fn proven(&self, wanted: Enclave) -> Enclave {
        match &self.declined {
            Some(declined) if declined.new == wanted => declined.proven.clone(),
            _ => wanted,
        }
    }

    /// What is wanted now; a supervisor that is gone wants nothing.
    fn wanted(&mut self) -> Option<Enclave> {
        match self.wanted.has_changed() {
            Ok(_) => self.wanted.borrow_and_update().clone(),
            Err(_) => None,
        }
    }

    async fn start_or_pause(&mut self, wanted: Enclave) -> Option<Instance> {
        let started = self.started(wanted).await;
        if started.is_none() {
            self.pause(Duration::ZERO).await;
        }
        started
    }

    async fn started(&self, wanted: Enclave) -> Option<Instance> {
        match self.start(wanted).await {
            Ok(instance) => Some(instance),
            Err(error) => {
                tracing::error!(enclave = %self.name, "cannot start it: {error}");
                Metrics::add(&self.shared.metrics.enclave_start_failures);
                None
            }
        }
    }

    async fn start(&self, enclave: Enclave) -> Result<Instance, StartError> {
        let cid = self.shared.cid();
        let name = self.shared.name_of(&self.name, cid);
        let serving = self
            .shared
            .admit(&self.name, cid)
            .map_err(StartError::HostServices)?;
        let started = self.shared.cli.run(&enclave, cid, &name).await;
        let started = started.inspect_err(|_| serving.remove_sockets())?;
        Metrics::add(&self.shared.metrics.enclave_starts);
        tracing::info!(enclave = %self.name, cid, "started");
        Ok(Instance {
            serving,
            enclave_id: started.enclave_id,
            enclave,
            image: None,
            since: Instant::now(),
            ready_since: None,
        })
    }

    /// Watches an enclave until it ends, or something else is wanted.
    async fn watch(&self, instance: &mut Instance) -> Event {
        let mut orders = self.wanted.clone();
        tokio::select! {
            changed = orders.changed() => {
                drop(changed);
                Event::Wanted
            }
            why = self.until_ailing(instance) => Event::Ended(why),
        }
    }

    /// Watches an enclave until it is not one to keep.
    async fn until_ailing(&self, instance: &mut Instance) -> Ailment {
        let interval = Duration::from_millis(self.shared.settings.health_interval_ms);
        let mut next_look = Instant::now();
        let mut silent_since = None;
        loop {
            let readiness = instance.member().readiness();
            // Also one that was lost before it was seen to be ready.
            if readiness != Readiness::Starting && instance.ready_since.is_none() {
                instance.ready_since = Some(Instant::now());
                tracing::info!(enclave = %self.name, after = ?instance.since.elapsed(), "ready");
            }
            silent_since = match instance.member().is_watching() {
                true => None,
                false => silent_since.or(Some(Instant::now())),
            };
            if let Some(why) = self.overdue(instance, silent_since) {
                return why;
            }
            tokio::select! {
                // A connection that breaks is most often an enclave that died: look at once.
                () = instance.member().until_not(readiness) => {}
                () = sleep_until(next_look) => {}
            }
            if let Some(why) = self.look(instance).await {
                return why;
            }
            next_look = Instant::now() + interval;
            // One that is lost and still described may be a moment from its end.
            if instance.member().readiness() == Readiness::Lost {
                next_look = Instant::now() + END_LOOK;
            }
        }
    }

    fn overdue(&self, instance: &Instance, silent_since: Option<Instant>) -> Option<Ailment> {
        let settings = &self.shared.settings;
        let (allowed, since, why) = match instance.ready_since {
            None => (
                settings.ready_timeout_s,
                Some(instance.since),
                Ailment::NotReady,
            ),
            Some(_) => (settings.silent_timeout_s, silent_since, Ailment::Silent),
        };
        since
            .is_some_and(|since| since.elapsed() >= Duration::from_secs(allowed))
            .then_some(why)
    }

    /// Asks nitro-cli for the enclave: why it is not one to keep, if it is not.
    async fn look(&self, instance: &mut Instance) -> Option<Ailment> {
        let described = match self.shared.cli.describe().await {
            Ok(described) => described,
            Err(error) => {
                // The enclave may well serve.
                tracing::warn!(enclave = %self.name, "cannot tell whether it runs: {error}");
                return None;
            }
        };
        let this = |enclave: &Described| enclave.enclave_id == instance.enclave_id;
        let Some(found) = described.into_iter().find(this) else {
            return Some(Ailment::Ended);
        };
        if !found.is_running() {
            return Some(Ailment::Ending);
        }
        if found.is_in_debug_mode() && self.shared.settings.debug_mode == DebugMode::Refused {
            return Some(Ailment::DebugMode);
        }
        if instance.image.is_none() {
            instance.image = found.image();
        }
        None
    }

    /// After the end of an enclave: what is left of it, and a pause.
    async fn bury(&mut self, instance: Instance, why: Ailment) {
        let served = instance.served();
        self.clear(instance, why).await;
        self.pause(served).await;
    }

    /// What is left of an enclave that is not kept.
    async fn clear(&self, instance: Instance, why: Ailment) {
        let served = instance.served();
        tracing::error!(enclave = %self.name, ?served, "lost: {why}");
        Metrics::add(&self.shared.metrics.enclave_deaths);
        if why != Ailment::Ended {
            terminate(&self.shared, &instance).await;
        }
        instance.serving.remove_sockets();
    }

    /// Shorter when something else is wanted meanwhile.
    async fn pause(&mut self, served: Duration) {
        let pause = self.backoff.after_death(served);
        tokio::select! {
            () = sleep(pause) => {}
            changed = self.wanted.changed() => drop(changed),
        }
    }
}
