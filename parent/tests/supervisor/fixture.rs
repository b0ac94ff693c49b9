//! A parent with a nitro-cli that is a shell script, and enclaves that are tasks of the test.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use dauth_parent::{Configuration, Parent, Reloader, RunError};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// Files beside it hold what runs (`CID.running`), what was asked (`asked`), and what it is to say of
/// flags (`flags`); while `refusals` has lines, each start uses one up and fails; while `garbled` has,
/// each start uses one up, starts and answers nonsense; while `stubborn` has, each end uses one up and
/// fails; while there is `mute`, it describes nothing.
const NITRO_CLI: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case $1 in
run-enclave)
    echo "run $7" >> asked
    if [ -s refusals ]; then
        sed -i 1d refusals
        echo "[ E27 ] Insufficient memory available." >&2
        exit 27
    fi
    printf '{"EnclaveName":"%s","EnclaveID":"i-%s","EnclaveCID":%s,"State":"RUNNING","Flags":"%s","Measurements":{"PCR0":"%s"}}' \
        "$9" "$7" "$7" "$(cat flags)" "$(cat "${11}")" > "$7.new"
    mv "$7.new" "$7.running"
    if [ -s garbled ]; then
        sed -i 1d garbled
        echo "[ E51 ]"
        exit
    fi
    cat "$7.running" ;;
describe-enclaves)
    [ -e mute ] && echo mute >> asked && exit 1
    separator=
    printf '['
    for file in *.running; do
        [ -e "$file" ] && printf '%s' "$separator" && cat "$file" && separator=,
    done
    printf ']' ;;
terminate-enclave)
    echo "terminate ${3#i-}" >> asked
    if [ -s stubborn ]; then
        sed -i 1d stubborn
        exit 1
    fi
    rm "${3#i-}.running" ;;
describe-eif)
    printf '{"Measurements":{"PCR0":"%s"}}' "$(cat "$3")" ;;
esac
"#;

pub(crate) struct Supervised {
    folder: TempDir,
    pub(crate) reloader: Reloader,
    stop: Option<oneshot::Sender<()>>,
    parent: Option<JoinHandle<Result<(), RunError>>>,
    enclaves: BTreeMap<u32, Enclave>,
}

/// One that holds its request for `/v1/shutdown` open.
struct Enclave {
    /// The status that it was answered with.
    asking: JoinHandle<Option<String>>,
}

impl Supervised {
    /// With these lines in `[supervisor]`; the images are files of the folder.
    pub(crate) async fn start(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("nitro")).unwrap();
        fs::write(path("nitro/nitro-cli"), NITRO_CLI).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path("nitro/nitro-cli"), executable).unwrap();
        for (name, text) in [
            ("nitro/flags", "NONE"),
            ("nitro/asked", ""),
            ("one.eif", "aa"),
            ("credential", "host-credential"),
            ("settings", settings),
        ] {
            fs::write(path(name), text).unwrap();
        }
        prepare(folder.path());
        let configuration = configuration(folder.path(), &["one.eif"]);
        let parent = Parent::bind(configuration).await.unwrap();
        let reloader = parent.reloader();
        let (stop, stopped) = oneshot::channel();
        let parent = tokio::spawn(parent.serve(async {
            let _ = stopped.await;
        }));
        Self {
            folder,
            reloader,
            stop: Some(stop),
            parent: Some(parent),
            enclaves: BTreeMap::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What nitro-cli was asked to change so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.path("nitro/asked")).unwrap();
        asked.lines().map(str::to_owned).collect()
    }

    /// What nitro-cli says of the enclave with this number.
    pub(crate) fn described(&self, cid: u32) -> String {
        fs::read_to_string(self.path(&format!("nitro/{cid}.running"))).unwrap()
    }

    pub(crate) async fn until_asked(&self, what: &str) {
        self.until(what, || self.asked().iter().any(|asked| asked == what))
            .await;
    }

    pub(crate) async fn until_ready(&self, enclaves: usize) {
        let ready = || self.reloader.ready_enclaves().0 == enclaves;
        self.until("enclaves are ready", ready).await;
    }

    pub(crate) async fn until(&self, sentence: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            let asked = self.asked();
            assert!(
                Instant::now() < deadline,
                "did not happen: {sentence}; {asked:?}"
            );
            sleep(POLL).await;
        }
    }

    /// The enclave with this number boots: it asks when it is to stop.
    pub(crate) async fn boots(&mut self, cid: u32) {
        let running = self.path(&format!("nitro/{cid}.running"));
        self.until("it is started", || running.exists()).await;
        self.adopted(cid).await;
    }

    /// One that runs already asks when it is to stop.
    pub(crate) async fn adopted(&mut self, cid: u32) {
        let socket = self.path(&format!("{cid}.host"));
        let deadline = Instant::now() + PATIENCE;
        let mut stream = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{cid}: {error}"),
            }
            sleep(POLL).await;
        };
        let request = b"GET /v1/shutdown HTTP/1.1\r\nhost: parent\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let asking = tokio::spawn(async move {
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.ok()?;
            Some(String::from_utf8(status[9..].to_vec()).unwrap())
        });
        self.enclaves.insert(cid, Enclave { asking });
    }

    /// Its connection breaks; nitro-cli goes on to describe it.
    pub(crate) async fn loses_its_connection(&mut self, cid: u32) {
        let enclave = self.enclaves.remove(&cid).unwrap();
        enclave.asking.abort();
        let _ = enclave.asking.await;
    }

    /// It ends: nitro-cli describes it no more.
    pub(crate) async fn dies(&mut self, cid: u32) {
        fs::remove_file(self.path(&format!("nitro/{cid}.running"))).unwrap();
        self.loses_its_connection(cid).await;
    }

    /// What it was answered when it asked whether to stop.
    pub(crate) async fn is_told(&mut self, cid: u32) -> String {
        let enclave = self.enclaves.remove(&cid).unwrap();
        enclave.asking.await.unwrap().unwrap()
    }

    /// The configuration names these images now.
    pub(crate) async fn reload(&self, images: &[&str]) {
        let configuration = configuration(self.folder.path(), images);
        let applied = self.reloader.apply(configuration).await.unwrap();
        assert!(applied.needs_restart.is_empty(), "{applied:?}");
    }

    /// Stops the parent as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.parent.take().unwrap().await.unwrap().unwrap();
    }
}

fn configuration(folder: &Path, images: &[&str]) -> Configuration {
    let settings = fs::read_to_string(folder.join("settings")).unwrap();
    let folder = folder.display();
    let enclaves: String = images
        .iter()
        .enumerate()
        .map(|(number, image)| {
            format!(
                "[[enclaves]]\nname = \"e{number}\"\neif = \"{folder}/{image}\"\ncpus = 2\n\
                 memory_mib = 256\n"
            )
        })
        .collect();
    toml::from_str(&format!(
        r#"
        [ingress]
        listen = "127.0.0.1:0"
        [host]
        configuration_file = "{folder}/deployment"
        keyset_file = "{folder}/keyset"
        [records]
        control_plane = "http://127.0.0.1:9"
        credential_file = "{folder}/credential"
        [supervisor]
        nitro_cli = "{folder}/nitro/nitro-cli"
        transport = {{ unix = "{folder}" }}
        health_interval_ms = 50
        {settings}
        {enclaves}
        "#
    ))
    .unwrap()
}
