//! Envelopes of three makers: KMS itself, OpenSSL, and the writer below for what is wrong.
use std::{fs, path::Path, process::Command};

use aws_lc_rs::rsa::{KeySize, OaepPublicEncryptingKey, PrivateDecryptingKey};

use super::*;

mod draft;
mod openssl;
use draft::{Draft, algorithm, indefinite, oid, tlv};

const DATA_KEY: &[u8; 32] = b"a data key of thirty-two bytes!!";

/// A real reply of KMS. Its private key is not known, so only its structure can be checked.
const REAL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../shared/vectors/kms/ciphertext-for-recipient.ber"
);

struct Keys {
    private: OaepPrivateDecryptingKey,
    public: OaepPublicEncryptingKey,
}

fn keys() -> Keys {
    keys_of(PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap())
}

fn keys_of(key: PrivateDecryptingKey) -> Keys {
    Keys {
        public: OaepPublicEncryptingKey::new(key.public_key()).unwrap(),
        private: OaepPrivateDecryptingKey::new(key).unwrap(),
    }
}

fn open(bytes: &[u8], keys: &Keys) -> Result<Vec<u8>, EnvelopeError> {
    Ok(Envelope::parse(bytes)?.open(&keys.private)?.to_vec())
}

#[test]
fn opens_chunked_and_primitive_content() {
    let keys = keys();
    let mut draft = Draft::new(&keys);
    assert_eq!(open(&draft.write(), &keys).unwrap(), DATA_KEY);
    let whole = Envelope::parse(&draft.write()).unwrap().content;
    draft.content = tlv(ber::context_primitive(0), &whole);
    assert_eq!(open(&draft.write(), &keys).unwrap(), DATA_KEY);
}

#[test]
fn refuses_other_algorithms() {
    const SHA_1: &[u8] = b"\x2b\x0e\x03\x02\x1a";
    const P_SPECIFIED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x09";
    const AES_128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
    let keys = keys();
    let changes: [fn(&mut Draft); 6] = [
        |draft| draft.hash = tlv(ber::context(0), &algorithm(SHA_1)),
        |draft| draft.hash.clear(),
        |draft| draft.mask_hash = algorithm(SHA_1),
        |draft| draft.label = tlv(ber::context(2), &algorithm(P_SPECIFIED)),
        |draft| draft.cipher = oid(AES_128_CBC),
        |draft| draft.iv.truncate(12),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut draft = Draft::new(&keys);
        change(&mut draft);
        let refused = open(&draft.write(), &keys);
        assert_eq!(refused, Err(EnvelopeError::Algorithm), "change {number}");
    }
}

#[test]
fn refuses_other_structures() {
    let keys = keys();
    let changes: [fn(&mut Draft); 10] = [
        |draft| draft.version = 0,
        |draft| draft.recipients = 0,
        |draft| draft.recipients = 2,
        |draft| draft.recipient = tlv(ber::SEQUENCE, &[]),
        |draft| draft.attributes = tlv(ber::context(1), &[]),
        |draft| draft.content = tlv(ber::OCTET_STRING, &[0; 48]),
        |draft| draft.content = tlv(ber::context_primitive(0), &[0; 47]),
        |draft| draft.content = indefinite(ber::context(0), &[]),
        |draft| draft.encrypted_key.truncate(255),
        |draft| draft.encrypted_key.insert(0, 0),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut draft = Draft::new(&keys);
        change(&mut draft);
        let refused = open(&draft.write(), &keys).unwrap_err();
        assert!(
            matches!(
                refused,
                EnvelopeError::Structure | EnvelopeError::Malformed(_)
            ),
            "change {number}: {refused}"
        );
    }
    let mut trailing = Draft::new(&keys).write();
    trailing.push(0);
    assert!(open(&trailing, &keys).is_err());
    let long = vec![0x30; MAX_ENVELOPE_BYTES + 1];
    assert_eq!(open(&long, &keys), Err(EnvelopeError::TooLong));
}

/// Another key, a short content key, bad padding, a flipped bit, an encrypted key above the modulus:
/// one and the same refusal.
#[test]
fn what_does_not_open_is_refused_without_saying_why() {
    let keys = keys();
    let last_block = |content: &[u8]| {
        let mut content = Envelope::parse(content).unwrap().content;
        *content.last_mut().unwrap() ^= 1;
        tlv(ber::context_primitive(0), &content)
    };
    let mut bad_padding = Draft::new(&keys);
    bad_padding.content = last_block(&bad_padding.write());
    let mut flipped_key = Draft::new(&keys);
    flipped_key.encrypted_key[100] ^= 1;
    let mut above = Draft::new(&keys);
    above.encrypted_key.fill(0xff);
    for draft in [
        bad_padding,
        flipped_key,
        above,
        Draft::with(&keys, &[7; 16], DATA_KEY),
        Draft::new(&self::keys()),
    ] {
        let refused = open(&draft.write(), &keys);
        assert_eq!(refused, Err(EnvelopeError::Undecryptable));
    }
}

