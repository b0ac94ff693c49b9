//! The simulated enclave: the enclave library over a simulated NSM, and over unix sockets or vsock.
#![allow(clippy::print_stderr, reason = "a refusal to boot is told on stderr")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use dauth_enclave::allocator::{MiMalloc, Zeroizing};

#[global_allocator]
static ALLOCATOR: Zeroizing<MiMalloc> = Zeroizing(MiMalloc);

/// The enclave, simulated: the same code as in the image, over a simulated Nitro Secure Module, and
/// over unix sockets in the place of AF_VSOCK unless it runs in a virtual machine. It protects nothing
/// from this machine's root user.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The simulated hardware and its trust anchors (TOML); `dauth simulate` writes one.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("dauth-enclave-sim: {sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let file = arguments.config;
    let text = std::fs::read_to_string(&file)
        .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let configuration =
        toml::from_str(&text).map_err(|e| format!("{}: {}", file.display(), e.message()))?;
    let shutdown = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    dauth_simulator::enclave::run(configuration, shutdown)
        .await
        .map_err(|e| e.to_string())
}
