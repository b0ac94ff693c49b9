//! A keyset that is not there: what to do depends on whether there ever was one.
use dauth_parent::host::KeysetFile;
use dauth_protocol::host::KeysetOrder;

use crate::failure::Failure;

/// There is none, and the command needs one.
pub(super) fn failure(keyset: &KeysetFile) -> Failure {
    let file = keyset.path().display();
    let previous = keyset.previous();
    if let Ok(Some(order)) = keyset.pending_order()
        && order.keyset == KeysetOrder::Create
    {
        return Failure::refused(format!(
            "there is no keyset in {file} yet: one is ordered, and no enclave has made it"
        ));
    }
    let restore = if previous.exists() {
        format!(
            "put a backup of its last generation there, or else copy {}, which is one generation older",
            previous.display()
        )
    } else {
        "put a backup of its last generation there".to_owned()
    };
    Failure::refused(format!(
        "there is no keyset in {file}: if it was lost, {restore} (stored records open with it \
         alone); if there was none yet, order the first one with `dauth keys create`"
    ))
}
