//! `CiphertextForRecipient`: CMS EnvelopedData in the very shape that KMS writes, indefinite
//! lengths included.
use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    error::Unspecified,
    rand,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey},
};
use sha2::{Digest, Sha256};

const OID_ENVELOPED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const OID_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const OID_AES_256_CBC: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
const VERSION_2: &[u8] = b"\x02\x01\x02";
/// AlgorithmIdentifier: RSAES-OAEP with SHA-256 and MGF1 of SHA-256 (RFC 8017 appendix A.2.1).
const RSAES_OAEP_SHA_256: &[u8] = b"\
    \x30\x3c\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07\x30\x2f\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTET_STRING: u8 = 0x04;
const CONTEXT_0_PRIMITIVE: u8 = 0x80;
const CONTEXT_0: u8 = 0xa0;

/// Encrypts `plaintext` to a recipient, whose SubjectPublicKeyInfo (DER) is `spki`.
pub fn envelope(
    recipient: &OaepPublicEncryptingKey,
    spki: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let mut content_key = [0; 32];
    rand::fill(&mut content_key)?;
    let mut encrypted_key = vec![0; recipient.ciphertext_size()];
    recipient.encrypt(
        &OAEP_SHA256_MGF1SHA256,
        &content_key,
        &mut encrypted_key,
        None,
    )?;

    let mut content = plaintext.to_vec();
    let cipher = UnboundCipherKey::new(&AES_256, &content_key)?;
    let context = PaddedBlockEncryptingKey::cbc_pkcs7(cipher)?.encrypt(&mut content)?;
    let DecryptionContext::Iv128(iv) = context else {
        return Err(Unspecified);
    };

    // The identifier has 32 bytes; how KMS derives it is not documented.
    let key_identifier = definite(CONTEXT_0_PRIMITIVE, &Sha256::digest(spki));
    let encrypted_key = definite(OCTET_STRING, &encrypted_key);
    let recipient = definite(
        SEQUENCE,
        &[
            VERSION_2,
            &key_identifier,
            RSAES_OAEP_SHA_256,
            &encrypted_key,
        ]
        .concat(),
    );
    let algorithm = [OID_AES_256_CBC, &definite(OCTET_STRING, iv.as_ref())].concat();
    let encrypted_content = indefinite(
        SEQUENCE,
        &[
            OID_DATA,
            &definite(SEQUENCE, &algorithm),
            &indefinite(CONTEXT_0, &[&definite(OCTET_STRING, &content)]),
        ],
    );
    let enveloped = indefinite(
        SEQUENCE,
        &[VERSION_2, &definite(SET, &recipient), &encrypted_content],
    );
    let explicit = indefinite(CONTEXT_0, &[&enveloped]);
    Ok(indefinite(SEQUENCE, &[OID_ENVELOPED_DATA, &explicit]))
}

fn definite(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let octets: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let head = match octets.as_slice() {
        [] => vec![tag, 0],
        [short @ ..=0x7f] => vec![tag, *short],
        // A length has at most eight octets.
        long => [
            &[tag, 0x80 | u8::try_from(long.len()).unwrap_or_default()],
            long,
        ]
        .concat(),
    };
    [&head, content].concat()
}

fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], &parts.concat()[..], &[0, 0]].concat()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::AsDer,
        rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };
    use dauth_enclave::kms::envelope::Envelope;

    use super::*;

    /// Length and first bytes are those of a real reply of KMS to a 15-byte plaintext.
    #[test]
    fn has_the_shape_of_a_real_reply_and_opens_in_the_enclave() {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        let public = OaepPublicEncryptingKey::new(key.public_key()).unwrap();
        let bytes = envelope(&public, &spki, &[5; 15]).unwrap();
        assert_eq!(bytes.len(), 461);
        let start = "308006092a864886f70d010703a0803080020102\
                     3182016b30820167020102\
                     8020";
        assert!(hex::encode(&bytes).starts_with(start));
        let private = OaepPrivateDecryptingKey::new(key).unwrap();
        for length in [15, 32, 1024] {
            let plaintext = vec![5; length];
            let bytes = envelope(&public, &spki, &plaintext).unwrap();
            let opened = Envelope::parse(&bytes).unwrap().open(&private).unwrap();
            assert_eq!(*opened, plaintext);
        }
    }
}
