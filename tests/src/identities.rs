//! The clients of the simulation, and who may stand in for them.
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use dauth_dispatch::{ClientCredentials, DpopKey, TokenClient};
use zeroize::Zeroizing;

use crate::{Client, Ran, Stack, StackFile};

impl Client {
    /// Gets this client's tokens.
    pub fn tokens(&self, stack: &StackFile) -> TokenClient {
        let secret = Zeroizing::new(self.client_secret.clone());
        let credentials = ClientCredentials::new(&self.client_id, secret);
        TokenClient::new(&stack.issuer, credentials).unwrap()
    }
}

impl Stack {
    /// The key of the owner of the stack's profile.
    pub fn owner_key(&self) -> DpopKey {
        key(self.dir().join("clients/owner-key.pem"))
    }

    /// The key of the demo MCP server, which policies pin.
    pub fn mcp_server_key(&self) -> DpopKey {
        key(self.dir().join("mcp/key.pem"))
    }

    /// `dauth` as another client, with a key of its own.
    pub fn dauth_as(&self, client: &Client, key: &DpopKey, arguments: &[&str]) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let mut profile: toml::Table = fs::read_to_string(self.file().profile)
            .unwrap()
            .parse()
            .unwrap();
        let key_file = folder.path().join("key.pem");
        write_private(&key_file, &key.to_pem().unwrap());
        for (field, value) in [
            ("client_id", client.client_id.as_str()),
            ("client_secret", &client.client_secret),
            ("owner_key", key_file.to_str().unwrap()),
        ] {
            assert!(profile.insert(field.into(), value.into()).is_some());
        }
        let file = folder.path().join("profile.toml");
        write_private(&file, &profile.to_string());
        let file = file.to_str().unwrap();
        self.dauth(&[&["--profile", file], arguments].concat())
    }
}

fn key(file: PathBuf) -> DpopKey {
    DpopKey::from_pem(&fs::read_to_string(file).unwrap()).unwrap()
}

fn write_private(file: &PathBuf, text: &str) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
