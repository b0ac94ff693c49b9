//! The parties of a simulation, each run by this program under a hidden command.
use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use tracing_subscriber::EnvFilter;

use crate::{
    failure::{Failure, sentence},
    simulate::Party,
};

/// Runs a party until SIGINT or SIGTERM.
pub(crate) async fn run(party: Party, configuration: &Path) -> Result<(), Failure> {
    if party != Party::Enclave {
        start_log();
    }
    let shutdown = shutdown()?;
    let refused = |e: &dyn std::error::Error| Failure::refused(sentence(e));
    match party {
        Party::Kms => {
            let configuration = read(configuration)?;
            dauth_simulator::kms::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
        Party::ControlPlane => {
            let configuration = read(configuration)?;
            dauth_control_plane::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
        Party::Parent => {
            let configuration = read(configuration)?;
            dauth_parent::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
        Party::Enclave => {
            let configuration = read(configuration)?;
            dauth_simulator::enclave::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
        Party::Upstream => {
            let configuration = read(configuration)?;
            dauth_simulator::upstream::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
        Party::Gateway => {
            let configuration = read(configuration)?;
            dauth_mcp::gateway::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
        Party::Mcp => {
            let configuration = read(configuration)?;
            dauth_simulator::demo_mcp::run(configuration, shutdown)
                .await
                .map_err(|e| refused(&e))
        }
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    toml::from_str(&text)
        .map_err(|e| Failure::refused(format!("{}: {}", file.display(), e.message())))
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// Resolves on SIGINT or SIGTERM.
pub(crate) fn shutdown() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e| Failure::refused(format!("cannot listen for signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
