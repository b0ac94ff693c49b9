//! Keeps enclaves running: starts them through nitro-cli, sees them die, starts them again; replaces
//! one image by another without losing a call; adopts what a former parent left running.
//!
//! An enclave is known by its name at nitro-cli, `PREFIX-NAME-CID`: that is all that a parent needs
//! to find its own again, so there is no state file that could be wrong. Each start has a context
//! identifier of its own, so nothing that an enclave left behind is taken for its successor's.
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    configuration::{self, AtStop, Enclave, EnclaveName, Transport},
    fleet::{Fleet, Member, Reach},
    host::{Callers, HostServices},
    metrics::Metrics,
    stream::Listener,
};

mod adoption;
mod backoff;
mod ending;
mod instance;
mod nitro_cli;
mod orphans;
mod slot;

use instance::{Instance, Serving};
use nitro_cli::{Described, NitroCli};
use slot::Slot;

/// How many context identifiers are used before the first is used again.
const CIDS: u32 = 1 << 16;
/// A nitro-cli that does not say what runs is asked again after this long.
const DESCRIBE_RETRY: Duration = Duration::from_secs(1);

/// The supervisor. One task per enclave of the configuration.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    /// What is to run, as long as it is not known what does.
    awaiting: Mutex<Awaiting>,
    slots: Mutex<BTreeMap<EnclaveName, watch::Sender<Option<Enclave>>>>,
    /// Looks for orphans; ends before the slots do, whose enclaves would be orphans.
    looking: tokio::sync::Mutex<JoinSet<()>>,
    running: tokio::sync::Mutex<JoinSet<()>>,
}

/// Whether a change may be made, or is to wait until what runs was adopted.
enum Awaiting {
    /// It is not known yet what runs. The last change that was ordered meanwhile.
    Adoption(Option<Vec<Enclave>>),
    /// Changes are made at once.
    Nothing,
}

impl Awaiting {
    fn take(&mut self) -> Option<Vec<Enclave>> {
        match self {
            Self::Adoption(ordered) => ordered.take(),
            Self::Nothing => None,
        }
    }
}

/// What the tasks have in common.
struct Shared {
    cli: NitroCli,
    settings: configuration::Supervisor,
    fleet: Arc<Fleet>,
    host: Arc<HostServices>,
    max_host_connections: usize,
    metrics: Arc<Metrics>,
    next_cid: Mutex<u32>,
    /// One upgrade at a time: both images need their memory.
    upgrading: Arc<Semaphore>,
}

impl Supervisor {
    pub(crate) fn new(
        settings: configuration::Supervisor,
        fleet: Arc<Fleet>,
        host: Arc<HostServices>,
        max_host_connections: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let shared = Shared {
            cli: NitroCli::new(&settings),
            next_cid: Mutex::new(settings.first_cid),
            settings,
            fleet,
            host,
            max_host_connections,
            metrics,
            upgrading: Arc::new(Semaphore::new(1)),
        };
        Self {
            shared: Arc::new(shared),
            awaiting: Mutex::new(Awaiting::Adoption(None)),
            slots: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            running: tokio::sync::Mutex::default(),
        }
    }

    /// Adopts what runs, ends what is not wanted, and starts what is missing.
    pub(crate) async fn start(&self, enclaves: &[Enclave]) {
        let found = self.found().await;
        self.shared.pass_over(&found);
        let ordered = self.awaiting().take();
        let enclaves = ordered.as_deref().unwrap_or(enclaves);
        let mut adopted = self.adopt(found, enclaves).await;
        for enclave in enclaves {
            let first = adopted.remove(&enclave.name);
            self.add(enclave.clone(), first).await;
        }
        while let Some(enclaves) = self.ordered_or_known() {
            self.make(&enclaves).await;
        }
        let shared = Arc::clone(&self.shared);
        let looking = async move { shared.keep_ending_orphans().await };
        self.looking.lock().await.spawn(looking);
    }

    /// What is to run from now on: new enclaves are started, those that are not named any more are
    /// drained and ended, and those of another image replaced. All of that once it is known what
    /// runs: who orders it does not wait for nitro-cli.
    pub(crate) async fn change(&self, enclaves: &[Enclave]) {
        if let Awaiting::Adoption(ordered) = &mut *self.awaiting() {
            *ordered = Some(enclaves.to_vec());
            return;
        }
        self.make(enclaves).await;
    }

    async fn make(&self, enclaves: &[Enclave]) {
        let wanted: BTreeSet<_> = enclaves.iter().map(|enclave| &enclave.name).collect();
        self.slots().retain(|name, slot| {
            let stays = wanted.contains(name);
            if !stays {
                slot.send_replace(None);
            }
            stays
        });
        for enclave in enclaves {
            let is_known = self.slots().get(&enclave.name).is_some_and(|slot| {
                // Also when nothing changed: the file may hold another image under the same name.
                slot.send_replace(Some(enclave.clone()));
                true
            });
            if !is_known {
                self.add(enclave.clone(), None).await;
            }
        }
    }

