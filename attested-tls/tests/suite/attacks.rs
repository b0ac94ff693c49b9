//! What everyone else gets: one test for each rule.
use std::sync::Arc;

use dauth_attestation::Error;
use dauth_attested_tls::{
    ConnectError, Custody, Evidence, EvidenceError, Expectations, KeysetMemory, MAX_EVIDENCE_BYTES,
    Session, connect,
};
use dauth_protocol::{KeyConfiguration, Purpose, deployment::KeyPolicyRule};
use http::StatusCode;

use crate::support::{
    AUDIENCE, Attester, Claims, PCR0, Peer, Reply, TlsIdentity, expectations, key_configuration,
    now_ms,
};

const NONCE: [u8; 32] = [7; 32];

/// Connects to a peer that holds `identity` and answers with `evidence`.
async fn refused(
    trusted: &Attester,
    peer: Peer,
    evidence: impl Fn(&[u8]) -> Reply + Send + Sync + 'static,
) -> ConnectError {
    let expected = expectations(trusted);
    let stream = peer.serve(evidence);
    connect(stream, &expected, now_ms(), NONCE)
        .await
        .unwrap_err()
}

/// Connects to a peer whose TLS key and nonce are right, and whose evidence `change` spoils.
async fn refused_evidence(
    change: impl Fn(&Attester, &mut KeyConfiguration, &mut Claims) + Send + Sync + 'static,
) -> ConnectError {
    let attester = Arc::new(Attester::new());
    let identity = TlsIdentity::new();
    let spki = identity.spki();
    let signer = Arc::clone(&attester);
    refused(&attester, Peer::new(identity), move |nonce| {
        let mut configuration = key_configuration(&spki);
        let mut claims = Claims::now(nonce, Vec::new());
        change(&signer, &mut configuration, &mut claims);
        let bytes = configuration.to_cbor();
        if claims.user_data.is_empty() {
            claims.user_data = KeyConfiguration::user_data(&bytes);
        }
        Reply::ok(Evidence::to_json(&signer.document(claims), &bytes))
    })
    .await
}

/// Connects to an honest enclave whose keys `change` makes others.
async fn shown(
    expected: &Expectations,
    attester: &Arc<Attester>,
    change: impl Fn(&mut KeyConfiguration) + Send + Sync + 'static,
) -> Result<Session, ConnectError> {
    let (signer, identity) = (Arc::clone(attester), TlsIdentity::new());
    let spki = identity.spki();
    let stream = Peer::new(identity).serve(move |nonce| {
        let mut keys = key_configuration(&spki);
        change(&mut keys);
        Reply::of(&signer, &keys, nonce)
    });
    connect(stream, expected, now_ms(), NONCE).await
}

#[tokio::test]
async fn a_relay_with_a_key_of_its_own() {
    let attester = Arc::new(Attester::new());
    let enclave = TlsIdentity::new().spki();
    let signer = Arc::clone(&attester);
    // It passes the client's nonce on to the real enclave, and the real evidence back.
    let error = refused(&attester, Peer::new(TlsIdentity::new()), move |nonce| {
        Reply::honest(&signer, &enclave, nonce)
    })
    .await;
    assert!(matches!(error, ConnectError::OtherTlsKey), "{error}");
}

#[tokio::test]
async fn the_enclaves_certificate_without_its_key() {
    let attester = Arc::new(Attester::new());
    let enclave = TlsIdentity::new();
    let spki = enclave.spki();
    let impostor = TlsIdentity::new().under_certificate_of(&enclave);
    let signer = Arc::clone(&attester);
    let error = refused(&attester, Peer::new(impostor), move |nonce| {
        Reply::honest(&signer, &spki, nonce)
    })
    .await;
    assert!(matches!(error, ConnectError::Handshake(_)), "{error}");
}

#[tokio::test]
async fn tls_1_2() {
    let attester = Attester::new();
    let peer = Peer {
        version: &rustls::version::TLS12,
        ..Peer::new(TlsIdentity::new())
    };
    let error = refused(&attester, peer, |_| Reply::ok(Vec::new())).await;
    assert!(matches!(error, ConnectError::Handshake(_)), "{error}");
}

