//! The acts that store a generation, and the one that loads it.
use std::sync::Arc;

use dauth_protocol::{
    Purpose,
    host::{KeyKind, KeysetChange, OrderResult, keyset_tag},
};
use serde_bytes::ByteArray;
use sha2::{Digest, Sha384};

use super::{
    Keyset, KeysetContext, KeysetError,
    birth::BornKeyset,
    context::blocking,
    draft::{Draft, NewKeys, Renewal},
    entropy::{Entropy, random},
    file::File,
    moment::Moment,
    secrets,
};
use crate::{
    clock,
    host::PutKeyset,
    kms::GeneratedDataKey,
    platform::{Attester, Claims},
    wipe::wipe_stack_below,
};

/// Makes a keyset where there is none: an explicit, one-time act.
///
/// Of several enclaves that create at once one stores its keyset. The others find that there is one
/// already, and [`load`] it.
pub async fn create(context: &KeysetContext, now_s: u64) -> Result<(), KeysetError> {
    let time = Moment::given(now_s.saturating_mul(1000));
    let kinds = [KeyKind::Recipient, KeyKind::Record, KeyKind::Receipt].into();
    let attester = Arc::clone(&context.attester);
    let (id, new) = blocking(move || {
        let mut entropy = Entropy::new(&*attester);
        let new = NewKeys::generate(&kinds, &mut entropy)?;
        Ok((*random(&mut entropy)?, new))
    })
    .await?;
    let draft = Draft::first(&context.configuration, id, new, time.given_ms())?;
    wipe_stack_below();
    let (bytes, _) = bear(context, draft, time).await?;
    match context.host.put_keyset(&bytes).await? {
        PutKeyset::Stored => {}
        PutKeyset::OtherStands => return Err(KeysetError::AlreadyThere),
    }
    match context.host.keyset().await? {
        Some(stored) if stored == bytes => Ok(()),
        // Believed no more than the answer before: whoever loads it verifies it.
        Some(_) => Err(KeysetError::AlreadyThere),
        None => Err(KeysetError::NotStored),
    }
}

/// Carries out `order` on `keyset`: makes the generation after it and stores it in its place.
/// Whatever fails, `keyset` is what it was.
///
/// Where another enclave was faster, the result is the generation that it made.
pub async fn change(
    context: &KeysetContext,
    keyset: &Keyset,
    order: &KeysetChange,
    now_ms: u64,
) -> Result<Keyset, OrderResult> {
    if !has_valid_id(order) {
        return Err(OrderResult::Malformed);
    }
    let renewal = Renewal::of(order.renew.clone()).retiring_after_s(order.retire_after_s);
    renew(context, keyset, &renewal, now_ms).await
}

/// 1 to 64 letters, digits and `-`: it names a file of the operator's.
pub(super) fn has_valid_id(order: &KeysetChange) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&order.id.len()) && order.id.bytes().all(is_plain)
}

/// Makes the generation after `keyset` and stores it in its place.
pub(super) async fn renew(
    context: &KeysetContext,
    keyset: &Keyset,
    renewal: &Renewal,
    now_ms: u64,
) -> Result<Keyset, OrderResult> {
    let time = Moment::given(now_ms);
    let made = bear_next(context, keyset, renewal, time).await;
    let (bytes, next) = made.map_err(|error| error.order_result(OrderResult::NotMade))?;
    let put = context.host.replace_keyset(&bytes, keyset.tag()).await;
    match put.map_err(|_| OrderResult::NotStored)? {
        PutKeyset::Stored => match context.host.keyset().await {
            Ok(Some(stored)) if stored == bytes => Ok(next),
            _ => Err(OrderResult::NotStored),
        },
        PutKeyset::OtherStands => load_at(context, time.now_ms())
            .await
            .and_then(|other| keyset.is_followed_by(&other).map(|()| other))
            .map_err(|error| error.order_result(OrderResult::KeysetRefused)),
    }
}

