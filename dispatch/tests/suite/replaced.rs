//! Calls while enclaves are stopped and replaced: none fails, and none is made twice.
mod taken;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use dauth_attested_tls::{Body, BoxError, Expectations, body};
use dauth_dispatch::{AccessToken, CallBody, CallError, CallRequest, DpopKey, EnclaveClient};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{Attester, Peer, Reply, TlsIdentity, expectations, peer::nonce_of};

const AT_ONE_TIME: u32 = 50;

/// What the enclaves of a test share, and how often each call was made.
struct Fleet {
    attester: Attester,
    calls: Mutex<HashMap<String, u32>>,
    connections: AtomicU32,
}

impl Fleet {
    /// Serves each connection with `serve`, which is told the how-manyeth it is.
    async fn start<F>(
        serve: impl Fn(Arc<Self>, Connection, u32) -> F + Send + 'static,
    ) -> (Arc<Self>, EnclaveClient)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fleet = Arc::new(Self {
            attester: Attester::new(),
            calls: Mutex::default(),
            connections: AtomicU32::new(0),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.unwrap();
        let ingress = listener.local_addr().unwrap().to_string();
        let expected: Expectations = expectations(&fleet.attester);
        let client = EnclaveClient::new(ingress, expected);
        let shared = Arc::clone(&fleet);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, SeqCst);
                let connection = Connection::accept(stream).await;
                tokio::spawn(serve(Arc::clone(&shared), connection, number));
            }
        });
        (fleet, client)
    }

    fn made(&self, call: String) {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
    }

    fn assert_each_made_once(&self, count: usize) {
        let calls = self.calls.lock().unwrap();
        assert_eq!(calls.len(), count);
        let twice: Vec<_> = calls.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// An enclave's end of a connection.
struct Connection {
    tls: TlsStream<TcpStream>,
    spki: Vec<u8>,
}

impl Connection {
    async fn accept(stream: TcpStream) -> Self {
        let identity = TlsIdentity::new();
        let spki = identity.spki();
        let acceptor = TlsAcceptor::from(Arc::new(Peer::new(identity).tls()));
        let tls = acceptor.accept(stream).await.unwrap();
        Self { tls, spki }
    }
}

/// An enclave as it should be: told to stop after so many calls, it finishes those.
async fn enclave_that_stops(fleet: Arc<Fleet>, connection: Connection, after: u32) {
    let stop = Arc::new(Notify::new());
    let (told, calls) = (Arc::clone(&stop), Arc::new(AtomicU32::new(0)));
    let Connection { mut tls, spki } = connection;
    let service = service_fn(move |request: Request<Incoming>| {
        let (fleet, spki) = (Arc::clone(&fleet), spki.clone());
        let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
        async move {
            let (head, incoming) = request.into_parts();
            if let Some(nonce) = nonce_of(&head) {
                return Ok(answer(Reply::honest(&fleet.attester, &spki, &nonce).body));
            }
            if calls.fetch_add(1, SeqCst) + 1 == after {
                stop.notify_one();
            }
            let sent = incoming.collect().await?.to_bytes();
            fleet.made(head.uri.path().to_owned());
            Ok::<_, hyper::Error>(answer(sent.to_vec()))
        }
    });
    let server = http2::Builder::new(TokioExecutor::new());
    let serving = server.serve_connection(TokioIo::new(&mut tls), service);
    {
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => {}
            () = told.notified() => {
                serving.as_mut().graceful_shutdown();
                let _ = serving.await;
            }
        }
    }
    // To close with bytes unread is to reset: the client would lose answers.
    let _ = tokio::io::copy(&mut tls, &mut tokio::io::sink()).await;
}

fn answer(body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let nonce = http::HeaderValue::from_static("n0");
    response.headers_mut().insert("dpop-nonce", nonce);
    response
}

/// A body of so many pieces; `began` hears of the first that is taken.
fn pieces(piece: &'static [u8], count: usize, began: Option<mpsc::UnboundedSender<()>>) -> Body {
    let frames = stream::iter(0..count).map(move |index| {
        if let (0, Some(began)) = (index, &began) {
            let _ = began.send(());
        }
        Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece)))
    });
    body(StreamBody::new(frames))
}

