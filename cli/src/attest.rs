//! `dauth attest`: look at evidence, and say in one sentence why it is refused.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose};
use clap::{Args, Subcommand};
use dauth_attestation::{
    AgeRule, Appraisal, AttestationResult, DebugMode, Images, MAX_DOCUMENT_BYTES, NonceRule,
    Policy, ReferenceValues, TrustAnchors, appraise,
};
use serde_json::json;

use crate::{
    duration,
    failure::{Failure, sentence},
    output::{Output, utc},
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
    /// policy, and print it.
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
    /// The nonce that the document must carry.
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    nonce: Option<Bytes>,
    /// Judge the certificates at this time instead of now.
    #[arg(long, value_name = "RFC3339")]
    at: Option<jiff::Timestamp>,
    /// Refuse a document older than this, as in 5m.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_age: Option<Duration>,
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
        let document = decode(&read(&self.file)?)?;
        let anchors = match &self.root {
            None => TrustAnchors::aws_nitro(),
            Some(file) => root(file)?,
        };
        let policy = Policy {
            nonce: self.nonce.clone().map_or(NonceRule::Any, NonceRule::Equals),
            age: self.max_age.map_or(AgeRule::Any, AgeRule::AtMost),
            debug_mode: if self.allow_debug {
                DebugMode::Allow
            } else {
                DebugMode::Refuse
            },
            ..Policy::new(self.images()?)
        };
        let at = self.at.unwrap_or_else(jiff::Timestamp::now);
        let now_ms = u64::try_from(at.as_millisecond())
            .map_err(|_| Failure::usage("--at must not be before 1970"))?;
        let appraisal = Appraisal {
            anchors: &anchors,
            policy: &policy,
            now_ms,
        };
        let result = appraise(&document, &appraisal).map_err(|error| {
            Failure::refused(format!(
                "{}: refused: {}",
                self.file.display(),
                sentence(&error)
            ))
        })?;
        print(&result, Output::from_flag(self.json));
        Ok(())
    }

    fn images(&self) -> Result<Images, Failure> {
        if self.pcrs.is_empty() {
            return Ok(Images::Unconstrained);
        }
        let mut indices = BTreeSet::new();
        if let Some((index, _)) = self.pcrs.iter().find(|(index, _)| !indices.insert(index)) {
            return Err(Failure::usage(format!(
                "--pcr {index} is given more than once"
            )));
        }
        let release = self
            .pcrs
            .iter()
            .fold(ReferenceValues::new(), |release, (index, value)| {
                release.with_pcr(*index, value)
            });
        Ok(Images::AnyOf(vec![release]))
    }
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
        print(evidence.attestation_result(), Output::from_flag(self.json));
        Ok(())
    }
}

fn root(file: &Path) -> Result<TrustAnchors, Failure> {
    let pem = fs::read_to_string(file)
        .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    TrustAnchors::from_pem(&pem)
        .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    // Base64 with line breaks takes less than twice the bytes.
    let limit = 2 * MAX_DOCUMENT_BYTES as u64;
    let mut bytes = Vec::new();
    let result = if file == Path::new("-") {
        std::io::stdin().take(limit + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes))
    };
    result.map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::refused(format!(
            "{} is too long for a document",
            file.display()
        )));
    }
    Ok(bytes)
}

/// A raw document begins with a CBOR array or tag, which no base64 text does.
fn decode(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    if matches!(bytes.first(), Some(0x80..)) {
        return Ok(bytes.to_vec());
    }
    let text: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    general_purpose::STANDARD
        .decode(&text)
        .or_else(|_| general_purpose::STANDARD_NO_PAD.decode(&text))
        .or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(&text))
        .map_err(|_| Failure::refused("the file is neither a COSE_Sign1 document nor its base64"))
}

fn print(result: &AttestationResult, output: Output) {
    let hex_of = |bytes: Option<&[u8]>| bytes.map(hex::encode);
    let pcrs: Vec<(u16, String)> = result
        .pcrs()
        .map(|(index, value)| (index, hex::encode(value)))
        .collect();
    let valid = (result.chain_valid_from_s(), result.chain_valid_until_s());
    match output {
        Output::Json => crate::output::json(&json!({
            "module_id": result.module_id(),
            "timestamp_ms": result.timestamp_ms(),
            "timestamp": utc(result.timestamp_ms() / 1000),
            "digest": result.digest(),
            "pcrs": pcrs.iter().map(|(i, v)| (i.to_string(), v.as_str())).collect::<BTreeMap<_, _>>(),
            "chain": { "valid_from": utc(valid.0), "valid_until": utc(valid.1) },
            "user_data": hex_of(result.user_data()),
            "public_key": hex_of(result.public_key()),
            "nonce": hex_of(result.nonce()),
        })),
        Output::Text => {
            let field = |name: &str, value: &str| anstream::println!("{name:<12} {value}");
            let optional =
                |bytes: Option<&[u8]>| hex_of(bytes).unwrap_or_else(|| "none".to_owned());
            field("module id", result.module_id());
            field("timestamp", &utc(result.timestamp_ms() / 1000));
            field("digest", result.digest());
            field(
                "chain",
                &format!("valid from {} until {}", utc(valid.0), utc(valid.1)),
            );
            for (index, value) in &pcrs {
                field(&format!("PCR{index}"), value);
            }
            field("user_data", &optional(result.user_data()));
            field("public_key", &optional(result.public_key()));
            field("nonce", &optional(result.nonce()));
        }
    }
}