#[tokio::test]
async fn evidence_recorded_for_another_nonce() {
    let error = refused_evidence(|_, _, claims| claims.nonce = vec![8; 32]).await;
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::Document(Error::Nonce))
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_document_that_is_too_old() {
    let error = refused_evidence(|_, _, claims| {
        claims.timestamp_ms -= 61_000;
    })
    .await;
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::Document(Error::TooOld { .. }))
        ),
        "{error}"
    );
}

#[tokio::test]
async fn another_image() {
    let error = refused_evidence(|_, _, claims| claims.pcr0 = [0x5b; 48]).await;
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::Document(Error::UnknownImage(0)))
        ),
        "{error}"
    );
    assert_ne!(PCR0, [0x5b; 48]);
}

#[tokio::test]
async fn another_root() {
    let (trusted, other) = (Attester::new(), Attester::new());
    let identity = TlsIdentity::new();
    let spki = identity.spki();
    let error = refused(&trusted, Peer::new(identity), move |nonce| {
        Reply::honest(&other, &spki, nonce)
    })
    .await;
    assert!(
        matches!(error, ConnectError::Evidence(EvidenceError::Document(_))),
        "{error}"
    );
}

#[tokio::test]
async fn another_audience() {
    let error = refused_evidence(|_, configuration, _| {
        configuration.audience.push('/');
    })
    .await;
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::OtherAudience { .. })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn keys_that_the_document_is_not_for() {
    let other_keys = refused_evidence(|_, configuration, claims| {
        claims.user_data = KeyConfiguration::user_data(&configuration.to_cbor());
        configuration.generation += 1;
    })
    .await;
    let other_purpose = refused_evidence(|_, configuration, claims| {
        let evidence = KeyConfiguration::user_data(&configuration.to_cbor());
        let digest = Purpose::Evidence.digest_of(&evidence).unwrap();
        claims.user_data = Purpose::KeysetBirth.user_data(digest);
    })
    .await;
    for error in [other_keys, other_purpose] {
        assert!(
            matches!(error, ConnectError::Evidence(EvidenceError::NotTheseKeys)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_key_configuration_of_another_version() {
    let error = refused_evidence(|_, configuration, _| configuration.version = 2).await;
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::KeyConfiguration(_))
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_that_its_administrators_can_change_where_a_locked_one_is_required() {
    let attester = Arc::new(Attester::new());
    let strict = Expectations {
        custody: Custody::LockedKey,
        ..expectations(&attester)
    };
    let error = shown(&strict, &attester, |_| ()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Evidence(EvidenceError::UnlockedKey)),
        "{error}"
    );
    let lock = |keys: &mut KeyConfiguration| keys.kms_key.policy = KeyPolicyRule::Locked;
    shown(&strict, &attester, lock).await.unwrap();
    // Nor does a locked key trouble a client that requires none.
    shown(&expectations(&attester), &attester, lock)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_keyset_that_was_put_back() {
    let attester = Arc::new(Attester::new());
    let expected = expectations(&attester);
    let generation = |generation| move |keys: &mut KeyConfiguration| keys.generation = generation;
    shown(&expected, &attester, generation(7)).await.unwrap();
    let error = shown(&expected, &attester, generation(6))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::OlderGeneration { seen: 7, found: 6 })
        ),
        "{error}"
    );
    // The same and a later one are served, by this enclave or another.
    shown(&expected, &attester, generation(7)).await.unwrap();
    shown(&expected, &attester, generation(8)).await.unwrap();
    assert!(shown(&expected, &attester, generation(7)).await.is_err());
}

#[tokio::test]
async fn a_keyset_that_was_made_anew() {
    let attester = Arc::new(Attester::new());
    let expected = expectations(&attester);
    shown(&expected, &attester, |_| ()).await.unwrap();
    let error = shown(&expected, &attester, |keys| {
        keys.keyset_id = vec![4; 16];
        keys.generation = 99;
    })
    .await
    .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Evidence(EvidenceError::OtherKeyset { expected, .. })
            if *expected == "03".repeat(16)),
        "{error}"
    );
    shown(&expected, &attester, |_| ()).await.unwrap();
}

