//! The envelope in a reply of KMS (RFC 5652, in BER).
#![no_main]

use dauth_enclave::kms::envelope::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|envelope: &[u8]| {
    let _ = Envelope::parse(envelope);
});
