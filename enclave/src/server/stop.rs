//! The one way in which every connection learns that the enclave stops, and how long it may take.
use std::time::Duration;

use dauth_protocol::limit;
use tokio::sync::watch;

/// How long an enclave that is to stop waits for what is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as a call may take. The parent, which asked for it, ends the enclave when it has
    /// waited for long enough itself.
    ForCalls,
    /// Half a minute: who sends a process a signal kills it soon after.
    Brief,
}

impl Patience {
    pub(crate) fn span(self) -> Duration {
        match self {
            Patience::ForCalls => Duration::from_millis(limit::MAX_TIMEOUT_MS),
            Patience::Brief => Duration::from_secs(30),
        }
    }
}

/// Tells every [`Stopping`]. Dropping it tells them as well.
pub(super) struct Stop(watch::Sender<()>);

/// Resolves when the enclave stops.
#[derive(Clone)]
pub(super) struct Stopping(watch::Receiver<()>);

/// Both ends.
pub(super) fn channel() -> (Stop, Stopping) {
    let (sender, receiver) = watch::channel(());
    (Stop(sender), Stopping(receiver))
}

impl Stop {
    pub(super) fn request(self) {
        drop(self.0);
    }
}

impl Stopping {
    pub(super) async fn requested(&mut self) {
        // Nothing is ever sent: the one change is that the sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}
