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

/// Any virtual machine of the host can connect to the port.
#[tokio::test]
async fn a_peer_is_the_enclave_with_its_context_identifier_or_nobody() {
    let member = |cid| {
        let endpoint = Endpoint::Vsock { cid, port: 5000 };
        Arc::new(Member::new(
            "a".to_owned(),
            endpoint,
            Reach::Supervised(cid),
            8,
        ))
    };
    let fleet = Arc::new(Fleet::default());
    let (old, new) = (member(16), member(17));
    fleet.add(Arc::clone(&old));
    fleet.add(Arc::clone(&new));
    let each = Callers::Each(Arc::clone(&fleet));
    assert!(Arc::ptr_eq(&each.who(Some(16)).unwrap(), &old));
    assert!(Arc::ptr_eq(&each.who(Some(17)).unwrap(), &new));
    for stranger in [None, Some(2), Some(3), Some(18)] {
        assert!(each.who(stranger).is_none(), "{stranger:?}");
    }
    // What ended is nobody's.
    fleet.remove(&old);
    assert!(each.who(Some(16)).is_none());

    let one = Callers::One(Arc::clone(&new), Some(17));
    assert!(one.who(Some(17)).is_some());
    assert!(one.who(Some(16)).is_none() && one.who(None).is_none());
}
