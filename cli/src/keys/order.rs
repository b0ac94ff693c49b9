//! Giving an order, and waiting for what becomes of it.
use std::time::Duration;

use dauth_parent::host::KeysetFile;
use dauth_protocol::host::{KeysetOrder, Order};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::failure::Failure;

#[cfg(test)]
pub(super) mod stand_in;

/// How often to look for the enclave's answer: it looks for orders every second.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// When to say that this takes longer than it should.
const PATIENCE: Duration = Duration::from_secs(2);

/// Puts the order where the parent finds it. One that nobody carried out is replaced, and said so.
pub(super) fn give(keyset: &KeysetFile, order: &Order) -> Result<(), Failure> {
    match keyset.pending_order() {
        Ok(None) => {}
        Ok(Some(pending)) => anstream::eprintln!(
            "dauth: replaces an order that no enclave has carried out: {}",
            describe(&pending)
        ),
        Err(error) => anstream::eprintln!("dauth: replaces an order that cannot be read: {error}"),
    }
    keyset.give_order(order).map_err(|e| {
        Failure::refused(format!(
            "cannot write the order {}: {e}{}",
            keyset.order_path().display(),
            super::remedy(&e)
        ))
    })
}

/// An order in a few words.
pub(super) fn describe(order: &Order) -> String {
    match &order.keyset {
        KeysetOrder::Load => "nothing".to_owned(),
        KeysetOrder::Create => "create a keyset".to_owned(),
        KeysetOrder::Change(change) => {
            let kinds: Vec<String> = (change.renew.iter())
                .map(|kind| format!("{kind:?}").to_lowercase())
                .collect();
            let mut words = match kinds.as_slice() {
                [] => "seal anew".to_owned(),
                kinds => format!("renew {}", kinds.join(", ")),
            };
            if let Some(seconds) = change.retire_after_s {
                words += &format!(", forget record keys replaced more than {seconds} s ago");
            }
            format!("{words} (from generation {})", change.from_generation)
        }
    }
}

/// Looks until there is something, the time is over, or the operator stops it. The order stays.
pub(super) async fn wait<T>(
    what: &str,
    keyset: &KeysetFile,
    timeout: Duration,
    look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let order = keyset.order_path();
    let order = order.display();
    tokio::select! {
        found = look_until(what, timeout, look) => found?.ok_or_else(|| Failure::refused(format!(
            "no enclave answered within {} s: is one running behind this parent? The order stays in \
             {order} and is carried out when one does; remove that file to withdraw it",
            timeout.as_secs()
        ))),
        _ = tokio::signal::ctrl_c() => Err(Failure::refused(format!(
            "stopped waiting; the order stays in {order}: remove that file to withdraw it"
        ))),
    }
}

async fn look_until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let start = Instant::now();
    let mut again = interval(LOOK_AGAIN_AFTER);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let over = sleep_until(start + timeout);
    tokio::pin!(over);
    let mut said = false;
    loop {
        tokio::select! {
            biased;
            _ = again.tick() => {
                if let Some(found) = look()? {
                    return Ok(Some(found));
                }
            }
            () = &mut over => return Ok(None),
        }
        if !said && start.elapsed() >= PATIENCE {
            said = true;
            anstream::eprintln!(
                "dauth: waits for {what}, up to {} s; Ctrl-C leaves the order in place",
                timeout.as_secs()
            );
        }
    }
}
