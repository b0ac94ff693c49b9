//! What is replaced without an order.
use std::collections::BTreeSet;

use dauth_protocol::{deployment::Rotation, host::KeyKind};

use super::statement::Statement;

/// The kinds of key that are due at `now_ms`.
///
/// Recipient keys alone: what a client sealed to one stays open to whoever gets the key later, until
/// it is forgotten. Record keys are replaced by order, for that costs a new record of each
/// connection; receipt keys too, for verifiers must learn of them.
pub(super) fn due(statement: &Statement, rotation: Rotation, now_ms: u64) -> BTreeSet<KeyKind> {
    let age_ms = now_ms.saturating_sub(statement.recipients_made_ms);
    if age_ms >= rotation.recipient_keys_s.saturating_mul(1000) {
        BTreeSet::from([KeyKind::Recipient])
    } else {
        BTreeSet::new()
    }
}
