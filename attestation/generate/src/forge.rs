//! A document of an NSM that says and signs whatever it is told to.
use std::collections::BTreeMap;

use crate::{
    cbor::{Cbor, Length},
    certificate::{Authority, CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN, Oddity, Template},
    keys::Key,
    manifest::{Claims, DebugMode, Policy},
};

/// When the vectors are judged, unless a case says otherwise: 2025-06-15.
pub(crate) const AT_S: u64 = 1_750_000_000;
pub(crate) const AT_MS: u64 = AT_S * 1000;
/// The documents are a second old.
pub(crate) const MADE_MS: u64 = AT_MS - 1000;

pub(crate) const ROOT: usize = 0;
pub(crate) const REGIONAL: usize = 1;
pub(crate) const ZONAL: usize = 2;
pub(crate) const INSTANCE: usize = 3;
pub(crate) const LEAF: usize = 4;

/// ES384 alone: `{1: -35}`.
pub(crate) const PROTECTED_ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A document to be, and how it is to be judged. Its steps can each be replaced.
pub(crate) struct Forged {
    pub(crate) root: &'static str,
    pub(crate) at_ms: u64,
    pub(crate) policy: Policy,
    pub(crate) fields: Vec<(Cbor, Cbor)>,
    pub(crate) map: Length,
    pub(crate) protected: Vec<u8>,
    pub(crate) key: Key,
    /// Of the payload before it is signed.
    pub(crate) edit_payload: fn(&mut Vec<u8>),
    /// Of protected header, unprotected header, payload and signature.
    pub(crate) edit_items: fn(&mut Vec<Cbor>),
    /// Of the whole.
    pub(crate) edit_document: fn(&mut Vec<u8>),
    chain_valid_s: [u64; 2],
}

impl Forged {
    /// A document to which there is no objection, but for what `edit` does to the certificates,
    /// from the root to the leaf.
    pub(crate) fn with_chain(edit: fn(&mut Vec<Template>)) -> Self {
        let mut templates = chain();
        edit(&mut templates);
        let mut certificates: Vec<Vec<u8>> = templates
            .iter()
            .enumerate()
            .map(|(index, template)| template.signed_by(&templates[index.saturating_sub(1)]))
            .collect();
        let leaf = certificates.pop().expect("a leaf");
        let from = templates.iter().map(|template| template.valid_s[0]).max();
        let until = templates.iter().map(|template| template.valid_s[1]).min();
        let bundle = certificates.iter().map(|der| Cbor::bytes(der)).collect();
        let pcr = |(index, byte): (u64, u8)| (Cbor::Unsigned(index), Cbor::bytes(&[byte; 48]));
        // PCR0 to PCR2 of an image; no role, no signature of the image.
        let pcrs = [0xa0, 0xa1, 0xa2].into_iter().chain([0; 13]);
        let fields = [
            (
                "module_id",
                Cbor::text("i-0123456789abcdef0-enc0123456789abcdef"),
            ),
            ("digest", Cbor::text("SHA384")),
            ("timestamp", Cbor::Unsigned(MADE_MS)),
            (
                "pcrs",
                Cbor::Map(Length::Definite, (0..).zip(pcrs).map(pcr).collect()),
            ),
            ("certificate", Cbor::Bytes(leaf)),
            ("cabundle", Cbor::Array(Length::Definite, bundle)),
            ("public_key", Cbor::Null),
            ("user_data", Cbor::Null),
            ("nonce", Cbor::Null),
        ];
        Self {
            root: "root.pem",
            at_ms: AT_MS,
            policy: Policy {
                nonce: None,
                user_data: None,
                images: None,
                max_age_s: None,
                leeway_s: 0,
                debug_mode: DebugMode::Refuse,
            },
            fields: fields
                .into_iter()
                .map(|(key, value)| (Cbor::text(key), value))
                .collect(),
            map: Length::Indefinite,
            protected: PROTECTED_ES384.to_vec(),
            key: templates.last().expect("a leaf").signer(),
            edit_payload: |_| {},
            edit_items: |_| {},
            edit_document: |_| {},
            chain_valid_s: [from.unwrap_or(0), until.unwrap_or(0)],
        }
    }

    pub(crate) fn field(&mut self, key: &str) -> &mut Cbor {
        let field = self.fields.iter_mut().find(|(name, _)| is(name, key));
        &mut field.expect("a field of the document").1
    }

    pub(crate) fn set(&mut self, key: &str, value: Cbor) {
        *self.field(key) = value;
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.fields.retain(|(name, _)| !is(name, key));
    }

