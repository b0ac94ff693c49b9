//! The end of an enclave that is not wanted any more.
use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Shared, instance::Instance, nitro_cli::Described};

/// While an enclave is expected to end, it is looked at this often.
pub(super) const END_LOOK: Duration = Duration::from_millis(200);

/// New connections go elsewhere; the enclave is told to stop, and ended when it has, or when it takes
/// too long.
pub(super) async fn drain(shared: Arc<Shared>, instance: Instance) {
    let member = instance.member();
    member.stop();
    let allowed = Duration::from_secs(shared.settings.drain_timeout_s);
    let ended = timeout(allowed, until_ended(&shared, &instance)).await;
    let (enclave, connections) = (member.name(), member.connections());
    match ended {
        Ok(()) => tracing::info!(enclave, "drained"),
        Err(_) => tracing::warn!(enclave, connections, "did not end in time"),
    }
    terminate(&shared, &instance).await;
    instance.serving.remove_sockets();
}

async fn until_ended(shared: &Shared, instance: &Instance) {
    loop {
        let described = shared.cli.describe().await;
        let runs = |enclave: &Described| enclave.enclave_id == instance.enclave_id;
        if described.is_ok_and(|described| !described.iter().any(runs)) {
            return;
        }
        sleep(END_LOOK).await;
    }
}

/// Ends it, whatever it does. One that has ended already is an error that means nothing.
pub(super) async fn terminate(shared: &Shared, instance: &Instance) {
    if let Err(error) = shared.cli.terminate(&instance.enclave_id).await {
        tracing::debug!(enclave = instance.member().name(), "terminate: {error}");
    }
}
