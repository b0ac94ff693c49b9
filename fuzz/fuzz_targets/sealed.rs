//! What a client seals, and what the vault returns.
#![no_main]

use dauth_protocol::{EnvelopeHeader, RecordHeader};
use dauth_sealing::{SealedEnvelope, SealedRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = SealedEnvelope::parse(bytes);
    let _ = SealedRecord::parse(bytes);
    if let Ok(header) = RecordHeader::from_cbor(bytes) {
        assert_eq!(RecordHeader::from_cbor(&header.to_cbor()), Ok(header));
    }
    if let Ok(header) = EnvelopeHeader::from_cbor(bytes) {
        assert_eq!(EnvelopeHeader::from_cbor(&header.to_cbor()), Ok(header));
    }
});
