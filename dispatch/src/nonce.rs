//! DPoP nonces that a server has handed out.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use http::HeaderMap;

/// The field that carries a nonce (RFC 9449 section 8.1).
const DPOP_NONCE: &str = "dpop-nonce";
/// A nonce longer than this is not kept.
const MAX_NONCE_BYTES: usize = 512;
/// Origins whose nonce is kept; a client talks to few.
const MAX_ORIGINS: usize = 64;

/// The latest nonce of each origin.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<HashMap<String, String>>);

impl Nonces {
    pub(crate) fn latest(&self, origin: &str) -> Option<String> {
        self.lock().get(origin).cloned()
    }

    /// Keeps the nonce of a reply, and says whether it is another than the request's.
    pub(crate) fn learn(&self, origin: &str, headers: &HeaderMap, used: Option<&str>) -> Learned {
        let Some(nonce) = nonce_of(headers) else {
            return Learned::Nothing;
        };
        let learned = if used == Some(&nonce) {
            Learned::Nothing
        } else {
            Learned::New
        };
        let mut nonces = self.lock();
        if nonces.len() >= MAX_ORIGINS && !nonces.contains_key(origin) {
            nonces.clear();
        }
        nonces.insert(origin.to_owned(), nonce);
        learned
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a reply brought a new nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// A nonce other than the one used: worth another try.
    New,
    /// None, or the same: another try would fail alike.
    Nothing,
}

/// The nonce of a reply. Two fields are none: which one counts would be a guess.
pub(crate) fn nonce_of(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(DPOP_NONCE).iter();
    let text = values.next()?.to_str().ok()?;
    let is_nonce = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let is_valid = (1..=MAX_NONCE_BYTES).contains(&text.len()) && text.bytes().all(is_nonce);
    (is_valid && values.next().is_none()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(nonces: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for nonce in nonces {
            headers.append(DPOP_NONCE, nonce.parse().unwrap());
        }
        headers
    }

    #[test]
    fn keeps_the_latest_of_each_origin_apart() {
        let nonces = Nonces::default();
        let learn = |origin, nonce, used| nonces.learn(origin, &headers(&[nonce]), used);
        assert_eq!(learn("https://a", "1", None), Learned::New);
        assert_eq!(learn("https://b", "2", None), Learned::New);
        assert_eq!(learn("https://a", "1", Some("1")), Learned::Nothing);
        // Another request may have learnt it meanwhile: what counts is what this one used.
        assert_eq!(learn("https://a", "1", Some("0")), Learned::New);
        assert_eq!(learn("https://a", "3", Some("1")), Learned::New);
        assert_eq!(nonces.latest("https://a").as_deref(), Some("3"));
        assert_eq!(nonces.latest("https://b").as_deref(), Some("2"));
        assert_eq!(nonces.latest("https://c"), None);
    }

    #[test]
    fn takes_no_ambiguous_or_huge_nonce() {
        let huge = "n".repeat(MAX_NONCE_BYTES + 1);
        for bad in [
            &["1", "2"][..],
            &[""],
            &["a b"],
            &["a\"b"],
            &[huge.as_str()],
        ] {
            assert_eq!(nonce_of(&headers(bad)), None, "{bad:?}");
        }
    }
}
