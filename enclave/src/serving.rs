//! The generation of the keyset that a request is answered with.
use std::sync::Arc;

use dauth_protocol::Code;

use crate::{
    keyset::{Keeper, Keyset, Serving},
    refusal::Refusal,
};

/// What the key id is of cannot be told: it may be of a generation that this enclave will have.
pub(crate) const LAGS: Refusal = Refusal::new(
    Code::EnclaveUnavailable,
    "the enclave lacks the key, and cannot learn whether another enclave has made it; try again",
);

/// The current generation; or, when it lacks the key that a request names, what there is after
/// asking for a later one: another enclave of the fleet may have changed the keyset.
pub(crate) async fn generation_with(
    keeper: &Keeper,
    has_key: impl Fn(&Keyset) -> bool,
) -> Result<Arc<Serving>, Refusal> {
    let current = keeper.current();
    if has_key(current.keyset()) {
        return Ok(current);
    }
    let latest = keeper.refresh().await;
    if keeper.lags() && !has_key(latest.keyset()) {
        return Err(LAGS);
    }
    Ok(latest)
}
