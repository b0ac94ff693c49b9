//! What is seen of a secret that has escapes of its own, in a text that leaves those as they are and
//! escapes other characters.
use memchr::memchr3;

use super::{
    End,
    alphabet::Alphabet,
    lines::{Lines, is_blank},
    run::Reading,
    search::Views,
};
use crate::wipe::WipedBuffer;

/// Less could stand in any text, and is found at a higher cost (`prefilter.rs`).
const MIN_BYTES: usize = 15;

/// `secret` with its own escapes undone, as all are in a text; `None` when it has none, or nothing
/// else to speak of.
pub(super) fn unescaped(secret: &[u8]) -> Option<WipedBuffer> {
    memchr3(b'\\', b'%', b'&', secret)?;
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let alphabet = Alphabet::new([&*every].into_iter());
    let reading = Reading {
        alphabet: &alphabet,
        lines: Lines::Text,
        end: End::Closed,
    };
    let views = Views::new(secret, reading);
    let undone = views.all_undone();
    let is_other = undone != views.joined();
    let is_long = undone.iter().filter(|b| !is_blank(**b)).count() >= MIN_BYTES;
    (is_other && is_long).then(|| WipedBuffer::copy_of(undone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str) -> Option<String> {
        let undone = unescaped(secret.as_bytes())?;
        Some(String::from_utf8(undone.to_vec()).unwrap())
    }

    #[test]
    fn is_the_secret_with_its_own_escapes_undone() {
        assert_eq!(of("sk%41-live-012345").as_deref(), Some("skA-live-012345"));
        assert_eq!(
            of(r"sk&#65;\u0042-live-01234").as_deref(),
            Some("skAB-live-01234")
        );
        assert_eq!(
            of("sk%2541-live-012345").as_deref(),
            Some("skA-live-012345")
        );
        assert_eq!(
            of("sk-live\\n-01234567").as_deref(),
            Some("sk-live-01234567")
        );
    }

    #[test]
    fn is_nothing_for_most_secrets() {
        for secret in [
            "sk-live-0123456789",
            "100% & more\\e secret",
            "sk-live\n-0123%\n456789",
            "%41%42%43%44%45%46%47",
            "%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20",
        ] {
            assert_eq!(of(secret), None, "{secret}");
        }
    }
}
