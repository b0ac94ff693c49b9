//! Ways to change a reply.
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use dauth_simulator::kms::cms;
use serde_json::{Value, json};

/// The body that takes a genuine reply's place.
pub(super) type Tampering = Box<dyn Fn(Value, &Recipient) -> Vec<u8> + Send>;

/// To whom envelopes are: all that a document says.
pub(super) struct Recipient {
    key: OaepPublicEncryptingKey,
    spki: Vec<u8>,
}

impl Recipient {
    pub(super) fn new(spki: Vec<u8>) -> Self {
        let key = PublicEncryptingKey::from_der(&spki).unwrap();
        let key = OaepPublicEncryptingKey::new(key).unwrap();
        Self { key, spki }
    }

    pub(super) fn key(&self) -> &OaepPublicEncryptingKey {
        &self.key
    }

    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// An envelope of whatever one likes.
    pub(super) fn envelope(&self, plaintext: &[u8]) -> Vec<u8> {
        cms::envelope(&self.key, &self.spki, plaintext).unwrap()
    }

    fn oaep(&self, content_key: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; self.key.ciphertext_size()];
        let algorithm = &OAEP_SHA256_MGF1SHA256;
        self.key
            .encrypt(algorithm, content_key, &mut bytes, None)
            .unwrap();
        bytes
    }

    fn pkcs1(&self, content_key: &[u8]) -> Vec<u8> {
        let key = PublicEncryptingKey::from_der(&self.spki).unwrap();
        let key = Pkcs1PublicEncryptingKey::new(key).unwrap();
        let mut bytes = vec![0; key.ciphertext_size()];
        key.encrypt(content_key, &mut bytes).unwrap();
        bytes
    }
}

/// Where the encrypted content of a data key begins: before five ends of contents.
pub(super) fn content_at(envelope: &[u8]) -> usize {
    envelope.len() - 5 * 2 - 48
}

fn encrypted_key_at(envelope: &[u8]) -> usize {
    let tag = b"\x04\x82\x01\x00";
    envelope
        .windows(4)
        .position(|window| window == tag)
        .unwrap()
        + 4
}

pub(super) fn none() -> Tampering {
    Box::new(|reply, _| reply.to_string().into_bytes())
}

/// Another value of one field; `None` takes the field away.
fn field(name: &'static str, value: Option<Value>) -> Tampering {
    Box::new(move |mut reply, _| {
        match value.clone() {
            Some(value) => reply[name] = value,
            None => drop(reply.as_object_mut().unwrap().remove(name)),
        }
        reply.to_string().into_bytes()
    })
}

/// Another body altogether.
fn body(body: impl Into<Vec<u8>>) -> Tampering {
    let body = body.into();
    Box::new(move |_, _| body.clone())
}

/// A changed envelope in a reply that is genuine otherwise.
pub(super) fn envelope(
    change: impl Fn(Vec<u8>, &Recipient) -> Vec<u8> + Send + 'static,
) -> Tampering {
    Box::new(move |mut reply, recipient| {
        let genuine = reply["CiphertextForRecipient"].as_str().unwrap();
        let genuine = BASE64_STANDARD.decode(genuine).unwrap();
        let changed = change(genuine, recipient);
        reply["CiphertextForRecipient"] = BASE64_STANDARD.encode(changed).into();
        reply.to_string().into_bytes()
    })
}

/// Another encrypted content key of the same length.
fn encrypted_key(make: impl Fn(&Recipient) -> Vec<u8> + Send + 'static) -> Tampering {
    envelope(move |mut genuine, recipient| {
        let at = encrypted_key_at(&genuine);
        let made = make(recipient);
        genuine[at..at + made.len()].copy_from_slice(&made);
        genuine
    })
}

/// Every reply here is refused: what shows at once, and what does not open.
pub(super) fn refused() -> Vec<(String, Tampering)> {
    [plain_faults(), encrypted_keys(), paddings(), contents()]
        .into_iter()
        .flatten()
        .collect()
}

