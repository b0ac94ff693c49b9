//! Which addresses lie in the operator's own network, or only seem not to.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A kind of address that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0.0.0.0/8` and `::`: this host (RFC 1122 section 3.2.1.3).
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `169.254.169.254`, `169.254.170.2`, `fd00:ec2::/32` and the like: instance and task metadata.
    Metadata,
    /// `169.254.0.0/16` and `fe80::/10`.
    LinkLocal,
    /// `100.64.0.0/10`: carrier-grade NAT (RFC 6598).
    SharedAddressSpace,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// Set aside for documentation, benchmarks, protocol assignments, or the future.
    Reserved,
    /// `fc00::/7`: unique local (RFC 4193).
    UniqueLocal,
    /// `fec0::/10`: site-local, deprecated (RFC 3879).
    SiteLocal,
    /// `::/96` and `::ffff:0:0/96`: an IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5).
    EmbeddedIpv4,
    /// `::ffff:0:0:0/96`: IPv4-translated (RFC 2765).
    Translated,
    /// `64:ff9b::/96` and `64:ff9b:1::/48`: NAT64 (RFC 6052, RFC 8215).
    Nat64,
    /// `2002::/16`: 6to4 (RFC 3056).
    SixToFour,
    /// `2001::/32`: Teredo (RFC 4380).
    Teredo,
    /// Outside `2000::/3`, the only block of global unicast that is assigned.
    Unassigned,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Unspecified => "an unspecified address",
            Kind::Loopback => "a loopback address",
            Kind::Private => "a private address",
            Kind::Metadata => "a metadata service",
            Kind::LinkLocal => "a link-local address",
            Kind::SharedAddressSpace => "a carrier-grade NAT address",
            Kind::Multicast => "a multicast address",
            Kind::Reserved => "a reserved address",
            Kind::UniqueLocal => "a unique local address",
            Kind::SiteLocal => "a site-local address",
            Kind::EmbeddedIpv4 => "an IPv4 address embedded in IPv6",
            Kind::Translated => "an IPv4-translated address",
            Kind::Nat64 => "a NAT64 address",
            Kind::SixToFour => "a 6to4 address",
            Kind::Teredo => "a Teredo address",
            Kind::Unassigned => "not an assigned global address",
        })
    }
}

/// Why `address` is refused; `None` when it is an ordinary public address.
pub fn refused_kind(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }
}

/// The IANA IPv4 special-purpose registry, but for what is globally reachable.
fn refused_v4(address: Ipv4Addr) -> Option<Kind> {
    match address.octets() {
        [0, ..] => Some(Kind::Unspecified),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Kind::Private),
        [100, 100, 100, 200] | [169, 254, 169, 254] | [169, 254, 170, 2 | 23] => {
            Some(Kind::Metadata)
        }
        [100, 64..=127, ..] => Some(Kind::SharedAddressSpace),
        [127, ..] => Some(Kind::Loopback),
        [169, 254, ..] => Some(Kind::LinkLocal),
        // Protocol assignments, documentation, 6to4 relays, AS112, benchmarks.
        [192, 0, 0 | 2, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 88, 99, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Some(Kind::Reserved),
        [224..=239, ..] => Some(Kind::Multicast),
        [240..=255, ..] => Some(Kind::Reserved),
        _ => None,
    }
}

