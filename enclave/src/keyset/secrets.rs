//! The private keys of a keyset: 32 bytes each, in the order of the statement.
//!
//! A fixed layout, so that no decoder makes copies of them: recipients, former recipients, record
//! key, former record keys, receipt key.
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use dauth_protocol::key_configuration::RecipientPublicKey;
use dauth_sealing::{RecipientKey, RecordKey};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use super::{
    Keyset, KeysetError,
    entropy::{Entropy, random},
    file::File,
    receipt_key::ReceiptKey,
    statement::{RecordKeyCommitment, Statement},
};
use crate::{kms::DataKey, wipe::wipe_stack_below};

const KEY_BYTES: usize = 32;

/// A private key of any kind.
pub(super) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// A record key whose bytes are kept, for the next generation.
pub(super) struct KeptRecordKey {
    pub(super) key: RecordKey,
    /// On the heap, as a keyset is moved: see [`wipe_stack_below`].
    pub(super) private: Box<Key>,
}

/// Seals the private keys of the file's statement, under a data key that seals nothing else.
pub(super) fn seal(
    file: &mut File,
    private: &[Key],
    data_key: &DataKey,
    entropy: &mut Entropy<'_>,
) -> Result<(), KeysetError> {
    let nonce = *random::<NONCE_LEN>(entropy)?;
    // Of its full length from the start: what grows leaves copies behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(private.len() * KEY_BYTES));
    for key in private {
        sealed.extend_from_slice(key.as_slice());
    }
    let tag = cipher(data_key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(file.associated_data()),
            &mut sealed,
        )
        .map_err(|_| KeysetError::Generation)?;
    file.sealed = [sealed.as_slice(), tag.as_ref()].concat().into();
    file.nonce = ByteArray::new(nonce);
    wipe_stack_below();
    Ok(())
}

/// Opens the private keys and requires each to be the one that the statement names.
pub(super) fn open(
    file: File,
    statement: Statement,
    data_key: &DataKey,
) -> Result<Keyset, KeysetError> {
    let opened = unseal(file, statement, data_key);
    wipe_stack_below();
    opened
}

#[inline(never)]
fn unseal(mut file: File, statement: Statement, data_key: &DataKey) -> Result<Keyset, KeysetError> {
    let associated_data = Aad::from(file.associated_data());
    let nonce = Nonce::assume_unique_for_key(*file.nonce);
    let mut sealed = Zeroizing::new(std::mem::take(&mut file.sealed).into_vec());
    let opened = cipher(data_key)?
        .open_in_place(nonce, associated_data, &mut sealed)
        .map_err(|_| KeysetError::NotReleased)?;
    let (keys, rest) = opened.as_chunks::<KEY_BYTES>();
    if !rest.is_empty() || keys.len() != statement.private_keys() {
        return Err(KeysetError::OtherKeys);
    }
    let mut keys = keys.iter().map(|key| Zeroizing::new(*key));
    let mut next = || keys.next().ok_or(KeysetError::OtherKeys);
    let recipients = each(&statement.recipients, |key| recipient(key, next()?))?;
    let former_recipients = each(&statement.former_recipients, |former| {
        recipient(&former.key, next()?)
    })?;
    let record_key = record(&statement.record, next()?)?;
    let former_record_keys = each(&statement.former_records, |former| {
        record(&former.key, next()?)
    })?;
    let receipt_key = ReceiptKey::from_scalar(next()?)?;
    if receipt_key.spki() != statement.receipt_key.as_slice() {
        return Err(KeysetError::OtherKeys);
    }
    Ok(Keyset {
        recipients,
        former_recipients,
        record_key,
        former_record_keys,
        receipt_key,
        statement,
        tag: String::new(),
    })
}

/// The private key of each, in room that is there from the start: what grows leaves copies behind.
fn each<T, K>(
    named: &[T],
    key_of: impl FnMut(&T) -> Result<K, KeysetError>,
) -> Result<Vec<K>, KeysetError> {
    let mut keys = Vec::with_capacity(named.len());
    for key in named.iter().map(key_of) {
        keys.push(key?);
    }
    Ok(keys)
}

fn recipient(expected: &RecipientPublicKey, private: Key) -> Result<RecipientKey, KeysetError> {
    let id = <[u8; 8]>::try_from(expected.id.as_slice()).map_err(|_| KeysetError::OtherKeys)?;
    let key =
        RecipientKey::from_parts(expected.kem, id, private).map_err(|_| KeysetError::OtherKeys)?;
    if key.public() == *expected {
        Ok(key)
    } else {
        Err(KeysetError::OtherKeys)
    }
}

fn record(expected: &RecordKeyCommitment, private: Key) -> Result<KeptRecordKey, KeysetError> {
    if RecordKeyCommitment::of(*expected.id, &private) != *expected {
        return Err(KeysetError::OtherKeys);
    }
    let key = RecordKey::new(*expected.id, private.clone()).map_err(|_| KeysetError::OtherKeys)?;
    let private = Box::new(private);
    Ok(KeptRecordKey { key, private })
}

fn cipher(data_key: &DataKey) -> Result<LessSafeKey, KeysetError> {
    UnboundKey::new(&AES_256_GCM, data_key.expose())
        .map(LessSafeKey::new)
        .map_err(|_| KeysetError::NotReleased)
}
