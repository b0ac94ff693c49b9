//! Orders of the operator's, which the enclave carries out, and what became of them.
use std::{io, sync::PoisonError};

use dauth_protocol::host::{KeysetOrder, Order, OrderOutcome, OrderResult};

use super::file::{KeysetFile, read, remove};

/// The longest order, and the longest outcome.
pub const MAX_ORDER_BYTES: usize = 16 * 1024;

const ORDER: &str = "order";
const OUTCOME: &str = "outcome";

impl KeysetFile {
    /// What the enclave is told to do now. An order to create counts only while there is no
    /// keyset, an order to change one only while there is one. What cannot be read is not
    /// guessed at: the order is then to load what there is.
    pub fn order(&self) -> Order {
        let keyset = match self.applicable_order() {
            Ok(order) => {
                self.complain(None);
                order
            }
            Err(error) => {
                self.complain(Some(error.to_string()));
                KeysetOrder::Load
            }
        };
        Order { keyset }
    }

    fn applicable_order(&self) -> io::Result<KeysetOrder> {
        let order = self.pending_order()?.map(|order| order.keyset);
        Ok(match (order, self.path().try_exists()?) {
            (Some(KeysetOrder::Create), false) => KeysetOrder::Create,
            (Some(KeysetOrder::Create), true) => {
                // Left lying, it would one day create a keyset in place of one that was lost.
                let _lock = self.lock()?;
                self.remove_order_to_create()?;
                KeysetOrder::Load
            }
            (Some(KeysetOrder::Change(change)), true) => KeysetOrder::Change(change),
            _ => KeysetOrder::Load,
        })
    }

    fn complain(&self, complaint: Option<String>) {
        let mut last = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last == complaint {
            return;
        }
        if let Some(complaint) = &complaint {
            let file = self.beside(ORDER);
            tracing::error!("no order is carried out: {}: {complaint}", file.display());
        }
        *last = complaint;
    }

    /// The order that was given last and has no outcome yet.
    pub fn pending_order(&self) -> io::Result<Option<Order>> {
        parse(read(&self.beside(ORDER), MAX_ORDER_BYTES)?)
    }

    /// What became of the last order that was carried out.
    pub fn last_outcome(&self) -> io::Result<Option<OrderOutcome>> {
        parse(read(&self.beside(OUTCOME), MAX_ORDER_BYTES)?)
    }

    /// Where an order waits for the enclave.
    pub fn order_path(&self) -> std::path::PathBuf {
        self.beside(ORDER)
    }

    /// Gives an order, in place of one that is pending.
    pub fn give_order(&self, order: &Order) -> io::Result<()> {
        let _lock = self.lock()?;
        self.put_beside(ORDER, &serde_json::to_vec(order)?)
    }

    /// Keeps the outcome for the operator; its order is done with. Where several enclaves share
    /// a keyset, that one of them carried the order out is what became of it.
    pub fn record_outcome(&self, outcome: &OrderOutcome) -> io::Result<()> {
        let _lock = self.lock()?;
        let done = self.last_outcome().ok().flatten().is_some_and(|last| {
            last.id == outcome.id
                && last.result == OrderResult::Done
                && last.generation >= outcome.generation
        });
        if !done {
            self.put_beside(OUTCOME, &serde_json::to_vec(outcome)?)?;
        }
        let pending = self.pending_order()?.map(|order| order.keyset);
        match pending {
            Some(KeysetOrder::Change(change)) if change.id == outcome.id => self.remove_order(),
            _ => Ok(()),
        }
    }

    /// The caller holds the lock.
    pub(super) fn remove_order_to_create(&self) -> io::Result<()> {
        match self.pending_order() {
            Ok(Some(order)) if order.keyset == KeysetOrder::Create => self.remove_order(),
            // What does not parse orders nothing.
            _ => Ok(()),
        }
    }

