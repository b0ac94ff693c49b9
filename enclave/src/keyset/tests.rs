//! Keysets born, planted and changed. KMS stands aside: a test holds the data key itself, as an
//! attacker with rights on the KMS key would.
use std::collections::BTreeSet;

use dauth_attestation::Error;
use dauth_protocol::{
    DeploymentConfiguration, Purpose, deployment::Predecessor, host::KeyKind, measurement::Pcr,
};
use sha2::{Digest, Sha384};

use super::{
    birth::{BirthRules, BornKeyset},
    draft::{Draft, NewKeys},
    entropy::Entropy,
    file::File,
    generation::give_birth,
    *,
};
use crate::{
    kms::{DataKey, GeneratedDataKey},
    platform::{Attester, Claims},
};

mod changes;
pub(crate) mod fleet;
mod forgeries;
mod keeping;
pub(crate) mod kms;
mod kms_keys;
mod lives;
mod nsm;
mod orders;
pub(crate) mod parent;
mod races;
mod statements;
use nsm::Nsm;

const KEY: [u8; 32] = [9; 32];
const WRAPPED: &[u8] = b"the data key under the KMS key";
const IMAGE: u8 = 0x10;
const OTHER_IMAGE: u8 = 0x20;

fn data_key() -> DataKey {
    DataKey::from_content(&KEY).unwrap()
}

pub(crate) fn configuration() -> DeploymentConfiguration {
    let json = br#"{
        "version": 1, "deployment": "test", "audience": "https://enclave.test",
        "issuer": "https://issuer.test",
        "issuer_keys": {
            "url": "https://issuer.test/jwks.json",
            "spki_sha256": "0000000000000000000000000000000000000000000000000000000000000000"
        },
        "kms": {"key_arn": "arn:aws:kms:eu-west-1:0:key/one", "region": "eu-west-1"}
    }"#;
    DeploymentConfiguration::from_json(json).unwrap()
}

fn image(byte: u8) -> Predecessor {
    Predecessor {
        pcr0: Pcr::from([byte; 48]),
        pcr16: Pcr::from([byte + 1; 48]),
    }
}

fn all_kinds() -> BTreeSet<KeyKind> {
    [KeyKind::Recipient, KeyKind::Record, KeyKind::Receipt].into()
}

fn first_draft(nsm: &Nsm, configuration: &DeploymentConfiguration, now_ms: u64) -> Draft {
    let new = NewKeys::generate(&all_kinds(), &mut Entropy::new(nsm)).unwrap();
    Draft::first(configuration, [7; 16], new, now_ms).unwrap()
}

fn born_by(nsm: &Nsm, configuration: &DeploymentConfiguration) -> File {
    let data_key = GeneratedDataKey {
        key: data_key(),
        wrapped: WRAPPED.to_vec(),
    };
    let draft = first_draft(nsm, configuration, nsm.now_ms());
    let mut file = give_birth(nsm, draft, data_key).unwrap();
    file.created_ms = nsm.now_ms();
    file
}

/// A running enclave, and the rules that it applies.
struct Enclave {
    nsm: Nsm,
    configuration: DeploymentConfiguration,
    running: Predecessor,
}

impl Enclave {
    fn new() -> Self {
        Self {
            nsm: Nsm::new(image(IMAGE)),
            configuration: configuration(),
            running: image(IMAGE),
        }
    }

    fn file(&self) -> File {
        born_by(&self.nsm, &self.configuration)
    }

    fn load(&self, file: &File) -> Result<Keyset, KeysetError> {
        self.load_at(file, self.nsm.now_ms())
    }

    fn load_at(&self, file: &File, now_ms: u64) -> Result<Keyset, KeysetError> {
        let anchors = self.nsm.anchors();
        let rules = BirthRules {
            anchors: &anchors,
            configuration: &self.configuration,
            running: &self.running,
            now_ms,
        };
        // Through its bytes, as from the parent.
        let file = File::from_cbor(&file.to_cbor()?)?;
        let (file, statement) = BornKeyset::verify(file, &rules)?.into_parts();
        secrets::open(file, statement, &data_key())
    }

