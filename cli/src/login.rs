//! `dauth login`: a profile for an issuer, written when the enclave behind it was verified.
mod secret;
mod trusted;

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use dauth_client::{Custody, KeysetMemory, Owner, Profile, Root, Trust, private_file};
use dauth_dispatch::{
    DpopKey, PublishedEnclave, discover,
    web::{self, SecureUrl},
};
use serde_json::json;

use self::trusted::{Trusted, parse_pcr16};
use crate::{
    failure::{Failure, sentence},
    output::{self, Output},
};
use dauth_protocol::measurement::{CONFIGURATION_PCR, Pcr};

/// Write a profile for an issuer and its enclave, once the enclave has proved itself.
///
/// Asks the issuer where its enclave is, fetches evidence there, and verifies it against the values
/// of --trust and the deployment's PCR16. Neither the issuer nor whoever runs the enclave's host is
/// believed for these: take them from the publisher of the image, and from the operator by a way that
/// you trust. Then makes an owner key, gets a token with it, and writes both files for you alone.
///
/// Signing in is by client credentials. There is no sign-in by browser or device code yet.
///
/// Example:
///
///   dauth login --issuer https://auth.example.com --trust release.json --release-key RWQf6LRC… \
///     --configuration deployment.json --client-id alice -o alice.toml
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Login {
    /// The issuer's URL, byte for byte as the operator names it.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// What to trust: a release manifest, with its signature beside it (FILE.minisig); or PCR values,
    /// as JSON or TOML, that you found out yourself: {"pcrs": {"0": "8af1…"}}.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The key that signs release manifests (minisign): its one line, or the .pub file with it.
    #[arg(long, value_name = "KEY|FILE")]
    release_key: Option<String>,
    /// The deployment configuration that the operator publishes: its PCR16 is required, and it must
    /// name this issuer.
    #[arg(long, value_name = "FILE", conflicts_with = "pcr16")]
    configuration: Option<PathBuf>,
    /// The deployment's PCR16, in place of --configuration, as in 16=03bc….
    #[arg(long = "pcr", value_name = "16=HEX", value_parser = parse_pcr16)]
    pcr16: Option<Pcr>,
    /// Refuse an enclave whose KMS key could be given to another image.
    #[arg(long)]
    locked_key: bool,
    /// A root of attestation in place of AWS's (PEM): a simulator's. Works with an issuer on this
    /// machine alone.
    #[arg(long, value_name = "PEM")]
    root: Option<PathBuf>,
    /// The parent's ingress, in place of what the issuer publishes.
    #[arg(long, value_name = "HOST:PORT")]
    ingress: Option<String>,
    /// Your client id at the issuer.
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// Read the client's secret from this file, or from standard input for -. Without it you are
    /// asked for it.
    #[arg(long, value_name = "FILE|-")]
    client_secret_file: Option<PathBuf>,
    /// Where to write the profile. The default is $XDG_CONFIG_HOME/dauth/profile.toml.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Login {
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let issuer = SecureUrl::parse(&self.issuer).map_err(|e| refused(&e))?;
        if self.root.is_some() && !issuer.is_loopback() {
            return Err(Failure::refused(format!(
                "--root works with an issuer on this machine alone, and {} is on another: evidence \
                 that is not AWS's proves nothing there",
                self.issuer
            )));
        }
        let trusted = Trusted::read(self)?;
        let output = self.output()?;
        refuse_existing(&output)?;
        let enclave = self.enclave(&trusted).await?;
        let secret = secret::read(self.client_secret_file.as_deref())?;

        let key = NewKey::write(&output)?;
        let profile = Profile {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: secret,
            ingress: enclave.ingress,
            resource: enclave.resource,
            trust: Trust {
                root: self.root()?,
                pcrs: trusted.pcrs.clone(),
                releases: Vec::new(),
                custody: if self.locked_key {
                    Custody::LockedKey
                } else {
                    Custody::Any
                },
            },
            owner_key: key.file.clone(),
            operator_keyset: None,
            keysets: Arc::new(KeysetMemory::in_file(output.with_extension("keyset.json"))),
        };
        let owner = Owner::new(&profile).map_err(|e| refused(&e))?;
        owner.evidence().await.map_err(|e| refused(&e))?;
        // The enclave is the one to trust; now whether the issuer knows this client.
        owner.list().await.map_err(|e| refused(&e))?;
        profile.save(&output).map_err(|e| refused(&e))?;
        key.keep();
        self.report(&output, &profile, &trusted);
        Ok(())
    }

    /// Where the enclave is, and what it is called.
    async fn enclave(&self, trusted: &Trusted) -> Result<PublishedEnclave, Failure> {
        let client = web::client().map_err(|e| refused(&e))?;
        let server = discover(&client, &self.issuer)
            .await
            .map_err(|e| refused(&e))?;
        let published = server.enclave;
        let resource = match (&trusted.audience, &published) {
            // Measured: evidence with this PCR16 is of an enclave of this name.
            (Some(audience), _) => audience.clone(),
            (None, Some(published)) => published.resource.clone(),
            (None, None) => {
                return Err(Failure::refused(format!(
                    "{} does not publish its enclave; ask its operator for the deployment \
                     configuration, and name it with --configuration",
                    self.issuer
                )));
            }
        };
        let ingress = match (&self.ingress, published) {
            (Some(ingress), _) => ingress.clone(),
            (None, Some(published)) => published.ingress,
            (None, None) => {
                return Err(Failure::refused(format!(
                    "{} does not publish where its enclave is; name it with --ingress HOST:PORT",
                    self.issuer
                )));
            }
        };
        Ok(PublishedEnclave { resource, ingress })
    }

    fn root(&self) -> Result<Root, Failure> {
        match &self.root {
            None => Ok(Root::Aws),
            // The profile may be read from another folder.
            Some(file) => file
                .canonicalize()
                .map(Root::Pem)
                .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display()))),
        }
    }

    fn output(&self) -> Result<PathBuf, Failure> {
        let file = match &self.output {
            Some(file) => file.clone(),
            None => env::var_os("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| env::home_dir().map(|home| home.join(".config")))
                .ok_or_else(|| Failure::usage("no home folder: name a file with --output"))?
                .join("dauth/profile.toml"),
        };
        if file.file_name().is_none() {
            return Err(Failure::usage("--output must name a file"));
        }
        std::path::absolute(&file).map_err(|e| Failure::refused(format!("{}: {e}", file.display())))
    }

    fn report(&self, output: &Path, profile: &Profile, trusted: &Trusted) {
        let pcrs = |index: u16| trusted.pcrs.get(&index).map(ToString::to_string);
        match Output::from_flag(self.json) {
            Output::Json => output::json(&json!({
                "profile": output,
                "issuer": profile.issuer,
                "ingress": profile.ingress,
                "resource": profile.resource,
                "release": trusted.version,
                "pcr0": pcrs(0),
                "pcr16": pcrs(CONFIGURATION_PCR),
            })),
            Output::Text => {
                let release = trusted.version.as_deref().unwrap_or("unnamed release");
                anstream::println!("verified  {} ({release})", output::shown(&profile.resource));
                anstream::println!("profile   {}", output.display());
                anstream::println!("\n  export DAUTH_PROFILE={}", output.display());
            }
        }
    }
}

