//! Opaque names of connections.
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limit::MAX_HANDLE_BYTES;

/// The opaque name of a connection: `ddls:conn:<uuid v7>`, chosen by the client.
///
/// It is unique per owner and says nothing by itself: a handle opens nothing without a token that
/// names it.
///
/// ```
/// use dauth_protocol::Handle;
/// let handle: Handle = "ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f".parse().unwrap();
/// assert_eq!(handle.as_str().len(), 46);
/// assert!("ddls:conn:../etc".parse::<Handle>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

impl Handle {
    /// The handle of a UUID (version 7, RFC 9562) that the client made.
    pub fn from_uuid(uuid: impl fmt::Display) -> Result<Self, InvalidHandle> {
        format!("ddls:conn:{uuid}").parse()
    }

    /// The handle as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = InvalidHandle;

    /// Accepts `^ddls:conn[_:][\w\-]+$` (ASCII), at most [`MAX_HANDLE_BYTES`].
    fn from_str(text: &str) -> Result<Self, InvalidHandle> {
        if text.len() > MAX_HANDLE_BYTES {
            return Err(InvalidHandle);
        }
        let id = text
            .strip_prefix("ddls:conn:")
            .or_else(|| text.strip_prefix("ddls:conn_"))
            .ok_or(InvalidHandle)?;
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if id.is_empty() || !id.bytes().all(is_word) {
            return Err(InvalidHandle);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Handle {
    type Error = InvalidHandle;

    fn try_from(text: String) -> Result<Self, InvalidHandle> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a connection handle: expected ddls:conn:<uuid>")]
pub struct InvalidHandle;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_both_separators() {
        for text in ["ddls:conn:a", "ddls:conn_A-9_z"] {
            assert_eq!(text.parse::<Handle>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_the_pattern_refuses() {
        let long = format!("ddls:conn:{}", "a".repeat(MAX_HANDLE_BYTES));
        for text in [
            "",
            "ddls:conn",
            "ddls:conn:",
            "ddls:conn-a",
            "DDLS:conn:a",
            "ddls:conn:é",
            "ddls:conn:a/b",
            "ddls:conn:a\n",
            " ddls:conn:a",
            &long,
        ] {
            assert_eq!(text.parse::<Handle>(), Err(InvalidHandle), "{text:?}");
        }
    }
}
