//! The formats do not change unnoticed: what an earlier build sealed still opens.
//!
//! A vault holds records for months. When a format has to change, it gets a new name in `alg` or a
//! new layout, and these files stay.
use dauth_protocol::key_configuration::Kem;
use dauth_sealing::{RecipientKey, RecordKey, SealedEnvelope, SealedRecord};
use zeroize::Zeroizing;

const SECRET: &[u8] = b"sk-test-0123456789abcdef";
const HANDLE: &str = "ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f";

#[test]
fn envelopes_of_both_kems_open() {
    let files: [(Kem, &[u8]); 2] = [
        (
            Kem::MlKem768X25519,
            include_bytes!("vectors/envelope_mlkem768_x25519.cose"),
        ),
        (Kem::X25519, include_bytes!("vectors/envelope_x25519.cose")),
    ];
    for (kem, bytes) in files {
        let private = Zeroizing::new([7; 32]);
        let key = RecipientKey::from_parts(kem, *b"vector-1", private).unwrap();
        let envelope = SealedEnvelope::parse(bytes).unwrap();
        assert_eq!(envelope.header().handle.as_str(), HANDLE);
        assert_eq!(envelope.open(&key).unwrap().expose(), SECRET);
    }
}

#[test]
fn a_record_opens() {
    let bytes = include_bytes!("vectors/record.cose");
    let key = RecordKey::new(*b"vector-1", Zeroizing::new([7; 32])).unwrap();
    let opened = SealedRecord::parse(bytes).unwrap().open(&key).unwrap();
    assert_eq!(opened.header.handle.as_str(), HANDLE);
    assert_eq!(opened.secret.expose(), SECRET);
}
