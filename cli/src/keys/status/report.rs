//! The state of a keyset, for a person or for a program.
use dauth_parent::host::KeysetFile;
use dauth_protocol::host::{KeysetOrder, Order, OrderOutcome, OrderResult};
use serde_json::{Value, json};

use super::super::{claims::Claims, order};
use crate::output::{self, Output, utc};

/// What the enclave says of its keyset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attested {
    /// Without a profile there is nobody to ask.
    NotAsked,
    /// It could not be asked, or its evidence was refused.
    NotKnown(String),
    /// This, by evidence that was appraised.
    As {
        /// Hexadecimal.
        keyset_id: String,
        generation: u64,
    },
}

pub(super) struct Report<'a> {
    pub(super) keyset: &'a KeysetFile,
    pub(super) claims: &'a Claims,
    pub(super) attested: &'a Attested,
    pub(super) now_ms: u64,
}

impl Report<'_> {
    pub(super) fn print(&self, output: Output) {
        match output {
            Output::Json => output::json(&self.to_json()),
            Output::Text => {
                for (name, value) in self.lines() {
                    anstream::println!("{name:<14} {value}");
                }
            }
        }
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let claims = self.claims;
        let known = |text: &Option<String>| text.as_deref().map_or("unknown".into(), printable);
        let oldest = (claims.former_records.iter())
            .map(|former| former.superseded_ms)
            .min()
            .map(|ms| format!(", the oldest replaced {}", self.when(ms)))
            .unwrap_or_default();
        vec![
            ("file", self.keyset.path().display().to_string()),
            (
                "keyset",
                format!(
                    "{} (the file's claim, as is what follows)",
                    claims.keyset_id()
                ),
            ),
            ("deployment", known(&claims.deployment)),
            ("KMS key", known(&claims.key_arn)),
            (
                "generation",
                match claims.made_ms {
                    Some(ms) => format!("{}, made {}", claims.generation, self.when(ms)),
                    None => claims.generation.to_string(),
                },
            ),
            (
                "recipient keys",
                format!(
                    "{}{} former",
                    claims
                        .recipients_made_ms
                        .map(|ms| format!("made {}, ", self.when(ms)))
                        .unwrap_or_default(),
                    claims.former_recipients.len()
                ),
            ),
            (
                "record key",
                format!(
                    "{}{} former{oldest}",
                    claims
                        .record_since_ms()
                        .map(|ms| format!("since {}, ", self.when(ms)))
                        .unwrap_or_default(),
                    claims.former_records.len()
                ),
            ),
            (
                "receipt key",
                format!("{} former", claims.former_receipt_keys.len()),
            ),
            ("order", self.order()),
            ("last outcome", self.outcome()),
            ("attested", self.attested()),
        ]
    }

    fn when(&self, ms: u64) -> String {
        format!("{} ({})", utc(ms / 1000), age(self.now_ms, ms))
    }

    fn order(&self) -> String {
        match self.keyset.pending_order() {
            Ok(None) => "none".to_owned(),
            Ok(Some(order)) => order::describe(&order),
            Err(error) => format!("cannot be read: {error}"),
        }
    }

    fn outcome(&self) -> String {
        match self.keyset.last_outcome() {
            Ok(None) => "none".to_owned(),
            Ok(Some(outcome)) => {
                let words = result_name(outcome.result);
                format!("{words}, at generation {}", outcome.generation)
            }
            Err(error) => format!("cannot be read: {error}"),
        }
    }

    fn attested(&self) -> String {
        match self.attested {
            Attested::NotAsked => "not asked: needs a profile".to_owned(),
            Attested::NotKnown(why) => format!("not known: {}", printable(why)),
            Attested::As {
                keyset_id,
                generation,
            } => format!("generation {generation} of keyset {keyset_id}"),
        }
    }

    fn to_json(&self) -> Value {
        let claims = self.claims;
        let time = |ms: Option<u64>| ms.map(|ms| utc(ms / 1000));
        json!({
            "file": self.keyset.path(),
            "claims": {
                "keyset_id": claims.keyset_id(),
                "generation": claims.generation,
                "deployment": claims.deployment,
                "kms_key": claims.key_arn,
                "made": time(claims.made_ms),
                "recipient": {
                    "made": time(claims.recipients_made_ms),
                    "former": claims.former_recipients.len(),
                },
                "record": {
                    "since": time(claims.record_since_ms()),
                    "former": claims.former_records.len(),
                    "oldest_replaced": time(
                        claims.former_records.iter().map(|f| f.superseded_ms).min()
                    ),
                },
                "receipt": { "former": claims.former_receipt_keys.len() },
            },
            "order": self.keyset.pending_order().ok().flatten().map(|order| order_json(&order)),
            "outcome": self.keyset.last_outcome().ok().flatten().map(|o| outcome_json(&o)),
            "attested": match self.attested {
                Attested::NotAsked => Value::Null,
                Attested::NotKnown(why) => json!({ "error": why }),
                Attested::As { keyset_id, generation } => json!({
                    "keyset_id": keyset_id,
                    "generation": generation,
                }),
            },
        })
    }
}

