//! Thousands of connections at one time, each with its own bytes.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers outside #[test] for no tests"
)]
use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Barrier,
    task::JoinSet,
};

const CONNECTIONS: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_connections_are_relayed_at_one_time() {
    // This test has both ends of each.
    dauth_parent::process::prepare().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    std::fs::write(folder.path().join("credential"), "host-credential").unwrap();
    let configuration = format!(
        r#"
        [ingress]
        listen = "127.0.0.1:0"
        listen_unix = "{path}/ingress.sock"
        enclave = {{ unix = "{path}/enclave.sock" }}
        [host]
        listen = {{ unix = "{path}/host.sock" }}
        configuration_file = "{path}/deployment"
        keyset_file = "{path}/keyset"
        [records]
        control_plane = "http://127.0.0.1:9"
        credential_file = "{path}/credential"
        [process]
        as_root = "permitted"
        "#
    );
    let file = folder.path().join("parent.toml");
    std::fs::write(&file, configuration).unwrap();
    let enclave = UnixListener::bind(folder.path().join("enclave.sock")).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = enclave.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let mut parent = Command::new(env!("CARGO_BIN_EXE_dauth-parent"))
        .arg("--config")
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = folder.path().join("ingress.sock");
    let deadline = Instant::now() + PATIENCE;
    while UnixStream::connect(&socket).await.is_err() {
        assert!(Instant::now() < deadline, "the parent does not listen");
        tokio::task::yield_now().await;
    }

    // Nobody goes on before all are relayed.
    let all = Arc::new(Barrier::new(CONNECTIONS));
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (socket, all) = (socket.clone(), Arc::clone(&all));
        clients.spawn(async move {
            let mut stream = loop {
                // The queue of connections that wait to be accepted is short.
                match UnixStream::connect(&socket).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            for round in 0..2 {
                let sent = format!("{round} of {number}");
                stream.write_all(sent.as_bytes()).await.unwrap();
                let mut heard = vec![0; sent.len()];
                stream.read_exact(&mut heard).await.unwrap();
                assert_eq!(heard, sent.as_bytes());
                all.wait().await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
}
