//! Whether an enclave is there, and whether it is to stop.
use dauth_protocol::host::{EnclaveMetrics, MAX_METRICS_BYTES};

use super::*;

impl Stack {
    async fn post_metrics(&self, body: Vec<u8>) -> u16 {
        let request = Request::post(paths::METRICS)
            .body(Full::from(body))
            .unwrap();
        self.send(request).await.status().as_u16()
    }
}

#[tokio::test]
async fn an_enclave_is_ready_while_it_asks_when_to_stop() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    assert_eq!(stack.member.readiness(), Readiness::Starting);
    let stream = UnixStream::connect(stack.path().join("host.sock"))
        .await
        .unwrap();
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(paths::SHUTDOWN).body(Full::<Bytes>::default());
    let asking = tokio::spawn(async move { sender.send_request(request.unwrap()).await });
    stack.member.until_not(Readiness::Starting).await;
    assert_eq!(stack.member.readiness(), Readiness::Ready);
    // Its end is seen at once.
    asking.abort();
    connection.abort();
    stack.member.until_not(Readiness::Ready).await;
    assert_eq!(stack.member.readiness(), Readiness::Lost);
}

#[tokio::test]
async fn an_enclave_is_told_when_to_stop() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let told = async {
        stack.member.until_not(Readiness::Starting).await;
        stack.member.stop();
    };
    let (answer, ()) = tokio::join!(stack.get(paths::SHUTDOWN), told);
    assert_eq!(answer, (204, Bytes::new()));
    assert!(!stack.member.takes_connections());
    let request = Request::post(paths::SHUTDOWN)
        .body(Full::default())
        .unwrap();
    assert_eq!(
        stack.send(request).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn the_last_metrics_are_kept_and_others_are_none() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    assert_eq!(stack.member.metrics(), None);
    for calls_answered in [7, 8] {
        let metrics = EnclaveMetrics {
            calls_answered,
            ..EnclaveMetrics::default()
        };
        let body = serde_json::to_vec(&metrics).unwrap();
        assert_eq!(stack.post_metrics(body).await, 204);
        assert_eq!(stack.member.metrics(), Some(metrics));
    }
    assert_eq!(
        stack
            .post_metrics(b"{\"calls_answered\":-1}".to_vec())
            .await,
        400
    );
    assert_eq!(
        stack.post_metrics(vec![b' '; MAX_METRICS_BYTES + 1]).await,
        413
    );
    assert_eq!(stack.member.metrics().unwrap().calls_answered, 8);
}