    fn remove_order(&self) -> io::Result<()> {
        remove(&self.beside(ORDER))?;
        self.sync_folder()
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: Option<Vec<u8>>) -> io::Result<Option<T>> {
    text.map(|text| serde_json::from_slice(&text).map_err(io::Error::from))
        .transpose()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use dauth_protocol::host::{KeyKind, KeysetChange, keyset_tag};

    use super::super::Stored;
    use super::*;

    fn keyset() -> (tempfile::TempDir, KeysetFile) {
        let folder = tempfile::tempdir().unwrap();
        let keyset = KeysetFile::new(folder.path().join("keyset"));
        (folder, keyset)
    }

    const CREATE: Order = Order {
        keyset: KeysetOrder::Create,
    };

    fn change(id: &str) -> Order {
        Order {
            keyset: KeysetOrder::Change(KeysetChange {
                id: id.to_owned(),
                from_generation: 1,
                renew: [KeyKind::Record].into(),
                retire_after_s: None,
            }),
        }
    }

    fn outcome(id: &str, result: OrderResult, generation: u64) -> OrderOutcome {
        OrderOutcome {
            id: id.to_owned(),
            result,
            generation,
        }
    }

    #[test]
    fn creation_is_ordered_once() {
        let (_folder, keyset) = keyset();
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
        keyset.give_order(&CREATE).unwrap();
        assert_eq!(keyset.order(), CREATE);
        assert_eq!(keyset.create(b"first").unwrap(), Stored::New);
        assert_eq!(keyset.pending_order().unwrap(), None);
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
        // The order given again, by mistake, does not replace what there is.
        keyset.give_order(&CREATE).unwrap();
        let mode = fs::metadata(keyset.order_path()).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
        // Nor does it stand in for a keyset that is lost later.
        fs::remove_file(keyset.path()).unwrap();
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
    }

    #[test]
    fn a_change_is_ordered_while_there_is_a_keyset_and_until_it_has_an_outcome() {
        let (_folder, keyset) = keyset();
        keyset.give_order(&change("a")).unwrap();
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
        keyset.create(b"first").unwrap();
        // Creation did what it was ordered to, and that was not this.
        assert_eq!(keyset.order(), change("a"));
        keyset.replace(&keyset_tag(b"first"), b"second").unwrap();
        assert_eq!(keyset.order(), change("a"));

        let other = outcome("b", OrderResult::KmsRefused, 2);
        keyset.record_outcome(&other).unwrap();
        assert_eq!(keyset.last_outcome().unwrap(), Some(other));
        assert_eq!(keyset.order(), change("a"));

        let own = outcome("a", OrderResult::Done, 2);
        keyset.record_outcome(&own).unwrap();
        assert_eq!(keyset.last_outcome().unwrap(), Some(own));
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
        assert_eq!(keyset.pending_order().unwrap(), None);
    }

    #[test]
    fn what_one_enclave_did_another_does_not_undo() {
        let (_folder, keyset) = keyset();
        let done = outcome("a", OrderResult::Done, 2);
        keyset
            .record_outcome(&outcome("a", OrderResult::KmsRefused, 1))
            .unwrap();
        keyset.record_outcome(&done).unwrap();
        keyset
            .record_outcome(&outcome("a", OrderResult::NotStored, 1))
            .unwrap();
        assert_eq!(keyset.last_outcome().unwrap(), Some(done));
        let next = outcome("b", OrderResult::NotStored, 2);
        keyset.record_outcome(&next).unwrap();
        assert_eq!(keyset.last_outcome().unwrap(), Some(next));
    }

    #[test]
    fn what_is_no_order_orders_nothing() {
        let (_folder, keyset) = keyset();
        let long = format!("{}{{\"keyset\":\"create\"}}", " ".repeat(MAX_ORDER_BYTES));
        for text in [
            "",
            "create",
            "{}",
            r#"{"keyset":"destroy"}"#,
            r#"{"keyset":"create","more":1}"#,
            r#"{"keyset":{"change":{"id":"a"}}}"#,
            &long,
        ] {
            fs::write(keyset.order_path(), text).unwrap();
            assert_eq!(keyset.order().keyset, KeysetOrder::Load, "{text}");
        }
        fs::remove_file(keyset.order_path()).unwrap();
        fs::create_dir(keyset.order_path()).unwrap();
        assert_eq!(keyset.order().keyset, KeysetOrder::Load);
        // And creation is not held up by it.
        assert_eq!(keyset.create(b"first").unwrap(), Stored::New);
    }

    /// The id is compared and the order removed under the lock that gives orders take.
    #[test]
    fn an_outcome_never_removes_the_next_order() {
        let (_folder, keyset) = keyset();
        keyset.create(b"first").unwrap();
        for n in 0..50 {
            let (first, second) = (format!("{n}-a"), change(&format!("{n}-b")));
            keyset.give_order(&change(&first)).unwrap();
            let done = outcome(&first, OrderResult::Done, n + 2);
            std::thread::scope(|scope| {
                scope.spawn(|| keyset.clone().record_outcome(&done).unwrap());
                scope.spawn(|| keyset.clone().give_order(&second).unwrap());
            });
            assert_eq!(keyset.pending_order().unwrap(), Some(second));
        }
    }
}
