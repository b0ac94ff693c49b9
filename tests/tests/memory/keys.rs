//! The enclave's keys: those that serve are in its memory and no others, and what released them is
//! gone once it serves.
//!
//! The simulated KMS keeps its key in a file, so that this test can open the keyset as KMS would.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ciborium::Value;
use dauth_simulator::{
    kms::master_key::MasterKey,
    memory::{Needles, forms_of},
};
use dauth_tests::{Stack, mutated_binaries, wait_until};
use sha2::{Digest, Sha384};

use crate::sight::Sight;

/// How long after a change a key that was replaced may still be there, as with a credential.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// What a keyset file holds, opened.
struct Keyset {
    data_key: Vec<u8>,
    private: BTreeMap<String, Vec<u8>>,
}

impl Keyset {
    fn of(stack: &Stack) -> Self {
        let bytes = fs::read(stack.dir().join("parent/keyset.cbor")).unwrap();
        let file = Map::of(&bytes);
        let statement = Map::of(file.bytes("statement"));
        let key = stack.dir().join("kms/master-key");
        let kms = MasterKey::open_or_create(&key, statement.text("key_arn")).unwrap();
        let context = [
            ("deployment", statement.text("deployment")),
            ("purpose", "dauth-keyset"),
        ];
        let context = context.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let data_key = kms
            .unwrap(&BTreeMap::from(context), file.bytes("wrapped_key"))
            .unwrap();
        let hashed = ["statement", "birth"].map(|part| Sha384::digest(file.bytes(part)));
        let associated = [&b"dauth-keyset-aead-v1:"[..], &hashed[0], &hashed[1]].concat();
        let mut sealed = file.bytes("sealed").to_vec();
        let nonce = Nonce::try_assume_unique_for_key(file.bytes("nonce")).unwrap();
        let opened = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &data_key).unwrap())
            .open_in_place(nonce, Aad::from(associated), &mut sealed)
            .unwrap();
        Self {
            data_key,
            private: statement
                .names()
                .zip(opened.chunks(32).map(<[u8]>::to_vec))
                .collect(),
        }
    }

    fn keys(&self) -> BTreeSet<&[u8]> {
        self.private.values().map(Vec::as_slice).collect()
    }
}

/// A CBOR map with texts as keys.
struct Map(Vec<(Value, Value)>);

impl Map {
    fn of(bytes: &[u8]) -> Self {
        let value: Value = ciborium::from_reader(bytes).unwrap();
        Self(value.into_map().unwrap())
    }

    fn value(&self, name: &str) -> &Value {
        let found = self.0.iter().find(|(key, _)| key.as_text() == Some(name));
        &found.unwrap_or_else(|| panic!("there is no {name}")).1
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.value(name).as_bytes().unwrap()
    }

    fn text(&self, name: &str) -> &str {
        self.value(name).as_text().unwrap()
    }

    /// What the private keys are, in their order (`enclave/src/keyset/secrets.rs`).
    fn names(&self) -> impl Iterator<Item = String> {
        let several = |name: &str| {
            let count = self.value(name).as_array().unwrap().len();
            let name = name.to_owned();
            (0..count).map(move |number| format!("{name} {number}"))
        };
        let record = std::iter::once("record key".to_owned());
        several("recipients")
            .chain(several("former_recipients"))
            .chain(record)
            .chain(several("former_records"))
            .chain(["receipt key".to_owned()])
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// What only the boot needs: the data key, and what signs requests to KMS.
fn boot_secrets(stack: &Stack) -> Vec<(String, Vec<u8>)> {
    let file = fs::read_to_string(stack.dir().join("parent/credentials.json")).unwrap();
    let credentials: serde_json::Value = serde_json::from_str(&file).unwrap();
    let key = credentials["SecretAccessKey"].as_str().unwrap();
    let token = credentials["Token"].as_str().unwrap_or_default();
    let mut secrets = vec![
        ("data key".to_owned(), Keyset::of(stack).data_key),
        ("secret access key".to_owned(), key.as_bytes().to_vec()),
    ];
    if !token.is_empty() {
        secrets.push(("session token".to_owned(), token.as_bytes().to_vec()));
    }
    secrets
}

/// The names of those that the enclave holds, in any form.
fn held<'a>(
    stack: &Stack,
    secrets: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>,
) -> BTreeSet<String> {
    let needles = secrets.into_iter().flat_map(|(name, secret)| {
        let forms = forms_of(secret).into_iter();
        forms.map(move |(form, needle)| (format!("{name}, {form}"), needle))
    });
    let needles = Needles::new(needles).unwrap();
    let found = needles.scan(stack.file().enclave.pid).unwrap();
    found
        .into_iter()
        .inspect(|found| println!("{} at {:x} in {}", found.form, found.address, found.mapping))
        .map(|found| found.form.split(',').next().unwrap().to_owned())
        .collect()
}

fn pairs(secrets: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    secrets.iter().map(|(name, secret)| (name, secret))
}

#[test]
fn keys_are_in_memory_while_they_serve_and_what_released_them_is_not() {
    let name = "keys::keys_are_in_memory_while_they_serve_and_what_released_them_is_not";
    if Sight::of_this_test(name) == Sight::None {
        return;
    }
    let stack = Stack::start();
    wait_until("the flow holds", || {
        stack.output().contains("Every step held.")
    });
    let first = Keyset::of(&stack);
    let at_boot = boot_secrets(&stack);
    assert_eq!(held(&stack, pairs(&at_boot)), BTreeSet::new());
    // The positive control.
    let names: BTreeSet<String> = first.private.keys().cloned().collect();
    assert_eq!(held(&stack, &first.private), names);

    for change in [&["rotate"][..], &["retire", "--older-than", "0s"]] {
        let ran = stack.dauth(&[&["keys"], change].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let second = Keyset::of(&stack);
    let serving = second.keys();
    let retired = first.private.iter();
    let retired: Vec<_> = retired
        .filter(|(_, key)| !serving.contains(key.as_slice()))
        .collect();
    let names: Vec<&str> = retired.iter().map(|(name, _)| name.as_str()).collect();
    // Envelopes under way may still be sealed to the former recipients.
    assert_eq!(names, ["receipt key", "record key"]);
    // The promise is about time, so time is what passes here.
    std::thread::sleep(GONE_AFTER);
    assert_eq!(held(&stack, retired), BTreeSet::new());
    let names: BTreeSet<String> = second.private.keys().cloned().collect();
    assert_eq!(held(&stack, &second.private), names);
    let at_change = boot_secrets(&stack);
    assert_eq!(
        held(&stack, pairs(&at_boot).chain(pairs(&at_change))),
        BTreeSet::new()
    );
}

#[test]
fn an_enclave_that_keeps_what_released_its_keys_is_found() {
    let name = "keys::an_enclave_that_keeps_what_released_its_keys_is_found";
    if Sight::of_this_test(name) == Sight::None {
        return;
    }
    let folder = mutated_binaries("keep-boot-secrets");
    let stack = Stack::start_with(&["--bin-dir", folder.path().to_str().unwrap()]);
    let found = held(&stack, pairs(&boot_secrets(&stack)));
    for name in ["data key", "secret access key"] {
        assert!(found.contains(name), "{name} is kept, and not found");
    }
}
