//! An API that ends each call as its path says, byte by byte, and not before it is told to.
pub(crate) mod reply;

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use dauth_simulator::ca::Authority;
use dauth_tests::{StackFile, tls_acceptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use self::reply::{Then, reply};
use crate::ending::Ending;

/// Time on a busy machine for what has been started.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The running API: one address with a certificate that the enclave trusts, one without, and one
/// where nothing listens.
pub(crate) struct Upstream {
    trusted: SocketAddr,
    distrusted: SocketAddr,
    nobody: SocketAddr,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    asked: Arc<watch::Sender<usize>>,
    gate: Arc<watch::Sender<Gate>>,
    open: Arc<watch::Sender<usize>>,
}

/// When a connection waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Once a request is there.
    HandshakeFirst,
    /// At once: there will be no request.
    GateFirst,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    Open,
}

impl Upstream {
    pub(crate) async fn start(stack: &StackFile) -> Self {
        let trusted = Authority::from_pem(
            dauth_simulator::UPSTREAM_CA_NAME,
            fs::read_to_string(&stack.ca.cert).unwrap(),
            fs::read_to_string(&stack.ca.key).unwrap(),
        );
        let distrusted = Authority::create("another").unwrap();
        let shared = Shared {
            asked: Arc::default(),
            gate: Arc::new(watch::Sender::new(Gate::Closed)),
            open: Arc::default(),
        };
        Self {
            trusted: listen(&trusted, Turn::HandshakeFirst, shared.clone()).await,
            distrusted: listen(&distrusted, Turn::GateFirst, shared.clone()).await,
            nobody: TcpListener::bind("127.0.0.1:0")
                .await
                .unwrap()
                .local_addr()
                .unwrap(),
            shared,
        }
    }

    /// The base URL of the calls that end in this way.
    pub(crate) fn base_url(&self, ending: Ending) -> String {
        let address = match ending {
            Ending::TlsRefused => self.distrusted,
            Ending::Unreachable => self.nobody,
            _ => self.trusted,
        };
        format!("https://{address}")
    }

    /// Waits until so many calls wait here.
    pub(crate) async fn is_asked(&self, count: usize) {
        let mut asked = self.shared.asked.subscribe();
        let waiting = timeout(PATIENCE, asked.wait_for(|asked| *asked >= count)).await;
        let asked = *self.shared.asked.borrow();
        assert!(waiting.is_ok(), "{asked} of {count} calls came");
    }

    /// Lets every call end.
    pub(crate) fn release(&self) {
        self.shared.gate.send_replace(Gate::Open);
    }

    /// How many connections that held a call are open.
    pub(crate) fn open_connections(&self) -> usize {
        *self.shared.open.borrow()
    }
}

impl Shared {
    fn note_call(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }

    async fn released(&self) {
        let _ = self
            .gate
            .subscribe()
            .wait_for(|gate| *gate == Gate::Open)
            .await;
    }
}

async fn listen(authority: &Authority, turn: Turn, shared: Shared) -> SocketAddr {
    let acceptor = tls_acceptor(authority, &["127.0.0.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, shared) = (acceptor.clone(), shared.clone());
            tokio::spawn(async move {
                if turn == Turn::GateFirst {
                    shared.note_call();
                    shared.released().await;
                }
                // A client that refuses the certificate ends here.
                if let Ok(stream) = acceptor.accept(stream).await {
                    shared.open.send_modify(|open| *open += 1);
                    serve(stream, &shared).await;
                    shared.open.send_modify(|open| *open -= 1);
                }
            });
        }
    });
    address
}

/// Serves requests until the connection ends.
async fn serve(mut stream: TlsStream<TcpStream>, shared: &Shared) {
    while let Some(head) = read_head(&mut stream).await {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let Some(ending) = Ending::of_target(target) else {
            return;
        };
        if ending.is_held() {
            shared.note_call();
            shared.released().await;
        }
        let (bytes, then) = reply(ending, &head);
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match then {
            Then::NextRequest => {}
            Then::Close => return drop(stream.shutdown().await),
            // Until the enclave closes.
            Then::Stall => while let Ok(1..) = stream.read(&mut [0; 1024]).await {},
        }
    }
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
