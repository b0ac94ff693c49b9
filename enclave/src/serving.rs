//! The generation of the keyset that a request is answered with.
use std::sync::Arc;

use crate::keyset::{Keeper, Keyset, Serving};

/// The current generation; or, when it lacks the key that a request names, what there is after
/// asking for a later one: another enclave of the fleet may have changed the keyset.
pub(crate) async fn generation_with(
    keeper: &Keeper,
    has_key: impl FnOnce(&Keyset) -> bool,
) -> Arc<Serving> {
    let current = keeper.current();
    if has_key(current.keyset()) {
        current
    } else {
        keeper.refresh().await
    }
}
