//! The streams that the parent relays: a failed accept costs that stream, not the enclave.
use std::{io, sync::Arc, time::Duration};

use crate::platform::{BoxStream, Transport};

/// The pause after a failed accept: descriptors are given back meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts streams.
pub(super) struct Ingress {
    transport: Arc<dyn Transport>,
    listening: Listening,
}

/// What is known of the listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listening {
    /// Nothing has been accepted: listening begins with the first call, and may be impossible.
    Unproved,
    /// A stream has been accepted before.
    Proved,
}

impl Ingress {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            listening: Listening::Unproved,
        }
    }

    /// Begins to listen.
    pub(super) async fn listen(&self) -> io::Result<()> {
        self.transport.listen().await
    }

    /// The next stream. An error is final before the first stream alone; later ones (a lack of
    /// descriptors, a peer that is gone again) are waited out.
    pub(super) async fn next(&mut self) -> io::Result<BoxStream> {
        loop {
            match self.transport.accept().await {
                Ok(stream) => {
                    self.listening = Listening::Proved;
                    return Ok(stream);
                }
                Err(error) if self.listening == Listening::Unproved => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use tokio::time::Instant;

    use super::*;
    use crate::platform::BoxFuture;

    /// Gives the outcomes prepared, in their order.
    struct Prepared(Mutex<VecDeque<io::Result<BoxStream>>>);

    impl Transport for Prepared {
        fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            let outcome = self.0.lock().unwrap().pop_front().expect("one more");
            Box::pin(std::future::ready(outcome))
        }

        fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
        }
    }

    fn ingress(outcomes: impl IntoIterator<Item = io::Result<BoxStream>>) -> Ingress {
        let outcomes = Mutex::new(outcomes.into_iter().collect());
        Ingress::new(Arc::new(Prepared(outcomes)))
    }

    fn stream() -> io::Result<BoxStream> {
        Ok(Box::new(tokio::io::duplex(1).0))
    }

    fn no_descriptors() -> io::Result<BoxStream> {
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lack_of_descriptors_is_waited_out() {
        let mut ingress = ingress([stream(), no_descriptors(), no_descriptors(), stream()]);
        assert!(ingress.next().await.is_ok());
        let began = Instant::now();
        assert!(ingress.next().await.is_ok());
        assert!(began.elapsed() >= 2 * PAUSE, "no busy loop");
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_listened_on_is_final() {
        let in_use = Err(io::ErrorKind::AddrInUse.into());
        let error = ingress([in_use]).next().await.err().expect("final");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
