//! The step that looks back: each call of the flow left a receipt, and the enclave signed for it.
use std::time::Duration;

use dauth_client::audit::{self, Extent, Wanted};
use dauth_protocol::{
    Handle,
    audit::{CallReceipt, ReceiptsPage, Reflection},
};
use tokio::time::{Instant, sleep};

use super::{CLIENT, Flow, Unheld};
use crate::simulate::narrate::Told;

/// The owner's, the MCP server's, the one that was redacted and the one that was refused.
const CALLS_OF_THE_FLOW: usize = 4;
/// Receipts come in batches, a moment after their calls.
const ARRIVED_AFTER: Duration = Duration::from_secs(20);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Flow<'_> {
    /// Waits for the receipts of the boot in which the receipt `id` was given, and verifies them.
    pub(super) async fn receipts_verify(&self, handle: &Handle, id: &str) -> Result<Told, Unheld> {
        let unheld = Unheld::by(CLIENT);
        let page = self.receipts(handle, id).await?;
        let keys = self.owner.evidence().await.map_err(|e| unheld(&e))?;
        let keys = keys.key_configuration();
        // A state directory may be older than the control plane keeps receipts.
        let audit = audit::verify(std::slice::from_ref(&page), keys, Extent::Part);
        if let Some(finding) = audit.findings.first() {
            return Err(Unheld::new(CLIENT, format!("the receipts: {finding}")));
        }
        let receipts = of_boot(&page, id);
        let count = |is: &dyn Fn(&CallReceipt) -> bool| receipts.iter().filter(|r| is(r)).count();
        let (servers, redacted) = (
            count(&|receipt| receipt.server.is_some()),
            count(&|receipt| receipt.reflection != Reflection::None),
        );
        Ok(Told {
            who: CLIENT,
            what: format!(
                "fetched the {} receipts of these calls and verified the enclave's signature: \
                 {servers} by the MCP server, {redacted} with the key redacted",
                receipts.len()
            ),
            seen: "the control plane: who called when, status and sizes; of the path a keyed hash",
        })
    }

    async fn receipts(&self, handle: &Handle, id: &str) -> Result<ReceiptsPage, Unheld> {
        let wanted = Wanted {
            handle: Some(handle.clone()),
            ..Wanted::default()
        };
        let until = Instant::now() + ARRIVED_AFTER;
        loop {
            let page = self.owner.receipts(&wanted).await;
            let page = page.map_err(|e| Unheld::by(CLIENT)(&e))?;
            let arrived = of_boot(&page, id).len();
            if arrived >= CALLS_OF_THE_FLOW {
                return Ok(page);
            }
            if Instant::now() > until {
                let why = format!("of {CALLS_OF_THE_FLOW} receipts {arrived} have come");
                return Err(Unheld::new(CLIENT, why));
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }
}

/// The receipts of the boot that one of them names.
fn of_boot<'a>(page: &'a ReceiptsPage, id: &str) -> Vec<&'a CallReceipt> {
    let receipts = || page.receipts.iter().map(|stored| &stored.details);
    let named = receipts().find(|receipt| receipt.id.to_string() == id);
    let boot = named.map(|receipt| receipt.boot);
    receipts().filter(|r| Some(r.boot) == boot).collect()
}
