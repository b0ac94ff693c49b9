use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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
async fn a_name_with_one_internal_address_is_refused_in_any_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for hosts in [
        "10.0.0.1 both.test\n127.0.0.1 both.test\n",
        "127.0.0.1 both.test\n10.0.0.1 both.test\n",
    ] {
        let guard = guard(&["127.0.0.0/8"], hosts);
        let refused = guard.connect(&format!("both.test:{port}")).await;
        assert!(
            matches!(refused, Err(EgressError::Refused { .. })),
            "{refused:?}"
        );
    }
    // The exception is for the address as written, not for its mapped form.
    let guard = guard(&["127.0.0.0/8"], "");
    let mapped = guard.connect(&format!("[::ffff:127.0.0.1]:{port}")).await;
    assert!(matches!(mapped, Err(EgressError::Refused { .. })));
}

/// Public addresses of the operator's own, which a caller would reach from within.
#[tokio::test]
async fn what_the_operator_denies_is_refused_though_it_is_public_or_permitted() {
    let configuration = configuration::Egress {
        permit: vec!["127.0.0.0/8".parse().unwrap()],
        deny: vec![
            "2600:1f00::/24".parse().unwrap(),
            "8.8.8.0/24".parse().unwrap(),
            "127.0.0.3/32".parse().unwrap(),
        ],
        ..configuration::Egress::default()
    };
    let guard = Guard::new(&configuration).unwrap();
    for target in ["[2600:1f18::1]:443", "8.8.8.8:443", "127.0.0.3:443"] {
        let refused = guard.connect(target).await;
        assert!(
            matches!(refused, Err(EgressError::Denied { .. })),
            "{target}: {refused:?}"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let permitted = listener.local_addr().unwrap().to_string();
    assert!(guard.connect(&permitted).await.is_ok());
}

#[tokio::test]
async fn what_dns64_adds_to_a_name_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let guard = guard(
        &["127.0.0.0/8"],
        "64:ff9b::7f00:1 dns64.test\n127.0.0.1 dns64.test\n",
    );
    let stream = guard.connect(&format!("dns64.test:{port}")).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
}

/// DNS rebinding: the first answer is harmless, the next one is not. There is no next one.
#[tokio::test]
async fn a_name_is_looked_up_once_and_the_judged_address_is_dialled() {
    let judged = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = judged.local_addr().unwrap().port();
    let internal = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let mut guard = guard(&["127.0.0.1/32"], "");
    guard.resolver = Box::new(move |_, _| {
        let answer = match counted.fetch_add(1, Ordering::SeqCst) {
            0 => IpAddr::from([127, 0, 0, 1]),
            _ => IpAddr::from([127, 0, 0, 2]),
        };
        Box::pin(async move { Ok(vec![answer]) })
    });
    let target = format!("rebinding.test:{port}");
    let stream = guard.connect(&target).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), judged.local_addr().unwrap());
    assert_eq!(lookups.load(Ordering::SeqCst), 1);
    // The second answer is judged anew.
    let refused = guard.connect(&target).await;
    assert!(
        matches!(refused, Err(EgressError::Refused { .. })),
        "{refused:?}"
    );
    let reached = tokio::time::timeout(Duration::ZERO, internal.accept()).await;
    assert!(reached.is_err());
}

#[tokio::test]
async fn ports_of_other_protocols_are_refused_unless_permitted() {
    let mut guard = guard(&["127.0.0.0/8"], "");
    let refused = guard.connect("127.0.0.1:25").await;
    assert!(matches!(refused, Err(EgressError::Port(25))), "{refused:?}");
    guard.permit_ports = vec![25];
    let failed = guard.connect("127.0.0.1:25").await;
    assert!(!matches!(failed, Err(EgressError::Port(_))), "{failed:?}");
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

/// A name server that never answers: its lookups keep their threads, and get no more of them.
#[tokio::test(start_paused = true)]
async fn lookups_that_hang_are_bounded_after_their_callers_have_gone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = Arc::new(tokio::sync::Notify::new());
    let (counted, waiting) = (Arc::clone(&asked), Arc::clone(&answer));
    let mut guard = guard(&[], "");
    guard.resolver = Box::new(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let waiting = Arc::clone(&waiting);
        Box::pin(async move {
            waiting.notified().await;
            Ok(vec![])
        })
    });
    for _ in 0..MAX_LOOKUPS + 5 {
        let refused = guard.connect("silent.test:443").await;
        assert!(matches!(refused, Err(EgressError::TimedOut(_))));
    }
    assert_eq!(asked.load(Ordering::SeqCst), MAX_LOOKUPS);
    answer.notify_one();
    let refused = guard.connect("silent.test:443").await;
    assert!(matches!(refused, Err(EgressError::TimedOut(_))));
    assert_eq!(asked.load(Ordering::SeqCst), MAX_LOOKUPS + 1);
}
