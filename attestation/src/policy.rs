//! What a relying party requires of evidence (RFC 9334 section 8.5: appraisal policy).
use core::time::Duration;

use crate::{
    Error, ReferenceValues,
    document::{Document, Pcrs},
};

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

/// Which user data the document must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserDataRule {
    /// Any or none. What it means is then for the caller to ask of the result.
    Any,
    /// These bytes. None at all would be no requirement: an empty value is refused.
    Equals(Vec<u8>),
    /// This purpose tag, and anything after it: a document made for one purpose serves no other. An
    /// empty tag is refused.
    Tagged(Vec<u8>),
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
///
/// ```
/// use core::time::Duration;
/// use dauth_attestation::{AgeRule, Images, NonceRule, Policy, ReferenceValues, UserDataRule};
///
/// let release = ReferenceValues::new()
///     .with_pcr(0, &[0x5a; 48])
///     .with_role_arn("arn:aws:iam::123456789012:role/Webserver");
/// let policy = Policy {
///     nonce: NonceRule::Equals(vec![7; 32]),
///     user_data: UserDataRule::Tagged(b"evidence-v1:".to_vec()),
///     age: AgeRule::AtMost(Duration::from_secs(60)),
///     ..Policy::new(Images::AnyOf(vec![release]))
/// };
/// assert_eq!(policy.leeway, Policy::DEFAULT_LEEWAY);
/// ```
///
/// Name the rest by `..Policy::new(images)`: a rule that is added later then has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The images.
    pub images: Images,
    /// The nonce.
    pub nonce: NonceRule,
    /// The user data, with its purpose.
    pub user_data: UserDataRule,
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

    /// A strict policy for `images`: at most five minutes old, ten seconds of leeway, no debug mode.
    /// It refuses every document until [`Policy::nonce`] is set to the nonce that was sent, or to
    /// [`NonceRule::Any`]. User data may be any: whoever relies on it names what it must be.
    pub fn new(images: Images) -> Self {
        Self {
            images,
            nonce: NonceRule::Equals(Vec::new()),
            user_data: UserDataRule::Any,
            age: AgeRule::AtMost(Self::DEFAULT_MAX_AGE),
            leeway: Self::DEFAULT_LEEWAY,
            debug_mode: DebugMode::Refuse,
        }
    }

    /// Appraises the claims of a document whose signature has been verified. Says which release it
    /// is of.
    pub(crate) fn check(
        &self,
        document: &Document<'_>,
        now_ms: u64,
    ) -> Result<Option<usize>, Error> {
        self.check_debug_mode(&document.pcrs)?;
        let release = self.check_images(&document.pcrs)?;
        self.check_nonce(document.nonce)?;
        self.check_user_data(document.user_data)?;
        self.check_age(document.timestamp_ms, now_ms)?;
        Ok(release)
    }

    fn check_debug_mode(&self, pcrs: &Pcrs<'_>) -> Result<(), Error> {
        if self.debug_mode == DebugMode::Allow {
            return Ok(());
        }
        zero_boot_register(pcrs).map_or(Ok(()), |index| Err(Error::DebugMode(index)))
    }

    fn check_images(&self, pcrs: &Pcrs<'_>) -> Result<Option<usize>, Error> {
        let releases = match &self.images {
            Images::Unconstrained => return Ok(None),
            Images::AnyOf(releases) => releases,
        };
        if releases.iter().any(ReferenceValues::is_empty) {
            return Err(Error::NoReferenceValues);
        }
        let mut nearest = None;
        for (index, release) in releases.iter().enumerate() {
            match release.mismatch(pcrs) {
                None => return Ok(Some(index)),
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

    fn check_user_data(&self, user_data: Option<&[u8]>) -> Result<(), Error> {
        let user_data = user_data.unwrap_or_default();
        match &self.user_data {
            UserDataRule::Any => Ok(()),
            UserDataRule::Equals(expected) | UserDataRule::Tagged(expected)
                if expected.is_empty() =>
            {
                Err(Error::NoExpectedUserData)
            }
            UserDataRule::Equals(expected) if user_data == expected => Ok(()),
            UserDataRule::Equals(_) => Err(Error::UserData),
            UserDataRule::Tagged(tag) if user_data.starts_with(tag) => Ok(()),
            UserDataRule::Tagged(_) => Err(Error::Purpose),
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

/// The first register of the boot image that is zero, as it is in debug mode. PCR3 is zero too where
/// the instance has no role: that says nothing.
pub(crate) fn zero_boot_register(pcrs: &Pcrs<'_>) -> Option<u16> {
    let is_zero = |pcr: Option<&[u8]>| pcr.is_some_and(|value| value.iter().all(|&byte| byte == 0));
    (0..)
        .zip(pcrs.iter().take(3))
        .find(|(_, pcr)| is_zero(**pcr))
        .map(|(index, _)| index)
}
