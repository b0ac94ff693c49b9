//! The simulated KMS key: wraps data keys, and never leaves this process and its state file.
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, rand,
};

use super::error::Refusal;

const KEY_BYTES: usize = 32;
const BLOB_VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;
/// What precedes the ciphertext in a blob.
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// Names and values that a ciphertext is bound to.
pub type EncryptionContext = BTreeMap<String, String>;

/// A KMS key.
pub struct MasterKey {
    key: LessSafeKey,
    arn: String,
}

impl MasterKey {
    /// The key in `path`, made there (mode 0600) when there is none.
    pub fn open_or_create(path: &Path, arn: &str) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => {
                if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
                    let message = "the file must be readable by its owner alone (chmod 600)";
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
                }
                bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(error),
        };
        Self::from_bytes(&bytes, arn).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the file does not hold 32 bytes",
            )
        })
    }

    fn from_bytes(bytes: &[u8], arn: &str) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        Some(Self {
            key: LessSafeKey::new(key),
            arn: arn.to_owned(),
        })
    }

    /// The key's ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// `CiphertextBlob` of a plaintext.
    pub fn wrap(&self, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| Refusal::internal())?;
        let mut sealed = plaintext.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.associated_data(context)),
                &mut sealed,
            )
            .map_err(|_| Refusal::internal())?;
        Ok([&[BLOB_VERSION], &self.id()[..], &nonce, &sealed].concat())
    }

    /// The plaintext of a `CiphertextBlob`.
    pub fn unwrap(&self, context: &EncryptionContext, blob: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (head, sealed) = blob
            .split_at_checked(HEAD_BYTES)
            .ok_or_else(Refusal::ciphertext)?;
        let (version_and_id, nonce) = head.split_at(1 + KEY_ID_BYTES);
        let [BLOB_VERSION, id @ ..] = version_and_id else {
            return Err(Refusal::ciphertext());
        };
        if id != self.id() {
            let message = "The key ID in the request does not identify a CMK that can decrypt it.";
            return Err(Refusal::new("IncorrectKeyException", message));
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Refusal::ciphertext())?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(self.associated_data(context));
        let plaintext = self.key.open_in_place(nonce, aad, &mut sealed);
        Ok(plaintext.map_err(|_| Refusal::ciphertext())?.to_vec())
    }

    /// Whether a `CiphertextBlob` says that this key wrapped it.
    pub fn is_named_in(&self, blob: &[u8]) -> bool {
        blob.get(1..=KEY_ID_BYTES) == Some(&self.id())
    }

    fn id(&self) -> [u8; KEY_ID_BYTES] {
        let hash = digest::digest(&digest::SHA256, self.arn.as_bytes());
        let mut id = [0; KEY_ID_BYTES];
        id.iter_mut()
            .zip(hash.as_ref())
            .for_each(|(to, from)| *to = *from);
        id
    }

    /// The ARN and the context in one unambiguous form: JSON of a sorted map.
    fn associated_data(&self, context: &EncryptionContext) -> Vec<u8> {
        serde_json::json!([self.arn, context])
            .to_string()
            .into_bytes()
    }
}

fn create(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(purpose: &str) -> EncryptionContext {
        BTreeMap::from([("purpose".to_owned(), purpose.to_owned())])
    }

    #[test]
    fn a_blob_opens_under_its_key_and_context_alone() {
        let key = MasterKey::from_bytes(&[1; 32], "arn:one").unwrap();
        let blob = key.wrap(&context("a"), b"data key").unwrap();
        assert_eq!(key.unwrap(&context("a"), &blob).unwrap(), b"data key");
        let invalid = Err(Refusal::ciphertext());
        assert_eq!(key.unwrap(&context("b"), &blob), invalid);
        assert_eq!(key.unwrap(&EncryptionContext::new(), &blob), invalid);
        let other = MasterKey::from_bytes(&[2; 32], "arn:one").unwrap();
        assert_eq!(other.unwrap(&context("a"), &blob), invalid);
        let renamed = MasterKey::from_bytes(&[1; 32], "arn:two").unwrap();
        let refused = renamed.unwrap(&context("a"), &blob).unwrap_err();
        assert_eq!(refused.code, "IncorrectKeyException");
        for position in 0..blob.len() {
            let mut changed = blob.clone();
            changed[position] ^= 1;
            assert!(key.unwrap(&context("a"), &changed).is_err());
            assert!(key.unwrap(&context("a"), &blob[..position]).is_err());
        }
    }

    #[test]
    fn the_key_survives_a_restart_in_a_private_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master");
        let blob = MasterKey::open_or_create(&path, "arn")
            .map(|key| key.wrap(&context("a"), b"x").unwrap())
            .unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = MasterKey::open_or_create(&path, "arn").unwrap();
        assert_eq!(again.unwrap(&context("a"), &blob).unwrap(), b"x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = MasterKey::open_or_create(&path, "arn").err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