fn order_json(order: &Order) -> Value {
    match &order.keyset {
        KeysetOrder::Change(change) => json!({ "change": change }),
        other => json!(other),
    }
}

fn outcome_json(outcome: &OrderOutcome) -> Value {
    json!({ "id": outcome.id, "result": outcome.result, "generation": outcome.generation })
}

fn result_name(result: OrderResult) -> &'static str {
    match result {
        OrderResult::Done => "done",
        OrderResult::KmsRefused => "refused by KMS",
        OrderResult::NotStored => "not stored by the parent",
        OrderResult::KeysetRefused => "the keyset was refused by the enclave",
        OrderResult::NotMade => "new keys could not be made",
        OrderResult::Malformed => "not understood by the enclave",
    }
}

/// How long ago, in the largest unit that has one.
fn age(now_ms: u64, then_ms: u64) -> String {
    let Some(ms) = now_ms.checked_sub(then_ms) else {
        return "in the future".to_owned();
    };
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Text of a file that is not trusted, for a terminal that obeys control characters.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::order::stand_in::{self, Draft};
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn report(draft: &Draft, then: impl FnOnce(&KeysetFile, Report<'_>)) {
        let (_folder, keyset) = stand_in::folder();
        let claims = Claims::read(&draft.to_file()).unwrap();
        let attested = Attested::NotKnown("no\u{1b}[2Jroute".to_owned());
        let report = Report {
            keyset: &keyset,
            claims: &claims,
            attested: &attested,
            now_ms: 100 * DAY_MS,
        };
        then(&keyset, report);
    }

    #[test]
    fn says_what_the_file_claims_and_what_is_ordered() {
        let draft = Draft {
            made_ms: 95 * DAY_MS,
            former_records: vec![90 * DAY_MS, 10 * DAY_MS],
            ..Draft::new(4)
        };
        report(&draft, |keyset, report| {
            let create = Order {
                keyset: KeysetOrder::Create,
            };
            keyset.give_order(&create).unwrap();
            let outcome = OrderOutcome {
                id: "a".to_owned(),
                result: OrderResult::Done,
                generation: 4,
            };
            keyset.record_outcome(&outcome).unwrap();
            let lines = report.lines();
            let line = |name: &str| lines.iter().find(|l| l.0 == name).unwrap().1.clone();
            assert!(line("keyset").starts_with(&"07".repeat(16)));
            assert!(line("keyset").contains("claim"));
            assert_eq!(line("deployment"), "demo");
            assert!(line("generation").starts_with("4, made 1970-04-06"));
            assert!(line("generation").ends_with("(5 days ago)"));
            assert!(line("record key").contains("2 former, the oldest replaced 1970-01-11"));
            assert_eq!(line("order"), "create a keyset");
            assert_eq!(line("last outcome"), "done, at generation 4");
            assert!(!line("attested").contains('\u{1b}'));

            let json = report.to_json();
            assert_eq!(json["claims"]["generation"], 4);
            assert_eq!(json["claims"]["record"]["former"], 2);
            assert_eq!(json["order"], "create");
            assert_eq!(json["outcome"]["result"], "done");
            assert!(json["attested"]["error"].is_string());
        });
    }

    #[test]
    fn a_file_of_an_unknown_layout_is_shown_as_far_as_it_goes() {
        report(&Draft::new(1), |_, report| {
            let lines = report.lines();
            assert!(lines.contains(&("order", "none".to_owned())));
            assert!(lines.contains(&("last outcome", "none".to_owned())));
            assert!(lines.contains(&("record key", "0 former".to_owned())));
        });
    }

    #[test]
    fn ages() {
        for (seconds, text) in [
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7_199, "119 min ago"),
            (7_200, "2 h ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(age(seconds * 1000, 0), text);
        }
        assert_eq!(age(0, 1), "in the future");
    }
}
