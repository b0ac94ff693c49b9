//! `dauth keys rotate`, `retire`, `rewrap`: the next generation.
use std::{collections::BTreeSet, path::Path, time::Duration};

use clap::{Args, ValueEnum};
use dauth_parent::host::KeysetFile;
use dauth_protocol::host::{KeyKind, KeysetChange, KeysetOrder, Order, OrderOutcome, OrderResult};
use serde_json::json;

use super::{Place, claims::Claims, order};
use crate::{
    duration,
    failure::Failure,
    output::{self, Output},
};

/// A change that came between the reading of the keyset and the order makes the order void. It is
/// then given again, from the new generation, this often.
const ATTEMPTS: usize = 3;
/// Clocks of one enclave, at the order and at the statement, may be apart by this.
const CLOCK_MARGIN: Duration = Duration::from_mins(1);

#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    asked: Asked,
    /// The kinds of key to replace, and no others.
    #[arg(
        long,
        value_enum,
        value_name = "KIND,...",
        value_delimiter = ',',
        default_values = ["recipient", "record", "receipt"],
    )]
    only: Vec<Kind>,
    /// Also forget record keys that were replaced longer ago than this, as in 30d: see `retire`.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    retire_after: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct Retire {
    #[command(flatten)]
    asked: Asked,
    /// How long ago a record key must have been replaced to be forgotten, as in 30d; 0s forgets all.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_age)]
    older_than: Duration,
}

#[derive(Args)]
pub(crate) struct Rewrap {
    #[command(flatten)]
    asked: Asked,
}

/// What every change is told.
#[derive(Args)]
struct Asked {
    #[command(flatten)]
    place: Place,
    /// How long to wait for the enclave, as in 2m. The order stays when the time is over.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2m")]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Keys that clients seal credentials to.
    Recipient,
    /// The key that records are sealed under.
    Record,
    /// The key that signs receipts.
    Receipt,
}

impl Rotate {
    pub(super) async fn run(&self, named: Option<&Path>) -> Result<(), Failure> {
        let renew = self.only.iter().map(|kind| match kind {
            Kind::Recipient => KeyKind::Recipient,
            Kind::Record => KeyKind::Record,
            Kind::Receipt => KeyKind::Receipt,
        });
        self.asked
            .run(named, renew.collect(), self.retire_after)
            .await
    }
}

impl Retire {
    pub(super) async fn run(&self, named: Option<&Path>) -> Result<(), Failure> {
        self.asked
            .run(named, BTreeSet::new(), Some(self.older_than))
            .await
    }
}

impl Rewrap {
    pub(super) async fn run(&self, named: Option<&Path>) -> Result<(), Failure> {
        self.asked.run(named, BTreeSet::new(), None).await
    }
}

impl Asked {
    async fn run(
        &self,
        named: Option<&Path>,
        renew: BTreeSet<KeyKind>,
        retire_after: Option<Duration>,
    ) -> Result<(), Failure> {
        let change = Change {
            renew,
            retire_after,
            timeout: self.timeout,
        };
        let claims = change.carry_out(&self.place.keyset(named)?).await?;
        match Output::from_flag(self.json) {
            Output::Json => output::json(&json!({
                "keyset_id": claims.keyset_id(),
                "generation": claims.generation,
            })),
            Output::Text => anstream::println!("generation {}", claims.generation),
        }
        Ok(())
    }
}

/// A change that is to be ordered.
struct Change {
    renew: BTreeSet<KeyKind>,
    retire_after: Option<Duration>,
    timeout: Duration,
}

impl Change {
    async fn carry_out(&self, keyset: &KeysetFile) -> Result<Claims, Failure> {
        for _ in 0..ATTEMPTS {
            let before = super::claims(keyset)?;
            let served = self.order(keyset, &before).await?;
            let after = super::claims(keyset)?;
            if after.generation < served {
                return Err(Failure::refused(super::old_copy(served, after.generation)));
            }
            if self.is_done(&before, &after) {
                return Ok(after);
            }
            // The enclave says that the generation is another already, and that was not this.
            anstream::eprintln!(
                "dauth: generation {} came first; the order is given again",
                after.generation
            );
        }
        Err(Failure::refused(
            "the keyset was changed by others each time; wait until they are done, and try again",
        ))
    }

    /// The generation that the enclave serves when the order is carried out, or void.
    async fn order(&self, keyset: &KeysetFile, before: &Claims) -> Result<u64, Failure> {
        let id = random_id()?;
        let change = KeysetChange {
            id: id.clone(),
            from_generation: before.generation,
            renew: self.renew.clone(),
            retire_after_s: self.retire_after.map(|after| after.as_secs()),
        };
        let given = Order {
            keyset: KeysetOrder::Change(change),
        };
        order::give(keyset, &given)?;
        let outcome = order::wait("the enclave", keyset, self.timeout, || {
            outcome_of(keyset, &id)
        });
        let outcome = outcome.await?;
        refusal(keyset, outcome.result)?;
        Ok(outcome.generation)
    }

    fn is_done(&self, before: &Claims, after: &Claims) -> bool {
        let retired = self.retire_after.is_none_or(|retire_after| {
            let after_ms = (retire_after + CLOCK_MARGIN).as_millis();
            after.replaced_before(u64::try_from(after_ms).unwrap_or(u64::MAX)) == 0
        });
        after.renewed(before, &self.renew) && retired
    }
}

fn outcome_of(keyset: &KeysetFile, id: &str) -> Result<Option<OrderOutcome>, Failure> {
    let outcome = keyset.last_outcome().map_err(|e| {
        let file = keyset.path().display();
        Failure::refused(format!("cannot read {file}.outcome: {e}"))
    })?;
    Ok(outcome.filter(|outcome| outcome.id == id))
}

/// What an order that was not carried out means for the operator. The keyset is as it was.
fn refusal(keyset: &KeysetFile, result: OrderResult) -> Result<(), Failure> {
    let file = keyset.path().display();
    let sentence = match result {
        OrderResult::Done => return Ok(()),
        OrderResult::KmsRefused => {
            "KMS gave no data key: either the key policy does not allow this \
             image to use the key (`dauth kms-policy` writes one that does), or the role or KMS \
             itself is at fault; the enclave's events in the parent's log say which"
                .to_owned()
        }
        OrderResult::NotStored => format!(
            "the parent did not store the new generation: its log says why; is there room for \
             {file}, and may the parent write to its folder?"
        ),
        OrderResult::KeysetRefused => format!(
            "the enclave refuses the keyset in {file}: it is not the one that it serves, or not \
             its deployment's; put the right one back, from {} or a backup",
            keyset.previous().display()
        ),
        OrderResult::NotMade => "the enclave could not make the new keys: it keeps as many former \
             ones as a keyset holds (`dauth keys retire --older-than 30d` forgets some), or its \
             security module did not answer; its events in the parent's log say which"
            .to_owned(),
        OrderResult::Malformed => "the enclave does not understand the order: use the `dauth` of \
             the enclave's release"
            .to_owned(),
    };
    Err(Failure::refused(sentence + "; the keyset is as it was"))
}

fn random_id() -> Result<String, Failure> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| Failure::refused("no randomness"))?;
    Ok(hex::encode(id))
}

#[cfg(test)]
mod tests;