async fn bear_next(
    context: &KeysetContext,
    keyset: &Keyset,
    renewal: &Renewal,
    time: Moment,
) -> Result<(Vec<u8>, Keyset), KeysetError> {
    let attester = Arc::clone(&context.attester);
    let kinds = renewal.renew.clone();
    let new = blocking(move || NewKeys::generate(&kinds, &mut Entropy::new(&*attester))).await?;
    let draft = Draft::next(
        keyset,
        &context.configuration,
        renewal,
        new,
        time.given_ms(),
    )?;
    wipe_stack_below();
    bear(context, draft, time).await
}

/// Loads the keyset: the birth document is verified before KMS is asked for anything.
pub async fn load(context: &KeysetContext) -> Result<Keyset, KeysetError> {
    load_at(context, clock::now_ms()).await
}

pub(super) async fn load_at(context: &KeysetContext, now_ms: u64) -> Result<Keyset, KeysetError> {
    let bytes = context.host.keyset().await?.ok_or(KeysetError::Missing)?;
    open(context, &bytes, now_ms).await
}

async fn open(context: &KeysetContext, bytes: &[u8], now_ms: u64) -> Result<Keyset, KeysetError> {
    let born = born(context, bytes, now_ms).await?;
    released(context, born, bytes).await
}

/// What is in a file that anyone may have written, once its birth is verified.
pub(super) async fn born(
    context: &KeysetContext,
    bytes: &[u8],
    now_ms: u64,
) -> Result<BornKeyset, KeysetError> {
    let file = File::from_cbor(bytes)?;
    let wrapped_key = file.wrapped_key.to_vec();
    let running = context.running().await?;
    match BornKeyset::verify(file, &context.rules(&running, now_ms)) {
        Err(KeysetError::OtherImage) => Err(context.why_other(&wrapped_key).await),
        born => born,
    }
}

/// The keys of the file in `bytes`, under the data key that KMS releases to this image.
pub(super) async fn released(
    context: &KeysetContext,
    born: BornKeyset,
    bytes: &[u8],
) -> Result<Keyset, KeysetError> {
    let key_arn = &born.statement().key_arn;
    let decrypted = context.data_keys.decrypt(key_arn, born.wrapped_key());
    let data_key = decrypted.await?;
    #[cfg(mutations)]
    crate::mutation::keep(data_key.expose());
    let (file, statement) = born.into_parts();
    let mut keyset = secrets::open(file, statement, &data_key)?;
    keyset.tag = keyset_tag(bytes);
    Ok(keyset)
}

/// Seals a draft under a new data key and opens it as every later boot will: what this image does
/// not verify, or KMS does not release again, must not take the place of what opens.
async fn bear(
    context: &KeysetContext,
    draft: Draft,
    time: Moment,
) -> Result<(Vec<u8>, Keyset), KeysetError> {
    let data_key = context.data_keys.generate().await?;
    let attester = Arc::clone(&context.attester);
    let mut file = blocking(move || give_birth(&*attester, draft, data_key)).await?;
    let running = context.running().await?;
    let rules = context.rules(&running, time.now_ms());
    file.created_ms = rules.time_of_birth(&file.birth)?;
    let bytes = file.to_cbor()?;
    let keyset = open(context, &bytes, time.now_ms()).await?;
    Ok((bytes, keyset))
}

/// The document of a draft's birth, and its keys sealed beside it.
pub(super) fn give_birth(
    attester: &dyn Attester,
    draft: Draft,
    data_key: GeneratedDataKey,
) -> Result<File, KeysetError> {
    let Draft {
        mut statement,
        private,
    } = draft;
    let GeneratedDataKey { key, wrapped } = data_key;
    statement.wrapped_key_sha384 = ByteArray::new(Sha384::digest(&wrapped).into());
    let statement = statement.to_cbor()?;
    let birth = attester.attest(&Claims {
        user_data: Purpose::KeysetBirth.user_data(&Sha384::digest(&statement)),
        ..Claims::default()
    })?;
    let mut file = File::new(statement, birth, wrapped);
    secrets::seal(&mut file, &private, &key, &mut Entropy::new(attester))?;
    Ok(file)
}
