//! `dauth keys create`
use std::{path::Path, time::Duration};

use clap::Args;
use dauth_parent::host::KeysetFile;
use dauth_protocol::host::{KeysetOrder, Order};
use serde_json::json;

use super::{Place, claims::Claims, order};
use crate::{
    duration,
    failure::{Failure, sentence},
    output::{self, Output},
};

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    place: Place,
    /// How long to wait for the enclave, as in 2m. The order stays when the time is over.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2m")]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(super) async fn run(&self, named: Option<&Path>) -> Result<(), Failure> {
        let claims = create(&self.place.keyset(named)?, self.timeout).await?;
        match Output::from_flag(self.json) {
            Output::Json => output::json(&json!({
                "keyset_id": claims.keyset_id(),
                "generation": claims.generation,
            })),
            Output::Text => anstream::println!(
                "keyset {}, generation {}",
                claims.keyset_id(),
                claims.generation
            ),
        }
        Ok(())
    }
}

async fn create(keyset: &KeysetFile, timeout: Duration) -> Result<Claims, Failure> {
    let file = keyset.path().display();
    if super::read(keyset)?.is_some() {
        return Err(Failure::refused(format!(
            "there is a keyset in {file} already; `dauth keys rotate` replaces its keys"
        )));
    }
    // Another keyset beside it would make every record unreadable that the lost one opens.
    let previous = keyset.previous();
    if previous.exists() {
        let previous = previous.display();
        return Err(Failure::refused(format!(
            "there was a keyset in {file}: put a backup of its last generation there, or else copy \
             {previous}, which is one generation older; or move that away to give up what they open"
        )));
    }
    let create = Order {
        keyset: KeysetOrder::Create,
    };
    order::give(keyset, &create)?;
    let bytes = order::wait("the keyset", keyset, timeout, || super::read(keyset)).await?;
    Claims::read(&bytes)
        .map_err(|e| Failure::refused(format!("{file} is not a keyset: {}", sentence(&e))))
}

#[cfg(test)]
mod tests {
    use super::super::order::stand_in;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_until_the_enclave_has_made_it() {
        let (_folder, keyset) = stand_in::folder();
        let (created, ()) = tokio::join!(create(&keyset, Duration::from_mins(2)), async {
            stand_in::wait_for(&keyset, |order| *order == KeysetOrder::Create).await;
            keyset.create(&stand_in::keyset(1, 0)).unwrap();
        });
        assert_eq!(created.unwrap().generation, 1);
        assert_eq!(keyset.pending_order().unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_stays_when_no_enclave_comes() {
        let (_folder, keyset) = stand_in::folder();
        let failure = create(&keyset, Duration::from_mins(2)).await.unwrap_err();
        let sentence = failure.to_string();
        assert!(sentence.contains("keyset.order"), "{sentence}");
        assert_eq!(keyset.order().keyset, KeysetOrder::Create);
    }

    #[tokio::test(start_paused = true)]
    async fn takes_the_place_of_no_keyset_present_or_lost() {
        let (_folder, keyset) = stand_in::folder();
        keyset.create(&stand_in::keyset(1, 0)).unwrap();
        let failure = create(&keyset, Duration::from_mins(2)).await.unwrap_err();
        assert!(failure.to_string().contains("already"), "{failure}");
        assert_eq!(keyset.pending_order().unwrap(), None);

        std::fs::rename(keyset.path(), keyset.previous()).unwrap();
        let failure = create(&keyset, Duration::from_mins(2)).await.unwrap_err();
        assert!(failure.to_string().contains("keyset.previous"), "{failure}");
        assert_eq!(keyset.pending_order().unwrap(), None);
    }
}
