use std::io;

use hyper::{server::conn::http1 as server, service::service_fn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
};

use super::*;
use crate::platform::BoxFuture;

type Handler = fn(Request<Incoming>) -> Response<Full<Bytes>>;

/// A parent that answers every request by one function.
struct Parent(Handler);

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(serve(far, self.0));
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

async fn serve(stream: DuplexStream, handler: Handler) {
    let service = service_fn(move |mut request: Request<Incoming>| async move {
        if request.method() == Method::CONNECT && request.uri() == "echo.example:443" {
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                let mut stream = TokioIo::new(upgraded);
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            });
            return Ok::<_, std::convert::Infallible>(Response::new(Full::default()));
        }
        Ok(handler(request))
    });
    let _ = server::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

fn host(handler: Handler) -> HostServices {
    HostServices::new(Arc::new(Parent(handler)))
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test]
async fn connect_gives_the_bytes_of_the_destination() {
    let host = host(|_| reply(500, ""));
    let mut stream = host.connect("echo.example:443").await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
}

#[tokio::test]
async fn connect_tells_refused_from_unreachable() {
    let cases: [(Handler, EgressError); 4] = [
        (|_| reply(403, ""), EgressError::Refused),
        (|_| reply(502, ""), EgressError::Unreachable),
        (|_| reply(504, ""), EgressError::TimedOut),
        (|_| reply(500, ""), EgressError::HostUnavailable),
    ];
    for (handler, error) in cases {
        assert_eq!(
            host(handler).connect("a.example:443").await.err(),
            Some(error)
        );
    }
}

#[tokio::test]
async fn an_endless_answer_is_refused() {
    let host = host(|_| reply(200, vec![b' '; limit::MAX_KEYSET_BYTES + 1]));
    assert_eq!(host.keyset().await, Err(HostError::TooLong));
    assert_eq!(host.order().await, Err(HostError::TooLong));
}

#[tokio::test]
async fn a_keyset_is_news_by_its_bytes() {
    let tag = host::keyset_tag(b"k");
    let host_of = |handler: Handler| host(handler);
    let news = async |handler| host_of(handler).keyset_unless(&tag).await;
    assert_eq!(news(|_| reply(304, "")).await, Ok(KeysetNews::Same));
    assert_eq!(news(|_| reply(200, "k")).await, Ok(KeysetNews::Same));
    assert_eq!(news(|_| reply(404, "")).await, Ok(KeysetNews::Missing));
    assert_eq!(
        news(|_| reply(200, "other")).await,
        Ok(KeysetNews::Other(b"other".to_vec()))
    );
    assert_eq!(news(|_| reply(500, "")).await, Err(HostError::Status(500)));
}

#[tokio::test]
async fn statuses_have_one_meaning_each() {
    assert_eq!(host(|_| reply(404, "")).keyset().await, Ok(None));
    assert_eq!(
        host(|_| reply(412, "")).put_keyset(b"k").await,
        Ok(PutKeyset::OtherStands)
    );
    // Each of the two is stored by one status alone.
    for (status, put, replaced) in [
        (201, Ok(PutKeyset::Stored), Err(HostError::Status(201))),
        (204, Err(HostError::Status(204)), Ok(PutKeyset::Stored)),
        (412, Ok(PutKeyset::OtherStands), Ok(PutKeyset::OtherStands)),
    ] {
        let handler: Handler = match status {
            201 => |_| reply(201, ""),
            204 => |_| reply(204, ""),
            _ => |_| reply(412, ""),
        };
        assert_eq!(host(handler).put_keyset(b"k").await, put);
        assert_eq!(
            host(handler).replace_keyset(b"k", "\"tag\"").await,
            replaced
        );
    }
    assert_eq!(
        host(|_| reply(204, "")).configuration().await,
        Err(HostError::Status(204))
    );
    let fingerprint = Fingerprint::of(b"record");
    assert_eq!(
        host(|_| reply(410, "")).record(&fingerprint).await,
        Err(RecordError::Revoked)
    );
    assert_eq!(
        host(|_| reply(404, "")).record(&fingerprint).await,
        Err(RecordError::NotFound)
    );
    assert_eq!(
        host(|_| reply(200, "{}")).order().await,
        Err(HostError::Malformed)
    );
}

/// A parent that answers with these bytes, and holds the stream open. It tells when the enclave has
/// closed its end.
struct Raw {
    says: Vec<u8>,
    closed: mpsc::UnboundedSender<()>,
}

impl Transport for Raw {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = duplex(1 << 16);
        let (says, closed) = (self.says.clone(), self.closed.clone());
        tokio::spawn(async move {
            let (mut reading, mut writing) = tokio::io::split(far);
            // What is said may be endless: it stops when nobody listens any more.
            let talking = async {
                while !says.is_empty() && writing.write_all(&says).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                std::future::pending::<()>().await;
            };
            let listening = async {
                let mut bytes = [0; 1024];
                while let Ok(1..) = reading.read(&mut bytes).await {}
            };
            tokio::select! {
                () = talking => {}
                () = listening => {}
            }
            let _ = closed.send(());
        });
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

/// The attack: a parent that never comes to the end of what it says. Every request ends in time all
/// the same, and nothing of it stays: no stream, no task.
#[tokio::test(start_paused = true)]
async fn a_parent_that_comes_to_no_end_is_left() {
    let endless_head = [b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'a'; 1 << 15]].concat();
    let trickle = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
    for says in [Vec::new(), endless_head, trickle] {
        let (closed, mut is_closed) = mpsc::unbounded_channel();
        let host = HostServices::new(Arc::new(Raw { says, closed }));
        let fingerprint = Fingerprint::of(b"record");
        let asking = async {
            assert!(host.configuration().await.is_err());
            assert!(host.order().await.is_err());
            assert!(host.keyset().await.is_err());
            assert!(host.put_keyset(b"k").await.is_err());
            assert!(host.credentials().await.is_err());
            assert!(host.events(Vec::new()).await.is_err());
            assert!(host.receipts(Bytes::new()).await.is_err());
            assert!(
                host.metrics(&host::EnclaveMetrics::default())
                    .await
                    .is_err()
            );
            assert!(host.record(&fingerprint).await.is_err());
            assert!(host.connect("a.example:443").await.is_err());
        };
        let requests = 10;
        timeout(CONNECT_TIMEOUT * requests, asking)
            .await
            .expect("each in time");
        for _ in 0..requests {
            timeout(REPLY_TIMEOUT, is_closed.recv())
                .await
                .expect("the stream is given up")
                .unwrap();
        }
        let alive = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        assert_eq!(alive, 0, "tasks that are left");
    }
}
