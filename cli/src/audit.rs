//! `dauth audit`: an owner's receipts, fetched and verified.
mod print;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use dauth_client::{
    Evidence,
    audit::{Extent, Since, Wanted, verify},
};
use dauth_protocol::{Handle, KeyConfiguration};

use crate::{
    duration,
    failure::{Failure, sentence},
    output::{self, Output, shown},
    profile,
};

/// Commands on receipts.
#[derive(Subcommand)]
pub(crate) enum Audit {
    Fetch(Fetch),
    Verify(Verify),
}

/// Fetch every receipt that the control plane keeps of the owner's calls.
///
/// Each call through a connection leaves a receipt: who called what and when, how it ended, and
/// whether the reply held the credential. Prints one JSON document, as `GET /v1/receipts` answers it
/// with all pages in one. Nothing of it is verified: that is what `dauth audit verify` does.
#[derive(Args)]
pub(crate) struct Fetch {
    /// Receipts of this connection alone.
    #[arg(long)]
    handle: Option<Handle>,
    /// Leave out the pages before the first one with a call of this long ago or later, as in 7d.
    /// What is left is a part: verify it with --partial.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Also fetch evidence of the enclave, verify it, and write it to this file: with it, receipts
    /// can be verified later and without the enclave.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
}

/// Verify receipts against the enclave's attested keys.
///
/// FILE holds pages as `GET /v1/receipts` answers them: one JSON document, several after each other,
/// or an array of them. Evidence is fetched from the enclave of the profile, and verified as
/// `dauth attest fetch` does, unless --evidence names some.
///
/// The enclave signs for batches of receipts, chained in each of its boots. It is found if a receipt
/// was changed, made up or moved, if batches do not follow each other or two stand in one place, if
/// calls of a connection lack their receipt (a gap), and if a batch holds a receipt of a shown
/// connection that is not there.
///
/// Exits with 0 when all of it holds, and with 1 when anything was found. This shows integrity, not
/// completeness: receipts that came after the last one shown of a connection may be held back
/// together with their batches, until a later one of it is shown. A call's own DAuth-Receipt-Id
/// header is what to look for.
#[derive(Args)]
pub(crate) struct Verify {
    /// Pages of receipts; - for standard input.
    file: PathBuf,
    /// Verify with this evidence, as `dauth audit fetch --evidence` wrote it or the enclave's
    /// /.well-known/dauth/evidence answered. The trust values are the profile's; the enclave is not
    /// contacted.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Judge the certificates of --evidence at this time instead of now: those of an enclave are
    /// valid for some hours.
    #[arg(long, value_name = "RFC3339", requires = "evidence")]
    at: Option<jiff::Timestamp>,
    /// The file is a part on purpose, such as one page of many, or the older receipts are no longer
    /// kept: what is missing before its first and after its last receipts is not counted as a gap.
    #[arg(long)]
    partial: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(crate) async fn run(self, profile: Option<&Path>) -> Result<(), Failure> {
        match self {
            Audit::Fetch(fetch) => fetch.run(profile).await,
            Audit::Verify(verify) => verify.run(profile).await,
        }
    }
}

impl Fetch {
    async fn run(&self, profile: Option<&Path>) -> Result<(), Failure> {
        let owner = profile::owner(profile, None)?;
        let refused = |error| Failure::refused(sentence(&error));
        if let Some(file) = &self.evidence {
            let keys = owner.evidence().await.map_err(refused)?;
            let json = Evidence::to_json(keys.document(), keys.key_configuration_bytes());
            fs::write(file, json)
                .map_err(|e| Failure::refused(format!("cannot write {}: {e}", file.display())))?;
        }
        let since = match self.since {
            None => Since::Ever,
            Some(ago) => Since::Time(ago_ms(ago)?),
        };
        let handle = self.handle.clone();
        let wanted = Wanted { handle, since };
        let whole = owner.receipts(&wanted).await.map_err(refused)?;
        let json = serde_json::to_string_pretty(&whole)
            .map_err(|error| Failure::refused(sentence(&error)))?;
        output::text(&format!("{json}\n"))
    }
}

fn ago_ms(ago: Duration) -> Result<u64, Failure> {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond())
        .map_err(|_| Failure::refused("this system's clock is wrong: it is set before 1970"))?;
    let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    Ok(now.saturating_sub(ago))
}

impl Verify {
    async fn run(&self, profile: Option<&Path>) -> Result<(), Failure> {
        let pages = source::pages(&self.file)?;
        let keys = self.keys(profile).await?;
        let extent = match self.partial {
            true => Extent::Part,
            false => Extent::Whole,
        };
        let audit = verify(&pages, &keys, extent);
        output::text(&print::audit(&audit, extent, Output::from_flag(self.json)))?;
        let Some((first, others)) = audit.findings.split_first() else {
            return Ok(());
        };
        let others = match others.len() {
            0 => String::new(),
            1 => "; and one more finding".to_owned(),
            more => format!("; and {more} more findings"),
        };
        let (name, first) = (source::name_of(&self.file), shown(&first.to_string()));
        Err(Failure::refused(format!("{name}: {first}{others}")))
    }

    /// The receipt keys are in the key configuration that evidence endorses.
    async fn keys(&self, profile: Option<&Path>) -> Result<KeyConfiguration, Failure> {
        let refused = |error| Failure::refused(sentence(&error));
        let Some(file) = &self.evidence else {
            let owner = profile::owner(profile, None)?;
            let keys = owner.evidence().await.map_err(refused)?;
            return Ok(keys.key_configuration().clone());
        };
        let at = self.at.unwrap_or_else(jiff::Timestamp::now);
        let at_ms = u64::try_from(at.as_millisecond())
            .map_err(|_| Failure::usage("--at must not be before 1970"))?;
        source::kept_keys(file, &profile::load(profile)?, at_ms)
    }
}
