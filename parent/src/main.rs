//! `dauth-parent --config FILE`
use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::Parser;
use dauth_parent::Configuration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The untrusted host process of a DAuth enclave.
///
/// Relays TCP connections to the enclave, carries its outbound connections (refusing private and
/// metadata addresses), and serves it configuration, keyset, records and role credentials. It sees
/// destination names, sizes and timing; it cannot open a credential.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

const AFTER_HELP: &str = "\
A configuration for EC2:

  [ingress]
  listen = \"0.0.0.0:443\"
  enclave = { vsock = { cid = 16, port = 5000 } }

  [host]
  listen = { vsock = { port = 5001, peer_cid = 16 } }
  configuration_file = \"/etc/dauth/deployment.json\"
  keyset_file = \"/var/lib/dauth/keyset\"

  [host.imds]

  [records]
  control_plane = \"https://dauth.example.com\"
  credential_file = \"/etc/dauth/host-credential\"

  [monitor]
  listen = \"127.0.0.1:9464\"

A boot without a keyset makes none: order it once, with dauth keys create --keyset KEYSET_FILE.
RUST_LOG sets the log level (default: info). Logs go to stderr; the enclave's own events carry the
target \"enclave\". SIGINT and SIGTERM stop it.";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Also when RUST_LOG is off. Without a standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "dauth-parent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let configuration = Configuration::load(&arguments.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        dauth_parent::run(configuration, shutdown).await?;
        Ok(())
    })
}
