use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::*;
use crate::platform::{BoxFuture, BoxStream, Transport};

const ASKED: &[u8] = b"GET /v1/shutdown HTTP/1.1\r\n";

/// What a parent does with a request.
#[derive(Clone, Copy)]
enum Does {
    /// Takes no stream.
    IsAway,
    /// Answers with this, at once.
    Answers(&'static str),
    /// Holds the request open for so long, and closes the stream.
    HoldsAndBreaks(Duration),
    /// Holds the request open for so long, and says that it is time.
    HoldsAndTells(Duration),
}

/// A parent that does one thing after the other, and nothing any more then. It knows when it was
/// asked.
struct Parent {
    does: Mutex<VecDeque<Does>>,
    asked: Mutex<Vec<Instant>>,
}

impl Parent {
    fn that(does: impl IntoIterator<Item = Does>) -> Arc<Self> {
        Arc::new(Self {
            does: Mutex::new(does.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        self.asked.lock().unwrap().push(Instant::now());
        let does = self.does.lock().unwrap().pop_front();
        Box::pin(async move {
            let Some(does) = does else {
                return std::future::pending().await;
            };
            if let Does::IsAway = does {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = duplex(1 << 16);
            tokio::spawn(answer(far, does));
            Ok(Box::new(near) as BoxStream)
        })
    }
}

async fn answer(mut stream: DuplexStream, does: Does) {
    let mut asked = [0; ASKED.len()];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, ASKED);
    let reply = match does {
        Does::IsAway => return,
        Does::Answers(reply) => reply,
        Does::HoldsAndBreaks(span) => {
            sleep(span).await;
            ""
        }
        Does::HoldsAndTells(span) => {
            sleep(span).await;
            "HTTP/1.1 204 No Content\r\n\r\n"
        }
    };
    stream.write_all(reply.as_bytes()).await.unwrap();
}

fn told(parent: &Arc<Parent>) -> impl Future<Output = ()> {
    told_by(HostServices::new(Arc::clone(parent) as Arc<dyn Transport>))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn an_enclave_serves_until_its_parent_says_that_it_is_time() {
    let parent = Parent::that([Does::HoldsAndTells(100 * HOUR)]);
    let began = Instant::now();
    told(&parent).await;
    assert!(began.elapsed() >= 100 * HOUR);
    assert_eq!(parent.asked(), [began]);
}

/// Whatever the parent answers in 204's place, or fails to: the enclave goes on, and asks again.
#[tokio::test(start_paused = true)]
async fn nothing_else_stops_it() {
    let parent = Parent::that([
        Does::IsAway,
        Does::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        Does::Answers("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        Does::Answers("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"),
        Does::Answers("nonsense\r\n\r\n"),
        Does::Answers(""),
        Does::HoldsAndBreaks(HOUR),
    ]);
    assert!(timeout(2 * HOUR, told(&parent)).await.is_err());
    assert_eq!(parent.asked().len(), 8);
}

/// A parent that is started again must learn soon that its enclave is there, and one that is away for
/// long is not asked without end.
#[tokio::test(start_paused = true)]
async fn it_is_asked_again_soon_and_then_less_often() {
    let away = [Does::IsAway; 10];
    let parent = Parent::that(away.into_iter().chain([Does::HoldsAndBreaks(HOUR)]));
    assert!(timeout(2 * HOUR, told(&parent)).await.is_err());
    let asked = parent.asked();
    let pauses: Vec<_> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses[0] < Duration::from_millis(200), "{pauses:?}");
    assert!(pauses[8] >= LONGEST_PAUSE, "{pauses:?}");
    assert!(pauses.iter().all(|pause| !pause.is_zero()), "{pauses:?}");
    // After the one that was held.
    assert!(pauses[10] - HOUR < Duration::from_millis(200), "{pauses:?}");
}
