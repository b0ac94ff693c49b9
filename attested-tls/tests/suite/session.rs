//! What an honest enclave gets.
use bytes::Bytes;
use dauth_attested_tls::{Session, connect};
use http::Request;
use http_body_util::{BodyExt as _, Full};

use crate::support::{AUDIENCE, Attester, Peer, Reply, TlsIdentity, expectations, now_ms};

async fn session(alpn: &'static [&'static [u8]]) -> (Session, Vec<u8>) {
    let attester = Attester::new();
    let expected = expectations(&attester);
    let identity = TlsIdentity::new();
    let spki = identity.spki();
    let peer = Peer {
        alpn,
        ..Peer::new(identity)
    };
    let key = spki.clone();
    let stream = peer.serve(move |nonce| Reply::honest(&attester, &key, nonce));
    let session = connect(stream, &expected, now_ms(), [7; 32]).await.unwrap();
    (session, spki)
}

async fn echo(session: &Session, path: &str, body: &'static str) -> String {
    let request = Request::post(path).body(Full::new(Bytes::from(body)));
    let response = session.send(request.unwrap()).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_session_speaks_http2_and_knows_its_enclave() {
    let (session, spki) = session(&[b"h2", b"http/1.1"]).await;
    assert_eq!(session.peer_spki(), spki);
    assert_eq!(session.key_configuration().audience, AUDIENCE);
    assert_eq!(
        session.key_configuration_bytes(),
        session.key_configuration().to_cbor()
    );
    assert_eq!(session.attestation_result().nonce(), Some(&[7; 32][..]));
    assert_eq!(session.evidence_headers()["dpop-nonce"], "n1");
    assert!(!session.is_closed());
    // The bytes of the path are the bytes sent: nothing is encoded, decoded or collapsed.
    let path = "/v1/connections/ddls:conn:a/x%2Dy//?q=%41";
    assert_eq!(
        echo(&session, path, "body").await,
        format!("HTTP/2.0 POST {AUDIENCE}{path} body")
    );
}

#[tokio::test]
async fn requests_share_an_http2_session() {
    let (session, _) = session(&[b"h2"]).await;
    let replies = tokio::join!(
        echo(&session, "/1", "a"),
        echo(&session, "/2", "b"),
        echo(&session, "/3", "c"),
    );
    assert!(replies.0.ends_with("/1 a") && replies.1.ends_with("/2 b"));
    assert!(replies.2.ends_with("/3 c"));
}

#[tokio::test]
async fn a_session_speaks_http1_where_that_is_all_there_is() {
    const HTTP1: &[&[u8]] = &[b"http/1.1"];
    for alpn in [HTTP1, &[]] {
        let (session, _) = session(alpn).await;
        let replies = tokio::join!(echo(&session, "/1", "a"), echo(&session, "/2?x", "b"));
        assert_eq!(replies.0, "HTTP/1.1 POST /1 a");
        assert_eq!(replies.1, "HTTP/1.1 POST /2?x b");
    }
}
