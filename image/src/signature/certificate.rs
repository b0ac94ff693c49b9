//! The public key of a certificate (RFC 5280 section 4.1), of version 1 as well: AWS's instructions
//! for signing make one.

const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`, absent in version 1.
const VERSION: u8 = 0xa0;
const INTEGER: u8 = 0x02;

/// The SubjectPublicKeyInfo, as it is encoded.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, rest) = contents(certificate, SEQUENCE)?;
    if !rest.is_empty() {
        return None;
    }
    let (mut fields, _) = contents(certificate, SEQUENCE)?;
    if let Some((_, rest)) = contents(fields, VERSION) {
        fields = rest;
    }
    (_, fields) = contents(fields, INTEGER)?;
    // Signature algorithm, issuer, validity and subject stand before the key.
    for _ in 0..4 {
        (_, fields) = contents(fields, SEQUENCE)?;
    }
    let (_, rest) = contents(fields, SEQUENCE)?;
    fields.get(..fields.len() - rest.len())
}

/// The contents of the element in front, which has this tag, and what follows it.
fn contents(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_certificate_is_found_and_of_noise_none() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let params = rcgen::CertificateParams::new(vec!["signer".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let found = public_key(&der).unwrap();
        assert_eq!(found, rcgen::PublicKeyData::subject_public_key_info(&key));
        for cut in 0..der.len() {
            assert_eq!(public_key(&der[..cut]), None, "{cut}");
        }
        assert_eq!(public_key(&[&der[..], b"x"].concat()), None);
        assert_eq!(contents(&[0x30, 0x84, 0, 0, 0, 0], SEQUENCE), None);
        assert_eq!(contents(&[0x30, 0x02, 0], SEQUENCE), None);
    }
}
