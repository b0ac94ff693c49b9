//! Content codings of a reply's body (RFC 9110 section 8.4).
use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

/// How a body is coded. The request asked for identity, but upstreams do as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or bare RFC 1951 as some servers send it.
    Deflate,
}

/// A coding that cannot be searched, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body has a content coding that cannot be searched")]
pub(crate) struct UnknownEncoding;

impl Encoding {
    /// The coding that the fields of a reply declare.
    pub(crate) fn of(fields: &HeaderMap) -> Result<Self, UnknownEncoding> {
        let mut encoding = Self::Identity;
        for value in fields.get_all(header::CONTENT_ENCODING) {
            for name in value.to_str().map_err(|_| UnknownEncoding)?.split(',') {
                let next = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    _ => return Err(UnknownEncoding),
                };
                if encoding != Self::Identity {
                    return Err(UnknownEncoding);
                }
                encoding = next;
            }
        }
        Ok(encoding)
    }
}

/// A decoder that is fed and read in turns, so that no input makes it produce more than is read.
pub(super) enum Decoder {
    Gzip(Box<MultiGzDecoder<Feed>>),
    /// Nothing has come yet that tells zlib from bare deflate.
    Undecided(Feed),
    Zlib(Box<ZlibDecoder<Feed>>),
    Bare(Box<DeflateDecoder<Feed>>),
}

/// What a decoder has been fed and has not yet read.
#[derive(Default)]
pub(super) struct Feed {
    bytes: Bytes,
    has_ended: bool,
}

/// What a decoder did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes came out.
    Read(usize),
    /// It needs more input.
    Hungry,
    /// All is decoded.
    Done,
}

/// The body is not what its coding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Decoder {
    /// The decoder of a coding; `None` for identity.
    pub(super) fn new(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Identity => None,
            Encoding::Gzip => Some(Self::Gzip(Box::new(MultiGzDecoder::new(Feed::default())))),
            Encoding::Deflate => Some(Self::Undecided(Feed::default())),
        }
    }

    /// Gives it input; only when it is hungry.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.input().bytes = bytes;
        }
    }

    /// There is no more input.
    pub(super) fn end(&mut self) {
        self.input().has_ended = true;
    }

    /// Decodes into `out`.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<Step, Malformed> {
        self.decide();
        let result = match self {
            Self::Gzip(decoder) => decoder.read(out),
            Self::Zlib(decoder) => decoder.read(out),
            Self::Bare(decoder) => decoder.read(out),
            Self::Undecided(feed) if feed.has_ended => Ok(0),
            Self::Undecided(_) => Err(io::ErrorKind::WouldBlock.into()),
        };
        match result {
            Ok(0) => Ok(Step::Done),
            Ok(read) => Ok(Step::Read(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Hungry),
            Err(_) => Err(Malformed),
        }
    }

    /// RFC 1950 section 2.2: the method is 8 and the first two bytes are a multiple of 31. The
    /// first alone tells: bare deflate never begins with a stored block of that shape.
    fn decide(&mut self) {
        let Self::Undecided(feed) = self else { return };
        let Some(first) = feed.bytes.first().copied() else {
            return;
        };
        let feed = std::mem::take(feed);
        *self = if first & 0x0f == 8 {
            Self::Zlib(Box::new(ZlibDecoder::new(feed)))
        } else {
            Self::Bare(Box::new(DeflateDecoder::new(feed)))
        };
    }

    fn input(&mut self) -> &mut Feed {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Bare(decoder) => decoder.get_mut(),
            Self::Undecided(feed) => feed,
        }
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.has_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.advance(amount.min(self.bytes.len()));
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(encoding: Encoding, body: &[u8], chunk: usize) -> Result<Vec<u8>, Malformed> {
        let mut decoder = Decoder::new(encoding).unwrap();
        let mut decoded = Vec::new();
        let mut chunks = body.chunks(chunk);
        let mut out = [0; 64];
        loop {
            match decoder.read(&mut out)? {
                Step::Read(read) => decoded.extend_from_slice(&out[..read]),
                Step::Done => return Ok(decoded),
                Step::Hungry => match chunks.next() {
                    Some(chunk) => decoder.feed(Bytes::copy_from_slice(chunk)),
                    None => decoder.end(),
                },
            }
        }
    }

    #[test]
    fn decodes_each_coding_in_chunks_of_any_size() {
        let text: Vec<u8> = (0..5000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(&text).unwrap();
        let two = [gzip(&text[..100]), gzip(&text[100..])].concat();
        for (encoding, body) in [
            (Encoding::Gzip, gzip(&text)),
            (Encoding::Gzip, two),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Deflate, bare.finish().unwrap()),
        ] {
            for chunk in [1, 2, 7, 100, 1 << 20] {
                assert!(
                    decode(encoding, &body, chunk).unwrap() == text,
                    "{encoding:?} {chunk}"
                );
            }
        }
    }

    #[test]
    fn refuses_what_is_cut_short_or_no_such_coding() {
        let body = gzip(b"some text, some text");
        for length in 1..body.len() {
            assert_eq!(
                decode(Encoding::Gzip, &body[..length], 5),
                Err(Malformed),
                "{length}"
            );
        }
        assert_eq!(decode(Encoding::Gzip, b"plain text", 5), Err(Malformed));
        assert_eq!(
            decode(Encoding::Deflate, b"\xffplain text", 5),
            Err(Malformed)
        );
    }

    #[test]
    fn reads_the_declared_coding() {
        let of = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(
                    header::CONTENT_ENCODING,
                    http::HeaderValue::from_static(value),
                );
            }
            Encoding::of(&fields)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Encoding::Gzip));
        assert_eq!(of(&["deflate, identity"]), Ok(Encoding::Deflate));
        for refused in [
            &["br"][..],
            &["zstd"],
            &["gzip, gzip"],
            &["gzip", "deflate"],
            &["x"],
        ] {
            assert_eq!(of(refused), Err(UnknownEncoding), "{refused:?}");
        }
    }
}
