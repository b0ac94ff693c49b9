//! A value that is gone after some time, whoever holds it and whether or not they look at it.
//!
//! A timer in the body itself would be asked only when the caller reads: one who does not could
//! keep a connection, and the secret that its reply is searched for, for as long as they like.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{task::AbortHandle, time::sleep};

pub(super) struct Expiring<T> {
    slot: Arc<Mutex<Slot<T>>>,
    timer: AbortHandle,
}

struct Slot<T> {
    value: Option<T>,
    /// Who waits for something of the value.
    waiting: Option<Waker>,
}

/// The value is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired;

impl<T: Send + 'static> Expiring<T> {
    /// `value`, which is dropped after `life` if it was not taken by then. Needs a Tokio runtime.
    pub(super) fn new(value: T, life: Duration) -> Self {
        let slot = Arc::new(Mutex::new(Slot {
            value: Some(value),
            waiting: None,
        }));
        // Not a share of it: a value whose holder drops it is gone at once.
        let weak = Arc::downgrade(&slot);
        let timer = tokio::spawn(async move {
            sleep(life).await;
            if let Some(slot) = weak.upgrade() {
                expire(&slot);
            }
        });
        Self {
            slot,
            timer: timer.abort_handle(),
        }
    }

    /// Looks at the value. What waits for it is also woken when it is gone.
    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut T, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<Result<R, Expired>> {
        let mut slot = lock(&self.slot);
        let Some(value) = &mut slot.value else {
            return Poll::Ready(Err(Expired));
        };
        let seen = look(value, cx);
        if seen.is_pending() {
            slot.waiting = Some(cx.waker().clone());
        }
        seen.map(Ok)
    }

    /// The value, which does not expire any more.
    pub(super) fn take(self) -> Result<T, Expired> {
        lock(&self.slot).value.take().ok_or(Expired)
    }
}

impl<T> Drop for Expiring<T> {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

fn expire<T>(slot: &Mutex<Slot<T>>) {
    let (value, waiting) = {
        let mut slot = lock(slot);
        (slot.value.take(), slot.waiting.take())
    };
    drop(value);
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Instant, advance};

    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_value_is_gone_although_nobody_looks() {
        let value = Arc::new(());
        let weak = Arc::downgrade(&value);
        let expiring = Expiring::new(value, LIFE);
        sleep(LIFE - Duration::from_secs(1)).await;
        assert!(weak.upgrade().is_some());
        sleep(Duration::from_secs(2)).await;
        assert!(weak.upgrade().is_none());
        assert_eq!(expiring.take(), Err(Expired));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken() {
        let started = Instant::now();
        let expiring = Expiring::new((), LIFE);
        let waited = poll_fn(|cx| expiring.poll(cx, |(), _| Poll::<()>::Pending)).await;
        assert_eq!(waited, Err(Expired));
        assert!(started.elapsed() >= LIFE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_or_dropped_leaves_no_timer() {
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let before = tasks();
        assert_eq!(Expiring::new(7, LIFE).take(), Ok(7));
        let value = Arc::new(());
        let weak = Arc::downgrade(&value);
        drop(Expiring::new(value, LIFE));
        assert!(weak.upgrade().is_none(), "at once");
        advance(Duration::ZERO).await;
        assert_eq!(tasks(), before);
    }
}
