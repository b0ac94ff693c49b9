//! The test vectors of the verifier: attestation documents of a root of their own, each to be
//! accepted or refused for one reason.
//!
//! They are made from a fixed seed with deterministic signatures (RFC 6979): a second run writes
//! the same bytes.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a generator of fixed data: where it fails, the data are wrong"
)]

mod cases;
mod cbor;
mod certificate;
mod der;
mod forge;
mod keys;
mod manifest;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    cases::{Case, Verdict},
    certificate::Template,
    manifest::{Entry, Expected, Manifest},
};

const ABOUT: &str = "Attestation documents of AWS Nitro Enclaves, forged under roots of their own. \
    See README.md. Written by `cargo xtask vectors`; do not edit.";

/// One file of the folder of vectors.
pub struct File {
    /// Its name.
    pub name: String,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// All files but the README.
pub fn files() -> Vec<File> {
    let mut files = vec![
        root("root.pem", &forge::chain()[forge::ROOT]),
        root("root_path_length_3.pem", &forge::constrained_root()),
    ];
    let mut vectors = Vec::new();
    for mut case in cases::all() {
        let (entry, document) = vector(&mut case);
        files.push(File {
            name: entry.file.clone(),
            contents: document,
        });
        vectors.push(entry);
    }
    let manifest = Manifest {
        about: ABOUT,
        vectors,
    };
    let mut json = serde_json::to_vec_pretty(&manifest).expect("plain data");
    json.push(b'\n');
    files.push(File {
        name: "manifest.json".to_owned(),
        contents: json,
    });
    files
}

fn vector(case: &mut Case) -> (Entry, Vec<u8>) {
    let forged = &mut case.forged;
    let (verdict, expected) = match case.verdict {
        Verdict::Accept => (
            "accept",
            Expected::Accept {
                claims: forged.claims(),
            },
        ),
        Verdict::Reject(error) => ("reject", Expected::Reject { error }),
    };
    let entry = Entry {
        file: format!("{verdict}_{}.cose", case.name),
        shows: case.shows,
        root: forged.root,
        at_ms: forged.at_ms,
        policy: forged.policy.clone(),
        expected,
    };
    (entry, forged.document())
}

/// A self-signed certificate in PEM (RFC 7468 section 5).
fn root(name: &str, template: &Template) -> File {
    let base64 = STANDARD.encode(template.signed_by(template));
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let (mut line, mut rest) = base64.split_at(base64.len().min(64));
    while !line.is_empty() {
        pem.push_str(line);
        pem.push('\n');
        (line, rest) = rest.split_at(rest.len().min(64));
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    File {
        name: name.to_owned(),
        contents: pem.into_bytes(),
    }
}
