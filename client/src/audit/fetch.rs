//! All pages of an owner's receipts, from the control plane.
use std::collections::BTreeSet;

use dauth_protocol::{
    Handle,
    audit::{ReceiptsPage, StoredBatch},
};

use crate::{
    OwnerError, VaultError,
    vault::{Access, Vault},
};

/// Receipts of one page at most: the control plane makes it shorter where they would be too long.
const PAGE_RECEIPTS: usize = 500;

/// Which receipts are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of one connection alone.
    pub handle: Option<Handle>,
    /// Of calls that came since.
    pub since: Since,
}

/// From when on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// All that the control plane keeps.
    #[default]
    Ever,
    /// Unix milliseconds.
    Time(u64),
}

impl Since {
    fn covers(self, page: &ReceiptsPage) -> bool {
        match self {
            Since::Ever => true,
            Since::Time(since) => {
                let mut came = page
                    .receipts
                    .iter()
                    .map(|receipt| receipt.details.started_ms);
                came.any(|came| came >= since)
            }
        }
    }
}

/// Every page, as one. Those before the first one with a call that came since are left out; none
/// after it, since what is missing in the middle would be a gap, and none is cut, so that a batch
/// keeps its receipts together as far as possible.
pub(crate) async fn fetch(
    vault: &Vault,
    wanted: &Wanted,
    access: &Access<'_>,
) -> Result<ReceiptsPage, OwnerError> {
    let mut whole = ReceiptsPage {
        receipts: Vec::new(),
        batches: Vec::new(),
        next: None,
    };
    let mut known = BTreeSet::new();
    let mut after: Option<String> = None;
    let mut has_begun = false;
    loop {
        let path = path(wanted.handle.as_ref(), after.as_deref());
        let page: ReceiptsPage = vault.receipts(&path, access).await?;
        // Who answers in the same way for ever, or with nothing, never comes to an end.
        if page.next.is_some() && (page.next == after || page.receipts.is_empty()) {
            return Err(VaultError::Malformed.into());
        }
        let next = page.next.clone();
        has_begun |= wanted.since.covers(&page);
        if has_begun {
            whole.receipts.extend(page.receipts);
            let is_new = |batch: &StoredBatch| known.insert(batch.head.clone());
            whole
                .batches
                .extend(page.batches.into_iter().filter(is_new));
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(whole),
        }
    }
}

/// The query's texts are a handle and what the control plane made for a URL.
fn path(handle: Option<&Handle>, after: Option<&str>) -> String {
    let mut query = format!("limit={PAGE_RECEIPTS}");
    for (name, value) in [("handle", handle.map(Handle::as_str)), ("after", after)] {
        if let Some(value) = value {
            query.push('&');
            query.push_str(name);
            query.push('=');
            query.push_str(&encoded(value));
        }
    }
    query
}

/// RFC 3986 section 2.1: all but the unreserved characters.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped() {
        let handle: Handle = "ddls:conn:0191f3a4-7c1e-7b1a-8f00-000000000001"
            .parse()
            .unwrap();
        assert_eq!(path(None, None), "limit=500");
        assert_eq!(
            path(Some(&handle), Some("a+/=&b")),
            "limit=500&handle=ddls%3Aconn%3A0191f3a4-7c1e-7b1a-8f00-000000000001&after=a%2B%2F%3D%26b"
        );
    }
}
