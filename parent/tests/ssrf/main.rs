//! Server-side request forgery: every spelling of an address in the operator's network, asked for with
//! `CONNECT` of a parent that runs, each in a test of its own.
//!
//! Two listeners on loopback are the operator's network. Each test asserts that the parent refuses,
//! for the reason that it names, and that neither listener was reached. That the spellings would reach
//! them is shown with a parent whose operator permits everything.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers outside #[test] for no tests"
)]

mod fixture;

use fixture::Network;

/// Names whose addresses are the parent's to judge.
const HOSTS: &str = "\
127.0.0.1 loopback.test
10.0.0.1 private.test
169.254.169.254 metadata.test
::ffff:127.0.0.1 mapped.test
64:ff9b::7f00:1 nat64.test
2002:7f00:1:: sixtofour.test
93.184.215.14 one-bad.test
127.0.0.1 one-bad.test
127.0.0.1 bad-first.test
93.184.215.14 bad-first.test
127.0.0.1 xn--lochost-5fb.test
";

/// Each test: what is asked for (`PORT` is the listeners'), and words of the refusal.
macro_rules! refused {
    ($($name:ident: $target:expr => $words:expr;)*) => {
        $(#[test]
        fn $name() {
            Network::new().assert_refused($target, $words);
        })*
    };
}

refused! {
    loopback: "127.0.0.1:PORT" => "a loopback address";
    loopback_elsewhere_in_its_block: "127.8.9.10:PORT" => "a loopback address";
    loopback_ipv6: "[::1]:PORT" => "a loopback address";
    loopback_ipv6_in_full: "[0:0:0:0:0:0:0:1]:PORT" => "a loopback address";
    unspecified: "0.0.0.0:PORT" => "an unspecified address";
    unspecified_ipv6: "[::]:PORT" => "an unspecified address";
    private_ten: "10.1.2.3:PORT" => "a private address";
    private_172: "172.16.0.1:PORT" => "a private address";
    private_192: "192.168.0.1:PORT" => "a private address";
    carrier_grade_nat: "100.64.0.1:PORT" => "a carrier-grade NAT address";
    link_local: "169.254.1.1:PORT" => "a link-local address";
    link_local_ipv6: "[fe80::1]:PORT" => "a link-local address";
    site_local: "[fec0::1]:PORT" => "a site-local address";
    unique_local: "[fd12:3456::1]:PORT" => "a unique local address";
    metadata_of_instances: "169.254.169.254:80" => "a metadata service";
    metadata_of_instances_ipv6: "[fd00:ec2::254]:80" => "a metadata service";
    metadata_of_tasks: "169.254.170.2:80" => "a metadata service";
    metadata_of_pods: "169.254.170.23:80" => "a metadata service";
    metadata_of_pods_ipv6: "[fd00:ec2::23]:80" => "a metadata service";
    metadata_within_carrier_grade_nat: "100.100.100.200:80" => "a metadata service";
    dns_and_time_of_the_network: "[fd00:ec2::253]:443" => "a metadata service";
    multicast: "224.0.0.1:PORT" => "a multicast address";
    multicast_ipv6: "[ff02::1]:PORT" => "a multicast address";
    broadcast: "255.255.255.255:PORT" => "a reserved address";
    benchmarks: "198.18.0.1:PORT" => "a reserved address";
    documentation: "192.0.2.1:PORT" => "a reserved address";
    documentation_ipv6: "[2001:db8::1]:PORT" => "a reserved address";
    unassigned_ipv6: "[4000::1]:PORT" => "not an assigned global address";
}

refused! {
    ipv4_mapped: "[::ffff:127.0.0.1]:PORT" => "an IPv4 address embedded in IPv6";
    ipv4_mapped_hexadecimal: "[::ffff:7f00:1]:PORT" => "an IPv4 address embedded in IPv6";
    ipv4_mapped_metadata: "[::ffff:169.254.169.254]:80" => "an IPv4 address embedded in IPv6";
    ipv4_compatible: "[::127.0.0.1]:PORT" => "an IPv4 address embedded in IPv6";
    ipv4_translated: "[::ffff:0:127.0.0.1]:PORT" => "an IPv4-translated address";
    nat64: "[64:ff9b::127.0.0.1]:PORT" => "a NAT64 address";
    nat64_of_a_network: "[64:ff9b:1::127.0.0.1]:PORT" => "a NAT64 address";
    six_to_four: "[2002:7f00:1::]:PORT" => "a 6to4 address";
    teredo: "[2001:0:7f00:1::]:PORT" => "a Teredo address";
}