    pub(crate) fn pcrs(&mut self) -> &mut Vec<(Cbor, Cbor)> {
        match self.field("pcrs") {
            Cbor::Map(_, pairs) => pairs,
            _ => panic!("pcrs is a map"),
        }
    }

    pub(crate) fn cabundle(&mut self) -> &mut Vec<Cbor> {
        match self.field("cabundle") {
            Cbor::Array(_, items) => items,
            _ => panic!("cabundle is an array"),
        }
    }

    /// COSE_Sign1 (RFC 9052 section 4.2).
    pub(crate) fn document(&self) -> Vec<u8> {
        let mut payload = Cbor::Map(self.map, self.fields.clone()).encode();
        (self.edit_payload)(&mut payload);
        let to_be_signed = Cbor::Array(
            Length::Definite,
            vec![
                Cbor::text("Signature1"),
                Cbor::bytes(&self.protected),
                Cbor::bytes(&[]),
                Cbor::bytes(&payload),
            ],
        );
        let signature = self.key.sign_fixed(&to_be_signed.encode());
        let mut items = vec![
            Cbor::bytes(&self.protected),
            Cbor::Map(Length::Definite, vec![]),
            Cbor::Bytes(payload),
            Cbor::Bytes(signature),
        ];
        (self.edit_items)(&mut items);
        let mut document = Cbor::Array(Length::Definite, items).encode();
        (self.edit_document)(&mut document);
        document
    }

    /// What a verifier that accepts the document reads in it.
    pub(crate) fn claims(&mut self) -> Claims {
        let pcrs: BTreeMap<u64, String> = self
            .pcrs()
            .iter()
            .filter_map(|pair| match pair {
                (Cbor::Unsigned(index), Cbor::Bytes(value)) => Some((*index, hex::encode(value))),
                _ => None,
            })
            .collect();
        let Cbor::Text(module_id) = self.field("module_id").clone() else {
            panic!("module_id is text")
        };
        let Cbor::Unsigned(timestamp_ms) = *self.field("timestamp") else {
            panic!("timestamp is a number")
        };
        let [chain_valid_from_s, chain_valid_until_s] = self.chain_valid_s;
        Claims {
            module_id,
            timestamp_ms,
            pcrs,
            public_key: self.optional("public_key"),
            user_data: self.optional("user_data"),
            nonce: self.optional("nonce"),
            chain_valid_from_s,
            chain_valid_until_s,
        }
    }

    fn optional(&self, key: &str) -> Option<String> {
        match self.fields.iter().find(|(name, _)| is(name, key)) {
            Some((_, Cbor::Bytes(value))) if !value.is_empty() => Some(hex::encode(value)),
            _ => None,
        }
    }
}

fn is(name: &Cbor, key: &str) -> bool {
    matches!(name, Cbor::Text(text) if text == key)
}

/// Lifetimes and constraints are those of AWS.
pub(crate) fn chain() -> Vec<Template> {
    let signs = DIGITAL_SIGNATURE | KEY_CERT_SIGN | CRL_SIGN;
    let around = |seconds: u64| [AT_S - seconds, AT_S + seconds];
    // 2020 to 2049, the last second of UTCTime.
    let decades = [1_577_836_800, 2_524_607_999];
    vec![
        authority("DAuth vectors root", 1, decades, Authority::Yes, signs),
        authority("regional", 2, around(10 * DAY), Authority::AtMost(2), signs),
        authority("zonal", 3, around(3 * DAY), Authority::AtMost(1), signs),
        authority(
            "instance",
            4,
            around(12 * HOUR),
            Authority::AtMost(0),
            KEY_CERT_SIGN,
        ),
        authority(
            "enclave",
            5,
            leaf_validity(),
            Authority::No,
            DIGITAL_SIGNATURE,
        ),
    ]
}

/// The root of the chain whose pathLenConstraint is 3.
pub(crate) fn constrained_root() -> Template {
    Template {
        subject: "DAuth vectors root, pathLen 3".to_owned(),
        authority: Authority::AtMost(3),
        ..chain().swap_remove(ROOT)
    }
}

/// Three hours and three seconds, of which ten minutes are over.
pub(crate) fn leaf_validity() -> [u64; 2] {
    [AT_S - 600, AT_S - 600 + 3 * HOUR + 3]
}

pub(crate) fn authority(
    subject: &str,
    serial: i64,
    valid_s: [u64; 2],
    authority: Authority,
    key_usage: u8,
) -> Template {
    Template {
        subject: subject.to_owned(),
        key: None,
        serial,
        valid_s,
        authority,
        key_usage: Some(key_usage),
        oddity: Oddity::None,
    }
}