    /// How long [`Self::stop`] may take for enclaves; `None` when they run on.
    pub(crate) fn longest_stop(&self) -> Option<Duration> {
        let settings = &self.shared.settings;
        // One may be about to start; then it is told to stop, and ended if it does not. Beside these,
        // nitro-cli is asked what runs, and what an image is; and orphans are ended.
        let seconds = [
            settings.ready_timeout_s,
            settings.drain_timeout_s,
            settings.command_timeout_s.saturating_mul(6),
        ];
        let all = seconds.into_iter().fold(0, u64::saturating_add);
        (settings.at_stop == AtStop::Terminate).then_some(Duration::from_secs(all))
    }

    /// What becomes of the enclaves when the parent stops.
    pub(crate) async fn stop(&self) {
        let mut looking = self.looking.lock().await;
        let has_adopted = !looking.is_empty();
        looking.shutdown().await;
        let mut running = self.running.lock().await;
        match self.shared.settings.at_stop {
            AtStop::Leave => running.shutdown().await,
            AtStop::Terminate => {
                self.slots().clear();
                while running.join_next().await.is_some() {}
                if has_adopted {
                    self.shared.end_orphans().await;
                }
            }
        }
    }

    async fn add(&self, enclave: Enclave, first: Option<Instance>) {
        let name = enclave.name.clone();
        let wanted = {
            let mut slots = self.slots();
            if slots.contains_key(&name) {
                return;
            }
            let (sender, wanted) = watch::channel(Some(enclave));
            slots.insert(name.clone(), sender);
            wanted
        };
        let slot = Slot::new(name, Arc::clone(&self.shared), wanted);
        let mut running = self.running.lock().await;
        while running.try_join_next().is_some() {}
        running.spawn(slot.keep(first));
    }

    /// What was ordered meanwhile; once there is nothing, changes are made at once.
    fn ordered_or_known(&self) -> Option<Vec<Enclave>> {
        let mut awaiting = self.awaiting();
        let ordered = awaiting.take();
        if ordered.is_none() {
            *awaiting = Awaiting::Nothing;
        }
        ordered
    }

    fn awaiting(&self) -> std::sync::MutexGuard<'_, Awaiting> {
        self.awaiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<EnclaveName, watch::Sender<Option<Enclave>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs. Without an answer nothing is started: it could be running already.
    async fn found(&self) -> Vec<Described> {
        loop {
            match self.shared.cli.describe().await {
                Ok(described) => return described,
                Err(error) => tracing::error!("cannot tell which enclaves run: {error}"),
            }
            tokio::time::sleep(DESCRIBE_RETRY).await;
        }
    }
}

impl Shared {
    /// A context identifier that no enclave has, of ours or of others.
    fn cid(&self) -> u32 {
        let mut next = self.next_cid.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let cid = *next;
            let first = self.settings.first_cid;
            *next = match cid.saturating_sub(first) >= CIDS {
                true => first,
                false => cid.saturating_add(1),
            };
            if self.fleet.of_cid(cid).is_none() {
                return cid;
            }
        }
    }

    /// Identifiers go on after those that are taken.
    fn pass_over(&self, found: &[Described]) {
        let first = self.settings.first_cid;
        let ours = first..first.saturating_add(CIDS);
        let highest = found.iter().map(|e| e.cid).filter(|cid| ours.contains(cid));
        if let Some(highest) = highest.max() {
            let mut next = self.next_cid.lock().unwrap_or_else(PoisonError::into_inner);
            *next = highest.saturating_add(1);
        }
    }

    /// The name at nitro-cli.
    fn name_of(&self, name: &EnclaveName, cid: u32) -> String {
        format!("{}-{name}-{cid}", self.settings.prefix)
    }

    /// The name of the enclave in the configuration, when this is one of ours.
    fn name_within(&self, described: &Described) -> Option<EnclaveName> {
        let rest = described
            .name
            .strip_prefix(self.settings.prefix.as_str())?
            .strip_prefix('-')?;
        let (name, _cid) = rest.rsplit_once('-')?;
        EnclaveName::try_from(name.to_owned()).ok()
    }

    /// A member of the fleet, and its host services: they are there before the enclave is.
    fn admit(&self, name: &EnclaveName, cid: u32) -> io::Result<Serving> {
        let endpoint = self.settings.transport.ingress(cid);
        let member = Arc::new(Member::new(
            name.to_string(),
            endpoint,
            Reach::Supervised(cid),
            self.max_host_connections,
        ));
        let mut sockets = Vec::<PathBuf>::new();
        let mut services = JoinSet::new();
        if let Transport::Unix(folder) = &self.settings.transport {
            let path = folder.join(format!("{cid}.host"));
            let listener = Listener::bind_unix(&path)?;
            let callers = Callers::One(Arc::clone(&member), None);
            services.spawn(Arc::clone(&self.host).serve(listener, callers));
            sockets.extend([path, folder.join(format!("{cid}.ingress"))]);
        }
        self.fleet.add(Arc::clone(&member));
        Ok(Serving::new(
            member,
            Arc::clone(&self.fleet),
            services,
            sockets,
        ))
    }
}
