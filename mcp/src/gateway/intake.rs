//! Taking in bodies whose sender is not authenticated yet: the signature covers the body, so the
//! whole of it comes first. Bounded in size, in time and in number.
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// How much of strangers is taken in.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Bodies at one time.
    pub(super) bodies: usize,
    /// How long to wait for a place among them.
    pub(super) wait: Duration,
    /// How long a body may take.
    pub(super) body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bodies: 64,
            wait: Duration::from_secs(5),
            body: Duration::from_secs(15),
        }
    }
}

/// Why a body is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IntakeError {
    /// There are too many others.
    #[error("too many bodies are being sent; try again later")]
    Busy,
    /// It is longer than the configuration allows.
    #[error("the body is too large")]
    TooLarge,
    /// It takes too long.
    #[error("the body took too long")]
    Slow,
    /// It ended before its end.
    #[error("the body broke off")]
    Broken,
}

/// Where bodies come in.
pub(super) struct Intake {
    max_bytes: usize,
    limits: Limits,
    places: Semaphore,
}

/// A body of nobody known; it holds one of the places.
#[derive(Debug)]
pub(super) struct Unauthenticated<'a> {
    bytes: Bytes,
    _place: SemaphorePermit<'a>,
}

impl Unauthenticated<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the place back: the sender is known now.
    pub(super) fn authenticated(self) -> Bytes {
        self.bytes
    }
}

impl Intake {
    pub(super) fn new(max_bytes: usize, limits: Limits) -> Self {
        Self {
            max_bytes,
            limits,
            places: Semaphore::new(limits.bodies),
        }
    }

    pub(super) async fn read(&self, body: Body) -> Result<Unauthenticated<'_>, IntakeError> {
        let announced = body.size_hint().lower();
        if usize::try_from(announced).map_or(true, |length| length > self.max_bytes) {
            return Err(IntakeError::TooLarge);
        }
        let place = timeout(self.limits.wait, self.places.acquire())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(IntakeError::Busy)?;
        let collecting = Limited::new(body, self.max_bytes).collect();
        let whole = timeout(self.limits.body, collecting)
            .await
            .map_err(|_| IntakeError::Slow)?
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => IntakeError::TooLarge,
                false => IntakeError::Broken,
            })?;
        Ok(Unauthenticated {
            bytes: whole.to_bytes(),
            _place: place,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{convert::Infallible, pin::Pin, task};

    use hyper::body::Frame;

    use super::*;

    /// Sends nothing and does not end.
    pub(in crate::gateway) struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
        ) -> task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            task::Poll::Pending
        }
    }

    const LIMITS: Limits = Limits {
        bodies: 1,
        wait: Duration::from_millis(20),
        body: Duration::from_millis(200),
    };

    #[tokio::test]
    async fn a_body_is_bounded_in_size() {
        let intake = Intake::new(4, LIMITS);
        assert_eq!(
            intake.read(Body::from("abcd")).await.unwrap().bytes(),
            b"abcd"
        );
        let refused = intake.read(Body::from("abcde")).await.unwrap_err();
        assert_eq!(refused, IntakeError::TooLarge);
    }

    #[tokio::test]
    async fn a_slow_body_gives_its_place_back_and_others_do_not_wait_for_ever() {
        let intake = Intake::new(4, LIMITS);
        let (slow, other) = tokio::join!(
            intake.read(Body::new(Silent)),
            intake.read(Body::from("abcd"))
        );
        assert_eq!(slow.unwrap_err(), IntakeError::Slow);
        assert_eq!(other.unwrap_err(), IntakeError::Busy);
        assert!(intake.read(Body::from("abcd")).await.is_ok());
    }

    #[tokio::test]
    async fn an_authenticated_body_holds_no_place() {
        let intake = Intake::new(4, LIMITS);
        let held = intake.read(Body::from("abcd")).await.unwrap();
        let refused = intake.read(Body::from("abcd")).await.unwrap_err();
        assert_eq!(refused, IntakeError::Busy);
        let kept = held.authenticated();
        assert!(intake.read(Body::from(kept)).await.is_ok());
    }
}
