//! A sender of envelopes without dauth-sealing's, which takes attested keys alone. So the tests show
//! too that the format can be written from its description.
use coset::{CborSerializable, CoseEncrypt0, EncryptionContext, Header, Label, ProtectedHeader};
use dauth_protocol::EnvelopeHeader;
use dauth_sealing::RecipientKey;
use hpke::{
    Deserializable, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256, kem::X25519HkdfSha256,
    single_shot_seal_with_rng,
};
use rand_core::{TryCryptoRng, TryRng};

pub(super) struct Random;

impl TryRng for Random {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        aws_lc_rs::rand::fill(bytes).unwrap();
        Ok(())
    }
}

impl TryCryptoRng for Random {}

pub(super) fn seal(recipient: &RecipientKey, header: &EnvelopeHeader, secret: &[u8]) -> Vec<u8> {
    let protected = ProtectedHeader {
        original_data: None,
        header: Header {
            alg: Some(coset::Algorithm::Text(
                "HPKE-Base-X25519-SHA256-AES256GCM-DAuth-1".into(),
            )),
            key_id: recipient.id().to_vec(),
            rest: vec![(
                Label::Text("dauth".into()),
                coset::cbor::Value::Bytes(header.to_cbor()),
            )],
            ..Header::default()
        },
    };
    let context = EncryptionContext::CoseEncrypt0;
    let aad = coset::enc_structure_data(context, protected.clone(), &[]);
    let public = recipient.public().key;
    let public = <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(&public).unwrap();
    let (encapsulated, ciphertext) =
        single_shot_seal_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            b"dauth-envelope-v1",
            secret,
            &aad,
            &mut Random,
        )
        .unwrap();
    let ek = coset::cbor::Value::Bytes(encapsulated.to_bytes().to_vec());
    CoseEncrypt0 {
        protected,
        unprotected: Header {
            rest: vec![(Label::Int(-4), ek)],
            ..Header::default()
        },
        ciphertext: Some(ciphertext),
    }
    .to_vec()
    .unwrap()
}
