//! How Cargo compiles.

/// A profile of Cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// What `--release` on a command line means.
    pub(crate) fn of(is_release: bool) -> Self {
        if is_release { Self::Release } else { Self::Dev }
    }

    /// For Cargo's command line.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Release => &["--release"],
        }
    }

    /// Within the target folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}
