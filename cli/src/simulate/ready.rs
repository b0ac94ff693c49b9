//! Starting every party, and knowing when it can serve.
use std::{fs, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    party::Party,
    plan::Plan,
    state::{Port, State},
    supervisor::{Death, Supervisor},
};
use crate::failure::Failure;

/// Deaths of parties, as the supervisor sees them.
pub(crate) type Deaths = mpsc::UnboundedReceiver<Death>;

/// Time that a party has to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// An enclave may have to boot a kernel first, under emulation, on a busy machine.
const ENCLAVE_READY_TIMEOUT: Duration = Duration::from_secs(240);
/// How often a party is asked.
const POLL: Duration = Duration::from_millis(10);

/// Starts every party in its turn; a party that dies before it is ready is an error.
pub(crate) async fn start_all(
    state: &State,
    plan: &Plan,
    supervisor: &Supervisor,
    mut deaths: Deaths,
) -> Result<Deaths, Failure> {
    let http = client(state)?;
    for group in [
        &[Party::Kms, Party::ControlPlane, Party::Upstream][..],
        &[Party::Parent],
        &[Party::Enclave],
        &[Party::Gateway, Party::Mcp],
    ] {
        for party in group {
            supervisor.start(*party).map_err(|e| {
                Failure::refused(format!("{} cannot be started: {e}", party.name()))
            })?;
        }
        for party in group {
            let address = address(state, plan, *party);
            tokio::select! {
                ready = until_ready(&http, &address, timeout(*party)) => {
                    ready.map_err(|url| not_ready(supervisor, *party, &url))?;
                }
                Some(death) = deaths.recv() => return Err(died(supervisor, &death)),
            }
        }
    }
    Ok(deaths)
}

/// Where a party says that it can serve.
fn address(state: &State, plan: &Plan, party: Party) -> String {
    match party {
        Party::Kms => state.url("https", Port::Kms) + "/readyz",
        Party::ControlPlane => format!("{}/readyz", plan.issuer),
        // The parent is ready when it reaches the enclave, which starts after it.
        Party::Parent => state.url("http", Port::Monitor) + "/healthz",
        Party::Enclave => state.url("http", Port::Monitor) + "/readyz",
        Party::Upstream => state.url("https", Port::Upstream) + "/readyz",
        Party::Gateway => state.url("http", Port::Gateway) + "/readyz",
        Party::Mcp => state.url("http", Port::Mcp) + "/readyz",
    }
}

fn timeout(party: Party) -> Duration {
    match party {
        Party::Enclave => ENCLAVE_READY_TIMEOUT,
        _ => READY_TIMEOUT,
    }
}

async fn until_ready(http: &reqwest::Client, url: &str, timeout: Duration) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        if http
            .get(url)
            .send()
            .await
            .is_ok_and(|reply| reply.status().is_success())
        {
            return Ok(());
        }
        sleep(POLL).await;
    }
    Err(url.to_owned())
}

fn not_ready(supervisor: &Supervisor, party: Party, url: &str) -> Failure {
    Failure::refused(format!(
        "{} is not ready: {url} does not answer (its log is {})",
        party.name(),
        supervisor.log_of(party).display()
    ))
}

/// A client that accepts the certificates of the simulation alone.
fn client(state: &State) -> Result<reqwest::Client, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in [state.upstream_authority()?, state.kms_authority()?] {
        CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes())
            .ok()
            .and_then(|certificate| roots.add(certificate).ok())
            .ok_or_else(|| Failure::refused("the simulation's certificates are damaged"))?;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::refused(format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()
        .map_err(|e| Failure::refused(format!("HTTP client: {e}")))
}

/// A party's death in one sentence: the last that it said.
fn died(supervisor: &Supervisor, death: &Death) -> Failure {
    let log = supervisor.log_of(death.party);
    let text = fs::read_to_string(&log).unwrap_or_default();
    let last = text
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    Failure::refused(format!(
        "{} ended before it was ready ({}): {last} (its log is {})",
        death.party.name(),
        death.status,
        log.display()
    ))
}
