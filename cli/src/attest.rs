//! `dauth attest`: look at evidence, and say in one sentence why it is refused.
mod document;
mod print;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use dauth_attestation::{
    AgeRule, Appraisal, AttestationResult, DebugMode, Error, Images, NonceRule, Policy,
    ReferenceValues, TrustAnchors, appraise,
};

use crate::{
    duration,
    failure::{Failure, sentence},
    output::Output,
    trust::{Required, TrustOptions},
};

/// Commands on evidence.
#[derive(Subcommand)]
pub(crate) enum Attest {
    /// Verify a stored attestation document and print what it says.
    ///
    /// The document is refused unless its certificate chain is valid now, or at the time that --at
    /// names: it is never judged silently at its own time. Documents of enclaves in debug mode
    /// prove nothing and are refused.
    Verify(Verify),
    /// Fetch fresh evidence from the enclave of the profile, verify it against the profile's trust
    /// policy, and print it, with the keyset and the KMS key that it names.
    Fetch(Fetch),
}

#[derive(Args)]
pub(crate) struct Verify {
    /// A raw or base64 COSE_Sign1 document; - for standard input.
    file: PathBuf,
    /// A root certificate to trust in place of AWS's (PEM).
    #[arg(long, value_name = "PEM")]
    root: Option<PathBuf>,
    /// A PCR value that the document must have, as in 0=8af1…; may be repeated.
    #[arg(long = "pcr", value_name = "N=HEX", value_parser = parse_pcr)]
    pcrs: Vec<(u16, Vec<u8>)>,
    #[command(flatten)]
    trust: TrustOptions,
    /// The nonce that the document must carry.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    nonce: Option<Bytes>,
    /// Judge the certificates at this time instead of now.
    #[arg(long, value_name = "RFC3339")]
    at: Option<jiff::Timestamp>,
    /// Refuse a document older than this, as in 5m.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_age: Option<Duration>,
    /// How far the clocks may differ, as in 10s: the signing certificate may begin to be valid, and
    /// the document be made, so much later than the time that it is judged at. The default is 10s,
    /// and 0s with --at: a time that is named is exact.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_age)]
    leeway: Option<Duration>,
    /// Accept the document of an enclave in debug mode, whose memory its parent can read.
    #[arg(long)]
    allow_debug: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Fetch {
    /// The parent's ingress, in place of the profile's.
    #[arg(long, value_name = "ADDR")]
    ingress: Option<String>,
    /// Also write the attestation document (raw COSE_Sign1) to this file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

type Bytes = Vec<u8>;

fn parse_hex(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map_err(|_| format!("'{text}' is not hexadecimal"))
}

fn parse_nonce(text: &str) -> Result<Bytes, String> {
    match parse_hex(text)? {
        nonce if nonce.is_empty() => Err("a nonce has at least one byte".to_owned()),
        nonce => Ok(nonce),
    }
}

fn parse_pcr(text: &str) -> Result<(u16, Bytes), String> {
    let (index, value) = text.split_once('=').ok_or("write N=HEX, as in 0=8af1…")?;
    let index = index
        .parse()
        .ok()
        .filter(|i| *i < 32)
        .ok_or_else(|| format!("'{index}' is not a PCR index from 0 to 31"))?;
    let value = parse_hex(value)?;
    match value.len() {
        32 | 48 | 64 => Ok((index, value)),
        length => Err(format!(
            "PCR{index} has {length} bytes; SHA-384 values have 48"
        )),
    }
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let required = self.trust.required(&self.pcrs)?;
        let result = self.appraise(&required)?;
        let release = required.release.as_ref();
        print::document(&result, release, Output::from_flag(self.json));
        Ok(())
    }

    fn appraise(&self, required: &Required) -> Result<AttestationResult, Failure> {
        let document = document::read(&self.file)?;
        let anchors = match &self.root {
            None => TrustAnchors::aws_nitro(),
            Some(file) => root(file)?,
        };
        let policy = self.policy(required);
        let at = self.at.unwrap_or_else(jiff::Timestamp::now);
        let now_ms = u64::try_from(at.as_millisecond())
            .map_err(|_| Failure::usage("--at must not be before 1970"))?;
        let appraisal = Appraisal {
            anchors: &anchors,
            policy: &policy,
            now_ms,
        };
        appraise(&document, &appraisal).map_err(|error| {
            let (file, reason) = (document::name_of(&self.file), sentence(&error));
            let remedy = self.remedy(&error).unwrap_or_default();
            Failure::refused(format!("{file}: refused: {reason}{remedy}"))
        })
    }

    fn policy(&self, required: &Required) -> Policy {
        let default_leeway = match self.at {
            None => Policy::DEFAULT_LEEWAY,
            Some(_) => Duration::ZERO,
        };
        Policy {
            nonce: self.nonce.clone().map_or(NonceRule::Any, NonceRule::Equals),
            age: self.max_age.map_or(AgeRule::Any, AgeRule::AtMost),
            leeway: self.leeway.unwrap_or(default_leeway),
            debug_mode: if self.allow_debug {
                DebugMode::Allow
            } else {
                DebugMode::Refuse
            },
            ..Policy::new(images(required))
        }
    }

    /// What to do, where an option that was not given would change the answer.
    fn remedy(&self, error: &Error) -> Option<&'static str> {
        match error {
            Error::Expired { .. } | Error::NotYetValid { .. } if self.at.is_none() => {
                Some("; name the time to judge it at with --at")
            }
            Error::UnknownRoot if self.root.is_none() => {
                Some("; it is not a document of AWS, unless its root is named with --root")
            }
            Error::DebugMode(_) => Some("; --allow-debug accepts it, for diagnosis alone"),
            _ => None,
        }
    }
}

fn images(required: &Required) -> Images {
    if required.pcrs.is_empty() {
        return Images::Unconstrained;
    }
    let release = required
        .pcrs
        .iter()
        .fold(ReferenceValues::new(), |release, (index, value)| {
            release.with_pcr(*index, value)
        });
    Images::AnyOf(vec![release])
}

impl Fetch {
    pub(crate) async fn run(&self, profile: Option<&Path>) -> Result<(), Failure> {
        let owner = crate::profile::owner(profile, self.ingress.as_deref())?;
        let evidence = owner
            .evidence()
            .await
            .map_err(|e| Failure::refused(sentence(&e)))?;
        if let Some(file) = &self.output {
            fs::write(file, evidence.document())
                .map_err(|e| Failure::refused(format!("cannot write {}: {e}", file.display())))?;
        }
        let keys = evidence.key_configuration();
        let output = Output::from_flag(self.json);
        print::evidence(evidence.attestation_result(), keys, output);
        Ok(())
    }
}

fn root(file: &Path) -> Result<TrustAnchors, Failure> {
    let pem = fs::read_to_string(file)
        .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    TrustAnchors::from_pem(&pem)
        .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))
}

#[cfg(test)]
mod tests;
