//! The forms of a secret that a peer can be given: those that are searched in the bytes as they came.
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// As it is, in hexadecimal, and in base64 and base64url at each alignment.
///
/// Letters are to be compared without their case.
pub(super) fn of(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex::encode(secret).into_bytes()];
    for alignment in 0..3 {
        let padded = [&[0; 2][..alignment], secret].concat();
        // The characters that the secret alone decides.
        let decided = (alignment * 8).div_ceil(6)..padded.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            forms.extend(encoded.as_bytes().get(decided.clone()).map(<[u8]>::to_vec));
        }
    }
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use dauth_enclave::scrub::{Delivery, Scrubber};

    use super::*;

    #[test]
    fn the_scrubber_finds_each_of_them() {
        let secret = b"sk-live-4eC39HqLyjWDarjtT1zdp7dc";
        let forms = of(secret);
        assert_eq!(forms[0], secret);
        for form in forms {
            let mut scrubber = Scrubber::new(&[secret], Delivery::FixedTail);
            let text = [b"<", &form[..], b">"].concat();
            assert!(scrubber.redact(&text).is_some(), "{text:?}");
        }
    }
}