/// RFC 5652 section 6.3: one to sixteen bytes of that value.
#[test]
fn padding_is_taken_by_its_definition_alone() {
    let by_definition = |block: &[u8]| {
        let length = usize::from(*block.last().unwrap());
        (1..=16).contains(&length)
            && block[16 - length..]
                .iter()
                .all(|b| usize::from(*b) == length)
    };
    let mut right = 0;
    for last in 0..=255_u8 {
        for filled in 0..=16 {
            for other in [0, 1, last ^ 1, 255] {
                let mut content = vec![7; 32];
                content[16..].fill(other);
                content[32 - filled..].fill(last);
                content[31] = last;
                let (length, is_padded) = pkcs7_padding(&content);
                assert_eq!(length, last);
                assert_eq!(
                    bool::from(is_padded),
                    by_definition(&content[16..]),
                    "{content:?}"
                );
                right += usize::from(bool::from(is_padded));
            }
        }
    }
    assert!(right > 16);
    assert!(!bool::from(pkcs7_padding(&[1; 15]).1));
}

#[test]
fn no_cut_and_no_flipped_byte_makes_it_panic() {
    let keys = keys();
    let bytes = Draft::new(&keys).write();
    for end in 0..bytes.len() {
        assert!(open(&bytes[..end], &keys).is_err());
    }
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 0x81;
        // CBC lets some changes through; the AEAD under the key refuses them.
        let _ = open(&changed, &keys);
    }
}

#[test]
fn a_real_reply_of_kms_parses() {
    if !Path::new(REAL).exists() {
        println!("skipped: the vectors beside the project are absent");
        return;
    }
    let bytes = fs::read(REAL).unwrap();
    let envelope = Envelope::parse(&bytes).unwrap();
    assert_eq!(envelope.encrypted_key.len(), 256);
    assert_eq!(envelope.content.len(), 16);
    assert_eq!(
        envelope.open(&keys().private).unwrap_err(),
        EnvelopeError::Undecryptable
    );
}

#[test]
fn opens_what_openssl_makes() {
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(&directory)
            .output()
    };
    if openssl("version").is_err() {
        println!("skipped: openssl is absent");
        return;
    }
    let run = |arguments: &str| {
        let output = openssl(arguments).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {complaint}");
    };
    let file = |name: &str| directory.path().join(name);
    run("req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=kms -batch");
    run("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der");
    let der = fs::read(file("key.der")).unwrap();
    let keys = keys_of(PrivateDecryptingKey::from_pkcs8(&der).unwrap());

    let oaep = "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256";
    for length in [1, 32, 1000] {
        let plaintext = vec![0x5a; length];
        fs::write(file("plain"), &plaintext).unwrap();
        for stream in ["-stream ", ""] {
            run(&format!(
                "cms -encrypt {stream}-binary -outform DER -aes256 -in plain -out cms.der \
                 -keyid -recip cert.pem {oaep}"
            ));
            let bytes = fs::read(file("cms.der")).unwrap();
            assert_eq!(open(&bytes, &keys).unwrap(), plaintext);
        }
    }
    // PKCS#1 v1.5 and OAEP with SHA-1 are what OpenSSL makes when not told otherwise.
    for padding in ["", " -keyopt rsa_padding_mode:oaep"] {
        run(&format!(
            "cms -encrypt -stream -binary -outform DER -aes256 -in plain -out cms.der \
             -keyid -recip cert.pem{padding}"
        ));
        let bytes = fs::read(file("cms.der")).unwrap();
        assert_eq!(open(&bytes, &keys), Err(EnvelopeError::Algorithm));
    }
}

proptest::proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        let _ = Envelope::parse(&bytes);
    }

    /// Tags and lengths of the kind that an envelope has, in any order.
    #[test]
    fn likely_noise_never_panics(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            &b"\x30\x80"[..], b"\xa0\x80", b"\x31\x80", b"\x00\x00", b"\x02\x01\x02", b"\x04\x80",
            b"\x30\x84\xff\xff\xff\xff", b"\x04\x02\x00\x00", b"\x80\x01\x00", b"\x1f",
        ]), 0..200),
    ) {
        let _ = Envelope::parse(&pieces.concat());
    }
}
