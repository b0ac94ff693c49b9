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
    /// How long ago a record key must have been replaced to be forgotten, as in 30d.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
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
            self.order(keyset, &before).await?;
            let after = super::claims(keyset)?;
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

    async fn order(&self, keyset: &KeysetFile, before: &Claims) -> Result<(), Failure> {
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
        refusal(keyset, outcome.await?.result)
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
mod tests {
    use super::super::order::stand_in::{self, Draft, answer, next_change, store};
    use super::*;

    fn change(renew: &[KeyKind], retire_after: Option<Duration>) -> Change {
        Change {
            renew: renew.iter().copied().collect(),
            retire_after,
            timeout: Duration::from_mins(2),
        }
    }

    const RECORD: [KeyKind; 1] = [KeyKind::Record];

    #[tokio::test(start_paused = true)]
    async fn an_order_is_from_the_present_generation_and_ends_with_the_next() {
        let (_folder, keyset) = stand_in::folder();
        keyset.create(&stand_in::keyset(3, 0)).unwrap();
        let (done, ordered) = tokio::join!(
            async { change(&RECORD, None).carry_out(&keyset).await },
            async {
                let change = next_change(&keyset).await;
                store(
                    &keyset,
                    &Draft {
                        record: 2,
                        ..Draft::new(4)
                    },
                );
                answer(&keyset, &change, OrderResult::Done, 4);
                change
            }
        );
        assert_eq!(done.unwrap().generation, 4);
        assert_eq!(ordered.from_generation, 3);
        assert_eq!(ordered.renew, RECORD.into());
        assert_eq!(ordered.retire_after_s, None);
        assert_eq!(ordered.id.len(), 32);
        assert_eq!(keyset.pending_order().unwrap(), None);
    }

    /// A scheduled change came between reading and order: the order is void, and given again.
    #[tokio::test(start_paused = true)]
    async fn what_another_change_did_is_not_taken_for_this_one() {
        let (_folder, keyset) = stand_in::folder();
        keyset.create(&stand_in::keyset(3, 0)).unwrap();
        let (done, ()) = tokio::join!(
            async { change(&RECORD, None).carry_out(&keyset).await },
            async {
                let first = next_change(&keyset).await;
                let scheduled = Draft {
                    recipient: 2,
                    ..Draft::new(4)
                };
                store(&keyset, &scheduled);
                answer(&keyset, &first, OrderResult::Done, 4);
                let second = next_change(&keyset).await;
                assert_eq!(second.from_generation, 4);
                assert_ne!(second.id, first.id);
                store(
                    &keyset,
                    &Draft {
                        record: 2,
                        recipient: 2,
                        ..Draft::new(5)
                    },
                );
                answer(&keyset, &second, OrderResult::Done, 5);
            }
        );
        assert_eq!(done.unwrap().generation, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_retired_when_the_keyset_does_not_hold_them_any_more() {
        let (_folder, keyset) = stand_in::folder();
        let day_ms = 86_400_000;
        let with = |generation, former_records| Draft {
            made_ms: 100 * day_ms,
            former_records,
            ..Draft::new(generation)
        };
        keyset
            .create(&with(3, vec![90 * day_ms, 10 * day_ms]).to_file())
            .unwrap();
        let retire = change(&[], Some(Duration::from_hours(30 * 24)));
        let (done, ()) = tokio::join!(async { retire.carry_out(&keyset).await }, async {
            let first = next_change(&keyset).await;
            assert_eq!(first.retire_after_s, Some(30 * 86_400));
            store(&keyset, &with(4, vec![90 * day_ms, 10 * day_ms]));
            answer(&keyset, &first, OrderResult::Done, 4);
            let second = next_change(&keyset).await;
            store(&keyset, &with(5, vec![90 * day_ms]));
            answer(&keyset, &second, OrderResult::Done, 5);
        });
        assert_eq!(done.unwrap().generation, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_says_what_to_do() {
        let (_folder, keyset) = stand_in::folder();
        keyset.create(&stand_in::keyset(3, 0)).unwrap();
        for (result, remedy) in [
            (OrderResult::KmsRefused, "`dauth kms-policy`"),
            (OrderResult::NotStored, "may the parent write"),
            (OrderResult::KeysetRefused, "keyset.previous"),
            (OrderResult::NotMade, "`dauth keys retire --older-than 30d`"),
            (OrderResult::Malformed, "the enclave's release"),
        ] {
            let (done, ()) = tokio::join!(
                async { change(&RECORD, None).carry_out(&keyset).await },
                async {
                    let change = next_change(&keyset).await;
                    answer(&keyset, &change, result, 3);
                }
            );
            let sentence = done.unwrap_err().to_string();
            assert!(sentence.contains(remedy), "{sentence}");
            assert!(sentence.ends_with("the keyset is as it was"), "{sentence}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_stays_when_the_time_is_over_and_the_next_replaces_it() {
        let (_folder, keyset) = stand_in::folder();
        keyset.create(&stand_in::keyset(3, 0)).unwrap();
        // Of another order, and of no matter.
        let other = KeysetChange {
            id: "other".to_owned(),
            from_generation: 2,
            renew: BTreeSet::new(),
            retire_after_s: None,
        };
        answer(&keyset, &other, OrderResult::Done, 3);
        let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
        assert!(failure.to_string().contains("keyset.order"), "{failure}");
        let first = next_change(&keyset).await;
        let failure = change(&[], None).carry_out(&keyset).await.unwrap_err();
        assert!(failure.to_string().contains("keyset.order"), "{failure}");
        let second = next_change(&keyset).await;
        assert_ne!(first.id, second.id);
        assert_eq!(second.renew, BTreeSet::new());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_keyset_nothing_is_ordered() {
        let (_folder, keyset) = stand_in::folder();
        let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
        let sentence = failure.to_string();
        assert!(sentence.contains("`dauth keys create`"), "{sentence}");
        assert!(sentence.contains("backup"), "{sentence}");
        std::fs::write(keyset.previous(), "").unwrap();
        let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
        assert!(failure.to_string().contains("keyset.previous"), "{failure}");
        std::fs::write(keyset.path(), "garbage").unwrap();
        let failure = change(&RECORD, None).carry_out(&keyset).await.unwrap_err();
        assert!(failure.to_string().contains("not a keyset"), "{failure}");
        assert_eq!(keyset.pending_order().unwrap(), None);
    }
}
