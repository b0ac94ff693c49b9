//! Paths below a connection, and the patterns that a policy allows.
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limit::MAX_PATH_BYTES;

/// A request path whose bytes mean one thing to every server.
///
/// It is refused, never rewritten: the bytes that a policy matches are the bytes that are sent.
///
/// ```
/// use dauth_protocol::RequestPath;
/// assert!(RequestPath::parse("/repos/dauth/issues").is_ok());
/// for ambiguous in ["/a/../b", "/a//b", "/a%2fb", "/a;b", "/a\\b", "/%00", "a"] {
///     assert!(RequestPath::parse(ambiguous).is_err(), "{ambiguous}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// Checks a path as it was sent, percent-encoded, without its query.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > MAX_PATH_BYTES {
            return Err(InvalidPath::TooLong);
        }
        let below_root = text.strip_prefix('/').ok_or(InvalidPath::NotAbsolute)?;
        check_bytes(text)?;
        let mut segments = below_root.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            if segment.is_empty() && !is_last {
                return Err(InvalidPath::EmptySegment);
            }
            if segment == "." || segment == ".." {
                return Err(InvalidPath::DotSegment);
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as it was sent and will be sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn segments(&self) -> Vec<&str> {
        self.0.split('/').skip(1).collect()
    }
}

/// RFC 3986 `pchar` and `/`, less `;`, with percent-escapes only of what no server takes for syntax.
fn check_bytes(text: &str) -> Result<(), InvalidPath> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (escape, after) = after.split_at_checked(2).ok_or(InvalidPath::Escape)?;
                let value = core::str::from_utf8(escape)
                    .ok()
                    .filter(|e| e.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|e| u8::from_str_radix(e, 16).ok())
                    .ok_or(InvalidPath::Escape)?;
                if matches!(value, b'/' | b'\\' | b'.' | b';' | b'%' | 0..=0x1f | 0x7f) {
                    return Err(InvalidPath::EncodedSyntax);
                }
                decoded.push(value);
                rest = after;
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => decoded.push(byte),
            b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*'
            | b'+' | b',' | b'=' | b':' | b'@' => decoded.push(byte),
            _ => return Err(InvalidPath::Byte),
        }
    }
    core::str::from_utf8(&decoded)
        .map(drop)
        .map_err(|_| InvalidPath::NotUtf8)
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("path is too long")]
    TooLong,
    /// Does not begin with `/`.
    #[error("path must begin with /")]
    NotAbsolute,
    /// `//` inside.
    #[error("path holds an empty segment")]
    EmptySegment,
    /// `.` or `..` as a segment.
    #[error("path holds a dot segment")]
    DotSegment,
    /// `%` without two hexadecimal digits.
    #[error("path holds a malformed percent-escape")]
    Escape,
    /// An escaped slash, backslash, dot, semicolon, percent sign or control character.
    #[error("path escapes a character that servers take for syntax")]
    EncodedSyntax,
    /// A byte that a path may not hold: `;`, `\`, a space, a control character, non-ASCII.
    #[error("path holds a character that is not allowed")]
    Byte,
    /// Escapes that do not decode to UTF-8.
    #[error("path does not decode to UTF-8")]
    NotUtf8,
}

/// A pattern over [`RequestPath`]: `*` is one segment, `**` zero or more, all else is literal.
///
/// ```
/// use dauth_protocol::{PathPattern, RequestPath};
/// let pattern: PathPattern = "/repos/*/issues/**".parse().unwrap();
/// let matches = |path| pattern.matches(&RequestPath::parse(path).unwrap());
/// assert!(matches("/repos/dauth/issues") && matches("/repos/dauth/issues/7/comments"));
/// assert!(!matches("/repos/a/b/issues") && !matches("/repos"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

impl PathPattern {
    /// Whether the whole of `path` matches.
    pub fn matches(&self, path: &RequestPath) -> bool {
        let pattern: Vec<&str> = self.0.split('/').skip(1).collect();
        segments_match(&pattern, &path.segments())
    }
}

