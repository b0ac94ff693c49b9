//! The queue in which events wait for the parent.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::Event;
use crate::{host::HostServices, metrics::Counts};

/// Events that wait for the parent.
const QUEUE_EVENTS: usize = 1024;
/// Events handed over in one request.
const BATCH_EVENTS: usize = 128;
/// Time for what waits when the enclave stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes events without ever blocking.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Queued>,
    dropped: Arc<AtomicU64>,
    counts: Arc<Counts>,
}

/// What waits for the parent.
enum Queued {
    Event(Event),
    /// Told when everything before it was handed over, or lost.
    Flush(oneshot::Sender<()>),
}

impl Events {
    /// Starts handing events over to the parent.
    pub fn start(host: HostServices) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_EVENTS);
        let dropped = Arc::new(AtomicU64::new(0));
        tokio::spawn(forward(host, waiting, Arc::clone(&dropped)));
        Self {
            queue,
            dropped,
            counts: Arc::default(),
        }
    }

    /// Notes an event; it is lost and counted when too many wait.
    pub fn note(&self, event: Event) {
        self.counts.note(&event);
        if self.queue.try_send(Queued::Event(event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for a bounded time until the parent has what was noted before.
    pub async fn flush(&self) {
        let (flushing, flushed) = oneshot::channel();
        let flush = async {
            if self.queue.send(Queued::Flush(flushing)).await.is_ok() {
                let _ = flushed.await;
            }
        };
        let _ = timeout(FLUSH_TIMEOUT, flush).await;
    }

    /// What was noted, whether it was lost or not.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many were lost since boot.
    pub(crate) fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn forward(host: HostServices, mut waiting: mpsc::Receiver<Queued>, dropped: Arc<AtomicU64>) {
    let mut queued = Vec::with_capacity(BATCH_EVENTS);
    let mut told = 0;
    while waiting.recv_many(&mut queued, BATCH_EVENTS).await > 0 {
        let (mut batch, mut flushing) = (Vec::new(), Vec::new());
        for queued in queued.drain(..) {
            match queued {
                Queued::Event(event) => batch.push(event),
                Queued::Flush(told) => flushing.push(told),
            }
        }
        let handed_over = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let total = dropped.load(Ordering::Relaxed);
        if total != told {
            batch.push(Event::Dropped { total });
            told = total;
        }
        let mut lines = Vec::new();
        for event in batch {
            if serde_json::to_writer(&mut lines, &event).is_ok() {
                lines.push(b'\n');
            }
        }
        if !lines.is_empty() && host.events(lines).await.is_err() {
            dropped.fetch_add(handed_over, Ordering::Relaxed);
        }
        for told in flushing {
            let _ = told.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use tokio::sync::mpsc::UnboundedSender;

    use super::*;
    use crate::{
        platform::{BoxFuture, BoxStream, Transport},
        receipt::tests::parent::{Answer, Books},
    };

    /// A parent that takes no stream, and tells when it was asked for one.
    struct Away(Mutex<UnboundedSender<()>>);

    impl Transport for Away {
        fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(std::future::pending())
        }

        fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            self.0.lock().unwrap().send(()).unwrap();
            Box::pin(std::future::ready(Err(io::ErrorKind::NotConnected.into())))
        }
    }

    /// A parent that never takes a stream.
    struct Silent;

    impl Transport for Silent {
        fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(std::future::pending())
        }

        fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn each_event_that_is_lost_is_counted() {
        let (asked, mut was_asked) = mpsc::unbounded_channel();
        let events = Events::start(HostServices::new(Arc::new(Away(Mutex::new(asked)))));
        for difference_s in 0..5 {
            events.note(Event::ClockDisagrees { difference_s });
        }
        // On this one thread the task goes on until it waits for more.
        was_asked.recv().await.unwrap();
        assert_eq!(events.lost(), 5);
    }

    /// What is noted last reaches the parent before the enclave is gone; one that is away is not
    /// waited for.
    #[tokio::test(start_paused = true)]
    async fn what_waits_is_handed_over_at_the_end() {
        let mut books = Books::new(Answer::Stores).await;
        let events = Events::start(HostServices::new(Arc::new(books.parent.clone())));
        for total in 0..300 {
            events.note(Event::ReceiptsLost { total });
        }
        events.note(Event::Stopped);
        events.flush().await;
        let mut noted = Vec::new();
        while let Some(event) = books.noted() {
            noted.push(event);
        }
        assert_eq!(noted.len(), 301);
        assert_eq!(noted[300]["event"], "stopped");
        // With nothing to hand over as well.
        events.flush().await;

        let events = Events::start(HostServices::new(Arc::new(Silent)));
        events.note(Event::Stopped);
        let flushed = timeout(2 * FLUSH_TIMEOUT, events.flush()).await;
        flushed.expect("a parent that hangs is not waited for");
    }
}
