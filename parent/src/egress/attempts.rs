//! A connection to one of several addresses, of which some may not answer (RFC 8305).
use std::{future::Future, io, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

/// After so long without an answer, the next address is tried as well (RFC 8305 section 5).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Addresses of either family in turn, beginning with the resolver's first (RFC 8305 section 4):
/// where one family leads nowhere, the second attempt is of the other.
pub(super) fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_first_ipv6);
    let mut second = second.into_iter();
    let mut all = Vec::new();
    for address in first {
        all.push(address);
        all.extend(second.next());
    }
    all.extend(second);
    all
}

/// What `dial` makes of the first address for which it succeeds; what it began with others ends then.
/// The last failure, where none is left; `None` when there was no address.
pub(super) async fn first_success<T, D>(
    addresses: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> D,
) -> Result<T, Option<io::Error>>
where
    T: Send + 'static,
    D: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut failure = None;
    let mut addresses = addresses.into_iter();
    loop {
        if let Some(address) = addresses.next() {
            attempts.spawn(dial(address));
        }
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(NEXT_AFTER), if addresses.len() > 0 => continue,
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(error))) => failure = Some(error),
            Some(Err(panicked)) => failure = Some(io::Error::other(panicked)),
            None => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        for (resolved, expected) in [
            (&[][..], &[][..]),
            (&["192.0.2.1:1"], &["192.0.2.1:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "192.0.2.1:1"],
                &["[::1]:1", "192.0.2.1:1", "[::2]:1", "[::3]:1"],
            ),
            (
                &["192.0.2.1:1", "[::1]:1", "[::2]:1"],
                &["192.0.2.1:1", "[::1]:1", "[::2]:1"],
            ),
        ] {
            assert_eq!(interleaved(addresses(resolved)), addresses(expected));
        }
    }

    /// Ends with the port of who answered, after its number of milliseconds: 1000 and more never do,
    /// and odd ones refuse.
    async fn dial(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1000.. => std::future::pending().await,
            port => {
                sleep(Duration::from_millis(port.into())).await;
                match port % 2 {
                    0 => Ok(port),
                    _ => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            }
        }
    }

    async fn timed(texts: &[&str]) -> (Option<u16>, u128) {
        let started = Instant::now();
        let first = first_success(addresses(texts), dial).await.ok();
        (first, started.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_delays_the_next_by_a_quarter_of_a_second() {
        assert_eq!(
            timed(&["[::1]:1000", "192.0.2.1:20"]).await,
            (Some(20), 270)
        );
        let two_silent = ["[::1]:1000", "192.0.2.1:1000", "[::1]:20"];
        assert_eq!(timed(&two_silent).await, (Some(20), 520));
        // One that is slow may still be the first.
        assert_eq!(
            timed(&["[::1]:300", "192.0.2.1:400"]).await,
            (Some(300), 300)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_delays_the_next_by_nothing_more() {
        assert_eq!(timed(&["[::1]:11", "192.0.2.1:20"]).await, (Some(20), 31));
        assert_eq!(timed(&["[::1]:11", "192.0.2.1:21"]).await, (None, 32));
        assert_eq!(timed(&["[::1]:10", "192.0.2.1:20"]).await, (Some(10), 10));
        let none = first_success(Vec::new(), dial).await;
        assert!(matches!(none, Err(None)));
    }

    #[tokio::test]
    async fn what_is_not_needed_ends() {
        let held = Arc::new(AtomicUsize::new(0));
        struct Held(Arc<AtomicUsize>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let counted = Arc::clone(&held);
        let dial = move |address| {
            counted.fetch_add(1, Ordering::SeqCst);
            let attempt = Held(Arc::clone(&counted));
            async move {
                let port = dial(address).await?;
                drop(attempt);
                Ok(port)
            }
        };
        let of_all = addresses(&["[::1]:1000", "192.0.2.1:2"]);
        assert_eq!(first_success(of_all, dial).await.ok(), Some(2));
        while held.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }
}
