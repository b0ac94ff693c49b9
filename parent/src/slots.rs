//! A bound on how many of something there are at one time.
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A fixed number of slots.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Semaphore>);

/// One slot, given back when this is dropped: on return, panic and cancellation alike.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes a slot, or none. One atomic step: two callers never both get the last one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Slot { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slot_is_taken_once() {
        let slots = Slots::new(2);
        let first = slots.take();
        let second = slots.take();
        assert!(first.is_some() && second.is_some() && slots.take().is_none());
        drop(first);
        assert!(slots.take().is_some());
    }

    #[tokio::test]
    async fn a_panic_gives_its_slot_back() {
        let slots = Slots::new(1);
        let slot = slots.take();
        let task = tokio::spawn(async move {
            let _slot = slot;
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        assert!(slots.take().is_some());
    }
}
