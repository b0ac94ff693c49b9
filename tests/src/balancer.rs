//! What stands in front of a fleet: connections go to one enclave after the other.
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A relay of TCP connections. It ends with the test.
pub struct Balancer {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Balancer {
    /// Relays to each of `targets` in turn.
    pub async fn start(targets: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(owned(targets)));
        let shared = Arc::clone(&targets);
        let next = AtomicUsize::new(0);
        let accepting = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let target = {
                    let targets = shared.lock().unwrap();
                    targets[next.fetch_add(1, Ordering::Relaxed) % targets.len()].clone()
                };
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(&target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self {
            address,
            targets,
            accepting,
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// New connections go to `targets`; those that there are stay where they are.
    pub fn switch(&self, targets: &[&str]) {
        *self.targets.lock().unwrap() = owned(targets);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn owned(targets: &[&str]) -> Vec<String> {
    targets.iter().map(|target| (*target).to_owned()).collect()
}
