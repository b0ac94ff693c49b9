//! The `dauth` command: parses, dispatches to the crates, prints.
#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "doc comments of arguments are help texts for a terminal"
)]

mod attest;
mod audit;
mod call;
mod connect;
mod connections;
mod doctor;
mod duration;
mod eif;
mod failure;
mod keys;
mod kms_policy;
mod login;
mod output;
mod party;
mod profile;
mod release;
mod simulate;
mod trust;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use dauth_enclave::allocator::{MiMalloc, Zeroizing};

use failure::Failure;

// This program is also the simulated enclave, under a hidden command.
#[global_allocator]
static ALLOCATOR: Zeroizing<MiMalloc> = Zeroizing(MiMalloc);

/// Credential isolation by sealed execution: use API keys through an attested enclave that alone
/// can open them.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Dauth {
    /// Whom to ask and whom to trust (TOML). $DAUTH_PROFILE names one as well.
    #[arg(long, global = true, value_name = "FILE")]
    profile: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Simulate(simulate::Simulate),
    Login(login::Login),
    Connect(connect::Connect),
    /// List, show, revoke or rotate connections.
    #[command(subcommand)]
    Connections(connections::Connections),
    Call(call::Call),
    /// Verify stored evidence, or fetch fresh evidence.
    #[command(subcommand)]
    Attest(attest::Attest),
    /// Fetch and verify the receipts of calls.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Create, change and look at an enclave's keyset, on the host of its parent.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Build an enclave's image, and measure what an enclave runs.
    #[command(subcommand)]
    Eif(eif::Eif),
    /// Make what a release is published with.
    #[command(subcommand)]
    Release(release::Release),
    KmsPolicy(kms_policy::KmsPolicy),
    Doctor(doctor::Doctor),
    /// A party of a simulation: `simulate` starts these.
    #[command(hide = true)]
    Party {
        party: simulate::Party,
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let dauth = Dauth::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(dauth)),
        Err(error) => Err(Failure::refused(format!("no runtime: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(dauth: Dauth) -> Result<(), Failure> {
    let profile = dauth.profile.as_deref();
    match dauth.command {
        Command::Simulate(simulate) => Box::pin(simulate.run()).await,
        Command::Login(login) => login.run().await,
        Command::Connect(connect) => connect.run(profile).await,
        Command::Connections(connections) => connections.run(profile).await,
        Command::Call(call) => call.run(profile).await,
        Command::Attest(attest::Attest::Verify(verify)) => verify.run(),
        Command::Attest(attest::Attest::Fetch(fetch)) => fetch.run(profile).await,
        Command::Audit(audit) => audit.run(profile).await,
        Command::Keys(keys) => keys.run(profile).await,
        Command::Eif(eif) => eif.run(),
        Command::Release(release) => release.run(),
        Command::KmsPolicy(policy) => policy.run(),
        Command::Doctor(doctor) => doctor.run().await,
        Command::Party { party, config } => party::run(party, &config).await,
    }
}
