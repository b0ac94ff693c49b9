//! From a measured image to an enclave that serves: each step fails closed.
mod registers;

use std::{io, sync::Arc};

use dauth_protocol::{
    DeploymentConfiguration, deployment::InvalidConfiguration, host::KeysetOrder,
    key_configuration::GuardingKey, measurement::Pcr,
};
use sha2::{Digest, Sha384};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::Instant,
};

pub use registers::RegisterError;

use crate::{
    authorize::RandomnessError,
    clock::{Clock, ClockError, now_s},
    event::{Event, Events},
    evidence::EvidenceService,
    hardening::{HardeningError, MemoryLock, harden, keep_marking},
    host::{HostError, HostServices},
    keyset::{self, Announcement, Keeper, Keyset, KeysetContext, KeysetError, TrustedTime},
    kms::{
        KmsClient, KmsSettings,
        custody::{self, CustodyError},
    },
    metrics::Reporter,
    platform::{Attester, AttesterError, Platform, SharedModule},
    receipt::Receipts,
    server::{Patience, Server},
    service::{Parts, Service},
    shutdown,
    tls::{TlsIdentity, TlsKeyError},
    trust::Trust,
    upstream::TlsClientError,
};

/// Why the enclave does not serve.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The process is not protected.
    #[error("the process could not be hardened: {0}")]
    Hardening(#[from] HardeningError),
    /// The parent gave no configuration or order.
    #[error("host services: {0}")]
    Host(#[from] HostError),
    /// The configuration does not parse. It has been measured all the same.
    #[error("{0}")]
    Configuration(#[from] InvalidConfiguration),
    /// The registers are not those of an image that is measured, and of its configuration.
    #[error("{0}")]
    Registers(#[from] RegisterError),
    /// The time is not to be trusted.
    #[error("{0}")]
    Clock(#[from] ClockError),
    /// The configuration wants a locked KMS key, and this one is not.
    #[error("{0}")]
    Custody(#[from] CustodyError),
    /// There is no keyset that may be used.
    #[error("{0}")]
    Keyset(#[from] KeysetError),
    /// No TLS key.
    #[error("{0}")]
    Tls(#[from] TlsKeyError),
    /// The source of randomness failed.
    #[error("{0}")]
    Randomness(#[from] RandomnessError),
    /// No TLS configuration for upstreams.
    #[error("{0}")]
    Upstream(#[from] TlsClientError),
    /// The transport does not accept.
    #[error("ingress: {0}")]
    Ingress(#[source] io::Error),
}

/// Boots and serves until `shutdown` resolves, or the parent says that it is time.
pub async fn run(
    platform: Platform,
    trust: Trust,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), BootError> {
    #[cfg(mutations)]
    crate::mutation::choose();
    let hardening = harden()?;
    let module = SharedModule::new(platform.attester);
    let platform = Platform {
        attester: module.for_ourselves(),
        ..platform
    };
    at_the_module(&platform, registers::check_image).await?;
    let host = HostServices::new(Arc::clone(&platform.transport));
    let (configuration, configuration_bytes) = measured_configuration(&platform, &host).await?;
    let events = Events::start(host.clone());
    let clock = Clock::start(
        Arc::clone(&platform.attester),
        trust.attestation.clone(),
        events.clone(),
    )
    .await?;
    let kms = KmsClient::new(KmsSettings {
        attester: Arc::clone(&platform.attester),
        host: host.clone(),
        roots: Arc::clone(&trust.kms),
        configuration: &configuration,
        configuration_bytes: &configuration_bytes,
    })
    .map_err(KeysetError::Kms)?;
    // Before any key is released.
    let running = keyset::running(Arc::clone(&platform.attester)).await?;
    let policy = custody::check(&kms, configuration.kms.key_policy, &running, trust.locks).await?;
    let context = KeysetContext::new(&platform, &host, &trust, &configuration, kms)?;
    let keyset = obtain_keyset(&context, &host).await?;
    let tls = TlsIdentity::generate()?;
    let announcement = Announcement {
        tls_key: tls.spki().to_vec(),
        kms_key: GuardingKey {
            arn: configuration.kms.key_arn.clone(),
            policy,
        },
        audience: configuration.audience.clone(),
    };
    events.note(Event::Ready {
        keyset: hex::encode(keyset.id()),
        generation: keyset.generation(),
        memory_locked: hardening.memory_lock == MemoryLock::Locked,
    });
    let evidence = EvidenceService::new(module.for_strangers());
    let trusted = clock.clone();
    let time: TrustedTime = Box::new(move || Some(trusted.trusted_now_s()?.saturating_mul(1000)));
    let keeper = Keeper::new(context, keyset, announcement, time, events.clone());
    let mut meanwhile = JoinSet::new();
    meanwhile.spawn(keeper.clone().watch());
    meanwhile.spawn(keep_marking());
    let (receipts, delivery) = Receipts::start(keeper.clone(), host.clone(), events.clone())?;
    let parent = host.clone();
    let counting = (events.clone(), receipts.clone());
    let service = Service::new(
        &configuration,
        &trust,
        Parts {
            clock,
            evidence,
            keeper,
            host,
            receipts,
            events,
        },
    )?;
    let server = Server::new(tls.server_config(), service);
    let (events, receipts) = counting;
    let last_words = events.clone();
    let reporter = Reporter {
        events,
        receipts,
        occupancy: server.occupancy(),
        began: Instant::now(),
    };
    meanwhile.spawn(reporter.report_to(parent.clone()));
    let stop = async {
        tokio::select! {
            () = shutdown => Patience::Brief,
            () = shutdown::told_by(parent) => Patience::ForCalls,
            // None ends but by a panic. Without it the enclave would serve under keys of before.
            _ = meanwhile.join_next() => Patience::Brief,
        }
    };
    let served = server.serve(platform.transport, stop).await;
    // Calls have ended, or were cut off: what they left is signed for.
    delivery.finish().await;
    last_words.note(Event::Stopped);
    last_words.flush().await;
    meanwhile.shutdown().await;
    served.map_err(BootError::Ingress)
}

/// Fetches the deployment configuration, measures it, locks the registers, and only then reads it.
async fn measured_configuration(
    platform: &Platform,
    host: &HostServices,
) -> Result<(DeploymentConfiguration, Vec<u8>), BootError> {
    let bytes = host.configuration().await?;
    let (digest, expected) = (Sha384::digest(&bytes), Pcr::of_configuration(&bytes));
    at_the_module(platform, move |attester| {
        registers::measure(attester, &digest, &expected)
    })
    .await?;
    Ok((DeploymentConfiguration::from_json(&bytes)?, bytes))
}

/// The module may take long, so it is asked on a thread that may wait.
async fn at_the_module(
    platform: &Platform,
    ask: impl FnOnce(&dyn Attester) -> Result<(), RegisterError> + Send + 'static,
) -> Result<(), RegisterError> {
    let attester = Arc::clone(&platform.attester);
    spawn_blocking(move || ask(&*attester))
        .await
        .map_err(|_| AttesterError::Unavailable)?
}

async fn obtain_keyset(context: &KeysetContext, host: &HostServices) -> Result<Keyset, BootError> {
    if host.order().await?.keyset == KeysetOrder::Create && host.keyset().await?.is_none() {
        match keyset::create(context, now_s()).await {
            // Another enclave of the fleet was faster: its keyset is ours.
            Ok(()) | Err(KeysetError::AlreadyThere) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(keyset::load(context).await?)
}
