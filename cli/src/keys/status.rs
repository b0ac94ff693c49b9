//! `dauth keys status`
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use dauth_client::{Owner, Profile};
use dauth_parent::host::KeysetFile;
use tokio::time::{Instant, sleep};

use super::{Place, claims::Claims};
use crate::{
    failure::{Failure, sentence},
    output::Output,
    profile,
};

mod report;

use report::{Attested, Report};

/// The enclave looks at the file every second: until it did, the two may differ.
const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(4);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    place: Place,
    /// Fail when the enclave cannot be asked. With a profile it is asked in any case.
    #[arg(long)]
    verify: bool,
    /// Say what the file claims, and do not ask the enclave.
    #[arg(long, conflicts_with = "verify")]
    offline: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(&self, named: Option<&Path>) -> Result<(), Failure> {
        let keyset = self.place.keyset(named)?;
        let claims = super::claims(&keyset)?;
        let profile = match self.offline {
            true => None,
            false => profile::at_hand(named)?,
        };
        if self.verify && profile.is_none() {
            return Err(Failure::usage(
                "--verify asks the enclave of a profile: name one with --profile FILE or \
                 $DAUTH_PROFILE",
            ));
        }
        let (claims, attested) = match &profile {
            None => (claims, Attested::NotAsked),
            Some(profile) => ask(&keyset, claims, profile).await?,
        };
        let report = Report {
            keyset: &keyset,
            claims: &claims,
            attested: &attested,
            now_ms: now_ms(),
        };
        report.print(Output::from_flag(self.json));
        match judge(&claims, &attested) {
            Judgement::Agrees => Ok(()),
            Judgement::Unknown if !self.verify => Ok(()),
            Judgement::Unknown => Err(Failure::refused("the enclave could not be asked")),
            Judgement::Disagrees(sentence) => Err(Failure::refused(sentence)),
        }
    }
}

/// What the enclave attests, and the file's claims of that time.
async fn ask(
    keyset: &KeysetFile,
    mut claims: Claims,
    profile: &Profile,
) -> Result<(Claims, Attested), Failure> {
    let owner = Owner::new(profile).map_err(|e| Failure::refused(sentence(&e)))?;
    let deadline = Instant::now() + AGREEMENT_TIMEOUT;
    loop {
        let attested = match owner.evidence().await {
            Ok(evidence) => {
                let configuration = evidence.key_configuration();
                Attested::As {
                    keyset_id: hex::encode(&configuration.keyset_id),
                    generation: configuration.generation,
                }
            }
            Err(error) => Attested::NotKnown(sentence(&error)),
        };
        let agrees = matches!(judge(&claims, &attested), Judgement::Agrees);
        if agrees || Instant::now() >= deadline || matches!(attested, Attested::NotKnown(_)) {
            return Ok((claims, attested));
        }
        sleep(LOOK_AGAIN_AFTER).await;
        claims = super::claims(keyset)?;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Agrees,
    Unknown,
    Disagrees(String),
}

fn judge(claims: &Claims, attested: &Attested) -> Judgement {
    let Attested::As {
        keyset_id,
        generation,
    } = attested
    else {
        return Judgement::Unknown;
    };
    let held = claims.generation;
    if *keyset_id != claims.keyset_id() {
        Judgement::Disagrees(
            "the enclave of the profile serves another keyset than the one in this file: is this \
             the keyset_file of its parent?"
                .to_owned(),
        )
    } else if *generation > held {
        Judgement::Disagrees(super::old_copy(*generation, held))
    } else if *generation < held {
        Judgement::Disagrees(format!(
            "the enclave still serves generation {generation}, and the file holds generation \
             {held}, which it does not take: its events in the parent's log say why"
        ))
    } else {
        Judgement::Agrees
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::order::stand_in;
    use super::*;

    #[test]
    fn file_and_enclave_must_agree() {
        let claims = Claims::read(&stand_in::keyset(3, 0)).unwrap();
        let attested = |keyset_id: &str, generation| Attested::As {
            keyset_id: keyset_id.to_owned(),
            generation,
        };
        let id = "07".repeat(16);
        assert_eq!(judge(&claims, &attested(&id, 3)), Judgement::Agrees);
        for (attested, word) in [
            (attested(&"08".repeat(16), 3), "another keyset"),
            (attested(&id, 4), "old copy"),
            (attested(&id, 2), "still serves generation 2"),
        ] {
            let judgement = judge(&claims, &attested);
            assert!(
                matches!(&judgement, Judgement::Disagrees(sentence) if sentence.contains(word)),
                "{judgement:?}"
            );
        }
        assert_eq!(judge(&claims, &Attested::NotAsked), Judgement::Unknown);
        let unreachable = Attested::NotKnown("no route".to_owned());
        assert_eq!(judge(&claims, &unreachable), Judgement::Unknown);
    }
}
