//! A generation before its birth: which keys are new, which are kept, and which are forgotten.
use std::collections::BTreeSet;

use dauth_protocol::{
    DeploymentConfiguration, host::KeyKind, key_configuration::Kem, limit::MAX_ENVELOPE_LIFE_S,
};
use dauth_sealing::RecipientKey;
use serde_bytes::{ByteArray, ByteBuf};

use super::{
    Keyset, KeysetError,
    entropy::{Entropy, random},
    receipt_key::ReceiptKey,
    secrets::Key,
    statement::{
        FormerRecipient, FormerRecord, MAX_FORMER_RECEIPTS, MAX_HISTORY, RecordKeyCommitment,
        Statement,
    },
};
use crate::{admit::MAX_RECORD_LIFE_S, wipe::wipe_stack_below};

/// The KEMs of a keyset, the preferred one first.
const KEMS: [Kem; 2] = [Kem::MlKem768X25519, Kem::X25519];
/// How long a former recipient key opens envelopes: their life, and as much for clients that took
/// the key from evidence a little older.
const FORMER_RECIPIENT_MS: u64 = 2 * MAX_ENVELOPE_LIFE_S * 1000;
/// How long a former record key opens records: longer than any of them lives.
const FORMER_RECORD_MS: u64 = (MAX_RECORD_LIFE_S + 24 * 3600) * 1000;

/// What a change of the keyset is to do.
pub(super) struct Renewal {
    /// The kinds of key to replace.
    pub(super) renew: BTreeSet<KeyKind>,
    /// Forget record keys that were replaced longer ago than this.
    pub(super) retire_after_ms: u64,
}

impl Renewal {
    /// Replaces `renew`; forgets what no record can be under any more.
    pub(super) fn of(renew: BTreeSet<KeyKind>) -> Self {
        Self {
            renew,
            retire_after_ms: FORMER_RECORD_MS,
        }
    }

    /// The same, and forgets record keys earlier than they are due.
    pub(super) fn retiring_after_s(self, seconds: Option<u64>) -> Self {
        let ordered_ms = seconds.map_or(u64::MAX, |seconds| seconds.saturating_mul(1000));
        Self {
            retire_after_ms: self.retire_after_ms.min(ordered_ms),
            ..self
        }
    }
}

/// New keys of the kinds that were asked for.
pub(super) struct NewKeys {
    recipients: Option<Vec<RecipientKey>>,
    record: Option<(RecordKeyCommitment, Box<Key>)>,
    receipt: Option<ReceiptKey>,
}

impl NewKeys {
    pub(super) fn generate(
        kinds: &BTreeSet<KeyKind>,
        entropy: &mut Entropy<'_>,
    ) -> Result<Self, KeysetError> {
        let made = Self::make(kinds, entropy);
        wipe_stack_below();
        made
    }

    #[inline(never)]
    fn make(kinds: &BTreeSet<KeyKind>, entropy: &mut Entropy<'_>) -> Result<Self, KeysetError> {
        let mut keys = Self {
            recipients: None,
            record: None,
            receipt: None,
        };
        for kind in kinds {
            match kind {
                KeyKind::Recipient => keys.recipients = Some(recipients(entropy)?),
                KeyKind::Record => {
                    let (id, key) = (*random(entropy)?, Box::new(random(entropy)?));
                    keys.record = Some((RecordKeyCommitment::of(id, &key), key));
                }
                // Fails for a scalar that is zero or not below the order: once in 2^32 times.
                KeyKind::Receipt => {
                    let key = ReceiptKey::from_scalar(random(entropy)?);
                    keys.receipt = Some(key.map_err(|_| KeysetError::Generation)?);
                }
            }
        }
        Ok(keys)
    }
}

fn recipients(entropy: &mut Entropy<'_>) -> Result<Vec<RecipientKey>, KeysetError> {
    KEMS.into_iter()
        .map(|kem| {
            let id = random(entropy)?;
            RecipientKey::generate(kem, *id, entropy).map_err(|_| KeysetError::Generation)
        })
        .collect()
}

/// A generation that lacks its data key and its birth document.
pub(super) struct Draft {
    pub(super) statement: Statement,
    /// In the order of the statement.
    pub(super) private: Vec<Key>,
}

