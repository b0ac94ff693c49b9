//! The parent as a whole: `run` with a configuration, over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers outside #[test] for no tests"
)]
use std::{fs, net::SocketAddr, path::Path, time::Duration};

use dauth_parent::Configuration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    sync::oneshot,
    task::JoinHandle,
};

struct Parent {
    ingress: SocketAddr,
    monitor: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), dauth_parent::RunError>>,
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn configuration(folder: &Path, ingress_keys: &str) -> Configuration {
    fs::write(folder.join("credential"), "host-credential").unwrap();
    let (ingress, monitor) = (free_address().await, free_address().await);
    let folder = folder.display();
    toml::from_str(&format!(
        r#"
        [ingress]
        listen = "{ingress}"
        enclave = {{ unix = "{folder}/enclave.sock" }}
        {ingress_keys}
        [host]
        listen = {{ unix = "{folder}/host.sock" }}
        configuration_file = "{folder}/deployment"
        keyset_file = "{folder}/keyset"
        [records]
        control_plane = "http://127.0.0.1:9"
        credential_file = "{folder}/credential"
        [monitor]
        listen = "{monitor}"
        "#
    ))
    .unwrap()
}

async fn start(folder: &Path, ingress_keys: &str) -> Parent {
    let configuration = configuration(folder, ingress_keys).await;
    let (ingress, monitor) = (
        configuration.ingress.listen,
        configuration.monitor.as_ref().unwrap().listen,
    );
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(dauth_parent::run(configuration, async {
        let _ = stopped.await;
    }));
    // Bound last: the others are there too.
    while TcpStream::connect(monitor).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Parent {
        ingress,
        monitor,
        stop,
        task,
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: parent\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn relays_to_the_enclave_and_says_when_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let parent = start(folder.path(), "").await;
    assert!(
        get(parent.monitor, "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get(parent.monitor, "/readyz")
            .await
            .starts_with("HTTP/1.1 503")
    );

    let enclave = UnixListener::bind(folder.path().join("enclave.sock")).unwrap();
    let echo = tokio::spawn(async move {
        loop {
            let (mut stream, _) = enclave.accept().await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
    assert!(
        get(parent.monitor, "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let mut client = TcpStream::connect(parent.ingress).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"hello");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let metrics = get(parent.monitor, "/metrics").await;
    assert!(
        metrics.contains("dauth_parent_ingress_bytes_total 10\n"),
        "{metrics}"
    );

    parent.stop.send(()).unwrap();
    assert!(parent.task.await.unwrap().is_ok());
    echo.abort();
}

#[tokio::test]
async fn an_idle_connection_gives_its_slot_back() {
    let folder = tempfile::tempdir().unwrap();
    let enclave = UnixListener::bind(folder.path().join("enclave.sock")).unwrap();
    let accepting = tokio::spawn(async move {
        let mut streams = Vec::new();
        loop {
            streams.push(enclave.accept().await.unwrap());
        }
    });
    let parent = start(folder.path(), "max_connections = 1\nidle_timeout_s = 1").await;
    let closed = async |stream: &mut TcpStream, within: Duration| {
        let read = tokio::time::timeout(within, stream.read(&mut [0])).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    };
    let mut first = TcpStream::connect(parent.ingress).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut second = TcpStream::connect(parent.ingress).await.unwrap();
    assert!(
        closed(&mut second, Duration::from_millis(500)).await,
        "no slot is left"
    );
    assert!(
        closed(&mut first, Duration::from_secs(5)).await,
        "nothing moved"
    );
    let mut third = TcpStream::connect(parent.ingress).await.unwrap();
    assert!(
        !closed(&mut third, Duration::from_millis(300)).await,
        "the slot is free again"
    );
    accepting.abort();
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), "").await;
    let address = configuration.ingress.listen;
    let _taken = TcpListener::bind(address).await.unwrap();
    let error = dauth_parent::run(configuration, std::future::pending()).await;
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains(&address.to_string()) && message.contains("ingress"),
        "{message}"
    );
}

#[tokio::test]
async fn credentials_come_from_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut configuration = configuration(folder.path(), "").await;
    configuration.host.imds = Some(toml::from_str("").unwrap());
    let with_both = {
        let mut both = configuration.clone();
        both.host.credentials_file = Some(folder.path().join("credentials.json"));
        both
    };
    for (configuration, sentence) in [
        (with_both, "credentials come from one of them"),
        (
            {
                let imds = configuration.host.imds.as_mut().unwrap();
                imds.endpoint = "http://10.0.0.1".to_owned();
                configuration
            },
            "in the clear",
        ),
    ] {
        let error = dauth_parent::run(configuration, std::future::pending()).await;
        let message = error.unwrap_err().to_string();
        assert!(message.contains(sentence), "{message}");
    }
}
