//! What the parent offers in the place of the generation that serves.
use std::{sync::atomic::Ordering, time::Duration};

use dauth_protocol::host::keyset_tag;
use tokio::time::{Instant, sleep_until};

use super::{Keeper, patience::Patience};
use crate::{
    event::{Event, KeysetRefusal},
    host::KeysetNews,
    keyset::{Keyset, KeysetError, generation},
};

/// What is remembered of files that were offered.
#[derive(Default)]
pub(super) struct Reading {
    /// When the parent was last asked.
    began: Option<Instant>,
    /// The file that was offered last, if it was refused.
    refused: Option<Refused>,
}

/// A file that is not what serves.
struct Refused {
    /// Of the file; empty where there is none.
    tag: String,
    again: Again,
}

/// Whether to look at a file again.
#[derive(Clone, Copy)]
enum Again {
    /// Its bytes are why it was refused.
    Never,
    /// KMS or the module are why, and may do better.
    Later(Patience),
}

/// What the parent offers, once it has been looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// No later generation than the one that serves by now.
    NothingLater,
    /// Perhaps one; it could not be had, or not be verified yet.
    Unknown,
}

impl Reading {
    /// Waits until the parent was asked at least `interval` ago.
    pub(super) async fn pause(&self, interval: Duration) {
        if let Some(began) = self.began {
            sleep_until(began + interval).await;
        }
    }

    fn refused(&self, tag: &str) -> Option<Again> {
        let refused = self.refused.as_ref().filter(|refused| refused.tag == tag);
        refused.map(|refused| refused.again)
    }
}

impl Keeper {
    /// Takes over a later generation, if the parent has one.
    pub(super) async fn read(&self, reading: &mut Reading) {
        self.0.readings.fetch_add(1, Ordering::AcqRel);
        reading.began = Some(Instant::now());
        let offer = self.take_over(reading).await;
        self.0
            .lags
            .store(offer == Offer::Unknown, Ordering::Release);
    }

    async fn take_over(&self, reading: &mut Reading) -> Offer {
        let serving = self.current();
        let known = match &reading.refused {
            Some(Refused {
                tag,
                again: Again::Never,
            }) => tag.as_str(),
            _ => serving.keyset().tag(),
        };
        let bytes = match self.context().host.keyset_unless(known).await {
            Ok(KeysetNews::Other(bytes)) => bytes,
            // What serves goes on; the operator is told that its file is gone.
            Ok(KeysetNews::Missing) => {
                self.refuse(reading, "", &KeysetError::Missing);
                return Offer::NothingLater;
            }
            Ok(KeysetNews::Same) => return Offer::NothingLater,
            Err(_) => return Offer::Unknown,
        };
        let tag = keyset_tag(&bytes);
        if tag == serving.keyset().tag() {
            reading.refused = None;
            return Offer::NothingLater;
        }
        match reading.refused(&tag) {
            Some(Again::Never) => return Offer::NothingLater,
            Some(Again::Later(patience)) if !patience.is_over() => return Offer::Unknown,
            _ => {}
        }
        // Without a time nothing is verified, and nothing served either.
        let Some(now_ms) = self.now_ms() else {
            return Offer::Unknown;
        };
        match self.later(serving.keyset(), &bytes, now_ms).await {
            Ok(keyset) => {
                reading.refused = None;
                self.adopt(keyset);
                Offer::NothingLater
            }
            Err(error) => {
                self.refuse(reading, &tag, &error);
                if error.is_final() {
                    Offer::NothingLater
                } else {
                    Offer::Unknown
                }
            }
        }
    }

    /// The keyset in a file, which must be a later generation of `keyset`. KMS is not asked for the
    /// key of another.
    async fn later(
        &self,
        keyset: &Keyset,
        bytes: &[u8],
        now_ms: u64,
    ) -> Result<Keyset, KeysetError> {
        let born = generation::born(self.context(), bytes, now_ms).await?;
        keyset.statement.is_followed_by(born.statement())?;
        generation::released(self.context(), born, bytes).await
    }

    /// Notes a refusal, once for each file that is offered.
    fn refuse(&self, reading: &mut Reading, tag: &str, error: &KeysetError) {
        let before = reading.refused(tag);
        if before.is_none() {
            self.events().note(Event::KeysetRefused {
                reason: KeysetRefusal::from(error),
            });
        }
        let again = match before {
            _ if error.is_final() => Again::Never,
            Some(Again::Later(patience)) => Again::Later(patience.after_failure()),
            _ => Again::Later(Patience::default().after_failure()),
        };
        reading.refused = Some(Refused {
            tag: tag.to_owned(),
            again,
        });
    }
}
