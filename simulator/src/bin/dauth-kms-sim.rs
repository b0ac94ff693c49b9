//! `dauth-kms-sim --config FILE`
use std::{
    io::{IsTerminal, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use dauth_simulator::kms::{self, Configuration};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A simulated AWS KMS, for machines without AWS.
///
/// Speaks AWS JSON 1.1 over HTTPS (GenerateDataKey, Decrypt, Encrypt, DescribeKey, GetKeyPolicy,
/// ListGrants), verifies SigV4 and the attestation document in Recipient, and enforces each key's
/// policy with its conditions on PCR values. Its keys lie in files: they protect nothing of value.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

const AFTER_HELP: &str = "\
A configuration:

  listen = \"127.0.0.1:8443\"
  tls_certificate_file = \"kms.pem\"
  tls_key_file = \"kms.key\"
  attestation_root_file = \"nsm-root.pem\"
  region = \"eu-west-1\"

  [[keys]]
  key_arn = \"arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-0000-0000-000000000000\"
  key_policy_file = \"key-policy.json\"
  master_key_file = \"master-key\"

  [[principals]]
  arn = \"arn:aws:iam::000000000000:role/dauth-parent\"
  access_key_id = \"AKIASIMULATED\"
  secret_access_key_file = \"secret-access-key\"

A key policy is the document that KMS takes, as dauth kms-policy writes it. A change of its file is
in force at once. The file of a master key is made at the first start. A key may also have
origin = \"EXTERNAL\", multi_region = true, state = \"Disabled\" and [[keys.grants]] with grantee and
operations, for tests of those who look at it.
RUST_LOG sets the log level (default: info). Logs go to stderr. SIGINT and SIGTERM stop it.";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Also when RUST_LOG is off. Without a standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "dauth-kms-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let configuration = Configuration::load(arguments.config)?;
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
        kms::run(configuration, shutdown).await?;
        Ok(())
    })
}
