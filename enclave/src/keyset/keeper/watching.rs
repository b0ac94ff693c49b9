//! The task that looks, each second, for what is to be done about the keyset.
use std::time::Duration;

use dauth_protocol::{
    deployment::Rotation,
    host::{KeysetChange, KeysetOrder, OrderOutcome, OrderResult},
};
use tokio::time::sleep;

use super::{Keeper, patience::Patience};
use crate::{
    event::Event,
    keyset::{draft::Renewal, generation, schedule},
};

/// How often the parent is asked.
const EVERY: Duration = Duration::from_secs(1);

/// What the task remembers.
#[derive(Default)]
pub(in crate::keyset) struct Watch {
    /// What became of the last order. It is not carried out twice, however often it is given.
    answered: Option<OrderOutcome>,
    /// After a scheduled change that failed.
    patience: Patience,
}

impl Keeper {
    /// Follows the file that the parent has, the orders of the operator, and the schedule. It never
    /// ends.
    pub async fn watch(self) {
        let mut watch = Watch::default();
        loop {
            sleep(EVERY).await;
            self.look(&mut watch).await;
        }
    }

    /// Looks once. What the parent or KMS do wrong leaves what serves as it is.
    pub(in crate::keyset) async fn look(&self, watch: &mut Watch) {
        self.read(&mut *self.reading().await).await;
        self.obey(watch).await;
        self.follow_schedule(watch).await;
    }

    async fn obey(&self, watch: &mut Watch) {
        let host = &self.context().host;
        let Ok(order) = host.order().await else {
            return;
        };
        // Creation is over once a keyset serves.
        let KeysetOrder::Change(order) = order.keyset else {
            return;
        };
        // An order waits until the clock is to be trusted.
        let Some(now_ms) = self.now_ms() else {
            return;
        };
        let outcome = match watch.answered.take() {
            Some(outcome) if outcome.id == order.id => outcome,
            _ => self.carry_out(&order, now_ms).await,
        };
        // Given again while the parent has not taken the outcome.
        let _ = host.outcome(&outcome).await;
        watch.answered = Some(outcome);
    }

    async fn carry_out(&self, order: &KeysetChange, now_ms: u64) -> OrderOutcome {
        let mut result = self.change(order, now_ms).await;
        if matches!(result, OrderResult::NotStored | OrderResult::KeysetRefused) {
            // It may be stored all the same, or another enclave was faster.
            self.read(&mut *self.reading().await).await;
            if self.current().keyset().generation() > order.from_generation {
                result = OrderResult::Done;
            }
        }
        if result != OrderResult::Done {
            self.events().note(Event::KeysetChangeRefused { result });
        }
        OrderOutcome {
            id: order.id.clone(),
            result,
            generation: self.current().keyset().generation(),
        }
    }

    async fn change(&self, order: &KeysetChange, now_ms: u64) -> OrderResult {
        let serving = self.current();
        let keyset = serving.keyset();
        if !generation::has_valid_id(order) {
            return OrderResult::Malformed;
        }
        // At a later generation it has been carried out; an earlier one cannot be changed into it.
        if keyset.generation() > order.from_generation {
            return OrderResult::Done;
        }
        if keyset.generation() < order.from_generation {
            return OrderResult::KeysetRefused;
        }
        match generation::change(self.context(), keyset, order, now_ms).await {
            Ok(next) => {
                self.adopt(next);
                OrderResult::Done
            }
            Err(result) => result,
        }
    }

    async fn follow_schedule(&self, watch: &mut Watch) {
        let Some(now_ms) = self.now_ms() else {
            return;
        };
        let serving = self.current();
        let keyset = serving.keyset();
        let rotation = self
            .context()
            .configuration
            .rotation
            .unwrap_or(Rotation::DEFAULT);
        let due = schedule::due(&keyset.statement, rotation, now_ms);
        if due.is_empty() {
            // Also where another enclave has done it: what failed before is past.
            watch.patience = Patience::default();
            return;
        }
        if !watch.patience.is_over() {
            return;
        }
        match generation::renew(self.context(), keyset, &Renewal::of(due), now_ms).await {
            Ok(next) => {
                watch.patience = Patience::default();
                self.adopt(next);
            }
            Err(result) => {
                watch.patience = watch.patience.after_failure();
                self.events().note(Event::KeysetChangeRefused { result });
            }
        }
    }
}
