//! A bound on how many of something there are at one time.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A number of slots, which can change while some are taken.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Counts>);

struct Counts {
    taken: AtomicUsize,
    limit: AtomicUsize,
}

/// One slot, given back when this is dropped: on return, panic and cancellation alike.
pub(crate) struct Slot(Arc<Counts>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Counts {
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(count),
        }))
    }

    /// Takes a slot, or none. One atomic step: two callers never both get the last one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let one_more = |taken: usize| (taken < limit).then(|| taken.saturating_add(1));
        self.0
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Slot(Arc::clone(&self.0)))
    }

    /// From now on; slots beyond a lower limit stay taken until they are given back.
    pub(crate) fn limit(&self, count: usize) {
        self.0.limit.store(count, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
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

    #[test]
    fn a_lower_limit_holds_once_slots_are_given_back() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(), slots.take());
        slots.limit(1);
        drop(first);
        assert!(slots.take().is_none());
        drop(second);
        assert!(slots.take().is_some());
        slots.limit(3);
        let three = [slots.take(), slots.take(), slots.take()];
        assert!(three.iter().all(Option::is_some) && slots.take().is_none());
    }
}
