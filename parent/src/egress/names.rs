//! Names that the operator maps to addresses, in the form of `/etc/hosts`.
use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The mapping. It comes before any lookup; its addresses are judged like all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<String, Vec<IpAddr>>);

/// Why a hosts file is not used.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// The file does not open.
    #[error("cannot read the hosts file {}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not `ADDRESS NAME...`.
    #[error("line {line} of the hosts file is not an address and its names")]
    Line {
        /// Counted from 1.
        line: usize,
    },
}

impl Hosts {
    /// Reads `file`.
    pub fn load(file: &Path) -> Result<Self, HostsError> {
        let text = std::fs::read_to_string(file).map_err(|source| HostsError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Parses lines of an address and its names; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, HostsError> {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_whitespace();
            let Some(address) = words.next() else {
                continue;
            };
            let malformed = HostsError::Line { line: number + 1 };
            let Ok(address) = address.parse() else {
                return Err(malformed);
            };
            let mut words = words.peekable();
            if words.peek().is_none() {
                return Err(malformed);
            }
            for name in words {
                names
                    .entry(name.to_ascii_lowercase())
                    .or_default()
                    .push(address);
            }
        }
        Ok(Self(names))
    }

    /// The addresses of a name in lower case, when it is mapped.
    pub fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_many_addresses_and_an_address_many_names() {
        let hosts = Hosts::parse("# mine\n127.0.0.1 a.test B.test # both\n\n::1 a.test\n").unwrap();
        let addresses: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(hosts.addresses("a.test"), Some(addresses.as_slice()));
        assert_eq!(hosts.addresses("b.test").map(<[_]>::len), Some(1));
        assert_eq!(hosts.addresses("c.test"), None);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for text in ["\na.test 127.0.0.1", "\n127.0.0.1", "\n127.1 a.test"] {
            assert!(
                matches!(Hosts::parse(text), Err(HostsError::Line { line: 2 })),
                "{text}"
            );
        }
    }
}
