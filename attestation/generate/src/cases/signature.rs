//! Signatures, of certificates and of the document, broken.
use super::{Case, reject, reject_chain};
use crate::{
    cbor::Cbor,
    forge::{ROOT, ZONAL},
    keys::Key,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        reject_chain(
            "root_of_same_name",
            "CertificateSignature",
            "another root of the same name",
            |all| {
                all[ROOT].key = Some("another root".to_owned());
            },
        ),
        reject(
            "certificate_signature",
            "CertificateSignature",
            "a bit of a CA's signature flipped",
            |f| {
                if let Cbor::Bytes(der) = &mut f.cabundle()[ZONAL]
                    && let Some(last) = der.last_mut()
                {
                    *last ^= 1;
                }
            },
        ),
        reject(
            "payload_flipped",
            "DocumentSignature",
            "a bit of PCR0 flipped after signing",
            |f| {
                f.edit_items = |items| {
                    if let Cbor::Bytes(payload) = &mut items[2]
                        && let Some(at) = payload.windows(48).position(|w| w == [0xa0; 48])
                    {
                        payload[at] ^= 1;
                    }
                };
            },
        ),
        reject(
            "signature_flipped",
            "DocumentSignature",
            "a bit of the signature flipped",
            |f| {
                f.edit_items = |items| {
                    if let Cbor::Bytes(signature) = &mut items[3] {
                        signature[95] ^= 1;
                    }
                };
            },
        ),
        reject(
            "signature_zero",
            "DocumentSignature",
            "r and s are zero",
            |f| {
                f.edit_items = |items| items[3] = Cbor::bytes(&[0; 96]);
            },
        ),
        reject(
            "other_key",
            "DocumentSignature",
            "signed by the instance's key",
            |f| {
                f.key = Key::named("instance");
            },
        ),
    ]
}
