use std::{fs, path::PathBuf};

use super::{
    super::{
        finding::State,
        host::tests::{Folder, nobody},
    },
    *,
};

/// A host with a whole configuration, all as it should be.
struct Configured {
    folder: Folder,
    config: PathBuf,
}

impl Configured {
    fn new() -> Self {
        let mut folder = Folder::new();
        let at = |path: &str| folder.host.at(path).display().to_string();
        let text = format!(
            "[ingress]\nlisten = '127.0.0.1:0'\nenclave = {{ vsock = {{ cid = 16 }} }}\n\
             [host]\nlisten = {{ vsock = {{ peer_cid = 16 }} }}\n\
             configuration_file = '{}'\nkeyset_file = '{}'\n\
             [records]\ncontrol_plane = 'https://dauth.example.com'\ncredential_file = '{}'\n\
             [monitor]\nlisten = '127.0.0.1:0'\n",
            at("deployment.json"),
            at("state/keyset"),
            at("credential"),
        );
        let config = folder.write("parent.toml", &text);
        folder.write("deployment.json", DEPLOYED);
        folder.write("credential", "secret");
        folder.write("state/keyset", "");
        for (path, mode) in [
            ("parent.toml", 0o644),
            ("deployment.json", 0o644),
            ("credential", 0o600),
            ("state", 0o700),
        ] {
            folder.mode(path, mode);
        }
        // The user that owns these files.
        use std::os::unix::fs::MetadataExt as _;
        folder.host.user.uid = fs::metadata(&config).unwrap().uid();
        Self { folder, config }
    }

    async fn found(&self) -> Vec<Finding> {
        examine(&self.folder.host, Some(&self.config)).await
    }

    /// What is not as it should be: the one finding.
    async fn lack(&self) -> String {
        let found = self.found().await;
        let lacks: Vec<_> = found.iter().filter(|f| f.state != State::Ok).collect();
        assert_eq!(lacks.len(), 1, "{found:#?}");
        assert!(lacks[0].remedy.is_some(), "{found:#?}");
        lacks[0].found.clone()
    }
}

const DEPLOYED: &str = r#"{
  "version": 1, "deployment": "prod", "audience": "https://enclave.example.com",
  "issuer": "https://dauth.example.com",
  "issuer_keys": { "url": "https://dauth.example.com:8443/.well-known/jwks.json",
    "spki_sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
  "kms": { "key_arn": "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000",
    "region": "eu-west-1", "endpoint": "https://localhost:1" }
}"#;

#[tokio::test]
async fn a_host_as_it_should_be() {
    let found = Configured::new().found().await;
    for finding in &found {
        assert_eq!(finding.state, State::Ok, "{finding:?}");
    }
    // The configuration, four files, two ports, the deployment and KMS.
    assert_eq!(found.len(), 9, "{found:#?}");
}

#[tokio::test]
async fn without_a_configuration_nothing_is_looked_at() {
    let folder = Folder::new();
    let found = examine(&folder.host, None).await;
    assert_eq!(found[0].state, State::NotChecked);
    let malformed = folder.write("parent.toml", "[ingress]\nlisten = 7\n");
    for file in [malformed.as_path(), Path::new("no-such.toml")] {
        let found = examine(&folder.host, Some(file)).await;
        assert_eq!((found.len(), found[0].state), (1, State::Missing));
    }
}

#[tokio::test]
async fn files_that_are_absent_or_not_safe() {
    let this = Configured::new();
    this.folder.mode("credential", 0o644);
    assert!(this.lack().await.contains("everyone may read it"));
    this.folder.mode("credential", 0o620);
    assert!(this.lack().await.contains("can be changed by others"));
    fs::remove_file(this.folder.host.at("credential")).unwrap();
    assert!(this.lack().await.contains("is not there"));

    let this = Configured::new();
    this.folder.mode("parent.toml", 0o666);
    assert!(this.lack().await.contains("parent.toml can be changed"));
}

#[tokio::test]
async fn files_of_a_stranger_are_not_safe() {
    let mut this = Configured::new();
    this.folder.host.user = nobody();
    let found = this.found().await;
    let lacks = found.iter().filter(|f| f.state == State::Missing).count();
    use std::os::unix::fs::MetadataExt as _;
    let of_root = fs::metadata(&this.config).unwrap().uid() == 0;
    // Root's files may be told; the secret and the folder are not this user's.
    assert_eq!(lacks, if of_root { 2 } else { 4 }, "{found:#?}");
}

