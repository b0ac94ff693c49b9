use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::client::conn::{http1 as http1_client, http2 as client};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    task::JoinHandle,
    time::sleep,
};

use super::*;
use crate::server::stop::{self, Stop};

/// Time for the last frames.
const MARGIN: Duration = Duration::from_secs(1);

/// A served connection, and the peer's end of it.
fn served(protocol: Protocol) -> (JoinHandle<()>, DuplexStream, Stop) {
    let answer = async |_| Response::new(Full::new(Bytes::from_static(b"ok")));
    served_by(protocol, move |request| Box::pin(answer(request)))
}

fn served_by<F>(
    protocol: Protocol,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
) -> (JoinHandle<()>, DuplexStream, Stop)
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let (peer, own) = duplex(1 << 16);
    let (stop, stopping) = stop::channel();
    let serving = serve(own, protocol, answer, stopping);
    (tokio::spawn(serving), peer, stop)
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
        let (serving, mut peer, _stop) = served(protocol);
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
    let (serving, peer, _stop) = served(Protocol::Http2);
    let _sender = connected(peer).await;
    timeout(HEAD_TIMEOUT + MARGIN, serving)
        .await
        .expect("in time")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_lasts_while_it_is_used_and_no_longer() {
    let (mut serving, peer, _stop) = served(Protocol::Http2);
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

/// An enclave that is replaced: what it has begun to answer it answers, and nothing more.
#[tokio::test(start_paused = true)]
async fn a_stopping_enclave_ends_what_is_in_progress_and_takes_no_more() {
    let may_answer = Arc::new(tokio::sync::Notify::new());
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let gate = Arc::clone(&may_answer);
    let (serving, peer, stop) = served_by(Protocol::Http2, move |_| {
        let _ = asked.send(());
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Response::new(Full::new(Bytes::from_static(b"ok")))
        }
    });
    let sender = connected(peer).await;
    let mut first = sender.clone();
    let call = tokio::spawn(async move { ask(&mut first).await });
    is_asked.recv().await.unwrap();

    stop.request();
    // The paused clock moves on when nobody has anything left to do: GOAWAY has arrived.
    sleep(MARGIN).await;
    let request = Request::get("https://enclave.example/").body(Empty::new());
    let refused = sender.clone().try_send_request(request.unwrap()).await;
    let mut refused = refused.expect_err("it takes no more");
    assert!(
        refused.take_message().is_some(),
        "given back, to be sent elsewhere"
    );
    assert!(!serving.is_finished());

    may_answer.notify_one();
    call.await.unwrap();
    serving.await.unwrap();
}

/// A caller that has just connected: its first request has crossed the order to stop. Several times,
/// for which of the two is seen first is chance.
#[tokio::test(start_paused = true)]
async fn a_first_request_that_crosses_the_order_to_stop_is_answered() {
    for _ in 0..16 {
        let (peer, own) = duplex(1 << 16);
        let (stop, stopping) = stop::channel();
        let answer = |_| async {
            // Longer than a stopping enclave waits for a first request.
            sleep(2 * UNDER_WAY).await;
            Response::new(Full::new(Bytes::from_static(b"ok")))
        };
        let mut serving = pin!(serve(own, Protocol::Http2, answer, stopping));
        let connecting = async {
            let sender = connected(peer).await;
            sleep(MARGIN).await;
            sender
        };
        let mut sender = tokio::select! {
            sender = connecting => sender,
            () = &mut serving => panic!("it has not been told to stop"),
        };
        let call = tokio::spawn(async move { ask(&mut sender).await });
        // It is sent, and nobody reads it yet.
        sleep(MARGIN).await;
        stop.request();
        serving.await;
        call.await.unwrap();
    }
}

/// A caller whose session was made as the order came: its first bytes are still on their way. HTTP/2
/// that is told to wind down before it has seen any would close, and with it lose the call.
#[tokio::test(start_paused = true)]
async fn a_caller_that_has_just_come_is_answered_once() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (serving, peer, stop) = served(protocol);
        stop.request();
        sleep(UNDER_WAY / 2).await;
        match protocol {
            Protocol::Http1 => {
                let handshake = http1_client::handshake(TokioIo::new(peer));
                let (mut sender, connection) = handshake.await.unwrap();
                tokio::spawn(connection);
                let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
                assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
            }
            Protocol::Http2 => ask(&mut connected(peer).await).await,
        }
        timeout(UNDER_WAY, serving).await.expect("in time").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_does_not_keep_a_stopping_enclave_waiting() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (serving, mut peer, stop) = served(protocol);
        stop.request();
        let reading = async {
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).await
        };
        let (_, ended) = tokio::join!(reading, timeout(WIND_DOWN_TIMEOUT, serving));
        ended
            .expect("before what is in progress would have to end")
            .unwrap();
    }
}

/// What the peer sends after the last answer does not reset the connection under it.
#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_when_the_peer_has_closed_it_or_takes_too_long() {
    use tokio::io::AsyncWriteExt;
    let (serving, mut peer, stop) = served(Protocol::Http1);
    peer.write_all(b"GET / HTTP/1.1\r\nhost: e\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    peer.read_exact(&mut first).await.unwrap();
    assert_eq!(first, *b"HTTP/1.1 200");
    stop.request();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    assert!(!serving.is_finished());
    // It is still read: an end that is closed would refuse this.
    peer.write_all(b"late").await.unwrap();
    drop(peer);
    timeout(LINGER_TIMEOUT / 2, serving)
        .await
        .expect("in time")
        .unwrap();
}
