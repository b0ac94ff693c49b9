//! The task that signs receipts and hands them over.
use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::limit::MAX_BATCH_RECEIPTS;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    chain::{Chain, Linked},
    entry::Entry,
    ledger::Ledger,
};
use crate::{
    event::{Event, Events},
    host::{HostServices, PutReceipts},
    keyset::Keeper,
};

/// After the first receipt others are waited for, so that one signature is for many.
const LINGER: Duration = Duration::from_millis(100);
/// The pause after a batch that was not stored, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Time for calls to end that were cut off when the enclave stops.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for that, and for what waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The task's other end: by it the enclave stops in order.
pub struct Delivery {
    ledger: Arc<Ledger>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What the task works with.
pub(super) struct Parts {
    pub(super) keeper: Keeper,
    pub(super) host: HostServices,
    pub(super) events: Events,
    pub(super) chain: Chain,
    pub(super) ledger: Arc<Ledger>,
    pub(super) waiting: mpsc::Receiver<Entry>,
}

impl Delivery {
    pub(super) fn start(parts: Parts) -> Self {
        let (stop, stopped) = oneshot::channel();
        let ledger = Arc::clone(&parts.ledger);
        let courier = Courier {
            parts,
            stop: Stop(Some(stopped)),
            lost_told: 0,
        };
        let task = tokio::spawn(courier.run());
        Self { ledger, stop, task }
    }

    /// Takes no more receipts, and waits for a bounded time until the parent has those that wait.
    pub async fn finish(self) {
        let Self {
            ledger,
            stop,
            mut task,
        } = self;
        let finished = timeout(FLUSH_TIMEOUT, async {
            // Calls that were cut off end in tasks of their own.
            let _ = timeout(CUT_OFF_TIMEOUT, ledger.all_noted()).await;
            drop(stop);
            (&mut task).await
        });
        if finished.await.is_err() {
            task.abort();
        }
    }
}

struct Courier {
    parts: Parts,
    stop: Stop,
    lost_told: u64,
}

/// Whether the enclave stops.
struct Stop(Option<oneshot::Receiver<()>>);

impl Courier {
    async fn run(mut self) {
        while let Some(entries) = self.next_entries().await {
            self.tell_losses();
            let linked = self.linked(&entries).await;
            drop(entries);
            let count = linked.count;
            self.hand_over(linked).await;
            self.parts.ledger.delivered(count);
        }
        self.tell_losses();
    }

    /// What waits, a batch at most; none, when nothing will come any more.
    async fn next_entries(&mut self) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        if self.receive(&mut entries).await == 0 {
            return None;
        }
        let mut linger = pin!(sleep(LINGER));
        while entries.len() < MAX_BATCH_RECEIPTS {
            tokio::select! {
                () = &mut linger => break,
                received = self.receive(&mut entries) => if received == 0 {
                    break;
                },
            }
        }
        self.parts.ledger.taken(&entries);
        Some(entries)
    }

    async fn receive(&mut self, entries: &mut Vec<Entry>) -> usize {
        let room = MAX_BATCH_RECEIPTS - entries.len();
        loop {
            tokio::select! {
                received = self.parts.waiting.recv_many(entries, room) => return received,
                () = self.stop.requested() => self.parts.waiting.close(),
            }
        }
    }

    /// The entries in the chain, signed with the key of now.
    async fn linked(&mut self, entries: &[Entry]) -> Linked {
        let mut pause = FIRST_PAUSE;
        loop {
            let serving = self.parts.keeper.current();
            let key = serving.keyset().receipt_key();
            match self.parts.chain.append(entries, key) {
                Ok(linked) => return linked,
                Err(_) => self.pause(&mut pause).await,
            }
        }
    }

    /// Hands a batch over until it is stored, before any later one.
    async fn hand_over(&mut self, linked: Linked) {
        let Linked {
            batch,
            first,
            count,
        } = linked;
        let body = Bytes::from(batch.to_cbor());
        let mut pause = FIRST_PAUSE;
        loop {
            match self.parts.host.receipts(body.clone()).await {
                Ok(PutReceipts::Stored) => return,
                // It will never be: the chain goes on, and shows where it was.
                Ok(PutReceipts::Refused(reason)) => {
                    return self.parts.events.note(Event::ReceiptsRefused {
                        first,
                        count,
                        reason,
                    });
                }
                Err(_) => self.pause(&mut pause).await,
            }
            // The parent may take events all the while.
            self.tell_losses();
        }
    }

    async fn pause(&mut self, pause: &mut Duration) {
        // While the enclave stops there is little time, and nothing to be gained by patience.
        let now = if self.stop.is_requested() {
            FIRST_PAUSE
        } else {
            *pause
        };
        tokio::select! {
            () = sleep(now) => {}
            () = self.stop.requested() => self.parts.waiting.close(),
        }
        *pause = LONGEST_PAUSE.min(*pause * 2);
    }

    fn tell_losses(&mut self) {
        let total = self.parts.ledger.lost();
        if total != self.lost_told {
            self.lost_told = total;
            self.parts.events.note(Event::ReceiptsLost { total });
        }
    }
}

impl Stop {
    /// Resolves when the enclave stops: once, so that who waits for it in turns is not kept busy.
    async fn requested(&mut self) {
        match &mut self.0 {
            Some(stopped) => {
                let _ = stopped.await;
                self.0 = None;
            }
            None => std::future::pending().await,
        }
    }

    fn is_requested(&self) -> bool {
        self.0.is_none()
    }
}
