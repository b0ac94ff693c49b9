use std::io::Write;

use tokio::net::TcpListener;

use super::*;

fn guard(permit: &[&str], hosts: &str) -> Guard {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(hosts.as_bytes()).unwrap();
    let configuration = configuration::Egress {
        permit: permit.iter().map(|net| net.parse().unwrap()).collect(),
        hosts_file: Some(file.path().to_owned()),
        connect_timeout_ms: 300,
        ..configuration::Egress::default()
    };
    Guard::new(&configuration).unwrap()
}

#[tokio::test]
async fn refuses_each_disguise_of_an_internal_address() {
    let guard = guard(
        &[],
        "10.0.0.1 private.test\n169.254.169.254 metadata.test\n::ffff:127.0.0.1 mapped.test\n\
         64:ff9b::7f00:1 nat64.test\n2002:7f00:1:: sixtofour.test\n",
    );
    for target in [
        "127.0.0.1:80",
        "0.0.0.0:80",
        "10.1.2.3:80",
        "169.254.169.254:80",
        "100.64.0.1:80",
        "[::1]:80",
        "[::]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:7f00:1]:80",
        "[::7f00:1]:80",
        "[64:ff9b::7f00:1]:80",
        "[64:ff9b:1::7f00:1]:80",
        "[2002:7f00:1::]:80",
        "[2001:0:7f00:1::]:80",
        "[fd00:ec2::254]:80",
        "[fe80::1]:80",
        "[fec0::1]:80",
        "[fc00::1]:80",
        "[ff02::1]:80",
        "localhost:80",
        "private.test:80",
        "PRIVATE.test:80",
        "metadata.test:80",
        "mapped.test:80",
        "nat64.test:80",
        "sixtofour.test:80",
    ] {
        let refused = guard.connect(target).await;
        assert!(
            matches!(refused, Err(EgressError::Refused { .. })),
            "{target}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn dials_a_permitted_address_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // The private address comes first: it is passed over, not dialled.
    let guard = guard(
        &["127.0.0.0/8"],
        "10.0.0.1 both.test\n127.0.0.1 both.test\n",
    );
    let stream = guard.connect(&format!("both.test:{port}")).await.unwrap();
    assert_eq!(
        stream.peer_addr().unwrap().to_string(),
        format!("127.0.0.1:{port}")
    );
    // The exception is for the address as written, not for its mapped form.
    let mapped = guard.connect(&format!("[::ffff:127.0.0.1]:{port}")).await;
    assert!(matches!(mapped, Err(EgressError::Refused { .. })));
}

#[tokio::test]
async fn tries_each_permitted_address_in_turn() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let guard = guard(&["127.0.0.0/8"], "127.0.0.1 two.test\n127.0.0.2 two.test\n");
    let stream = guard.connect(&format!("two.test:{port}")).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.2");
}

#[tokio::test]
async fn says_unreachable_when_nobody_listens() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let guard = guard(&["127.0.0.0/8"], "");
    let failed = guard.connect(&format!("127.0.0.1:{port}")).await;
    assert!(
        matches!(failed, Err(EgressError::Unreachable { .. })),
        "{failed:?}"
    );
}
