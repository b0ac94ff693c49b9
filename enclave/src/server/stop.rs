//! The one way in which every connection learns that the enclave stops.
use tokio::sync::watch;

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