/// The attack: whoever stands between shows evidence of an enclave that has a later generation, or
/// another keyset, on a session of his own. It is refused, and must not keep the client from the
/// enclave that it knows.
#[tokio::test]
async fn evidence_that_was_relayed_does_not_change_what_the_client_knows() {
    let attester = Arc::new(Attester::new());
    let expected = expectations(&attester);
    for (generation, id) in [(u64::MAX, 3), (1, 4)] {
        let (signer, enclave) = (Arc::clone(&attester), TlsIdentity::new().spki());
        let stream = Peer::new(TlsIdentity::new()).serve(move |nonce| {
            let keys = KeyConfiguration {
                generation,
                keyset_id: vec![id; 16],
                ..key_configuration(&enclave)
            };
            Reply::of(&signer, &keys, nonce)
        });
        let error = connect(stream, &expected, now_ms(), NONCE)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::OtherTlsKey), "{error}");
    }
    shown(&expected, &attester, |_| ()).await.unwrap();
}

/// Another deployment's entry, in the same file, says nothing of this one; this one's does.
#[tokio::test]
async fn a_memory_of_another_audience() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.json");
    let entry = |audience: &str| {
        let id = "04".repeat(16);
        format!(r#"{{"version":1,"keysets":{{"{audience}":{{"id":"{id}","generation":9}}}}}}"#)
    };
    let attester = Arc::new(Attester::new());
    let expected = Expectations {
        keysets: Arc::new(KeysetMemory::in_file(&file)),
        ..expectations(&attester)
    };
    std::fs::write(&file, entry(&format!("{AUDIENCE}/"))).unwrap();
    shown(&expected, &attester, |_| ()).await.unwrap();
    std::fs::write(&file, entry(AUDIENCE)).unwrap();
    let error = shown(&expected, &attester, |_| ()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Evidence(EvidenceError::OtherKeyset { .. })
        ),
        "{error}"
    );
    std::fs::write(&file, "{").unwrap();
    let error = shown(&expected, &attester, |_| ()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Evidence(EvidenceError::Memory(_))),
        "{error}"
    );
}

#[tokio::test]
async fn replies_that_are_no_evidence() {
    let attester = Attester::new();
    let answer = async |reply: Reply| {
        let peer = Peer::new(TlsIdentity::new());
        refused(&attester, peer, move |_| reply.clone()).await
    };
    let busy = answer(Reply {
        status: StatusCode::SERVICE_UNAVAILABLE,
        body: Vec::new(),
    });
    assert!(matches!(
        busy.await,
        ConnectError::EvidenceStatus(StatusCode::SERVICE_UNAVAILABLE)
    ));
    let long = answer(Reply::ok(vec![b' '; MAX_EVIDENCE_BYTES + 1]));
    assert!(matches!(long.await, ConnectError::EvidenceTooLong(_)));
    for malformed in [
        "",
        "{}",
        r#"{"type":"aws-nitro","document":"*","key_configuration":""}"#,
    ] {
        let error = answer(Reply::ok(malformed.into())).await;
        assert!(
            matches!(error, ConnectError::Evidence(EvidenceError::Malformed)),
            "{malformed}: {error}"
        );
    }
    let other = r#"{"type":"sev-snp","document":"","key_configuration":""}"#;
    let error = answer(Reply::ok(other.into())).await;
    assert!(
        matches!(&error, ConnectError::Evidence(EvidenceError::UnknownType(kind)) if kind == "sev-snp"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing() {
    let attester = Attester::new();
    let (near, _far) = tokio::io::duplex(1024);
    let error = connect(near, &expectations(&attester), now_ms(), NONCE).await;
    assert!(matches!(error, Err(ConnectError::TimedOut)));
}
