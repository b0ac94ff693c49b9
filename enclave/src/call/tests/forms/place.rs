//! The places of a reply in which an upstream may write a secret.
use std::{io::Write, sync::Arc};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use tokio::sync::Notify;

use super::{
    super::fixture::{Act, reply, write},
    REDACTED,
};
pub(super) use super::{
    events::{event, event_boundary},
    failures::{cut_off, error},
};

/// A column of the table.
pub(super) struct Place {
    /// What can be written there at all.
    pub(super) takes: fn(&str) -> bool,
    /// The replies with a text in that place; in one that waits, until the caller has got what was
    /// sent before.
    pub(super) replies: fn(&str, &Arc<Notify>) -> Vec<Vec<Act>>,
    /// What the caller is to see of each of those replies, with a text in the place of what was
    /// sent. What ends in `....` goes on so.
    pub(super) shown: fn(&str, &str) -> Vec<String>,
    /// The part of what the caller sees in which nothing of the secret may be.
    pub(super) judged: fn(&str) -> &str,
    /// What becomes of a connection after a reply with nothing wrong in it.
    pub(super) after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Pooled,
    /// What surrounds a compressed stream is not searched; a broken connection is no use.
    Closed,
}

pub(super) const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
pub(super) const END: &str = "0\r\n\r\n";

/// No field holds a line end or another control character.
pub(super) fn is_value(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_inside = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    text.bytes().all(is_inside)
}

pub(super) fn chunk(bytes: impl AsRef<[u8]>) -> Act {
    let bytes = bytes.as_ref();
    let size = format!("{:x}\r\n", bytes.len());
    write([size.as_bytes(), bytes, b"\r\n"].concat())
}

/// One reply of known length.
fn whole(head: &str, body: impl AsRef<[u8]>) -> Vec<Act> {
    vec![write(reply(head, body))]
}

pub(super) const fn header_value() -> Place {
    Place {
        takes: is_value,
        replies: |text, _| {
            let head = format!("x-before: 1\r\nx-echo: <{text}>\r\nx-after: 2\r\n");
            vec![whole(&head, "body")]
        },
        shown: |text, _| {
            vec![format!(
                "200\nx-after: 2\nx-before: 1\nx-echo: <{text}>\n\nbody\n"
            )]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

pub(super) const fn header_name() -> Place {
    Place {
        takes: is_token,
        replies: |text, _| vec![whole(&format!("a: 1\r\nx-{text}-y: 2\r\nz: 3\r\n"), "body")],
        // A field with such a name is left out.
        shown: |text, _| {
            let name = text.to_ascii_lowercase();
            let field = match text {
                REDACTED => String::new(),
                _ => format!("x-{name}-y: 2\n"),
            };
            vec![format!("200\na: 1\n{field}z: 3\n\nbody\n")]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

pub(super) const fn status_text() -> Place {
    Place {
        takes: is_value,
        replies: |text, _| {
            let head = format!("HTTP/1.1 200 It is <{text}>, see\r\ncontent-length: 4\r\n\r\nbody");
            vec![vec![write(head)]]
        },
        shown: |text, _| {
            let reason = match text {
                REDACTED => String::new(),
                _ => format!(" It is <{text}>, see"),
            };
            vec![format!("200{reason}\n\nbody\n")]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

pub(super) const fn body() -> Place {
    Place {
        takes: |_| true,
        replies: |text, _| {
            let body = format!("before <{text}> after");
            vec![
                whole("", &body),
                whole("", text),
                // Of a length that is not known before.
                vec![write(format!("{CHUNKED}\r\n")), chunk(&body), write(END)],
            ]
        },
        shown: |text, _| {
            let body = format!("200\n\nbefore <{text}> after\n");
            vec![body.clone(), format!("200\n\n{text}\n"), body]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

/// The text again and again, each time with the end of a chunk one byte further on.
pub(super) const fn chunk_boundary() -> Place {
    Place {
        takes: |_| true,
        replies: |text, _| {
            let body = format!("<{text}>\n").repeat(text.len() + 1);
            let mut rest = body.as_bytes();
            let mut acts = vec![write(format!("{CHUNKED}\r\n"))];
            for split in 0..=text.len() {
                // From the last split to this one; the first begins at 0.
                let length = if split == 0 { 1 } else { text.len() + 4 };
                let (piece, others) = rest.split_at(length);
                acts.push(chunk(piece));
                rest = others;
            }
            acts.extend([chunk(rest), write(END)]);
            vec![acts]
        },
        shown: |text, sent| {
            let body = format!("<{text}>\n").repeat(sent.len() + 1);
            vec![format!("200\n\n{body}\n")]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) const fn gzip() -> Place {
    Place {
        takes: |_| true,
        replies: |text, _| {
            let head = "content-encoding: gzip\r\n";
            let plain = format!("before <{text}> after");
            let (first, second) = plain.as_bytes().split_at(plain.len() / 2);
            let mut pieces = vec![write(format!("{CHUNKED}{head}\r\n"))];
            pieces.extend(gzipped(plain.as_bytes()).chunks(7).map(chunk));
            pieces.push(write(END));
            vec![
                whole(head, gzipped(plain.as_bytes())),
                whole(head, [gzipped(first), gzipped(second)].concat()),
                pieces,
            ]
        },
        shown: |text, _| vec![format!("200\n\nbefore <{text}> after\n"); 3],
        judged: |shown| shown,
        after: After::Closed,
    }
}

pub(super) const fn deflate() -> Place {
    Place {
        takes: |_| true,
        replies: |text, _| {
            let head = "content-encoding: deflate\r\n";
            let plain = format!("before <{text}> after");
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
            zlib.write_all(plain.as_bytes()).unwrap();
            let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
            bare.write_all(plain.as_bytes()).unwrap();
            vec![
                whole(head, zlib.finish().unwrap()),
                whole(head, bare.finish().unwrap()),
            ]
        },
        shown: |text, _| vec![format!("200\n\nbefore <{text}> after\n"); 2],
        judged: |shown| shown,
        after: After::Closed,
    }
}

pub(super) const fn trailer() -> Place {
    Place {
        takes: is_value,
        replies: |text, _| {
            vec![vec![
                write(format!("{CHUNKED}trailer: x-one, x-two\r\n\r\n")),
                chunk("body"),
                write(format!("0\r\nx-one: <{text}>\r\nx-two: 2\r\n\r\n")),
            ]]
        },
        shown: |text, _| {
            vec![format!(
                "200\ntrailer: x-one, x-two\n\nbody\nx-one: <{text}>\nx-two: 2\n"
            )]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

pub(super) const fn redirect() -> Place {
    Place {
        takes: is_value,
        replies: |text, _| {
            let reply = |status| {
                vec![write(format!(
                    "HTTP/1.1 {status} Over There\r\n\
                     location: https://elsewhere.example/?key={text}&x=1\r\n\
                     content-location: /{text}?x\r\n\
                     link: <https://elsewhere.example/{text}>; rel=next\r\n\
                     refresh: 0; url=/?{text}#x\r\ncontent-length: 0\r\n\r\n"
                ))]
            };
            REDIRECTS.map(reply).into()
        },
        shown: |text, _| {
            let shown = |status| {
                format!(
                    "{status} Over There\ncontent-location: /{text}?x\n\
                     link: <https://elsewhere.example/{text}>; rel=next\n\
                     location: https://elsewhere.example/?key={text}&x=1\n\
                     refresh: 0; url=/?{text}#x\n\n\n"
                )
            };
            REDIRECTS.map(shown).into()
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}
