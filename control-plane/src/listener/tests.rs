use std::net::SocketAddr;

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::identity::tls_identity;

/// Two places, and short timeouts.
const LIMITS: Limits = Limits {
    connections: 2,
    handshake: Duration::from_millis(100),
    head: Duration::from_millis(100),
};
/// Far above the timeouts, far below for ever.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(security: Security) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "served"));
    let for_ever = std::future::pending();
    tokio::spawn(serve(listener, security, router, LIMITS, for_ever));
    address
}

async fn say(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// What is said to the connection before it is closed.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A reset closes it too.
    let _ = timeout(PATIENCE, reading).await.expect("it stays open");
    String::from_utf8_lossy(&said).into_owned()
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn silent_connections_are_closed_and_give_their_places_back() {
    let address = start(Security::Plain).await;
    let beginnings: [&[u8]; 4] = [
        b"",
        b"PRI * HT",
        b"GET / HTTP/1.1\r\nhost",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let mut silent = Vec::new();
    for beginning in beginnings {
        silent.push(say(address, beginning).await);
    }
    let last = say(address, REQUEST).await;
    let reply = until_closed(last).await;
    assert!(reply.ends_with("served"), "{reply}");
    for stream in silent {
        let said = until_closed(stream).await;
        assert!(!said.contains("200 OK"), "{said}");
    }
}

#[tokio::test]
async fn a_connection_idles_no_longer_than_a_head_may_take() {
    let address = start(Security::Plain).await;
    let reply = until_closed(say(address, REQUEST).await).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
}

#[tokio::test]
async fn a_silent_tls_connection_is_closed() {
    let state = tempfile::tempdir().unwrap();
    let config = tls_identity(state.path()).unwrap().server_config().unwrap();
    let address = start(Security::Tls(TlsAcceptor::from(config))).await;
    for _ in 0..3 {
        until_closed(say(address, b"").await).await;
    }
}