async fn call(client: &EnclaveClient, path: &str, body: CallBody) -> Result<Bytes, CallError> {
    let request = CallRequest {
        handle: "ddls:conn:a".parse().unwrap(),
        method: Method::POST,
        path_and_query: path.to_owned(),
        headers: HeaderMap::new(),
        body,
    };
    let key = DpopKey::generate().unwrap();
    let response = client.call(request, &AccessToken::new("t1"), &key).await?;
    Ok(response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_enclaves_are_replaced_under_load() {
    let stopping = |fleet, connection, _| enclave_that_stops(fleet, connection, 100);
    let (fleet, client) = Fleet::start(stopping).await;
    let client = Arc::new(client);
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONE_TIME {
        let client = Arc::clone(&client);
        callers.spawn(async move {
            for number in 0..20 {
                let (sent, text) = match number % 2 {
                    0 => (CallBody::Bytes(Bytes::from_static(b"body")), &b"body"[..]),
                    _ => (CallBody::Stream(pieces(b"ab", 3, None)), &b"ababab"[..]),
                };
                let path = format!("/{caller}/{number}");
                assert_eq!(call(&client, &path, sent).await.unwrap(), text);
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    fleet.assert_each_made_once(1000);
    let connections = fleet.connections.load(SeqCst);
    assert!(connections >= 8, "{connections}");
}

/// Accepts the request for evidence, and gives the connection back with nothing else read.
async fn show_evidence(
    fleet: &Fleet,
    connection: Connection,
) -> h2::server::Connection<TlsStream<TcpStream>, Bytes> {
    let mut h2 = h2::server::handshake(connection.tls).await.unwrap();
    let (request, mut respond) = h2.accept().await.unwrap().unwrap();
    let (head, _) = request.into_parts();
    let nonce = nonce_of(&head).unwrap();
    let evidence = Reply::honest(&fleet.attester, &connection.spki, &nonce).body;
    let (head, _) = answer(Vec::new()).into_parts();
    let mut sending = respond
        .send_response(Response::from_parts(head, ()), false)
        .unwrap();
    sending.send_data(evidence.into(), true).unwrap();
    h2
}

/// A stream that the enclave refuses was not processed (RFC 9113 section 8.7).
#[tokio::test]
async fn calls_that_are_refused_are_made_elsewhere() {
    let (fleet, client) = Fleet::start(|fleet, connection, number| async move {
        if number > 0 {
            return enclave_that_stops(fleet, connection, u32::MAX).await;
        }
        let mut h2 = show_evidence(&fleet, connection).await;
        while let Some(Ok((_, mut respond))) = h2.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    })
    .await;
    let (begin, _) = mpsc::unbounded_channel();
    make_calls(&Arc::new(client), &begin).await;
    fleet.assert_each_made_once(AT_ONE_TIME as usize);
}

/// Neither was one above the last that an enclave names when it goes away (section 6.8).
#[tokio::test]
async fn calls_above_the_last_one_taken_are_made_elsewhere() {
    let (begin, mut began) = mpsc::unbounded_channel();
    let [stop, stopped, go] = [(); 3].map(|()| Arc::new(Notify::new()));
    let told = (Arc::clone(&stop), Arc::clone(&stopped), Arc::clone(&go));
    let (fleet, client) = Fleet::start(move |fleet, connection, number| {
        let (stop, stopped, go) = told.clone();
        async move {
            if number > 0 {
                return enclave_that_stops(fleet, connection, u32::MAX).await;
            }
            let mut h2 = show_evidence(&fleet, connection).await;
            let (_, mut respond) = h2.accept().await.unwrap().unwrap();
            let (head, _) = answer(Vec::new()).into_parts();
            let head = Response::from_parts(head, ());
            respond.send_response(head, true).unwrap();
            tokio::select! {
                more = h2.accept() => panic!("{}", more.is_some()),
                () = stop.notified() => {}
            }
            // From here on it reads nothing, and then goes.
            stopped.notify_one();
            go.notified().await;
            h2.abrupt_shutdown(h2::Reason::NO_ERROR);
            while h2.accept().await.is_some() {}
            // Dropped now, the socket would take back what the client has not read.
            std::future::pending::<()>().await;
        }
    })
    .await;
    let taken = call(&client, "/taken", CallBody::Bytes(Bytes::new())).await;
    taken.unwrap();
    stop.notify_one();
    stopped.notified().await;
    let client = Arc::new(client);
    tokio::join!(make_calls(&client, &begin), async {
        for _ in 0..AT_ONE_TIME {
            began.recv().await.unwrap();
        }
        go.notify_one();
    });
    fleet.assert_each_made_once(AT_ONE_TIME as usize);
}

/// As many calls as there are at one time, each a stream whose beginning is told to `begin`.
async fn make_calls(client: &Arc<EnclaveClient>, begin: &mpsc::UnboundedSender<()>) {
    static PIECE: [u8; 1000] = [b'x'; 1000];
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONE_TIME {
        let (client, begin) = (Arc::clone(client), begin.clone());
        callers.spawn(async move {
            let sent = CallBody::Stream(pieces(&PIECE, 10, Some(begin)));
            call(&client, &format!("/{caller}"), sent).await
        });
    }
    while let Some(called) = callers.join_next().await {
        assert_eq!(called.unwrap().unwrap().len(), 10_000);
    }
}

/// What was sent of a long stream is gone: the caller must know.
#[tokio::test]
async fn a_long_stream_that_was_refused_halfway_is_not_sent_in_part() {
    let (fleet, client) = Fleet::start(|fleet, connection, number| async move {
        if number > 0 {
            return enclave_that_stops(fleet, connection, u32::MAX).await;
        }
        let mut h2 = show_evidence(&fleet, connection).await;
        while let Some(Ok((request, mut respond))) = h2.accept().await {
            let mut received = request.into_body();
            tokio::spawn(async move {
                let mut length = 0;
                while length < 100_000 {
                    let piece = received.data().await.unwrap().unwrap();
                    length += piece.len();
                    received
                        .flow_control()
                        .release_capacity(piece.len())
                        .unwrap();
                }
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            });
        }
    })
    .await;
    static PIECE: [u8; 10_000] = [b'x'; 10_000];
    let sent = CallBody::Stream(pieces(&PIECE, 1000, None));
    let refused = call(&client, "/long", sent).await;
    assert!(matches!(refused, Err(CallError::Broken(_))), "{refused:?}");
    fleet.assert_each_made_once(0);
    // Bytes at hand are sent again however many they are.
    let sent = CallBody::Bytes(Bytes::from_static(&PIECE));
    assert_eq!(call(&client, "/bytes", sent).await.unwrap().len(), 10_000);
}
