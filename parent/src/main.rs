//! `dauth-parent --config FILE`
use std::{
    error::Error,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use dauth_parent::{
    Configuration, Parent, Reloader, process,
    systemd::{ServiceManager, State},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::interval,
};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the service manager is told how many enclaves serve.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// The untrusted host process of DAuth enclaves.
///
/// Starts enclaves and keeps them running, relays connections to them, carries their outbound
/// connections (refusing private and metadata addresses), and serves them configuration, keyset,
/// records and role credentials. It sees destination names, sizes and timing; it cannot open a
/// credential.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

const AFTER_HELP: &str = "\
A configuration for EC2, started as root:

  [ingress]
  listen = \"0.0.0.0:443\"

  [[enclaves]]
  name = \"a\"
  eif = \"/opt/dauth/dauth.eif\"
  cpus = 2
  memory_mib = 2048

  [host]
  configuration_file = \"/etc/dauth/deployment.json\"
  keyset_file = \"/var/lib/dauth/keyset\"

  [host.imds]

  [records]
  control_plane = \"https://dauth.example.com\"
  credential_file = \"/etc/dauth/host-credential\"

  [monitor]
  listen = \"127.0.0.1:9464\"

  [process]
  user = \"dauth\"

The user must be in the group that may use /dev/nitro_enclaves (ne). An enclave that someone else
starts is named in place of [[enclaves]]: ingress.enclave = { vsock = { cid = 16 } } and
host.listen = { vsock = { peer_cid = 16 } }.

A boot without a keyset makes none: order it once, with dauth keys create --keyset KEYSET_FILE.
RUST_LOG sets the log level, or [log] level (default: info). Logs go to stderr; the enclaves' own
events carry the target \"enclave\".

SIGHUP reads the configuration again: the log level, [egress], limits and timeouts of [ingress], and
[[enclaves]]. An enclave whose image is another one is started beside the old one, which is drained
once the new one serves. A file with a mistake changes nothing. SIGINT and SIGTERM stop the parent;
its enclaves run on and the next parent adopts them, unless [supervisor] at_stop = \"terminate\".";

/// Lines that wait to be written.
const LOG_LINES: usize = 4096;

type LogFilter = reload::Handle<EnvFilter, Registry>;

fn main() -> ExitCode {
    // Before there is a second thread.
    if let Err(error) = process::prepare() {
        return failure(&error);
    }
    let (filter, log_filter) = reload::Layer::new(environment().unwrap_or_default());
    // Lines are lost where nobody reads standard error: no connection waits for the log.
    let (log, _until_written) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES)
        .finish(std::io::stderr());
    tracing_subscriber::registry()
        .with(filter)
        .with(tracing_subscriber::fmt::layer().with_writer(log))
        .init();
    match start(&Arguments::parse(), &log_filter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&*error),
    }
}

/// Tells it also when RUST_LOG is off. Without a standard error there is nobody to tell.
fn failure(error: &dyn Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "dauth-parent: {error}");
    ExitCode::FAILURE
}

fn start(arguments: &Arguments, log_filter: &LogFilter) -> Result<(), Box<dyn Error>> {
    let configuration = Configuration::load(&arguments.config)?;
    set_log_level(log_filter, &configuration)?;
    let manager = ServiceManager::from_environment()
        .map_err(|error| format!("the service manager's NOTIFY_SOCKET: {error}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let user = configuration.process.clone().unwrap_or_default();
        let parent = Parent::bind(configuration).await?;
        process::become_user(&user)?;
        let signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        };
        let reloading = Reloading {
            file: &arguments.config,
            reloader: parent.reloader(),
            manager: &manager,
            log_filter,
        };
        parent.serve(reloading.until_stopped(signals)).await?;
        Ok(())
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What goes on beside serving.
struct Reloading<'a> {
    file: &'a Path,
    reloader: Reloader,
    manager: &'a ServiceManager,
    log_filter: &'a LogFilter,
}

impl Reloading<'_> {
    async fn until_stopped(self, mut signals: Signals) {
        self.tell_ready();
        let mut status = interval(STATUS_INTERVAL);
        let alive = self.manager.watchdog().map(|within| within / 3);
        let mut alive = interval(
            alive
                .unwrap_or(STATUS_INTERVAL)
                .max(Duration::from_millis(1)),
        );
        loop {
            tokio::select! {
                _ = signals.interrupt.recv() => break,
                _ = signals.terminate.recv() => break,
                _ = signals.hangup.recv() => {
                    self.manager.tell(&State::Reloading);
                    self.reload().await;
                    self.tell_ready();
                }
                _ = status.tick() => self.tell_ready(),
                // From the tasks' own runtime: one that hangs tells nothing.
                _ = alive.tick() => self.manager.tell(&State::Watchdog),
            }
        }
        let within = self.reloader.longest_stop();
        self.manager.tell(&State::Stopping { within });
    }

    fn tell_ready(&self) {
        let (ready, all) = self.reloader.ready_enclaves();
        self.manager.tell(&State::Ready { ready, all });
    }

    async fn reload(&self) {
        match self.read_and_apply().await {
            Ok(needs_restart) => {
                tracing::info!("reloaded the configuration");
                for key in needs_restart {
                    tracing::warn!("{key} has changed: that takes a restart");
                }
            }
            Err(error) => {
                self.reloader.count_failure();
                tracing::error!("reload: all stays as it was: {error}");
            }
        }
    }

    async fn read_and_apply(&self) -> Result<Vec<&'static str>, Box<dyn Error>> {
        let configuration = Configuration::load(self.file)?;
        let level = log_level(&configuration)?;
        let applied = self.reloader.apply(configuration).await?;
        self.log_filter.reload(level)?;
        Ok(applied.needs_restart)
    }
}

fn set_log_level(log_filter: &LogFilter, of: &Configuration) -> Result<(), Box<dyn Error>> {
    log_filter.reload(log_level(of)?)?;
    Ok(())
}

/// `RUST_LOG` comes before the configuration.
fn log_level(configuration: &Configuration) -> Result<EnvFilter, Box<dyn Error>> {
    if let Some(filter) = environment() {
        return Ok(filter);
    }
    let level = configuration.log.clone().unwrap_or_default().level;
    EnvFilter::try_new(&level).map_err(|error| format!("[log] level: {error}").into())
}

fn environment() -> Option<EnvFilter> {
    EnvFilter::try_from_default_env().ok()
}
