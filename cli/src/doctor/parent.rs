//! The parent's configuration, and what it names: files, ports, and KMS.
mod enclaves;
mod files;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use dauth_parent::Configuration;
use dauth_protocol::DeploymentConfiguration;
use reqwest::Url;
use tokio::time;

use super::{finding::Finding, host::Host};
use crate::failure::sentence;

const CONFIGURATION: &str = "configuration";
const DEPLOYMENT: &str = "deployment";
const KMS: &str = "kms";
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn examine(host: &Host, file: Option<&Path>) -> Vec<Finding> {
    let Some(file) = file else {
        return vec![Finding::not_checked(
            CONFIGURATION,
            "name it with --config FILE",
        )];
    };
    let configuration = match Configuration::load(file) {
        Ok(configuration) => configuration,
        Err(error) => {
            return vec![Finding::missing(
                CONFIGURATION,
                sentence(&error),
                "`dauth-parent --help` shows a configuration",
            )];
        }
    };
    let mut findings = vec![Finding::ok(
        CONFIGURATION,
        format!("{} parses", file.display()),
    )];
    findings.extend(files::examine(host, file, &configuration));
    findings.extend(enclaves::examine(host, &configuration));
    findings.extend(
        addresses(&configuration)
            .into_iter()
            .map(|at| port(host, at)),
    );
    findings.extend(deployment(&configuration.host.configuration_file).await);
    findings
}

/// Where the parent listens for the network.
fn addresses(configuration: &Configuration) -> Vec<SocketAddr> {
    let monitor = configuration.monitor.as_ref().map(|monitor| monitor.listen);
    [configuration.ingress.listen]
        .into_iter()
        .chain(monitor)
        .collect()
}

fn port(host: &Host, address: SocketAddr) -> Finding {
    const NAME: &str = "port";
    let Err(error) = TcpListener::bind(address) else {
        return Finding::ok(NAME, format!("{address} is free"));
    };
    match error.kind() {
        io::ErrorKind::AddrInUse if runs(host, "dauth-parent") => {
            Finding::ok(NAME, format!("{address} is in use, and dauth-parent runs"))
        }
        io::ErrorKind::AddrInUse => Finding::missing(
            NAME,
            format!("{address} is in use by another program"),
            format!(
                "find it with: ss -ltnp 'sport = :{}', and stop it or change `listen`",
                address.port()
            ),
        ),
        io::ErrorKind::PermissionDenied => Finding::advice(
            NAME,
            format!("{address}: a port below 1024 needs a capability"),
            "the unit in deploy/systemd has it: AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ),
        _ => Finding::missing(
            NAME,
            format!("{address} cannot be listened on: {error}"),
            "name an address of this host: ip address show",
        ),
    }
}

/// Whether a program of this name runs; the kernel keeps fifteen characters (`proc_pid_comm(5)`).
fn runs(host: &Host, name: &str) -> bool {
    let Ok(processes) = std::fs::read_dir(host.at("/proc")) else {
        return false;
    };
    processes.filter_map(Result::ok).any(|process| {
        let comm = std::fs::read_to_string(process.path().join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    })
}

/// What the enclave is told, and whether the KMS that it names can be found.
async fn deployment(file: &Path) -> Vec<Finding> {
    let read = std::fs::read(file).map_err(|error| error.to_string());
    let parsed = read.and_then(|bytes| {
        DeploymentConfiguration::from_json(&bytes).map_err(|error| sentence(&error))
    });
    match parsed {
        Ok(parsed) => vec![
            Finding::ok(DEPLOYMENT, format!("{} parses", file.display())),
            kms(&parsed.kms.region, parsed.kms.endpoint.as_deref()).await,
        ],
        Err(error) => vec![
            Finding::missing(
                DEPLOYMENT,
                format!("{}: {error}", file.display()),
                "docs/operate.md shows one; `dauth eif config FILE` checks and measures it",
            ),
            Finding::not_checked(KMS, "there is no deployment configuration"),
        ],
    }
}

async fn kms(region: &str, endpoint: Option<&str>) -> Finding {
    let url = endpoint.map_or_else(
        || {
            let domain = if region.starts_with("cn-") {
                "amazonaws.com.cn"
            } else {
                "amazonaws.com"
            };
            format!("https://kms.{region}.{domain}")
        },
        str::to_owned,
    );
    let remedy = "let this host resolve names of AWS: /etc/resolv.conf; in a private network, a \
                  VPC endpoint of KMS with private DNS";
    let Some((name, port)) = Url::parse(&url)
        .ok()
        .and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)))
    else {
        return Finding::missing(KMS, format!("{url} is no URL"), "correct kms.endpoint");
    };
    let lookup = tokio::net::lookup_host((name.as_str(), port));
    match time::timeout(RESOLVE_TIMEOUT, lookup).await {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) => Finding::ok(KMS, format!("{name} is at {}", address.ip())),
            None => Finding::missing(KMS, format!("{name} has no address"), remedy),
        },
        Ok(Err(error)) => Finding::missing(KMS, format!("{name}: {error}"), remedy),
        Err(_) => Finding::missing(KMS, format!("{name}: no answer in time"), remedy),
    }
}

#[cfg(test)]
mod tests;