/// The IANA IPv6 special-purpose registry, and all that is not global unicast.
fn refused_v6(address: Ipv6Addr) -> Option<Kind> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Kind::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Kind::Loopback),
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => Some(Kind::EmbeddedIpv4),
        [0, 0, 0, 0, 0xffff, 0, ..] => Some(Kind::Translated),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Some(Kind::Nat64),
        [0x2001, 0, ..] => Some(Kind::Teredo),
        // RFC 2928 protocol assignments (benchmarks, ORCHID), and documentation.
        [0x2001, 1..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Some(Kind::Reserved)
        }
        [0x2002, ..] => Some(Kind::SixToFour),
        [0xfd00, 0xec2, ..] => Some(Kind::Metadata),
        [0xfc00..=0xfdff, ..] => Some(Kind::UniqueLocal),
        [0xfe80..=0xfebf, ..] => Some(Kind::LinkLocal),
        [0xfec0..=0xfeff, ..] => Some(Kind::SiteLocal),
        [0xff00..=0xffff, ..] => Some(Kind::Multicast),
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Kind::Unassigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_refused_as_what_it_is() {
        let cases = [
            ("0.0.0.0", Kind::Unspecified),
            ("0.1.2.3", Kind::Unspecified),
            ("10.0.0.1", Kind::Private),
            ("10.255.255.255", Kind::Private),
            ("172.16.0.1", Kind::Private),
            ("172.31.255.255", Kind::Private),
            ("192.168.0.1", Kind::Private),
            ("100.64.0.1", Kind::SharedAddressSpace),
            ("100.127.255.255", Kind::SharedAddressSpace),
            ("100.100.100.200", Kind::Metadata),
            ("127.0.0.1", Kind::Loopback),
            ("127.255.255.254", Kind::Loopback),
            ("169.254.169.254", Kind::Metadata),
            ("169.254.170.2", Kind::Metadata),
            ("169.254.0.1", Kind::LinkLocal),
            ("192.0.0.1", Kind::Reserved),
            ("192.0.2.1", Kind::Reserved),
            ("192.88.99.1", Kind::Reserved),
            ("198.18.0.1", Kind::Reserved),
            ("198.19.255.255", Kind::Reserved),
            ("198.51.100.1", Kind::Reserved),
            ("203.0.113.1", Kind::Reserved),
            ("224.0.0.1", Kind::Multicast),
            ("239.255.255.255", Kind::Multicast),
            ("240.0.0.1", Kind::Reserved),
            ("255.255.255.255", Kind::Reserved),
            ("::", Kind::Unspecified),
            ("::1", Kind::Loopback),
            ("::127.0.0.1", Kind::EmbeddedIpv4),
            ("::8.8.8.8", Kind::EmbeddedIpv4),
            ("::ffff:127.0.0.1", Kind::EmbeddedIpv4),
            ("::ffff:8.8.8.8", Kind::EmbeddedIpv4),
            ("::ffff:169.254.169.254", Kind::EmbeddedIpv4),
            ("::ffff:0:10.0.0.1", Kind::Translated),
            ("64:ff9b::10.0.0.1", Kind::Nat64),
            ("64:ff9b::8.8.8.8", Kind::Nat64),
            ("64:ff9b:1::1", Kind::Nat64),
            ("64:ff9b:1:ffff::10.0.0.1", Kind::Nat64),
            ("100::1", Kind::Unassigned),
            ("2001::1", Kind::Teredo),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Kind::Teredo),
            ("2001:2::1", Kind::Reserved),
            ("2001:10::1", Kind::Reserved),
            ("2001:20::1", Kind::Reserved),
            ("2001:db8::1", Kind::Reserved),
            ("3fff::1", Kind::Reserved),
            ("2002:a00:1::1", Kind::SixToFour),
            ("2002:808:808::1", Kind::SixToFour),
            ("fd00:ec2::254", Kind::Metadata),
            ("fc00::1", Kind::UniqueLocal),
            ("fd12:3456::1", Kind::UniqueLocal),
            ("fe80::1", Kind::LinkLocal),
            ("febf::1", Kind::LinkLocal),
            ("fec0::1", Kind::SiteLocal),
            ("ff02::1", Kind::Multicast),
            ("5f00::1", Kind::Unassigned),
            ("4000::1", Kind::Unassigned),
        ];
        for (text, kind) in cases {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(refused_kind(address), Some(kind), "{text}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.169.0.1",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2600:1f18::1",
            "2606:4700::1111",
        ] {
            assert_eq!(refused_kind(text.parse().unwrap()), None, "{text}");
        }
    }
}
