//! What a relying party requires of evidence (RFC 9334 section 8.5: appraisal policy).
use core::time::Duration;
use std::collections::BTreeMap;

use crate::{
    Error,
    document::{Document, Pcrs},
};

/// The measurements of one release (RFC 9334 section 8.3).
///
/// A document matches when it has each of these PCRs with this value. A set without PCRs matches
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceValues {
    pcrs: BTreeMap<u16, Vec<u8>>,
}

impl ReferenceValues {
    /// No PCR yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires PCR `index` to have `value`.
    #[must_use]
    pub fn with_pcr(mut self, index: u16, value: &[u8]) -> Self {
        self.pcrs.insert(index, value.to_vec());
        self
    }

    /// The PCRs required, in order.
    pub fn pcrs(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.pcrs
            .iter()
            .map(|(&index, value)| (index, value.as_slice()))
    }

    /// The first PCR that differs.
    fn mismatch(&self, pcrs: &Pcrs<'_>) -> Option<u16> {
        self.pcrs()
            .find(|&(index, value)| pcrs.get(usize::from(index)) != Some(&Some(value)))
            .map(|(index, _)| index)
    }
}

/// Which images may be what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    /// One of these releases.
    AnyOf(Vec<ReferenceValues>),
    /// Any image: the result says only what runs, not that it is right. For tools that print.
    Unconstrained,
}

/// Which nonce the document must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NonceRule {
    /// This one. An empty one is refused: it would be no challenge.
    Equals(Vec<u8>),
    /// Any or none: freshness comes from elsewhere, or is not needed.
    Any,
}

/// How old the document may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeRule {
    /// At most this; and it may not be from the future, beyond the leeway.
    AtMost(Duration),
    /// Its timestamp is not compared with the time given.
    Any,
}

/// What to do with an enclave that was started with `--debug-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugMode {
    /// Refuse it: the host reads its console, and its measurements are zero.
    Refuse,
    /// Accept it. For diagnosis alone.
    Allow,
}

/// What a relying party requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The images.
    pub images: Images,
    /// The nonce.
    pub nonce: NonceRule,
    /// The age.
    pub age: AgeRule,
    /// Allowance for clocks that differ: on notBefore of the signing certificate, which AWS does
    /// not backdate, and on a timestamp in the future. On nothing else.
    pub leeway: Duration,
    /// Debug mode.
    pub debug_mode: DebugMode,
}

impl Policy {
    /// The oldest document that the default accepts.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
    /// The default allowance for clocks.
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(10);

    /// The strictest policy for `images`. It refuses every document until [`Policy::nonce`] is set
    /// to the nonce that was sent, or to [`NonceRule::Any`].
    pub fn new(images: Images) -> Self {
        Self {
            images,
            nonce: NonceRule::Equals(Vec::new()),
            age: AgeRule::AtMost(Self::DEFAULT_MAX_AGE),
            leeway: Self::DEFAULT_LEEWAY,
            debug_mode: DebugMode::Refuse,
        }
    }

    /// Appraises the claims of a document whose signature has been verified.
    pub(crate) fn check(&self, document: &Document<'_>, now_ms: u64) -> Result<(), Error> {
        self.check_debug_mode(&document.pcrs)?;
        self.check_images(&document.pcrs)?;
        self.check_nonce(document.nonce)?;
        self.check_age(document.timestamp_ms, now_ms)
    }

    fn check_debug_mode(&self, pcrs: &Pcrs<'_>) -> Result<(), Error> {
        if self.debug_mode == DebugMode::Allow {
            return Ok(());
        }
        // PCR3 is zero too where the instance has no role: that says nothing.
        for (index, pcr) in (0..).zip(pcrs.iter().take(3)) {
            if pcr.is_some_and(|value| value.iter().all(|&byte| byte == 0)) {
                return Err(Error::DebugMode(index));
            }
        }
        Ok(())
    }

    fn check_images(&self, pcrs: &Pcrs<'_>) -> Result<(), Error> {
        let releases = match &self.images {
            Images::Unconstrained => return Ok(()),
            Images::AnyOf(releases) => releases,
        };
        let mut nearest = None;
        for release in releases {
            if release.pcrs.is_empty() {
                return Err(Error::NoReferenceValues);
            }
            match release.mismatch(pcrs) {
                None => return Ok(()),
                // The release that agrees the furthest is the one meant.
                mismatch => nearest = nearest.max(mismatch),
            }
        }
        Err(nearest.map_or(Error::NoReferenceValues, Error::UnknownImage))
    }

    fn check_nonce(&self, nonce: Option<&[u8]>) -> Result<(), Error> {
        match &self.nonce {
            NonceRule::Any => Ok(()),
            NonceRule::Equals(expected) if expected.is_empty() => Err(Error::NoExpectedNonce),
            NonceRule::Equals(expected) if nonce == Some(expected) => Ok(()),
            NonceRule::Equals(_) => Err(Error::Nonce),
        }
    }

    fn check_age(&self, timestamp_ms: u64, now_ms: u64) -> Result<(), Error> {
        let AgeRule::AtMost(max_age) = self.age else {
            return Ok(());
        };
        let ahead_ms = timestamp_ms.saturating_sub(now_ms);
        if u128::from(ahead_ms) > self.leeway.as_millis() {
            return Err(Error::FromTheFuture { ahead_ms });
        }
        let age_ms = now_ms.saturating_sub(timestamp_ms);
        if u128::from(age_ms) > max_age.as_millis() {
            return Err(Error::TooOld { age_ms });
        }
        Ok(())
    }
}
