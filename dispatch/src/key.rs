//! The key that tokens are bound to.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_token::{Jwk, SignError, Signer, Thumbprint};
use zeroize::Zeroizing;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// A PKCS#8 P-256 key has about 140 bytes.
const MAX_PEM_BYTES: usize = 4096;

/// A P-256 private key for DPoP proofs. It is printed, cloned and serialized in no way but
/// [`DpopKey::to_pem`].
pub struct DpopKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    jwk: Jwk,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopKeyError {
    /// The system's random source failed.
    #[error("no key could be generated: this system's random source failed")]
    Generate,
    /// Not one PEM block `PRIVATE KEY` (RFC 7468 section 10).
    #[error("the key is not PEM with one PRIVATE KEY block (PKCS#8)")]
    NotPem,
    /// Not a P-256 key.
    #[error("the key is not a P-256 private key")]
    NotP256,
    /// The key has no PKCS#8 form.
    #[error("the key cannot be written as PKCS#8")]
    Encode,
}

impl DpopKey {
    /// A new key.
    pub fn generate() -> Result<Self, DpopKeyError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| DpopKeyError::Generate)
            .and_then(Self::new)
    }

    /// Reads a PEM text (PKCS#8).
    pub fn from_pem(pem: &str) -> Result<Self, DpopKeyError> {
        let der = decode_pem(pem)?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map_err(|_| DpopKeyError::NotP256)
            .and_then(Self::new)
    }

    fn new(pair: EcdsaKeyPair) -> Result<Self, DpopKeyError> {
        let jwk = Jwk::from_p256_uncompressed(pair.public_key().as_ref())
            .map_err(|_| DpopKeyError::NotP256)?;
        Ok(Self {
            pair,
            random: SystemRandom::new(),
            jwk,
        })
    }

    /// The key as PEM (PKCS#8): what is written to a file that only its owner can read.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, DpopKeyError> {
        // aws-lc-rs wipes this buffer when it is dropped.
        let der = self.pair.to_pkcs8v1().map_err(|_| DpopKeyError::Encode)?;
        let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
        let mut pem = Zeroizing::new(String::with_capacity(body.len() + 128));
        pem.push_str(PEM_BEGIN);
        for (position, character) in body.chars().enumerate() {
            if position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push('\n');
        pem.push_str(PEM_END);
        pem.push('\n');
        Ok(pem)
    }

    /// The public key.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The public key's RFC 7638 thumbprint: `cnf.jkt` of tokens bound to it.
    pub fn thumbprint(&self) -> Thumbprint {
        self.jwk.thumbprint()
    }
}

impl Signer for DpopKey {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign(&self.random, message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignError)
    }
}

impl core::fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DpopKey")
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

/// RFC 7468: text before and after the block is not looked at; a second block is refused.
fn decode_pem(pem: &str) -> Result<Zeroizing<Vec<u8>>, DpopKeyError> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(DpopKeyError::NotPem);
    }
    let (_, rest) = pem.split_once(PEM_BEGIN).ok_or(DpopKeyError::NotPem)?;
    let (body, after) = rest.split_once(PEM_END).ok_or(DpopKeyError::NotPem)?;
    if after.contains(PEM_BEGIN) {
        return Err(DpopKeyError::NotPem);
    }
    // Room for all from the start: a growing buffer would leave copies behind.
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; compact.len()]);
    let length = STANDARD
        .decode_slice(compact.as_bytes(), &mut der)
        .map_err(|_| DpopKeyError::NotPem)?;
    der.truncate(length);
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem() {
        let key = DpopKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        assert!(pem.lines().all(|line| line.len() <= 64));
        let again = DpopKey::from_pem(&format!("a comment\n{}", *pem)).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(again.sign(b"m").unwrap().len(), 64);
    }

    #[test]
    fn refuses_what_is_no_key() {
        let pem = DpopKey::generate().unwrap().to_pem().unwrap();
        let twice = format!("{}{}", *pem, *pem);
        let long = format!("{}{}", " ".repeat(MAX_PEM_BYTES), *pem);
        for text in ["", "x", PEM_BEGIN, twice.as_str(), long.as_str()] {
            assert_eq!(DpopKey::from_pem(text).err(), Some(DpopKeyError::NotPem));
        }
        let empty = format!("{PEM_BEGIN}\nAAAA\n{PEM_END}");
        assert_eq!(DpopKey::from_pem(&empty).err(), Some(DpopKeyError::NotP256));
    }

    #[test]
    fn debug_shows_the_public_part_alone() {
        let key = DpopKey::generate().unwrap();
        let text = format!("{key:?}");
        assert!(text.contains(key.thumbprint().as_str()) && text.len() < 100);
    }
}
