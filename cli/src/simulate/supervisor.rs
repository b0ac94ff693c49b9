//! Starts a process per party, restarts what dies, stops all of them.
#![allow(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::party::{Party, Programs};

/// Time that a party has to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a party that died is started again; doubled with each death in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A party that lived this long has not died in a row.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// The pids of the parties that run.
pub(crate) type Pids = BTreeMap<Party, u32>;

/// The processes of a simulation.
pub(crate) struct Supervisor {
    programs: Programs,
    state_dir: PathBuf,
    pids: watch::Sender<Pids>,
    stopping: watch::Sender<Stopping>,
    running: Arc<Mutex<Vec<tokio::task::JoinHandle<()>>>>,
    deaths: mpsc::UnboundedSender<Death>,
}

/// Whether deaths are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    Yes,
}

/// A party that died.
#[derive(Debug)]
pub(crate) struct Death {
    /// Which.
    pub(crate) party: Party,
    /// How.
    pub(crate) status: ExitStatus,
}

impl Supervisor {
    /// A supervisor, and the deaths that it sees.
    pub(crate) fn new(
        programs: Programs,
        state_dir: &Path,
    ) -> (Self, mpsc::UnboundedReceiver<Death>) {
        let (deaths, seen) = mpsc::unbounded_channel();
        let supervisor = Self {
            programs,
            state_dir: state_dir.to_owned(),
            pids: watch::Sender::new(Pids::new()),
            stopping: watch::Sender::new(Stopping::No),
            running: Arc::default(),
            deaths,
        };
        (supervisor, seen)
    }

    /// The pids, and each change of them.
    pub(crate) fn pids(&self) -> watch::Receiver<Pids> {
        self.pids.subscribe()
    }

    /// The log of a party.
    pub(crate) fn log_of(&self, party: Party) -> PathBuf {
        log_of(&self.state_dir, party)
    }

    /// Starts a party, and starts it again whenever it dies.
    pub(crate) fn start(&self, party: Party) -> io::Result<()> {
        let child = self.spawn(party)?;
        let watched = Watched {
            party,
            programs: self.programs.clone(),
            state_dir: self.state_dir.clone(),
            pids: self.pids.clone(),
            stopping: self.stopping.subscribe(),
            deaths: self.deaths.clone(),
        };
        let task = tokio::spawn(watched.keep_running(child));
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
        Ok(())
    }

    /// Stops every party and waits until they are gone.
    pub(crate) async fn stop(&self) {
        self.stopping.send_replace(Stopping::Yes);
        let tasks =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = task.await;
        }
    }

    fn spawn(&self, party: Party) -> io::Result<Child> {
        let child = spawn(&self.programs, &self.state_dir, party)?;
        note_pid(&self.pids, party, &child);
        Ok(child)
    }
}

/// One party under supervision.
struct Watched {
    party: Party,
    programs: Programs,
    state_dir: PathBuf,
    pids: watch::Sender<Pids>,
    stopping: watch::Receiver<Stopping>,
    deaths: mpsc::UnboundedSender<Death>,
}

impl Watched {
    async fn keep_running(mut self, mut child: Child) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = tokio::time::Instant::now();
            tokio::select! {
                status = child.wait() => {
                    if let Ok(status) = status {
                        let _ = self.deaths.send(Death { party: self.party, status });
                    }
                }
                () = until_stopping(&mut self.stopping) => return stop(child).await,
            }
            if started.elapsed() >= STEADY_AFTER {
                pause = FIRST_PAUSE;
            }
            child = loop {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = until_stopping(&mut self.stopping) => return,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                if let Ok(child) = spawn(&self.programs, &self.state_dir, self.party) {
                    break child;
                }
            };
            note_pid(&self.pids, self.party, &child);
        }
    }
}

/// A supervisor that is gone stops its parties as well.
async fn until_stopping(stopping: &mut watch::Receiver<Stopping>) {
    drop(stopping.wait_for(|s| *s == Stopping::Yes).await);
}

/// Asks a process to stop, and kills it when it does not.
async fn stop(mut child: Child) {
    if let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
        // SAFETY: sends a signal; the pid is of a child not yet waited for, so it is still ours.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn note_pid(pids: &watch::Sender<Pids>, party: Party, child: &Child) {
    if let Some(pid) = child.id() {
        pids.send_modify(|pids| {
            pids.insert(party, pid);
        });
    }
}

fn spawn(programs: &Programs, state_dir: &Path, party: Party) -> io::Result<Child> {
    let configuration = PathBuf::from(party.name()).join("config.toml");
    let (program, arguments) = programs.of(party, &configuration);
    let log = append_only(&log_of(state_dir, party))?;
    let mut command = Command::new(&program);
    command
        .args(arguments)
        // Unix sockets have short relative paths, however long the state directory's is.
        .current_dir(state_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // The terminal's Ctrl-C is for the supervisor, which stops the parties in turn.
        .process_group(0)
        .kill_on_drop(true);
    if party == Party::Enclave {
        command.env_clear();
    }
    // SAFETY: prctl is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| {
            // A supervisor that is killed leaves nothing behind.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    command
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", program.display())))
}

fn log_of(state_dir: &Path, party: Party) -> PathBuf {
    state_dir.join("logs").join(format!("{}.log", party.name()))
}

fn append_only(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}