#[tokio::test]
async fn the_keysets_folder_is_the_parents_own() {
    let this = Configured::new();
    this.folder.mode("state", 0o777);
    assert!(this.lack().await.contains("older keyset"));
    this.folder.mode("state", 0o700);
    fs::remove_file(this.folder.host.at("state/keyset")).unwrap();
    assert!(this.lack().await.contains("no keyset"));
    fs::remove_dir(this.folder.host.at("state")).unwrap();
    assert!(this.lack().await.contains("state"));
}

#[tokio::test]
async fn enclaves_that_the_parent_is_to_start_have_room() {
    let this = Configured::new();
    let folder = &this.folder;
    let nitro_cli = folder.write("nitro-cli", "");
    let eif = folder.write("x.eif", "");
    // Sparse: 40 MiB of length.
    fs::File::create(&eif).unwrap().set_len(40 << 20).unwrap();
    folder.mode("x.eif", 0o644);
    let text = fs::read_to_string(&this.config).unwrap();
    let text = text
        .replace("enclave = { vsock = { cid = 16 } }\n", "")
        .replace("listen = { vsock = { peer_cid = 16 } }\n", "");
    let supervised = |memory_mib: u64| {
        let text = format!(
            "{text}[[enclaves]]\nname = 'a'\neif = '{}'\ncpus = 2\nmemory_mib = {memory_mib}\n\
             [supervisor]\nnitro_cli = '{}'\n",
            eif.display(),
            nitro_cli.display(),
        );
        fs::write(&this.config, text).unwrap();
    };
    let allocate = |mib: u64, cpus: &str| {
        let text = format!("memory_mib: {mib}\ncpu_count: 4\n");
        folder.write("etc/nitro_enclaves/allocator.yaml", &text);
        folder.write("sys/module/nitro_enclaves/parameters/ne_cpus", cpus);
    };
    supervised(160);
    allocate(320, "1-4");
    for finding in this.found().await {
        assert_eq!(finding.state, State::Ok, "{finding:?}");
    }
    supervised(159);
    assert!(this.lack().await.contains("its image needs 160"));
    supervised(160);
    allocate(319, "1-4");
    assert!(this.lack().await.contains("160 of 319 MiB"));
    allocate(320, "1");
    assert!(this.lack().await.contains("2 of 1 CPUs"));
    allocate(320, "1-4");
    fs::remove_file(nitro_cli).unwrap();
    assert!(this.lack().await.contains("there is no"));
}

#[test]
fn a_port_is_free_or_taken_by_the_parent_or_by_another() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let found = port(&folder.host, address);
    assert_eq!(found.state, State::Missing);
    assert!(found.remedy.unwrap().contains("ss -ltnp"));
    folder.write("proc/77/comm", "dauth-parent\n");
    assert_eq!(port(&folder.host, address).state, State::Ok);
    drop(taken);
    assert_eq!(port(&folder.host, address).state, State::Ok);
    // RFC 5737: no host has this address.
    let foreign = port(&folder.host, "192.0.2.1:0".parse().unwrap());
    assert_eq!(foreign.state, State::Missing);
}

#[tokio::test]
async fn the_deployment_parses_and_its_kms_is_found() {
    let this = Configured::new();
    this.folder.write("deployment.json", "{}");
    let found = this.found().await;
    let of = |name: &str| found.iter().find(|f| f.name == name).unwrap().state;
    assert_eq!(
        (of(DEPLOYMENT), of(KMS)),
        (State::Missing, State::NotChecked)
    );

    // RFC 6761 section 6.4: never resolves.
    let invalid = kms("eu-west-1", Some("https://kms.invalid")).await;
    assert_eq!(invalid.state, State::Missing);
    assert!(invalid.remedy.unwrap().contains("VPC endpoint"));
    assert_eq!(kms("eu-west-1", Some("none")).await.state, State::Missing);
    assert_eq!(kms("x", Some("https://127.0.0.1:1")).await.state, State::Ok);
}