fn refused(error: &dyn core::error::Error) -> Failure {
    Failure::refused(sentence(error))
}

/// A profile that is there holds an owner key, and with it somebody's connections.
fn refuse_existing(output: &Path) -> Result<(), Failure> {
    for file in [output.to_owned(), NewKey::beside(output)] {
        if file.exists() {
            return Err(Failure::refused(format!(
                "{} is there already: move it away, or name another file with --output",
                file.display()
            )));
        }
    }
    Ok(())
}

/// An owner key that goes with a profile, and goes away with it when it is not written.
struct NewKey {
    file: PathBuf,
    is_kept: bool,
}

impl NewKey {
    fn beside(profile: &Path) -> PathBuf {
        profile.with_extension("owner-key.pem")
    }

    fn write(profile: &Path) -> Result<Self, Failure> {
        let file = Self::beside(profile);
        let failed =
            |e: io::Error| Failure::refused(format!("cannot write {}: {e}", file.display()));
        if let Some(folder) = profile.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed)?;
        }
        let pem = DpopKey::generate()
            .and_then(|key| key.to_pem())
            .map_err(|e| refused(&e))?;
        private_file::write(&file, pem.as_bytes()).map_err(failed)?;
        Ok(Self {
            file,
            is_kept: false,
        })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewKey {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nothing was sent under it that anyone would look for.
            let _ = fs::remove_file(&self.file);
        }
    }
}