    #[allow(clippy::needless_pass_by_value, reason = "each file is refused once")]
    fn refusal(&self, file: File) -> KeysetError {
        self.load(&file).err().expect("a refusal")
    }
}

#[test]
fn a_keyset_loads_years_after_its_birth() {
    let enclave = Enclave::new();
    let file = enclave.file();
    let later_ms = enclave.nsm.now_ms() + 5 * 365 * 86_400_000;
    let keyset = enclave.load_at(&file, later_ms).unwrap();
    assert_eq!(keyset.generation(), 1);
    assert_eq!(keyset.recipients().len(), 2);
    assert_ne!(keyset.recipients()[0].id(), keyset.recipients()[1].id());
}

#[test]
fn the_receipt_key_signs_for_its_public_key() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    let enclave = Enclave::new();
    let keyset = enclave.load(&enclave.file()).unwrap();
    let signature = keyset.receipt_key().sign(b"receipt").unwrap();
    let point = &keyset.receipt_key().spki()[26..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(b"receipt", &signature)
        .unwrap();
}

#[test]
fn a_keyset_of_another_image_or_configuration_is_refused() {
    let mut enclave = Enclave::new();
    let other_configuration = Predecessor {
        pcr0: image(IMAGE).pcr0,
        ..image(OTHER_IMAGE)
    };
    let other_image = Predecessor {
        pcr16: image(IMAGE).pcr16,
        ..image(OTHER_IMAGE)
    };
    for other in [image(OTHER_IMAGE), other_configuration, other_image] {
        let file = born_by(
            &enclave.nsm.with_image(other.clone()),
            &enclave.configuration,
        );
        assert!(matches!(enclave.refusal(file), KeysetError::OtherImage));

        enclave.configuration.predecessors = vec![other.clone()];
        let file = born_by(&enclave.nsm.with_image(other), &enclave.configuration);
        enclave.load(&file).unwrap();
        enclave.configuration.predecessors.clear();
    }
}

/// Someone with rights on the KMS key, but no trusted image: he knows the data key, can compute
/// every hash and the AEAD, and copies the true birth document. He cannot have one of his own.
#[test]
fn a_planted_keyset_with_a_copied_birth_is_refused() {
    let enclave = Enclave::new();
    let truth = enclave.file();
    let his = born_by(
        &enclave.nsm.with_image(image(OTHER_IMAGE)),
        &enclave.configuration,
    );

    // His statement and keys under the true birth document.
    let mut planted = born_by(
        &enclave.nsm.with_image(image(OTHER_IMAGE)),
        &enclave.configuration,
    );
    planted.birth = truth.birth.clone();
    assert!(matches!(enclave.refusal(planted), KeysetError::OtherBirth));

    // The true statement too, with his private keys sealed anew under the data key.
    let mut planted = enclave.file();
    planted.statement = truth.statement.clone();
    planted.birth = truth.birth.clone();
    let mut entropy = Entropy::new(&enclave.nsm);
    let his_keys = first_draft(&enclave.nsm, &enclave.configuration, 0).private;
    secrets::seal(&mut planted, &his_keys, &data_key(), &mut entropy).unwrap();
    assert!(matches!(enclave.refusal(planted), KeysetError::OtherKeys));

    // The true statement and birth, with sealed keys of another file.
    let mut planted = enclave.file();
    planted.statement = truth.statement.clone();
    planted.birth = truth.birth.clone();
    planted.sealed = his.sealed.clone();
    planted.nonce = his.nonce;
    assert!(matches!(enclave.refusal(planted), KeysetError::NotReleased));

    // All true but for the wrapped data key.
    let mut planted = truth;
    planted.wrapped_key = b"his data key under the KMS key".to_vec().into();
    assert!(matches!(
        enclave.refusal(planted),
        KeysetError::OtherWrappedKey
    ));
}

/// CMS is not authenticated: whoever has the attestation document can send any data key. What
/// opens the keyset is the one that it was sealed under.
#[test]
fn a_forged_data_key_opens_nothing() {
    let enclave = Enclave::new();
    let file = enclave.file();
    let statement = Statement::from_cbor(&file.statement).unwrap();
    let forged = DataKey::from_content(&[8; 32]).unwrap();
    let refused = secrets::open(file, statement, &forged);
    assert!(matches!(refused.err(), Some(KeysetError::NotReleased)));
}

