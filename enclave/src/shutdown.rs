//! When the enclave is to stop, its parent says so: by the answer to one request, which it holds open
//! until then. An enclave has no other way to be told: no signal reaches it from outside.
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::HostServices;

/// The pause after a request that broke, doubled each time. Short, for the parent takes an enclave
/// whose request it does not hold for one that is gone.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Resolves when the parent wants the enclave to stop. First polled when the enclave accepts streams:
/// the request tells the parent that it does.
pub(crate) async fn told_by(host: HostServices) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        if host.until_shutdown().await.is_ok() {
            return;
        }
        // One that was held open for a while broke with its parent, which may be back soon.
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests;
