//! Stand-ins for parent and enclave.
use std::time::Duration;

use ciborium::{Value, cbor};
use dauth_parent::host::KeysetFile;
use dauth_protocol::host::{KeysetChange, KeysetOrder, OrderOutcome, OrderResult, keyset_tag};

/// A place for a keyset.
pub(in crate::keys) fn folder() -> (tempfile::TempDir, KeysetFile) {
    let folder = tempfile::tempdir().unwrap();
    let keyset = KeysetFile::new(folder.path().join("keyset"));
    (folder, keyset)
}

/// The keyset of a generation that was made at a time.
pub(in crate::keys) fn keyset(generation: u64, made_ms: u64) -> Vec<u8> {
    Draft {
        made_ms,
        ..Draft::new(generation)
    }
    .to_file()
}

/// What a keyset claims.
pub(in crate::keys) struct Draft {
    pub(in crate::keys) generation: u64,
    pub(in crate::keys) made_ms: u64,
    /// Stands for the keys.
    pub(in crate::keys) recipient: u8,
    pub(in crate::keys) record: u8,
    pub(in crate::keys) receipt: u8,
    /// When they were replaced.
    pub(in crate::keys) former_records: Vec<u64>,
}

impl Draft {
    pub(in crate::keys) fn new(generation: u64) -> Self {
        Self {
            generation,
            made_ms: 0,
            recipient: 1,
            record: 1,
            receipt: 1,
            former_records: Vec::new(),
        }
    }

    pub(in crate::keys) fn to_file(&self) -> Vec<u8> {
        let bytes = |byte: u8, length: usize| Value::Bytes(vec![byte; length]);
        let former: Vec<Value> = (self.former_records.iter())
            .map(|ms| {
                let key = cbor!({ "id" => bytes(5, 8), "sha384" => bytes(5, 48) }).unwrap();
                cbor!({ "key" => key, "superseded_ms" => *ms }).unwrap()
            })
            .collect();
        let statement = cbor!({
            "version" => 2,
            "deployment" => "demo",
            "key_arn" => "arn:aws:kms:eu-west-1:000000000000:key/demo",
            "keyset_id" => bytes(7, 16),
            "generation" => self.generation,
            "made_ms" => self.made_ms,
            "recipients" => [bytes(self.recipient, 32)],
            "recipients_made_ms" => self.made_ms,
            "record" => { "id" => bytes(self.record, 8), "sha384" => bytes(self.record, 48) },
            "former_records" => former,
            "receipt_key" => bytes(self.receipt, 91),
            "of a later layout" => { "a" => [1, 2] },
        });
        let statement = Value::Bytes(encode(&statement.unwrap()));
        let file = cbor!({ "version" => 1, "statement" => statement, "sealed" => bytes(0, 99) });
        encode(&file.unwrap())
    }
}

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Until the parent serves an order that is looked for.
pub(in crate::keys) async fn wait_for(
    keyset: &KeysetFile,
    mut is_it: impl FnMut(&KeysetOrder) -> bool,
) -> KeysetOrder {
    loop {
        let order = keyset.order().keyset;
        if is_it(&order) {
            return order;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next change that is ordered.
pub(in crate::keys) async fn next_change(keyset: &KeysetFile) -> KeysetChange {
    match wait_for(keyset, |order| matches!(order, KeysetOrder::Change(_))).await {
        KeysetOrder::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

/// Stores a keyset in place of the present one.
pub(in crate::keys) fn store(keyset: &KeysetFile, next: &Draft) {
    let present = keyset.read().unwrap().unwrap();
    keyset
        .replace(&keyset_tag(&present), &next.to_file())
        .unwrap();
}

/// Says what became of an order.
pub(in crate::keys) fn answer(
    keyset: &KeysetFile,
    change: &KeysetChange,
    result: OrderResult,
    generation: u64,
) {
    let outcome = OrderOutcome {
        id: change.id.clone(),
        result,
        generation,
    };
    keyset.record_outcome(&outcome).unwrap();
}
