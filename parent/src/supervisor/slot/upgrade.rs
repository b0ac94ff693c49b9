//! Another image beside the one that runs, and in its place once it is ready.
use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};

use super::{Ailment, Declined, END_LOOK, Slot, StartError};
use crate::{
    configuration::Enclave,
    fleet::Readiness,
    metrics::Metrics,
    supervisor::{
        backoff::Backoff,
        ending::{drain, terminate},
        instance::Instance,
    },
};

impl Slot {
    /// The enclave that is to run from now on: the same one, or another beside it. None when both
    /// are lost.
    pub(super) async fn upgraded(
        &mut self,
        mut old: Instance,
        wanted: Enclave,
    ) -> Option<Instance> {
        if old.image.is_none() {
            // An order may come before the first look. What else it finds, the next one does.
            self.look(&mut old).await;
        }
        let is_declined = self.declined.as_ref().is_some_and(|d| d.new == wanted);
        if is_declined || !self.is_another(&old, &wanted).await {
            return Some(old);
        }
        let proven = old.enclave.clone();
        let mut old = Some(old);
        let in_turn = tokio::select! {
            in_turn = self.start_in_turn(&wanted) => in_turn,
            never = self.keep_running(&mut old, &proven) => match never {},
        };
        let Some((turn, new)) = in_turn else {
            return old;
        };
        match new {
            Ok(new) => {
                Metrics::add(&self.shared.metrics.enclave_upgrades);
                tracing::info!(enclave = %self.name, "upgrade: the new enclave serves, the old one drains");
                if let Some(old) = old {
                    let shared = Arc::clone(&self.shared);
                    self.draining.spawn(async move {
                        drain(shared, old).await;
                        drop(turn);
                    });
                }
                Some(new)
            }
            Err(error) => {
                Metrics::add(&self.shared.metrics.enclave_upgrade_failures);
                tracing::error!(enclave = %self.name, "upgrade: the old enclave stays, for the new one failed: {error}");
                self.declined = Some(Declined {
                    new: wanted,
                    proven,
                });
                old
            }
        }
    }

    /// Starts the new enclave when it is this one's turn; not when something else is wanted by then.
    async fn start_in_turn(
        &self,
        wanted: &Enclave,
    ) -> Option<(OwnedSemaphorePermit, Result<Instance, StartError>)> {
        let mut orders = self.wanted.clone();
        let turn = tokio::select! {
            // First, so that nothing is started that is not wanted any more.
            biased;
            changed = orders.changed() => {
                drop(changed);
                return None;
            }
            turn = Arc::clone(&self.shared.upgrading).acquire_owned() => turn.ok()?,
        };
        tracing::info!(enclave = %self.name, image = %wanted.eif.display(), "upgrade: starts the new enclave");
        Some((turn, self.start_and_wait(wanted.clone()).await))
    }

    /// Watches the enclave that serves until another does, and starts it again when it is lost.
    async fn keep_running(&self, serving: &mut Option<Instance>, proven: &Enclave) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            let mut served = Duration::ZERO;
            if let Some(instance) = serving {
                let why = self.until_ailing(instance).await;
                served = instance.served();
                if let Some(lost) = serving.take() {
                    self.clear(lost, why).await;
                }
            }
            sleep(backoff.after_death(served)).await;
            *serving = self.started(proven.clone()).await;
        }
    }

    /// Whether `wanted` is not what runs: another size, another file, or another image in it. One
    /// whose image nitro-cli does not tell counts as another; a file that cannot be measured does not.
    async fn is_another(&self, running: &Instance, wanted: &Enclave) -> bool {
        if running.enclave != *wanted {
            return true;
        }
        let in_file = self.shared.cli.measure(&wanted.eif).await;
        in_file.is_ok_and(|in_file| running.image.as_ref() != Some(&in_file))
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
