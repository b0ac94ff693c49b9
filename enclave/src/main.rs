//! The enclave's program: the library on Nitro, with the trust anchors of production.
#![allow(
    clippy::print_stderr,
    reason = "the console is where a refusal to boot can be read"
)]

mod arguments;

use std::{env, process::ExitCode, sync::Arc};

use dauth_attestation::TrustAnchors;
use dauth_enclave::{
    allocator::{MiMalloc, Zeroizing},
    boot,
    hardening::lift_memory_lock_limit,
    platform::{
        Platform,
        nsm::{NitroDevice, NsmAttester},
        vsock::Vsock,
    },
    trust::{LockAuthority, Trust},
};
use rustls::RootCertStore;

use arguments::{ArgumentError, Arguments};

#[global_allocator]
static ALLOCATOR: Zeroizing<MiMalloc> = Zeroizing(MiMalloc);

fn main() -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(run()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("dauth-enclave: {sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let arguments = read_arguments().map_err(|e| e.to_string())?;
    let device = NitroDevice::open().map_err(|e| e.to_string())?;
    let transport = Vsock::new(arguments.parent_cid);
    let platform = Platform {
        attester: Arc::new(NsmAttester::new(device)),
        transport: Arc::new(transport),
    };
    let roots = Arc::new(RootCertStore::from_iter(
        webpki_roots::TLS_SERVER_ROOTS.iter().cloned(),
    ));
    let trust = Trust {
        attestation: TrustAnchors::aws_nitro(),
        kms: Arc::clone(&roots),
        locks: LockAuthority::Aws,
        upstream: roots,
    };
    lift_memory_lock_limit();
    boot::run(platform, trust, std::future::pending())
        .await
        .map_err(|e| e.to_string())
}

fn read_arguments() -> Result<Arguments, ArgumentError> {
    let arguments = env::args_os().skip(1).map(|text| text.into_string());
    let arguments: Result<Vec<_>, _> = arguments.collect();
    Arguments::parse(arguments.map_err(|_| ArgumentError::Usage)?)
}
