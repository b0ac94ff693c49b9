//! A writer of envelopes, right ones and wrong ones.
use aws_lc_rs::cipher::PaddedBlockEncryptingKey;

use super::*;

pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}

pub(super) fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], &parts.concat()[..], &[0, 0]].concat()
}

/// The parts of an envelope, each of which a test may replace.
pub(super) struct Draft {
    pub(super) version: u8,
    pub(super) recipient: Vec<u8>,
    pub(super) recipients: usize,
    pub(super) hash: Vec<u8>,
    pub(super) mask_hash: Vec<u8>,
    pub(super) label: Vec<u8>,
    pub(super) encrypted_key: Vec<u8>,
    pub(super) cipher: Vec<u8>,
    pub(super) iv: Vec<u8>,
    pub(super) content: Vec<u8>,
    pub(super) attributes: Vec<u8>,
}

pub(super) fn oid(oid: &[u8]) -> Vec<u8> {
    tlv(ber::OBJECT_IDENTIFIER, oid)
}

pub(super) fn algorithm(name: &[u8]) -> Vec<u8> {
    tlv(ber::SEQUENCE, &[oid(name), tlv(ber::NULL, &[])].concat())
}

impl Draft {
    pub(super) fn new(keys: &Keys) -> Self {
        Self::with(keys, &[7; 32], DATA_KEY)
    }

    pub(super) fn with(keys: &Keys, content_key: &[u8], plaintext: &[u8]) -> Self {
        let mut encrypted_key = vec![0; keys.public.ciphertext_size()];
        keys.public
            .encrypt(
                &OAEP_SHA256_MGF1SHA256,
                content_key,
                &mut encrypted_key,
                None,
            )
            .unwrap();
        let mut content = plaintext.to_vec();
        let cipher = UnboundCipherKey::new(&AES_256, &[7; 32]).unwrap();
        let context = PaddedBlockEncryptingKey::cbc_pkcs7(cipher)
            .unwrap()
            .encrypt(&mut content)
            .unwrap();
        let DecryptionContext::Iv128(iv) = context else {
            panic!("CBC has an IV");
        };
        Self {
            version: 2,
            recipient: tlv(ber::context_primitive(0), &[1; 32]),
            recipients: 1,
            hash: tlv(ber::context(0), &algorithm(SHA_256)),
            mask_hash: algorithm(SHA_256),
            label: Vec::new(),
            encrypted_key,
            cipher: oid(AES_256_CBC),
            iv: iv.as_ref().to_vec(),
            content: indefinite(
                ber::context(0),
                &[&content
                    .chunks(16)
                    .map(|c| tlv(4, c))
                    .collect::<Vec<_>>()
                    .concat()],
            ),
            attributes: Vec::new(),
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let version = tlv(ber::INTEGER, &[self.version]);
        let mask = tlv(ber::SEQUENCE, &[oid(MGF1), self.mask_hash.clone()].concat());
        let parameters = [
            self.hash.clone(),
            tlv(ber::context(1), &mask),
            self.label.clone(),
        ];
        let oaep = [oid(RSAES_OAEP), tlv(ber::SEQUENCE, &parameters.concat())].concat();
        let recipient = tlv(
            ber::SEQUENCE,
            &[
                version.clone(),
                self.recipient.clone(),
                tlv(ber::SEQUENCE, &oaep),
                tlv(ber::OCTET_STRING, &self.encrypted_key),
            ]
            .concat(),
        );
        let cipher = [self.cipher.clone(), tlv(ber::OCTET_STRING, &self.iv)].concat();
        let encrypted = indefinite(
            ber::SEQUENCE,
            &[&oid(DATA), &tlv(ber::SEQUENCE, &cipher), &self.content],
        );
        let recipients = tlv(ber::SET, &recipient.repeat(self.recipients));
        let enveloped = indefinite(
            ber::SEQUENCE,
            &[&version, &recipients, &encrypted, &self.attributes],
        );
        let explicit = indefinite(ber::context(0), &[&enveloped]);
        indefinite(ber::SEQUENCE, &[&oid(ENVELOPED_DATA), &explicit])
    }
}