/// Linear in pattern × path: only the latest `**` is ever retried, as in glob matching.
fn segments_match(pattern: &[&str], path: &[&str]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while s < path.len() {
        match (pattern.get(p).copied(), path.get(s).copied()) {
            (Some("**"), _) => {
                retry = Some((p + 1, s));
                p += 1;
            }
            (Some("*"), Some(segment)) if !segment.is_empty() => (p, s) = (p + 1, s + 1),
            (Some(literal), Some(segment)) if literal != "*" && literal == segment => {
                (p, s) = (p + 1, s + 1);
            }
            _ => match retry {
                Some((after, at)) => {
                    retry = Some((after, at + 1));
                    (p, s) = (after, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == "**")
}

impl FromStr for PathPattern {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        // What no path could be is refused here, so that a rule never silently matches nothing.
        RequestPath::parse(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PathPattern {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_each_ambiguous_form() {
        use InvalidPath::*;
        let cases = [
            ("", NotAbsolute),
            ("a", NotAbsolute),
            ("//evil.example/x", EmptySegment),
            ("/a//b", EmptySegment),
            ("/.", DotSegment),
            ("/a/..", DotSegment),
            ("/a/../b", DotSegment),
            ("/a%2fb", EncodedSyntax),
            ("/a%2Fb", EncodedSyntax),
            ("/a%5cb", EncodedSyntax),
            ("/%2e%2e/b", EncodedSyntax),
            ("/.%2E/b", EncodedSyntax),
            ("/a%3bb", EncodedSyntax),
            ("/a%252fb", EncodedSyntax),
            ("/a%00", EncodedSyntax),
            ("/a%0d%0ab", EncodedSyntax),
            ("/a%7f", EncodedSyntax),
            ("/a%", Escape),
            ("/a%2", Escape),
            ("/a%zz", Escape),
            ("/a%+1", Escape),
            ("/a;b=1", Byte),
            ("/a\\b", Byte),
            ("/a b", Byte),
            ("/a\r\nb", Byte),
            ("/a\0", Byte),
            ("/é", Byte),
            ("/a?b", Byte),
            ("/a#b", Byte),
            ("/%ff", NotUtf8),
            ("/%c3", NotUtf8),
        ];
        for (text, error) in cases {
            assert_eq!(
                RequestPath::parse(text).map_err(|e| (text, e)),
                Err((text, error))
            );
        }
        assert_eq!(
            RequestPath::parse(&format!("/{}", "a".repeat(MAX_PATH_BYTES))),
            Err(TooLong)
        );
    }

    #[test]
    fn keeps_the_bytes_as_sent() {
        for text in [
            "/",
            "/a",
            "/a/",
            "/a/b.json",
            "/%C3%A9",
            "/a/...",
            "/ddls%3Aconn",
            "/x@y:z,$!'()*+=",
        ] {
            assert_eq!(RequestPath::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn patterns() {
        let cases = [
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/a", "/a", true),
            ("/a", "/A", false),
            ("/a", "/a/", false),
            ("/a/", "/a/", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", false),
            ("/a/**", "/a", true),
            ("/a/**", "/ab", false),
            ("/**/c", "/a/b/c", true),
            ("/**/c", "/c", true),
            ("/**/b/**/d", "/a/b/c/b/d", true),
            ("/**/b/**/d", "/a/b/c", false),
            ("/a*", "/ab", false),
            ("/%C3%A9", "/%c3%a9", false),
        ];
        for (pattern, path, expected) in cases {
            let pattern: PathPattern = pattern.parse().unwrap();
            let path = RequestPath::parse(path).unwrap();
            assert_eq!(pattern.matches(&path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length() {
        let pattern: PathPattern = format!("{}/x", "/**/a".repeat(200)).parse().unwrap();
        let path = RequestPath::parse(&"/a".repeat(2000)).unwrap();
        assert!(!pattern.matches(&path));
    }
}