/// What whoever writes the reply knows to be wrong.
fn plain_faults() -> Vec<(String, Tampering)> {
    let other_key = "arn:aws:kms:eu-west-1:000000000000:key/other";
    let twice = |reply: Value, _: &Recipient| {
        let text = reply.to_string();
        format!("{{\"Plaintext\":\"\",{}", &text[1..]).into_bytes()
    };
    let truncated = |reply: Value, _: &Recipient| {
        let text = reply.to_string();
        text.as_bytes()[..text.len() / 2].to_vec()
    };
    let named = |name: &str, tampering| (name.to_owned(), tampering);
    vec![
        named("a plaintext", field("Plaintext", Some(json!("AAAA")))),
        named(
            "a plaintext of another type",
            field("Plaintext", Some(json!(1))),
        ),
        named("another key", field("KeyId", Some(json!(other_key)))),
        named("a key's bare id", field("KeyId", Some(json!("one")))),
        named("no key", field("KeyId", None)),
        named("no envelope", field("CiphertextForRecipient", None)),
        named(
            "an empty envelope",
            field("CiphertextForRecipient", Some(json!(""))),
        ),
        named(
            "no base64",
            field("CiphertextForRecipient", Some(json!("%%%"))),
        ),
        named("JSON of another type", body("[]")),
        named("no JSON", body("<html>Service</html>")),
        named("nothing", body("")),
        named("deep JSON", body("[".repeat(50_000))),
        named("a megabyte", body(vec![b' '; 1 << 20])),
        named("half a reply", Box::new(truncated)),
        named("a field that comes twice", Box::new(twice)),
        named("a long envelope", envelope(|_, _| vec![0x30; 5000])),
        named("deep BER", envelope(|_, _| [0x30, 0x80].repeat(1500))),
        named(
            "a BER length",
            envelope(|_, _| vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
    ]
}

fn encrypted_keys() -> Vec<(String, Tampering)> {
    let named = |name: &str, tampering| (name.to_owned(), tampering);
    vec![
        named(
            "a random content key",
            encrypted_key(|recipient| recipient.oaep(&[9; 32])),
        ),
        named(
            "a short content key",
            encrypted_key(|recipient| recipient.oaep(&[9; 16])),
        ),
        named(
            "a long content key",
            encrypted_key(|recipient| recipient.oaep(&[9; 33])),
        ),
        named(
            "no content key",
            encrypted_key(|recipient| recipient.oaep(&[])),
        ),
        named(
            "PKCS #1 v1.5",
            encrypted_key(|recipient| recipient.pkcs1(&[9; 32])),
        ),
        named("zero", encrypted_key(|_| vec![0; 256])),
        named("one", encrypted_key(|_| [vec![0; 255], vec![1]].concat())),
        named("above the modulus", encrypted_key(|_| vec![0xff; 256])),
    ]
}

/// The last byte of the padding is 16: a flip in the block before it makes it any other.
fn paddings() -> Vec<(String, Tampering)> {
    let padding = |last: u8| {
        let change = move |mut genuine: Vec<u8>, _: &Recipient| {
            let at = content_at(&genuine) + 31;
            genuine[at] ^= last ^ 16;
            genuine
        };
        (format!("padding that ends in {last}"), envelope(change))
    };
    [0, 1, 2, 3, 15, 17, 32, 255]
        .into_iter()
        .map(padding)
        .collect()
}

/// What opens, and is no data key.
fn contents() -> Vec<(String, Tampering)> {
    let content = |length: usize| {
        let change = move |_: Vec<u8>, recipient: &Recipient| recipient.envelope(&vec![9; length]);
        (
            format!("a forged envelope of {length} bytes"),
            envelope(change),
        )
    };
    [0, 1, 16, 31, 33, 48, 1000]
        .into_iter()
        .map(content)
        .collect()
}

/// What opens as well as the genuine one, to another key.
pub(super) fn other_keys() -> Vec<(String, Tampering)> {
    let forged = envelope(|_, recipient| recipient.envelope(&[9; 32]));
    let first_block = envelope(|mut genuine, _| {
        // The vector stands two bytes and the lengths of two elements before the content.
        let at = content_at(&genuine) - 4 - 16;
        genuine[at] ^= 1;
        genuine
    });
    vec![
        ("a forged envelope".to_owned(), forged),
        ("a flipped bit of the vector".to_owned(), first_block),
    ]
}

/// One bit of the envelope flipped.
pub(super) fn flipped(bit: usize) -> Tampering {
    envelope(move |mut genuine, _| {
        let at = bit / 8 % genuine.len();
        genuine[at] ^= 1 << (bit % 8);
        genuine
    })
}

/// The envelope's beginning.
pub(super) fn truncated(length: usize) -> Tampering {
    envelope(move |mut genuine, _| {
        genuine.truncate(length);
        genuine
    })
}