refused! {
    decimal: "2130706433:PORT" => "four decimal numbers";
    octal: "0177.0.0.1:PORT" => "four decimal numbers";
    octal_zeros: "127.0.0.01:PORT" => "four decimal numbers";
    hexadecimal: "0x7f000001:PORT" => "four decimal numbers";
    hexadecimal_parts: "0x7f.0x0.0x0.0x1:PORT" => "four decimal numbers";
    short_form: "127.1:PORT" => "four decimal numbers";
    short_form_zero: "0:PORT" => "four decimal numbers";
    five_parts: "127.0.0.1.1:PORT" => "four decimal numbers";
    a_part_that_overflows: "383.0.0.1:PORT" => "four decimal numbers";
    trailing_dot_of_an_address: "127.0.0.1.:PORT" => "not a DNS name";
    trailing_dot_of_a_name: "localhost.:PORT" => "not a DNS name";
    leading_dot: ".localhost:PORT" => "not a DNS name";
    brackets_around_ipv4: "[127.0.0.1]:PORT" => "brackets belong around an IPv6 address";
    brackets_around_a_name: "[localhost]:PORT" => "brackets belong around an IPv6 address";
    brackets_twice: "[[::1]]:PORT" => "";
    ipv6_without_brackets: "::1:PORT" => "";
    zone_id: "[fe80::1%lo]:PORT" => "";
    zone_id_encoded: "[::1%25lo]:PORT" => "";
    future_address_form: "[v1.127]:PORT" => "";
}

refused! {
    userinfo: "user@127.0.0.1:PORT" => "";
    userinfo_with_a_password: "user:pass@127.0.0.1:PORT" => "";
    userinfo_that_looks_like_a_host: "example.com@127.0.0.1:PORT" => "";
    fragment_before_userinfo: "127.0.0.1#@example.com:PORT" => "";
    backslash: "127.0.0.1\\@example.com:PORT" => "";
    encoded_dot: "127%2e0.0.1:PORT" => "";
    a_path: "127.0.0.1:PORT/a" => "";
    absolute_form: "http://127.0.0.1:PORT/" => "a loopback address";
    white_space: "127.0.0.1 :PORT" => "";
    a_nul_byte: "127.0.0.1\0.example.com:PORT" => "";
    full_width_digits: "\u{ff11}27.0.0.1:PORT" => "";
    letters_in_circles: "\u{24db}ocalhost:PORT" => "";
    ideographic_full_stop: "127\u{3002}0.0.1:PORT" => "";
}

refused! {
    localhost: "localhost:PORT" => "a loopback address";
    localhost_in_capitals: "LocalHost:PORT" => "a loopback address";
    a_name_of_loopback: "loopback.test:PORT" => "a loopback address";
    a_name_in_capitals: "LOOPBACK.Test:PORT" => "a loopback address";
    a_name_of_a_private_address: "private.test:PORT" => "a private address";
    a_name_of_metadata: "metadata.test:80" => "a metadata service";
    a_name_of_a_mapped_address: "mapped.test:PORT" => "an IPv4 address embedded in IPv6";
    a_name_of_nat64: "nat64.test:PORT" => "a NAT64 address";
    a_name_of_six_to_four: "sixtofour.test:PORT" => "a 6to4 address";
    one_bad_address_among_good_ones: "one-bad.test:PORT" => "a loopback address";
    one_bad_address_before_good_ones: "bad-first.test:PORT" => "a loopback address";
    an_internationalized_name: "xn--lochost-5fb.test:PORT" => "a loopback address";
}

refused! {
    port_zero: "127.0.0.1:0" => "";
    port_of_mail: "93.184.215.14:25" => "port 25 belongs to another protocol";
    port_of_shells: "93.184.215.14:22" => "port 22 belongs to another protocol";
    port_of_dns: "93.184.215.14:53" => "port 53 belongs to another protocol";
    port_that_overflows: "127.0.0.1:65616" => "";
    port_with_a_zero: "127.0.0.1:0PORT" => "";
    port_with_a_sign: "127.0.0.1:+PORT" => "";
    port_by_name: "127.0.0.1:https" => "";
    no_port: "127.0.0.1" => "";
    two_ports: "127.0.0.1:PORT:PORT" => "";
}

/// The `Host` field is not what is dialled, and does not vouch for it.
#[test]
fn a_harmless_host_field_changes_nothing() {
    let network = Network::new();
    let request = "CONNECT 127.0.0.1:PORT HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
    let (status, body) = network.ask(request);
    assert_eq!(status, 403, "{body}");
    network.assert_unreached();
}

/// What makes the tests above say something: these spellings do reach the listeners where nothing
/// refuses them.
#[test]
fn without_the_guard_they_arrive() {
    let network = Network::permitting("[\"0.0.0.0/0\", \"::/0\"]");
    for target in [
        "127.0.0.1:PORT",
        "0.0.0.0:PORT",
        "[::1]:PORT",
        "[::]:PORT",
        "[::ffff:127.0.0.1]:PORT",
        "[::ffff:7f00:1]:PORT",
        "loopback.test:PORT",
        "LOOPBACK.Test:PORT",
        "mapped.test:PORT",
        "bad-first.test:PORT",
        "http://127.0.0.1:PORT/",
    ] {
        let (status, body) = network.connect(target);
        assert_eq!(status, 200, "{target}: {body}");
        network.assert_reached(target);
    }
}
