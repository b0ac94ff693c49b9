//! The enclave's program: the library on Nitro, with the trust anchors of production.
#![allow(
    clippy::print_stderr,
    reason = "the console is where a refusal to boot can be read"
)]

use std::{process::ExitCode, sync::Arc};

use dauth_attestation::TrustAnchors;
use dauth_enclave::{
    allocator::Zeroizing,
    boot,
    platform::{
        Platform,
        nsm::{NitroDevice, NsmAttester},
        vsock::Vsock,
    },
    trust::{LockAuthority, Trust},
};
use mimalloc::MiMalloc;
use rustls::RootCertStore;

#[global_allocator]
static ALLOCATOR: Zeroizing<MiMalloc> = Zeroizing(MiMalloc);

/// The parent on EC2 (Nitro Enclaves user guide: vsock).
const PARENT_CID: u32 = 3;

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
    let device = NitroDevice::open().map_err(|e| e.to_string())?;
    let transport = Vsock::new(PARENT_CID);
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
    boot::run(platform, trust, std::future::pending())
        .await
        .map_err(|e| e.to_string())
}
