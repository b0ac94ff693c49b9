//! `dauth simulate`: every party as a process of its own, and the whole flow once.
mod flow;
mod narrate;
mod party;
mod plan;
mod ready;
mod stack_file;
mod state;
mod supervisor;

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use dauth_protocol::measurement::Pcr;

pub(crate) use party::Party;
use party::Programs;
use plan::Plan;
use state::State;
use supervisor::{Pids, Supervisor};
use tokio::sync::watch;

use crate::{failure::Failure, output::Output};

/// Run the whole of DAuth on this machine: every party as a process of its own, on loopback only.
///
/// Starts a simulated KMS, the control plane, the parent, a simulated enclave, the gateway, a demo
/// API over TLS and a demo MCP server. Then goes through the whole flow once and prints each step,
/// who did it, and what each party could see. Stays up until Ctrl-C, and restarts what dies.
///
/// While it is up, use it from another terminal:
///
///   export DAUTH_PROFILE=…/profile.toml        (the path is printed)
///   dauth connect notes --base-url https://… --bearer --allow 'GET /**' < token
///   dauth call HANDLE GET /path
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Simulate {
    /// Where keys, ports and connections are kept between starts. The default is under
    /// $XDG_STATE_HOME/dauth, and a temporary folder with --once.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Exit after the flow: 0 when every step held, 1 otherwise.
    #[arg(long)]
    once: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Run the shipped binaries of this folder instead of this program itself.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Give the simulated enclave another PCR0 than the key policy names: KMS must refuse it.
    #[arg(long, value_name = "HEX")]
    enclave_pcr0: Option<Pcr>,
    /// Start this program with --config in the place of the simulated enclave. It boots a virtual
    /// machine with one inside, behind a hybrid vsock at run/vsock (see cargo xtask vm-test).
    #[arg(long, value_name = "PROGRAM", hide = true)]
    enclave_vm: Option<PathBuf>,
    /// Names and addresses for the parent's resolver, as in /etc/hosts.
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
}

impl Simulate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let shutdown = crate::party::shutdown()?;
        let (dir, _temporary) = self.dir()?;
        let state = State::open(&dir)?;
        let plan = Plan::write(&state, &self)?;
        let (supervisor, deaths) = Supervisor::new(self.programs()?, state.dir());
        tokio::pin!(shutdown);
        let result = tokio::select! {
            result = self.go(&state, &plan, &supervisor, deaths) => result,
            () = &mut shutdown => self.interrupted(),
        };
        supervisor.stop().await;
        result
    }

    /// Being told to stop is how a simulation ends, but not how a flow succeeds.
    fn interrupted(&self) -> Result<(), Failure> {
        if self.once {
            return Err(Failure::refused("interrupted before every step held"));
        }
        Ok(())
    }

    async fn go(
        &self,
        state: &State,
        plan: &Plan,
        supervisor: &Supervisor,
        deaths: ready::Deaths,
    ) -> Result<(), Failure> {
        let mut narrator = narrate::Narrator::new(Output::from_flag(self.json));
        narrator.starting(state.dir());
        let mut deaths = ready::start_all(state, plan, supervisor, deaths).await?;
        let mut pids = supervisor.pids();
        stack_file::write(state, plan, &pids.borrow_and_update().clone())?;
        narrator.started(&pids.borrow().clone());
        let running = pids.borrow().clone();
        let held = tokio::select! {
            held = flow::run(state, plan, &running, &mut narrator) => held,
            unwritten = follow(state, plan, pids.clone()) => return unwritten,
        };
        narrator.finish(state.dir(), &held);
        if self.once {
            return held;
        }
        narrator.invite(state.dir());
        // A step that did not hold has been told; the parties stay, to be looked into.
        let told = async {
            while let Some(death) = deaths.recv().await {
                narrator.died(&death);
            }
            Ok(())
        };
        tokio::select! {
            told = told => told,
            unwritten = follow(state, plan, pids) => unwritten,
        }
    }

    /// The state directory, and the temporary one that goes with this value.
    fn dir(&self) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
        if let Some(dir) = &self.state_dir {
            return Ok((dir.clone(), None));
        }
        if self.once {
            let temporary = tempfile::tempdir()
                .map_err(|e| Failure::refused(format!("no temporary folder: {e}")))?;
            return Ok((temporary.path().join("state"), Some(temporary)));
        }
        let base = env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| env::home_dir().map(|home| home.join(".local/state")))
            .ok_or_else(|| {
                Failure::usage("no home folder: name a state directory by --state-dir")
            })?;
        Ok((base.join("dauth/simulation"), None))
    }

    fn programs(&self) -> Result<Programs, Failure> {
        let this = env::current_exe()
            .map_err(|e| Failure::refused(format!("this program's own path: {e}")))?;
        let shipped = self
            .bin_dir
            .as_ref()
            .map(|folder| existing("--bin-dir", folder));
        let enclave_vm = self
            .enclave_vm
            .as_ref()
            .map(|program| existing("--enclave-vm", program));
        Ok(Programs {
            this,
            shipped: shipped.transpose()?,
            enclave_vm: enclave_vm.transpose()?,
        })
    }
}

/// Keeps `stack.json` true: a party that is started again has another pid.
async fn follow(
    state: &State,
    plan: &Plan,
    mut pids: watch::Receiver<Pids>,
) -> Result<(), Failure> {
    loop {
        if pids.changed().await.is_err() {
            return Ok(());
        }
        let running = pids.borrow_and_update().clone();
        stack_file::write(state, plan, &running)?;
    }
}

fn existing(option: &str, path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|e| Failure::usage(format!("{option} {}: {e}", path.display())))
}
