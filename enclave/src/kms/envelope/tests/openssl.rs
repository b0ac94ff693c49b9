//! Envelopes that OpenSSL made, kept beside this file: `openssl cms -encrypt -outform DER -aes256
//! -keyid -recip … -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256`, those named `stream`
//! with `-stream` (indefinite lengths, content in chunks), those named `whole` without. Content is
//! the letter Z, as often as the name says. `reject` names what was told OpenSSL otherwise.
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../fixtures/", $name, ".der")).as_slice(),
        )
    };
}

fn keys() -> Keys {
    let (_, der) = fixture!("key");
    keys_of(PrivateDecryptingKey::from_pkcs8(der).unwrap())
}

#[test]
fn opens_both_encodings_of_content() {
    let keys = keys();
    for ((name, bytes), length) in [
        (fixture!("stream_1"), 1),
        (fixture!("stream_15"), 15),
        (fixture!("stream_16"), 16),
        (fixture!("stream_32"), 32),
        (fixture!("stream_1000"), 1000),
        (fixture!("stream_3000"), 3000),
        (fixture!("whole_1"), 1),
        (fixture!("whole_15"), 15),
        (fixture!("whole_16"), 16),
        (fixture!("whole_32"), 32),
        (fixture!("whole_1000"), 1000),
        (fixture!("whole_3000"), 3000),
    ] {
        assert_eq!(open(bytes, &keys).unwrap(), vec![b'Z'; length], "{name}");
    }
}

/// OpenSSL's content in chunks of other sizes than it makes.
#[test]
fn opens_chunks_of_any_size() {
    let keys = keys();
    let (_, whole) = fixture!("whole_1000");
    let (_, stream) = fixture!("stream_1000");
    let content = Envelope::parse(stream).unwrap().content;
    let start = stream
        .windows(2)
        .rposition(|tag| tag == [0xa0, 0x80])
        .unwrap();
    for size in [1, 3, 16, 127, 128, 255, 256, 1000, 2000] {
        let chunks: Vec<u8> = content
            .chunks(size)
            .flat_map(|chunk| tlv(4, chunk))
            .collect();
        let bytes = [
            &stream[..start],
            &indefinite(ber::context(0), &[&chunks]),
            &[0; 8],
        ]
        .concat();
        if bytes.len() <= MAX_ENVELOPE_BYTES {
            assert_eq!(open(&bytes, &keys).unwrap(), vec![b'Z'; 1000], "{size}");
        } else {
            assert_eq!(open(&bytes, &keys), Err(EnvelopeError::TooLong), "{size}");
        }
    }
    assert_ne!(Envelope::parse(whole).unwrap().content, content);
}

#[test]
fn refuses_what_kms_does_not_write() {
    let keys = keys();
    for ((name, bytes), refusals) in [
        (fixture!("reject_pkcs1_v15"), &["Algorithm"][..]),
        (fixture!("reject_oaep_sha1"), &["Algorithm"]),
        (fixture!("reject_mgf1_sha1"), &["Algorithm"]),
        (fixture!("reject_oaep_label"), &["Algorithm"]),
        (fixture!("reject_aes128"), &["Algorithm"]),
        (fixture!("reject_issuer_and_serial"), &["Structure"]),
        (fixture!("reject_two_recipients"), &["Malformed(Trailing)"]),
        (fixture!("reject_rsa3072"), &["Structure"]),
        (fixture!("reject_auth_enveloped"), &["Structure"]),
    ] {
        let refused = format!("{:?}", open(bytes, &keys).unwrap_err());
        assert!(refusals.contains(&refused.as_str()), "{name}: {refused}");
    }
}

#[test]
fn no_truncation_opens() {
    let keys = keys();
    for (name, bytes) in [fixture!("stream_32"), fixture!("whole_32")] {
        for end in 0..bytes.len() {
            assert!(open(&bytes[..end], &keys).is_err(), "{name} {end}");
        }
    }
}

/// Each bit: refused, or what was encrypted, or another plaintext, for CBC is not authenticated.
#[test]
fn every_flipped_bit_is_refused_or_changes_the_content_alone() {
    let keys = keys();
    let genuine = vec![b'Z'; 32];
    for (name, bytes) in [fixture!("stream_32"), fixture!("whole_32")] {
        let (mut same, mut changed) = (0, 0);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match open(&flipped, &keys) {
                Err(_) => {}
                Ok(opened) if opened == genuine => same += 1,
                Ok(_) => changed += 1,
            }
        }
        // The recipient's name has 20 bytes. Any flip of the vector and the first block passes, 16
        // bytes each, and of the others those few that leave some padding.
        assert_eq!(same, 20 * 8, "{name}");
        assert!((32 * 8..34 * 8).contains(&changed), "{name} {changed}");
    }
}
