use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::client::conn::http2 as client;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    task::JoinHandle,
    time::sleep,
};

use super::*;

/// Time for the last frames.
const MARGIN: Duration = Duration::from_secs(1);

/// A served connection, and the peer's end of it.
fn served(protocol: Protocol) -> (JoinHandle<()>, DuplexStream) {
    let (peer, own) = duplex(1 << 16);
    let answer = async |_| Response::new(Full::new(Bytes::from_static(b"ok")));
    let answer = move |request| Box::pin(answer(request));
    (
        tokio::spawn(serve(TokioIo::new(own), protocol, answer)),
        peer,
    )
}

/// An HTTP/2 client that answers pings for as long as it is connected.
async fn connected(peer: DuplexStream) -> client::SendRequest<Empty<Bytes>> {
    let (sender, connection) = client::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(peer))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut client::SendRequest<Empty<Bytes>>) {
    let request = Request::get("https://enclave.example/").body(Empty::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_nothing_is_cut_off() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (serving, mut peer) = served(protocol);
        timeout(HEAD_TIMEOUT + MARGIN, serving)
            .await
            .expect("in time")
            .unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_alone_is_cut_off() {
    let (serving, peer) = served(Protocol::Http2);
    let _sender = connected(peer).await;
    timeout(HEAD_TIMEOUT + MARGIN, serving)
        .await
        .expect("in time")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_lasts_while_it_is_used_and_no_longer() {
    let (mut serving, peer) = served(Protocol::Http2);
    let mut sender = connected(peer).await;
    for _ in 0..5 {
        ask(&mut sender).await;
        sleep(IDLE_TIMEOUT - MARGIN).await;
    }
    ask(&mut sender).await;
    assert!(timeout(IDLE_TIMEOUT - MARGIN, &mut serving).await.is_err());
    timeout(2 * MARGIN, serving)
        .await
        .expect("in time")
        .unwrap();
    assert!(sender.is_closed());
}
