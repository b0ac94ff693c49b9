//! `dauth doctor`: what this host lacks to run an enclave, each with its remedy.
mod clock;
mod cpus;
mod finding;
mod host;
mod instance;
mod limits;
mod memory;
mod metadata;
mod nitro;
mod parent;
mod program;

use std::path::PathBuf;

use clap::Args;

use self::{
    finding::{Finding, Report},
    host::Host,
};
use crate::{failure::Failure, output::Output};

/// Say what this host lacks to run an enclave, each with its remedy.
///
/// Looks and changes nothing. The exit status is 0 when nothing is missing that is needed, and 1
/// otherwise. What only helps is told as well, and does not count.
///
/// Example, on the instance, before the parent is started:
///
///   sudo dauth doctor --user dauth --eif enclave.eif --config /etc/dauth/parent.toml
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Doctor {
    /// The image that is to run: four times its size must be free in huge pages.
    #[arg(long, value_name = "FILE")]
    eif: Option<PathBuf>,
    /// The parent's configuration (TOML): it is parsed, and what it names is looked at.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user that the parent runs as, in place of the one who asks.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let host = Host::this(self.user.as_deref())?;
        let report = Report(self.examine(&host).await);
        report.print(Output::from_flag(self.json))?;
        match report.missing() {
            0 => Ok(()),
            1 => Err(Failure::refused("one thing is missing that is needed")),
            count => Err(Failure::refused(format!(
                "{count} things are missing that are needed"
            ))),
        }
    }

    async fn examine(&self, host: &Host) -> Vec<Finding> {
        let mut findings = nitro::examine(host).await;
        findings.push(memory::allocator(host));
        findings.push(memory::huge_pages(host, self.eif.as_deref()));
        findings.extend(cpus::examine(host));
        findings.extend(instance::examine(metadata::ENDPOINT).await);
        findings.push(clock::synchronized(host));
        findings.extend(limits::examine(host));
        findings.push(nitro::service_manager(host));
        findings.extend(parent::examine(host, self.config.as_deref()).await);
        findings
    }
}
