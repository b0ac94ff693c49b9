use std::{
    collections::VecDeque,
    future::{pending, ready},
    pin::Pin,
};

use super::*;
use crate::{
    host::HostServices,
    platform::{BoxFuture, BoxStream, Transport},
};

/// Events go nowhere.
struct NoParent;

impl Transport for NoParent {
    fn accept(&self) -> BoxFuture<'_, std::io::Result<BoxStream>> {
        Box::pin(pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, std::io::Result<BoxStream>> {
        Box::pin(pending())
    }
}

type Comparison = Pin<Box<dyn Future<Output = Result<(), ClockError>> + Send>>;

fn agrees() -> Comparison {
    Box::pin(ready(Ok(())))
}

fn disagrees() -> Comparison {
    Box::pin(ready(Err(ClockError::Disagrees(31))))
}

fn hangs() -> Comparison {
    Box::pin(pending())
}

/// A clock that is compared so, then so, and never ends from there on.
async fn clock(comparisons: impl IntoIterator<Item = Comparison>) -> Result<Clock, ClockError> {
    let prepared = Mutex::new(comparisons.into_iter().collect::<VecDeque<_>>());
    let next = move || prepared.lock().unwrap().pop_front().unwrap_or_else(hangs);
    let events = Events::start(HostServices::new(Arc::new(NoParent)));
    Clock::start_with(next, events).await
}

#[tokio::test(start_paused = true)]
async fn a_comparison_that_never_ends_is_not_trusted_for_ever() {
    let clock = clock([agrees(), agrees()]).await.unwrap();
    sleep(CHECK_EVERY + COUNTS_FOR).await;
    assert!(clock.trusted_now_s().is_some());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(clock.trusted_now_s(), None);
}

#[tokio::test(start_paused = true)]
async fn a_disagreement_counts_until_the_next_agreement() {
    let clock = clock([agrees(), disagrees(), agrees()]).await.unwrap();
    assert!(clock.trusted_now_s().is_some());
    sleep(CHECK_EVERY + Duration::from_secs(1)).await;
    assert_eq!(clock.trusted_now_s(), None);
    sleep(CHECK_EVERY).await;
    assert!(clock.trusted_now_s().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_boot_waits_for_no_comparison_without_end() {
    assert!(matches!(clock([]).await, Err(ClockError::TimedOut)));
}
