//! Enclave images and trust files that somebody else made.
#![no_main]

use dauth_image::{
    Eif,
    release::{Trust, TrustFile},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Without a signature right under its own certificate there is no PCR8.
    if let Ok(eif) = Eif::parse(bytes) {
        let _ = eif.measure();
    }
    let trust = Trust::read(&TrustFile {
        contents: bytes,
        signature: None,
        key: None,
    });
    if let Ok(trust) = trust {
        assert!(trust.release().is_none(), "nothing was signed");
        assert!(trust.pcrs().any(|(index, _)| index == 0));
    }
});
