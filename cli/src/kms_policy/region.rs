//! An AWS region, by its form: new ones come without a release of DAuth.
use core::{fmt, str::FromStr};

/// A region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region(String);

impl Region {
    /// The partition whose ARNs it has, where its name says so.
    pub(crate) fn partition(&self) -> Option<&'static str> {
        let name = self.0.as_str();
        if name.starts_with("cn-") {
            Some("aws-cn")
        } else if name.starts_with("us-gov-") {
            Some("aws-us-gov")
        } else if name.contains("iso") || name.starts_with("eusc-") {
            None
        } else {
            Some("aws")
        }
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, InvalidRegion> {
        let parts: Vec<&str> = text.split('-').collect();
        let [names @ .., number] = parts.as_slice() else {
            return Err(InvalidRegion);
        };
        let is_name = |part: &&str| {
            (2..=12).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase())
        };
        let is_number =
            (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        if (2..=3).contains(&names.len()) && names.iter().all(is_name) && is_number {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRegion)
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidRegion;

impl core::error::Error for InvalidRegion {}

impl fmt::Display for InvalidRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a region: expected a name as eu-west-1")
    }
}
