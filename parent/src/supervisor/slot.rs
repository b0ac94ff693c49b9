//! One enclave of the configuration: what runs for it, and what is done when that changes.
use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Shared,
    backoff::Backoff,
    instance::Instance,
    nitro_cli::{Described, NitroCliError},
};
use crate::{
    configuration::{DebugMode, Enclave, EnclaveName},
    fleet::Readiness,
    metrics::Metrics,
};

/// While an enclave is expected to end, it is looked at this often.
const END_LOOK: Duration = Duration::from_millis(200);

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
            let mut instance = match running.take() {
                Some(instance) => self.upgraded(instance, wanted).await,
                None => match self.start_or_pause(self.proven(wanted)).await {
                    Some(instance) => instance,
                    None => continue,
                },
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
        match self.start(wanted).await {
            Ok(instance) => Some(instance),
            Err(error) => {
                tracing::error!(enclave = %self.name, "cannot start it: {error}");
                Metrics::add(&self.shared.metrics.enclave_start_failures);
                self.pause(Duration::ZERO).await;
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
    async fn watch(&mut self, instance: &mut Instance) -> Event {
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
                return Event::Ended(why);
            }
            tokio::select! {
                changed = self.wanted.changed() => {
                    drop(changed);
                    return Event::Wanted;
                }
                // A connection that breaks is most often an enclave that died: look at once.
                () = instance.member().until_not(readiness) => {}
                () = sleep_until(next_look) => {}
            }
            if let Some(why) = self.look(instance).await {
                return Event::Ended(why);
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
        tracing::error!(enclave = %self.name, ?served, "lost: {why}");
        Metrics::add(&self.shared.metrics.enclave_deaths);
        if why != Ailment::Ended {
            terminate(&self.shared, &instance).await;
        }
        instance.serving.remove_sockets();
        drop(instance);
        self.pause(served).await;
    }

    /// Shorter when something else is wanted meanwhile.
    async fn pause(&mut self, served: Duration) {
        let pause = self.backoff.after_death(served);
        tokio::select! {
            () = sleep(pause) => {}
            changed = self.wanted.changed() => drop(changed),
        }
    }

    /// The enclave that is to run from now on: the same one, or another beside it.
    async fn upgraded(&mut self, mut old: Instance, wanted: Enclave) -> Instance {
        if old.image.is_none() {
            // An order may come before the first look. What else it finds, the next one does.
            self.look(&mut old).await;
        }
        let is_declined = self.declined.as_ref().is_some_and(|d| d.new == wanted);
        if is_declined || !self.is_another(&old, &wanted).await {
            return old;
        }
        let upgrading = Arc::clone(&self.shared.upgrading);
        let Ok(turn) = upgrading.acquire_owned().await else {
            return old;
        };
        tracing::info!(enclave = %self.name, image = %wanted.eif.display(), "upgrade: starts the new enclave");
        match self.start_and_wait(wanted.clone()).await {
            Ok(new) => {
                Metrics::add(&self.shared.metrics.enclave_upgrades);
                tracing::info!(enclave = %self.name, "upgrade: the new enclave serves, the old one drains");
                let shared = Arc::clone(&self.shared);
                self.draining.spawn(async move {
                    drain(shared, old).await;
                    drop(turn);
                });
                new
            }
            Err(error) => {
                Metrics::add(&self.shared.metrics.enclave_upgrade_failures);
                tracing::error!(enclave = %self.name, "upgrade: the old enclave stays, for the new one failed: {error}");
                self.declined = Some(Declined {
                    new: wanted,
                    proven: old.enclave.clone(),
                });
                old
            }
        }
    }

    /// Whether `wanted` is not what runs: another size, another file, or another image in it.
    async fn is_another(&self, running: &Instance, wanted: &Enclave) -> bool {
        if running.enclave != *wanted {
            return true;
        }
        match (&running.image, self.shared.cli.measure(&wanted.eif).await) {
            (Some(runs), Ok(in_file)) => *runs != in_file,
            _ => false,
        }
    }

    async fn start_and_wait(&self, enclave: Enclave) -> Result<Instance, StartError> {
        let mut instance = self.start(enclave).await?;
        let allowed = Duration::from_secs(self.shared.settings.ready_timeout_s);
        let why = match timeout(allowed, self.until_ready(&mut instance)).await {
            Ok(None) => {
                instance.ready_since = Some(Instant::now());
                return Ok(instance);
            }
            Ok(Some(why)) => why,
            Err(_) => Ailment::NotReady,
        };
        terminate(&self.shared, &instance).await;
        instance.serving.remove_sockets();
        Err(why.into())
    }

    /// Why it does not get ready, if it does not.
    async fn until_ready(&self, instance: &mut Instance) -> Option<Ailment> {
        let member = Arc::clone(instance.member());
        let interval = Duration::from_millis(self.shared.settings.health_interval_ms);
        while member.readiness() != Readiness::Ready {
            tokio::select! {
                () = member.until_not(member.readiness()) => {}
                () = sleep(interval.min(END_LOOK)) => {
                    if let Some(why) = self.look(instance).await {
                        return Some(why);
                    }
                }
            }
        }
        self.look(instance).await
    }
}

/// New connections go elsewhere; the enclave is told to stop, and ended when it has, or when it takes
/// too long.
async fn drain(shared: Arc<Shared>, instance: Instance) {
    let member = instance.member();
    member.stop();
    let allowed = Duration::from_secs(shared.settings.drain_timeout_s);
    let ended = timeout(allowed, until_ended(&shared, &instance)).await;
    let (enclave, connections) = (member.name(), member.connections());
    match ended {
        Ok(()) => tracing::info!(enclave, "drained"),
        Err(_) => tracing::warn!(enclave, connections, "did not end in time"),
    }
    terminate(&shared, &instance).await;
    instance.serving.remove_sockets();
}

async fn until_ended(shared: &Shared, instance: &Instance) {
    loop {
        let described = shared.cli.describe().await;
        let runs = |enclave: &Described| enclave.enclave_id == instance.enclave_id;
        if described.is_ok_and(|described| !described.iter().any(runs)) {
            return;
        }
        sleep(END_LOOK).await;
    }
}

/// Ends it, whatever it does. One that has ended already is an error that means nothing.
async fn terminate(shared: &Shared, instance: &Instance) {
    if let Err(error) = shared.cli.terminate(&instance.enclave_id).await {
        tracing::debug!(enclave = instance.member().name(), "terminate: {error}");
    }
}
