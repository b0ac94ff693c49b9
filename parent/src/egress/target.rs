//! The target of `CONNECT` (RFC 9110 section 9.3.6): one spelling of each host, and a port.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub host: Host,
    /// The port; not 0.
    pub port: u16,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name, lower case, without a trailing dot.
    Name(String),
    /// An address literal; IPv6 in brackets.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(address) => address.fmt(f),
        }
    }
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// No port, or not a number from 1 to 65535 without leading zeros.
    #[error("a target needs a port from 1 to 65535")]
    Port,
    /// Brackets around something else than an IPv6 address, or an IPv6 address without them.
    #[error("brackets belong around an IPv6 address, and around nothing else")]
    Brackets,
    /// A number that some resolvers take for an address and others for a name.
    #[error("an IPv4 address is four decimal numbers without leading zeros")]
    NumericForm,
    /// Not a DNS name in ASCII (IDNs in their A-label form), or with a trailing dot.
    #[error("not a DNS name")]
    Name,
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidTarget::Port)?;
        Ok(Self {
            host: parse_host(host)?,
            port: parse_port(port)?,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, InvalidTarget> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if is_plain => Ok(port),
        _ => Err(InvalidTarget::Port),
    }
}

fn parse_host(text: &str) -> Result<Host, InvalidTarget> {
    if text.starts_with('[') || text.ends_with(']') || text.contains(':') {
        return text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|address| address.parse::<Ipv6Addr>().ok())
            .map(|address| Host::Address(address.into()))
            .ok_or(InvalidTarget::Brackets);
    }
    let name = text.to_ascii_lowercase();
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(InvalidTarget::Name);
    }
    // WHATWG URL, "ends in a number": such a host is an address or it is nothing.
    if name.rsplit('.').next().is_some_and(is_numeric) {
        return name
            .parse::<Ipv4Addr>()
            .map(|address| Host::Address(address.into()))
            .map_err(|_| InvalidTarget::NumericForm);
    }
    Ok(Host::Name(name))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// No top-level domain begins with a digit, so `0x7f` and `1` are both taken for numbers.
fn is_numeric(label: &str) -> bool {
    label.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_each_target_is_taken() {
        for (text, host) in [
            ("api.example.com:443", "api.example.com"),
            ("API.Example.com:443", "api.example.com"),
            ("localhost:443", "localhost"),
            ("1.2.3.4:443", "1.2.3.4"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[::ffff:1.2.3.4]:443", "::ffff:1.2.3.4"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.host.to_string().as_str(), target.port), (host, 443));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let long = format!("{}:443", "a.".repeat(127) + "com");
        let long_label = format!("{}.com:443", "a".repeat(64));
        for (text, error) in [
            ("", InvalidTarget::Port),
            ("example.com", InvalidTarget::Port),
            ("example.com:", InvalidTarget::Port),
            ("example.com:0", InvalidTarget::Port),
            ("example.com:0443", InvalidTarget::Port),
            ("example.com:+443", InvalidTarget::Port),
            ("example.com:-1", InvalidTarget::Port),
            ("example.com: 443", InvalidTarget::Port),
            ("example.com:65536", InvalidTarget::Port),
            ("example.com:https", InvalidTarget::Port),
            ("[::1]", InvalidTarget::Brackets),
            ("::1:443", InvalidTarget::Brackets),
            ("[::1:443", InvalidTarget::Brackets),
            ("::1]:443", InvalidTarget::Brackets),
            ("[[::1]]:443", InvalidTarget::Brackets),
            ("[fe80::1%eth0]:443", InvalidTarget::Brackets),
            ("[fe80::1%25eth0]:443", InvalidTarget::Brackets),
            ("[127.0.0.1]:443", InvalidTarget::Brackets),
            ("[example.com]:443", InvalidTarget::Brackets),
            ("[v1.a]:443", InvalidTarget::Brackets),
            ("user:pass@example.com:443", InvalidTarget::Brackets),
            ("user@example.com:443", InvalidTarget::Name),
            (":443", InvalidTarget::Name),
            ("example.com.:443", InvalidTarget::Name),
            (".example.com:443", InvalidTarget::Name),
            ("example..com:443", InvalidTarget::Name),
            ("-a.example:443", InvalidTarget::Name),
            ("exa mple.com:443", InvalidTarget::Name),
            ("example.com/a:443", InvalidTarget::Name),
            ("ex\u{e4}mple.com:443", InvalidTarget::Name),
            ("example\u{3002}com:443", InvalidTarget::Name),
            ("127.0.0.1.:443", InvalidTarget::Name),
            ("127.1:443", InvalidTarget::NumericForm),
            ("2130706433:443", InvalidTarget::NumericForm),
            ("0x7f000001:443", InvalidTarget::NumericForm),
            ("0x7f.0.0.1:443", InvalidTarget::NumericForm),
            ("0177.0.0.1:443", InvalidTarget::NumericForm),
            ("127.0.0.0x1:443", InvalidTarget::NumericForm),
            ("127.0.0.01:443", InvalidTarget::NumericForm),
            ("256.0.0.1:443", InvalidTarget::NumericForm),
            ("1.2.3.4.5:443", InvalidTarget::NumericForm),
            (&long, InvalidTarget::Name),
            (&long_label, InvalidTarget::Name),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
        }
    }
}
