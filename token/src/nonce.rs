//! Server nonces (RFC 9449 sections 8 and 9).
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

const LABEL: &[u8] = b"dauth-dpop-nonce-v1";
const TIME_BYTES: usize = 8;
const TAG_BYTES: usize = 32;
const TEXT_BYTES: usize = (TIME_BYTES + TAG_BYTES).div_ceil(3) * 4;

/// Issues nonces and recognises its own, without storing any.
///
/// A nonce is the start of a time bucket and an HMAC over it and the issuer's instance. So it is
/// good at the instance that issued it alone: neither another server nor the same one after a
/// restart takes it, which is what lets a replay cache live in memory.
pub struct NonceIssuer {
    key: hmac::Key,
    instance: [u8; 16],
    boot_s: u64,
    life_s: u64,
}

impl NonceIssuer {
    /// An issuer whose nonces are good for at least half of `life_s` and at most `life_s` seconds.
    ///
    /// `key` may be shared by servers; `instance` is random, and another one at every boot.
    pub fn new(key: &[u8; 32], instance: [u8; 16], boot_s: u64, life_s: u64) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            instance,
            boot_s,
            life_s: life_s.max(2),
        }
    }

    /// The nonce of this moment. It changes every half life, so that clients can reuse it.
    pub fn issue(&self, now_s: u64) -> String {
        let bucket_s = self.life_s / 2;
        let start = (now_s - now_s % bucket_s).max(self.boot_s);
        let tag = hmac::sign(&self.key, &self.message(start));
        let mut nonce = Vec::with_capacity(TIME_BYTES + TAG_BYTES);
        nonce.extend_from_slice(&start.to_be_bytes());
        nonce.extend_from_slice(tag.as_ref());
        BASE64_URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Whether this instance issued `nonce`, no longer than its life ago.
    pub fn is_current(&self, nonce: &str, now_s: u64) -> bool {
        if nonce.len() > TEXT_BYTES {
            return false;
        }
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(nonce) else {
            return false;
        };
        let Some((start, tag)) = bytes.split_first_chunk::<TIME_BYTES>() else {
            return false;
        };
        let start = u64::from_be_bytes(*start);
        let is_recent = (self.boot_s..=now_s).contains(&start) && now_s - start < self.life_s;
        is_recent && hmac::verify(&self.key, &self.message(start), tag).is_ok()
    }

    fn message(&self, start: u64) -> Vec<u8> {
        [LABEL, &self.instance, &start.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT_S: u64 = 1_000_003;

    fn issuer(key: u8, instance: u8, boot_s: u64) -> NonceIssuer {
        NonceIssuer::new(&[key; 32], [instance; 16], boot_s, 60)
    }

    #[test]
    fn a_nonce_is_good_for_half_its_life_at_least_and_its_life_at_most() {
        let issuer = issuer(1, 1, BOOT_S);
        for now_s in BOOT_S..BOOT_S + 200 {
            let nonce = issuer.issue(now_s);
            assert!(issuer.is_current(&nonce, now_s));
            assert!(issuer.is_current(&nonce, now_s + 29));
            assert!(!issuer.is_current(&nonce, now_s + 60));
        }
        let first = issuer.issue(BOOT_S + 40);
        assert_eq!(issuer.issue(BOOT_S + 41), first);
        assert_ne!(issuer.issue(BOOT_S + 80), first);
    }

    #[test]
    fn refuses_what_it_did_not_issue() {
        let one = issuer(1, 1, BOOT_S);
        let now_s = BOOT_S + 10;
        let nonce = one.issue(now_s);
        assert!(
            !issuer(2, 1, BOOT_S).is_current(&nonce, now_s),
            "another key"
        );
        assert!(!issuer(1, 2, BOOT_S).is_current(&nonce, now_s), "instance");
        assert!(!issuer(1, 1, now_s).is_current(&nonce, now_s), "restarted");
        assert!(!one.is_current(&nonce, BOOT_S - 1), "from the future");
        for text in [
            "",
            "x",
            "AAAA",
            &nonce[1..],
            &format!("{nonce}A"),
            &format!("{nonce}="),
        ] {
            assert!(!one.is_current(text, now_s), "{text}");
        }
        for at in 0..nonce.len() {
            let mut altered = nonce.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(!one.is_current(&altered, now_s));
        }
    }
}
