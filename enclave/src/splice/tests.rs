//! Requests split and malformed in every way.
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::scrub::{Delivery, Scrubber};
use dauth_protocol::Injection;

const SECRET: &[u8] = b"sk-live-0123456789abcdef";

fn pair(capacity: usize) -> (Splice<DuplexStream>, Splicer, DuplexStream) {
    let (near, far) = duplex(capacity);
    let (splice, splicer) = Splice::new(near);
    (splice, splicer, far)
}

fn arm(splicer: &Splicer) -> String {
    let rendered = Rendered::new(&Injection::Bearer {}, SECRET).ok().unwrap();
    let placeholder = Placeholder::random(rendered.length()).unwrap();
    let text = placeholder.as_str().to_owned();
    splicer.arm(placeholder, rendered);
    text
}

fn head(value: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nauthorization: Bearer {value}\r\nhost: a\r\n\r\n").into_bytes()
}

fn secret() -> &'static str {
    std::str::from_utf8(SECRET).unwrap()
}

#[tokio::test]
async fn splices_however_the_head_is_split() {
    let length = head(secret()).len();
    for split in 0..=length {
        let (mut splice, splicer, mut far) = pair(4096);
        let placeholder = arm(&splicer);
        let request = [head(&placeholder), b"body".to_vec()].concat();
        let (first, second) = request.split_at(split);
        splice.write_all(first).await.unwrap();
        splice.write_all(second).await.unwrap();
        splice.shutdown().await.unwrap();
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, [head(secret()), b"body".to_vec()].concat(), "{split}");
    }
}

#[tokio::test]
async fn a_narrow_pipe_gets_all_of_it() {
    let (mut splice, splicer, mut far) = pair(3);
    let placeholder = arm(&splicer);
    let writer = tokio::spawn(async move {
        splice.write_all(&head(&placeholder)).await.unwrap();
        splice.write_all(b"body").await.unwrap();
        splice.shutdown().await.unwrap();
    });
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    writer.await.unwrap();
    assert_eq!(sent, [head(secret()), b"body".to_vec()].concat());
}

#[tokio::test]
async fn nothing_in_the_body_is_replaced() {
    let (mut splice, splicer, mut far) = pair(4096);
    let placeholder = arm(&splicer);
    let request = [head(&placeholder), placeholder.clone().into_bytes()].concat();
    splice.write_all(&request).await.unwrap();
    splice.write_all(placeholder.as_bytes()).await.unwrap();
    splice.shutdown().await.unwrap();
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    let body = placeholder.repeat(2).into_bytes();
    assert_eq!(sent, [head(secret()), body].concat());
}

#[tokio::test]
async fn each_request_has_its_own_placeholder() {
    let (mut splice, splicer, mut far) = pair(4096);
    let first = arm(&splicer);
    splice.write_all(&head(&first)).await.unwrap();
    let second = arm(&splicer);
    assert!(
        splice.write_all(&head(&first)).await.is_err(),
        "an old placeholder"
    );
    assert!(
        splice.write_all(&head(&second)).await.is_err(),
        "a failed connection"
    );
    drop(splice);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, head(secret()));
}

#[tokio::test]
async fn fails_without_the_placeholder_and_with_two() {
    let (mut splice, splicer, _far) = pair(4096);
    arm(&splicer);
    assert!(splice.write_all(&head("none")).await.is_err());

    let (mut splice, splicer, _far) = pair(4096);
    let placeholder = arm(&splicer);
    assert!(
        splice
            .write_all(&head(&placeholder.repeat(2)))
            .await
            .is_err()
    );

    let (mut splice, _splicer, _far) = pair(4096);
    assert!(splice.write_all(b"GET").await.is_err(), "not armed");
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    let (mut splice, splicer, mut far) = pair(4096);
    arm(&splicer);
    assert!(
        splice
            .write_all(&vec![b'a'; MAX_HEAD_BYTES + 1])
            .await
            .is_err()
    );
    drop(splice);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    assert!(sent.is_empty());
}

#[tokio::test]
async fn dropping_the_splicer_disarms() {
    let (mut splice, splicer, _far) = pair(4096);
    let placeholder = arm(&splicer);
    drop(splicer);
    assert!(splice.write_all(&head(&placeholder)).await.is_err());
}

fn watch() -> Watch {
    Scrubber::new(&[SECRET], Delivery::FixedTail).watch()
}

#[tokio::test]
async fn what_comes_back_is_watched_however_it_is_split() {
    let reply = [&b"HTTP/1.1 200 OK\r\nx: "[..], SECRET, b"\r\n\r\n"].concat();
    for capacity in 1..reply.len() {
        let (mut splice, splicer, mut far) = pair(capacity);
        splicer.watch(watch());
        let sent = reply.clone();
        let writer = tokio::spawn(async move { far.write_all(&sent).await.unwrap() });
        let mut read = vec![0; reply.len()];
        splice.read_exact(&mut read).await.unwrap();
        writer.await.unwrap();
        assert_eq!(read, reply, "untouched");
        assert!(!splicer.end_watch(), "{capacity}");
        assert!(!splicer.end_watch(), "no watch is no clean one");
    }
}

#[tokio::test]
async fn each_reply_has_its_own_watch() {
    let (mut splice, splicer, mut far) = pair(4096);
    let mut read = vec![0; SECRET.len()];
    far.write_all(SECRET).await.unwrap();
    splice.read_exact(&mut read).await.unwrap();
    splicer.watch(watch());
    far.write_all(b"another reply").await.unwrap();
    splice.read_exact(&mut read[..13]).await.unwrap();
    assert!(splicer.end_watch());
    splicer.watch(watch());
    far.write_all(SECRET).await.unwrap();
    splice.read_exact(&mut read).await.unwrap();
    assert!(!splicer.end_watch());
}
