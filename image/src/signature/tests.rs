use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};
use ciborium::{Value, cbor};
use coset::{CoseSign1Builder, HeaderBuilder};

use super::*;

const PCR0: Pcr = Pcr::ZERO;

/// A key, and the certificate (PEM) of it.
fn signer() -> (EcdsaKeyPair, String) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let params = rcgen::CertificateParams::new(vec!["signer".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key.serialize_der()).unwrap();
    (pair, certificate.pem())
}

fn integers(bytes: &[u8]) -> Value {
    Value::Array(bytes.iter().map(|b| Value::from(*b)).collect())
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn cose(key: &EcdsaKeyPair, index: i32, pcr: &[u8], algorithm: iana::Algorithm) -> Vec<u8> {
    let info = cbor!({"register_index" => index, "register_value" => integers(pcr)}).unwrap();
    let cose = CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(algorithm).build())
        .payload(bytes_of(&info))
        .create_signature(b"", |message| {
            let signature = key.sign(&SystemRandom::new(), message).unwrap();
            signature.as_ref().to_vec()
        });
    cose.build().to_vec().unwrap()
}

fn entry(pem: &str, signature: &[u8]) -> Value {
    cbor!({
        "signing_certificate" => integers(pem.as_bytes()),
        "signature" => integers(signature),
    })
    .unwrap()
}

fn section(pem: &str, signature: &[u8]) -> Vec<u8> {
    bytes_of(&Value::Array(vec![entry(pem, signature)]))
}

#[test]
fn the_certificate_of_a_right_signature_is_returned() {
    let (key, pem) = signer();
    let signature = cose(&key, 0, PCR0.as_bytes(), iana::Algorithm::ES384);
    let certificate = verify(&section(&pem, &signature), PCR0).unwrap();
    assert_eq!(
        certificate,
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    );
}

#[test]
fn the_signature_of_another_image_is_refused() {
    let (key, pem) = signer();
    for (index, pcr) in [(0, [1; 48]), (1, *PCR0.as_bytes())] {
        let signature = cose(&key, index, &pcr, iana::Algorithm::ES384);
        assert_eq!(
            verify(&section(&pem, &signature), PCR0),
            Err(SignatureError::OtherImage)
        );
    }
}

#[test]
fn somebody_elses_certificate_is_refused() {
    let (key, _) = signer();
    let (_, pem) = signer();
    let signature = cose(&key, 0, PCR0.as_bytes(), iana::Algorithm::ES384);
    assert_eq!(
        verify(&section(&pem, &signature), PCR0),
        Err(SignatureError::Forged)
    );
}

#[test]
fn an_algorithm_of_another_curve_is_refused() {
    let (key, pem) = signer();
    for (algorithm, error) in [
        (iana::Algorithm::ES256, SignatureError::Forged),
        (iana::Algorithm::ES512, SignatureError::Forged),
        (iana::Algorithm::PS384, SignatureError::Malformed),
    ] {
        let signature = cose(&key, 0, PCR0.as_bytes(), algorithm);
        assert_eq!(verify(&section(&pem, &signature), PCR0), Err(error));
    }
}

#[test]
fn what_is_no_signature_section_is_refused() {
    let (key, pem) = signer();
    let signature = cose(&key, 0, PCR0.as_bytes(), iana::Algorithm::ES384);
    let one = entry(&pem, &signature);
    let good = section(&pem, &signature);
    for bytes in [
        b"".to_vec(),
        bytes_of(&Value::Array(Vec::new())),
        bytes_of(&Value::Array(vec![one.clone(), one])),
        [&good[..], b"\0"].concat(),
        good[..good.len() - 1].to_vec(),
        section(&pem, b""),
        vec![0x9b; MAX_SECTION_BYTES + 1],
    ] {
        assert_eq!(verify(&bytes, PCR0), Err(SignatureError::Malformed));
    }
    for pem in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert_eq!(
            verify(&section(pem, &signature), PCR0),
            Err(SignatureError::Certificate)
        );
    }
}
