//! What the upstream sends, by how the call is to end.
use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use crate::ending::Ending;

/// The limit on a reply's body in the policies of the matrix.
pub(crate) const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// What follows the bytes.
pub(super) enum Then {
    /// Whatever the enclave sends next is answered.
    NextRequest,
    /// The connection is closed.
    Close,
    /// Nothing.
    Stall,
}

/// The bytes that end a call whose request had this head.
pub(super) fn reply(ending: Ending, head: &str) -> (Vec<u8>, Then) {
    let echo = head.replace("\r\n", " ").trim().to_owned();
    let whole = |status: &str, fields: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n");
        ([head.as_bytes(), body].concat(), Then::NextRequest)
    };
    let chunked = |fields: &str, chunks: &[&[u8]], end: &str| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
        let mut bytes = head.into_bytes();
        for chunk in chunks {
            write!(bytes, "{:x}\r\n", chunk.len()).unwrap();
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(end.as_bytes());
        bytes
    };
    let echoing = format!("X-Echo: {echo}\r\n");
    match ending {
        Ending::Success | Ending::Revoked | Ending::Rotated => whole("200 OK", "", b"done"),
        Ending::UpstreamError => whole("500 Oh No", "", b"failed"),
        Ending::Reflected => whole("200 OK", &echoing, head.as_bytes()),
        Ending::ReflectedInEvents => {
            let event = format!("event: echo\ndata: {echo}\n\n");
            let (first, second) = event.as_bytes().split_at(event.len() / 2);
            let chunks: [&[u8]; 4] = [b"data: first\n\n", first, second, b"data: last\n\n"];
            let fields = "Content-Type: text/event-stream\r\n";
            (chunked(fields, &chunks, "0\r\n\r\n"), Then::NextRequest)
        }
        Ending::ReflectedInTrailer => {
            let end = format!("0\r\n{echoing}\r\n");
            let fields = "Trailer: X-Echo\r\n";
            (chunked(fields, &[b"done"], &end), Then::NextRequest)
        }
        Ending::ReflectedCompressed => whole(
            "200 OK",
            "Content-Encoding: gzip\r\n",
            &gzip(head.as_bytes()),
        ),
        Ending::BrokenHead => {
            let part = format!("HTTP/1.1 200 OK\r\n{echoing}X-More: ");
            (part.into_bytes(), Then::Close)
        }
        Ending::BrokenBody => (chunked("", &[head.as_bytes()], "ffff\r\nno"), Then::Close),
        Ending::StalledBody => (chunked("", &[head.as_bytes()], ""), Then::Stall),
        Ending::TooLongDeclared => {
            let length = MAX_RESPONSE_BYTES + 1;
            let reply = format!("HTTP/1.1 200 OK\r\n{echoing}Content-Length: {length}\r\n\r\n");
            (reply.into_bytes(), Then::Stall)
        }
        Ending::TooLongStreamed => {
            let filling = head.repeat(MAX_RESPONSE_BYTES / head.len() + 1);
            (chunked("", &[filling.as_bytes()], ""), Then::Stall)
        }
        Ending::Undecodable => {
            // The checksum, which ends the stream, does not hold.
            let mut body = gzip(head.as_bytes());
            if let Some(byte) = body.last_chunk_mut::<8>() {
                byte[0] ^= 1;
            }
            whole("200 OK", "Content-Encoding: gzip\r\n", &body)
        }
        Ending::UnknownCoding => whole("200 OK", "Content-Encoding: br\r\n", head.as_bytes()),
        Ending::Malformed => (format!("{echo}\r\n\r\n").into_bytes(), Then::Close),
        Ending::Interim => {
            let hints = format!("HTTP/1.1 103 Early Hints\r\n{echoing}\r\n");
            let (reply, then) = whole("200 OK", "", b"done");
            ([hints.as_bytes(), &reply].concat(), then)
        }
        Ending::PanicAfterHead => whole("200 OK", &echoing, head.as_bytes()),
        Ending::TimedOut | Ending::CancelledInRequest | Ending::CancelledBeforeHead => {
            (Vec::new(), Then::Stall)
        }
        // No request comes.
        Ending::TlsRefused | Ending::Unreachable | Ending::Denied | Ending::PanicBeforeHead => {
            (Vec::new(), Then::Close)
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