impl Draft {
    /// The first generation of a keyset.
    #[inline(never)]
    pub(super) fn first(
        configuration: &DeploymentConfiguration,
        keyset_id: [u8; 16],
        new: NewKeys,
        now_ms: u64,
    ) -> Result<Self, KeysetError> {
        let (Some(recipients), Some((record, record_key)), Some(receipt)) =
            (new.recipients, new.record, new.receipt)
        else {
            return Err(KeysetError::Generation);
        };
        let statement = Statement {
            version: Statement::VERSION,
            deployment: configuration.deployment.clone(),
            key_arn: configuration.kms.key_arn.clone(),
            wrapped_key_sha384: ByteArray::new([0; 48]),
            keyset_id: ByteArray::new(keyset_id),
            generation: 1,
            history: Vec::new(),
            made_ms: now_ms,
            recipients: recipients.iter().map(RecipientKey::public).collect(),
            recipients_made_ms: now_ms,
            former_recipients: Vec::new(),
            record,
            former_records: Vec::new(),
            receipt_key: ByteBuf::from(receipt.spki()),
            former_receipt_keys: Vec::new(),
        };
        let mut private = Vec::with_capacity(statement.private_keys());
        private.extend(recipients.iter().map(|key| key.private_key().clone()));
        private.push(*record_key);
        private.push(receipt.scalar().clone());
        Ok(Self { statement, private })
    }

    /// The generation after `keyset`: with `new` in the place of what it had.
    #[inline(never)]
    pub(super) fn next(
        keyset: &Keyset,
        configuration: &DeploymentConfiguration,
        renewal: &Renewal,
        new: NewKeys,
        now_ms: u64,
    ) -> Result<Self, KeysetError> {
        let old = &keyset.statement;
        let generation = old.generation.checked_add(1);
        let mut history = Vec::with_capacity(MAX_HISTORY + 1);
        history.push(old.digest()?);
        history.extend_from_slice(&old.history);
        history.truncate(MAX_HISTORY);
        let mut draft = Self {
            statement: Statement {
                key_arn: configuration.kms.key_arn.clone(),
                generation: generation.ok_or(KeysetError::Generation)?,
                history,
                // A clock that was set back must not make keys look older than their elders.
                made_ms: now_ms.max(old.made_ms),
                ..old.clone()
            },
            private: Vec::with_capacity(old.private_keys() + KEMS.len() + 1),
        };
        draft.take_recipients(keyset, new.recipients.as_deref());
        draft.take_records(keyset, new.record, renewal);
        draft.take_receipt(keyset, new.receipt.as_ref());
        draft.statement.check_bounds().map(|()| draft)
    }

    fn take_recipients(&mut self, keyset: &Keyset, new: Option<&[RecipientKey]>) {
        let now_ms = self.statement.made_ms;
        let old = &keyset.statement;
        let mut former = Vec::new();
        if let Some(new) = new {
            self.statement.recipients = new.iter().map(RecipientKey::public).collect();
            self.statement.recipients_made_ms = now_ms;
            self.keep(new);
            former.extend(old.recipients.iter().map(|key| FormerRecipient {
                key: key.clone(),
                superseded_ms: now_ms,
            }));
        }
        self.keep(&keyset.recipients);
        for (entry, key) in old.former_recipients.iter().zip(&keyset.former_recipients) {
            if now_ms.saturating_sub(entry.superseded_ms) < FORMER_RECIPIENT_MS {
                former.push(entry.clone());
                self.private.push(key.private_key().clone());
            }
        }
        self.statement.former_recipients = former;
    }

    fn keep(&mut self, recipients: &[RecipientKey]) {
        let private = recipients.iter().map(|key| key.private_key().clone());
        self.private.extend(private);
    }

    fn take_records(
        &mut self,
        keyset: &Keyset,
        new: Option<(RecordKeyCommitment, Box<Key>)>,
        renewal: &Renewal,
    ) {
        let now_ms = self.statement.made_ms;
        let old = &keyset.statement;
        let mut former = Vec::new();
        if let Some((commitment, key)) = new {
            self.statement.record = commitment;
            self.private.push(*key);
            former.push(FormerRecord {
                key: old.record.clone(),
                superseded_ms: now_ms,
            });
        }
        self.private.push((*keyset.record_key.private).clone());
        for (entry, key) in old.former_records.iter().zip(&keyset.former_record_keys) {
            if now_ms.saturating_sub(entry.superseded_ms) <= renewal.retire_after_ms {
                former.push(entry.clone());
                self.private.push((*key.private).clone());
            }
        }
        self.statement.former_records = former;
    }

    fn take_receipt(&mut self, keyset: &Keyset, new: Option<&ReceiptKey>) {
        let key = new.unwrap_or(&keyset.receipt_key);
        self.private.push(key.scalar().clone());
        if new.is_some() {
            let former = &mut self.statement.former_receipt_keys;
            former.insert(0, ByteBuf::from(keyset.receipt_key.spki()));
            former.truncate(MAX_FORMER_RECEIPTS);
        }
        self.statement.receipt_key = ByteBuf::from(key.spki());
    }
}
