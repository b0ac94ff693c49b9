//! Receipts of calls: one for each call whose record was opened, however it ends.
//!
//! A call keeps an [`Account`] from then on. When its reply has ended, or is dropped, a small struct
//! goes into a bounded queue; the rest happens off the call's path. A task gives each receipt its
//! place in the boot's chain (module `chain`), signs, and hands batches to the parent (module
//! `delivery`).
//!
//! A parent that does not take receipts holds up no call. What the queue has no room for is lost,
//! and counted (module `ledger`); what the parent throws away is missing in its places. Both the owner sees: in the
//! ordinals of a connection, in the sequence of the boot, and in the marks of the others.
mod account;
mod chain;
mod delivery;
mod entry;
mod ledger;

use std::sync::Arc;

use dauth_protocol::Code;

pub use account::{Account, Arrival};
pub use delivery::Delivery;
pub(crate) use entry::Subject;

use chain::Chain;
use entry::Entry;
use ledger::Ledger;

use crate::{
    authorize::RandomnessError, event::Events, host::HostServices, keyset::Keeper, refusal::Refusal,
};

/// Receipts that wait for the task, of all owners: about half a kilobyte each, five with long paths.
const QUEUE_RECEIPTS: usize = 16 * 1024;

/// Opens receipts, and takes them when they are complete, without ever blocking.
#[derive(Clone)]
pub struct Receipts {
    ledger: Arc<Ledger>,
    events: Events,
}

impl Receipts {
    /// Starts a chain and hands over what comes to be in it.
    pub fn start(
        keeper: Keeper,
        host: HostServices,
        events: Events,
    ) -> Result<(Self, Delivery), RandomnessError> {
        Self::start_with(QUEUE_RECEIPTS, keeper, host, events)
    }

    fn start_with(
        room: usize,
        keeper: Keeper,
        host: HostServices,
        events: Events,
    ) -> Result<(Self, Delivery), RandomnessError> {
        let chain = Chain::begin(random()?.into());
        let (ledger, waiting) = Ledger::new(room);
        let ledger = Arc::new(ledger);
        let delivery = Delivery::start(delivery::Parts {
            keeper,
            host,
            events: events.clone(),
            chain,
            ledger: Arc::clone(&ledger),
            waiting,
        });
        Ok((Self { ledger, events }, delivery))
    }

    /// Opens the receipt of a call: it will be there, whatever becomes of the call.
    pub(crate) fn open(&self, subject: Subject, arrival: Arrival) -> Result<Account, Refusal> {
        let id = random().map_err(|RandomnessError| NO_RANDOMNESS)?;
        Ok(Account::open(self.clone(), id.into(), subject, arrival))
    }

    /// Calls of which the receipt is open now.
    pub(crate) fn calls_in_progress(&self) -> u64 {
        u64::try_from(self.ledger.open()).unwrap_or(u64::MAX)
    }

    /// Receipts that the parent has not taken yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.ledger.undelivered()
    }

    /// Receipts that were lost since boot.
    pub(crate) fn lost(&self) -> u64 {
        self.ledger.lost()
    }
}

const NO_RANDOMNESS: Refusal =
    Refusal::new(Code::EnclaveUnavailable, "the source of randomness failed");

fn random() -> Result<[u8; 16], RandomnessError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
