//! The private keys of a keyset: 32 bytes each, in the order of the statement.
//!
//! A fixed layout, so that no decoder makes copies of them: recipients, records, receipt key.
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use dauth_protocol::key_configuration::Kem;
use dauth_sealing::{RecipientKey, RecordKey};
use rand_core::TryRng;
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use super::{
    Keyset, KeysetError,
    entropy::Entropy,
    file::{File, RecordKeyCommitment, Statement},
    receipt_key::ReceiptKey,
};
use crate::kms::DataKey;

const KEY_BYTES: usize = 32;

/// The KEMs of a new keyset, the preferred one first.
const KEMS: [Kem; 2] = [Kem::MlKem768X25519, Kem::X25519];

type Key = Zeroizing<[u8; KEY_BYTES]>;

/// New private keys, and the public part of the statement about them.
pub(super) struct NewKeys {
    recipients: Vec<RecipientKey>,
    record: ([u8; 8], Key),
    receipt: (ReceiptKey, Key),
}

impl NewKeys {
    pub(super) fn generate(entropy: &mut Entropy<'_>) -> Result<Self, KeysetError> {
        let recipients = KEMS
            .into_iter()
            .map(|kem| {
                let id = random(entropy)?;
                RecipientKey::generate(kem, *id, entropy).map_err(|_| KeysetError::Generation)
            })
            .collect::<Result<_, _>>()?;
        let record = (*random(entropy)?, random(entropy)?);
        let scalar: Key = random(entropy)?;
        // Fails for a scalar that is zero or not below the order: once in 2^32 creations.
        let receipt = ReceiptKey::from_scalar(&scalar).map_err(|_| KeysetError::Generation)?;
        Ok(Self {
            recipients,
            record,
            receipt: (receipt, scalar),
        })
    }

    /// Fills in what the statement says of the keys.
    pub(super) fn describe(&self, statement: &mut Statement) {
        statement.recipients = self.recipients.iter().map(RecipientKey::public).collect();
        let (id, key) = &self.record;
        statement.records = vec![RecordKeyCommitment::of(*id, key)];
        statement.receipt_key = self.receipt.0.spki().to_vec().into();
    }

    /// Seals the keys into the file, under a data key that seals nothing else.
    pub(super) fn seal(
        &self,
        file: &mut File,
        data_key: &DataKey,
        entropy: &mut Entropy<'_>,
    ) -> Result<(), KeysetError> {
        let nonce = *random::<NONCE_LEN>(entropy)?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(1024));
        for key in &self.recipients {
            sealed.extend_from_slice(key.private_key().as_slice());
        }
        sealed.extend_from_slice(self.record.1.as_slice());
        sealed.extend_from_slice(self.receipt.1.as_slice());
        let tag = cipher(data_key)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(file.associated_data()),
                &mut sealed,
            )
            .map_err(|_| KeysetError::Generation)?;
        file.sealed = [sealed.as_slice(), tag.as_ref()].concat().into();
        file.nonce = ByteArray::new(nonce);
        Ok(())
    }
}

/// Opens the private keys and requires each to be the one that the statement names.
pub(super) fn open(
    mut file: File,
    statement: &Statement,
    data_key: &DataKey,
) -> Result<Keyset, KeysetError> {
    let associated_data = Aad::from(file.associated_data());
    let nonce = Nonce::assume_unique_for_key(*file.nonce);
    let mut sealed = Zeroizing::new(std::mem::take(&mut file.sealed).into_vec());
    let opened = cipher(data_key)?
        .open_in_place(nonce, associated_data, &mut sealed)
        .map_err(|_| KeysetError::Unopenable)?;
    let (keys, rest) = opened.as_chunks::<KEY_BYTES>();
    let count = statement.recipients.len() + statement.records.len() + 1;
    if !rest.is_empty() || keys.len() != count {
        return Err(KeysetError::OtherKeys);
    }
    let mut keys = keys.iter().map(|key| Zeroizing::new(*key));
    let mut next = || keys.next().ok_or(KeysetError::OtherKeys);

    let mut recipients = Vec::with_capacity(statement.recipients.len());
    for expected in &statement.recipients {
        let id = <[u8; 8]>::try_from(expected.id.as_slice()).map_err(|_| KeysetError::OtherKeys)?;
        let key = RecipientKey::from_parts(expected.kem, id, next()?)
            .map_err(|_| KeysetError::OtherKeys)?;
        if key.public() != *expected {
            return Err(KeysetError::OtherKeys);
        }
        recipients.push(key);
    }
    let mut records = Vec::with_capacity(statement.records.len());
    for expected in &statement.records {
        let key = next()?;
        if RecordKeyCommitment::of(*expected.id, &key) != *expected {
            return Err(KeysetError::OtherKeys);
        }
        records.push(RecordKey::new(*expected.id, key).map_err(|_| KeysetError::OtherKeys)?);
    }
    let receipt_key = ReceiptKey::from_scalar(&*next()?)?;
    if receipt_key.spki() != statement.receipt_key.as_slice() {
        return Err(KeysetError::OtherKeys);
    }
    let mut records = records.into_iter();
    Ok(Keyset {
        id: *statement.keyset_id,
        generation: statement.generation,
        recipients,
        record_key: records.next().ok_or(KeysetError::OtherKeys)?,
        older_record_keys: records.collect(),
        receipt_key,
    })
}

fn cipher(data_key: &DataKey) -> Result<LessSafeKey, KeysetError> {
    UnboundKey::new(&AES_256_GCM, data_key.expose())
        .map(LessSafeKey::new)
        .map_err(|_| KeysetError::Unopenable)
}

pub(super) fn random<const N: usize>(
    entropy: &mut Entropy<'_>,
) -> Result<Zeroizing<[u8; N]>, KeysetError> {
    let mut bytes = Zeroizing::new([0; N]);
    entropy.try_fill_bytes(bytes.as_mut_slice())?;
    Ok(bytes)
}
