use std::{collections::BTreeMap, io, sync::Arc};

use dauth_protocol::Fingerprint;
use dauth_sealing::RecordKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use zeroize::Zeroizing;

use super::{super::*, SECRET, header};
use crate::{
    authorize::tests::fixture::*,
    event::Events,
    platform::{BoxFuture, BoxStream, Transport},
};

#[test]
fn a_record_opens_under_its_key_and_hash_alone() {
    let parties = Parties::new();
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    let key = RecordKey::new([1; 8], Zeroizing::new([7; 32])).unwrap();
    let bytes = key.seal(&header(&parties), &secret, [1; 12]).unwrap();
    let other_key = RecordKey::new([1; 8], Zeroizing::new([8; 32])).unwrap();
    let open = |bytes: &[u8], fingerprint, key: Option<&RecordKey>| {
        let stored = StoredRecord {
            bytes: bytes.to_vec(),
            fingerprint,
        };
        let opened = stored.check().and_then(|checked| checked.open(key));
        opened
            .map(drop)
            .map_err(|refusal| (refusal.code, refusal.detail))
    };
    let fingerprint = Fingerprint::of(&bytes);
    assert_eq!(open(&bytes, fingerprint, Some(&key)), Ok(()));
    let failed = |detail| Err((Code::DecryptionFailed, detail));
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(
        open(&changed, fingerprint, Some(&key)),
        failed("the record is not the one that the token names")
    );
    assert_eq!(
        open(&changed, Fingerprint::of(&changed), Some(&key)),
        failed("the record does not open")
    );
    assert_eq!(
        open(&bytes, fingerprint, Some(&other_key)),
        failed("the record does not open")
    );
    assert_eq!(
        open(&bytes, fingerprint, None),
        failed("the record was sealed under another keyset")
    );
    assert_eq!(
        open(b"x", Fingerprint::of(b"x"), Some(&key)),
        failed("the record is not one of this build's")
    );
}

/// A parent that answers every request with one status.
struct Vault(&'static str);

impl Transport for Vault {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, mut far) = duplex(1 << 12);
        let status = self.0;
        tokio::spawn(async move {
            let mut head = [0; 1 << 12];
            let length = far.read(&mut head).await.unwrap();
            let expected = format!("GET /v1/records/{} HTTP/1.1", "00".repeat(32));
            assert!(head[..length].starts_with(expected.as_bytes()));
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
            far.write_all(reply.as_bytes()).await.unwrap();
        });
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

fn opener(vault: Vault) -> Opener {
    let host = HostServices::new(Arc::new(vault));
    let events = Events::start(host.clone());
    Opener::new(host.clone(), Reencryptor::start(host, events))
}

#[tokio::test]
async fn what_the_vault_says_has_its_code() {
    let parties = Parties::new();
    let caller = parties.authenticated(&parties.owner_claims()).await;
    let handle = HANDLE.parse().unwrap();
    for (status, code) in [
        ("404 Not Found", Code::ConnectionNotFound),
        ("410 Gone", Code::ConnectionRevoked),
        ("500 Internal Server Error", Code::EnclaveUnavailable),
    ] {
        let opener = opener(Vault(status));
        let refusal = opener.fetch(&caller, &handle).await.map(drop).unwrap_err();
        assert_eq!(refusal.code, code);
    }
    let opener = opener(Vault("200 OK"));
    assert_eq!(opener.fetch(&caller, &handle).await.unwrap().bytes, b"ok");
}

#[tokio::test]
async fn a_handle_that_the_token_does_not_name_is_not_asked_for() {
    let parties = Parties::new();
    let mut claims = parties.owner_claims();
    claims.fingerprints = BTreeMap::new();
    let caller = parties.authenticated(&claims).await;
    let opener = opener(Vault("200 OK"));
    let refused = opener.fetch(&caller, &HANDLE.parse().unwrap()).await;
    assert_eq!(refused.map(drop), Err(NOT_NAMED));
}