#[test]
fn a_document_made_for_another_purpose_is_no_birth() {
    let enclave = Enclave::new();
    for purpose in [Purpose::Evidence, Purpose::KmsRecipient, Purpose::Time] {
        let mut file = enclave.file();
        let digest = Sha384::digest(&file.statement);
        let claims = Claims {
            user_data: purpose.user_data(&digest),
            ..Claims::default()
        };
        file.birth = enclave.nsm.attest(&claims).unwrap().into();
        assert!(matches!(enclave.refusal(file), KeysetError::OtherPurpose));
    }
}

#[test]
fn a_birth_under_another_root_or_in_debug_mode_is_refused() {
    let mut enclave = Enclave::new();
    let elsewhere = Nsm::new(image(IMAGE));
    let refused = enclave.refusal(born_by(&elsewhere, &enclave.configuration));
    assert!(matches!(refused, KeysetError::Birth(_)), "{refused}");
    enclave.running.pcr0 = Pcr::ZERO;
    enclave.nsm = enclave.nsm.with_image(enclave.running.clone());
    let refused = enclave.refusal(enclave.file());
    assert!(
        matches!(refused, KeysetError::Birth(Error::DebugMode(0))),
        "{refused}"
    );
}

#[test]
fn the_time_of_birth_is_the_signed_one_and_past() {
    let enclave = Enclave::new();
    for shift in [-1, 1, 60_000] {
        let mut file = enclave.file();
        file.created_ms = file.created_ms.saturating_add_signed(shift);
        assert!(matches!(enclave.refusal(file), KeysetError::CreationTime));
    }
    let refused = enclave.load_at(&enclave.file(), enclave.nsm.now_ms() - 60_000);
    assert!(matches!(refused.err(), Some(KeysetError::CreationTime)));
    // A time outside the life of the certificates.
    let mut file = enclave.file();
    file.created_ms += 20 * 365 * 86_400_000;
    assert!(matches!(enclave.refusal(file), KeysetError::Birth(_)));
}

#[test]
fn another_deployment_or_kms_key_is_refused() {
    let enclave = Enclave::new();
    let mut other_deployment = configuration();
    other_deployment.deployment = "other".to_owned();
    let mut other_key = configuration();
    other_key.kms.key_arn = "arn:aws:kms:eu-west-1:0:key/two".to_owned();
    for configuration in [other_deployment, other_key] {
        let file = born_by(&enclave.nsm, &configuration);
        assert!(matches!(
            enclave.refusal(file),
            KeysetError::OtherDeployment
        ));
    }
}

#[test]
fn files_of_another_form_are_refused() {
    let enclave = Enclave::new();
    let bytes = enclave.file().to_cbor().unwrap();
    let malformed = |bytes: &[u8]| matches!(File::from_cbor(bytes), Err(KeysetError::Malformed));
    assert!(malformed(b""));
    assert!(malformed(&bytes[..bytes.len() - 1]));
    assert!(malformed(&[&bytes[..], &[0]].concat()));
    assert!(malformed(&vec![0xff; 1 << 20]));
    // The first entry is "version": 1, after the map's head and a text of seven bytes.
    let mut next = bytes.clone();
    assert_eq!(next[1..10], *b"\x67version\x01");
    next[9] = 2;
    assert!(matches!(
        File::from_cbor(&next),
        Err(KeysetError::UnknownVersion(2))
    ));
    let mut renamed = bytes;
    renamed[2] = b'V';
    assert!(malformed(&renamed));
}

/// Every hundredth bit of the file: a prime step, so that each part is met at many offsets.
#[test]
fn no_flipped_bit_passes() {
    let enclave = Enclave::new();
    let bytes = enclave.file().to_cbor().unwrap();
    for bit in (0..bytes.len() * 8).step_by(101) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let loaded = File::from_cbor(&changed).and_then(|file| enclave.load(&file));
        assert!(loaded.is_err(), "bit {bit}");
    }
}
