//! How a credential enters a request: as a placeholder, until [`crate::splice`] puts it in.
mod encode;
mod query;

use aws_lc_rs::rand;
use dauth_protocol::{Code, Injection, limit};
use http::{HeaderName, HeaderValue, header};

pub(crate) use self::encode::{base64, percent_encoded};
pub use self::query::check_query;
use crate::{refusal::Refusal, wipe::WipedBuffer};

/// Shorter placeholders could be guessed, and be sent by a caller in another place.
const MIN_PLACEHOLDER_BYTES: usize = limit::MIN_SECRET_BYTES;

/// The bytes that stand in the request in place of the placeholder: wiped when dropped.
pub struct Rendered(WipedBuffer);

/// Random letters and digits, as long as what they stand for.
///
/// The HTTP library sees these; they are no secret, but nobody else can know them before the
/// request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder(String);

/// What the HTTP library puts into the request.
#[derive(Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A header field.
    Header(HeaderName, HeaderValue),
    /// `name=value`, appended to the query.
    Query(String),
}

/// A credential ready to be sent.
pub struct Prepared {
    /// What the HTTP library sees.
    pub carrier: Carrier,
    /// What in it is to be replaced.
    pub placeholder: Placeholder,
    /// By what.
    pub rendered: Rendered,
}

impl Rendered {
    /// What `injection` makes of the secret.
    ///
    /// A secret that could end a field or begin another is refused, so that a request cannot be
    /// split by it.
    pub fn new(injection: &Injection, secret: &[u8]) -> Result<Self, Refusal> {
        let rendered = match injection {
            Injection::Bearer {} => {
                check(secret, |b| matches!(b, 0x21..=0x7e))?;
                WipedBuffer::copy_of(secret)
            }
            // RFC 9110 section 5.5: visible characters, spaces inside, and obs-text.
            Injection::Header { .. } => {
                check(secret, |b| matches!(b, 0x20..=0x7e | 0x80..=0xff))?;
                if secret.first() == Some(&b' ') || secret.last() == Some(&b' ') {
                    return Err(UNSENDABLE);
                }
                WipedBuffer::copy_of(secret)
            }
            Injection::Basic { user } => basic(user.as_str(), secret)?,
            Injection::Query { .. } => percent_encoded(secret),
        };
        if rendered.len() < MIN_PLACEHOLDER_BYTES {
            return Err(TOO_SHORT);
        }
        Ok(Self(rendered))
    }

    /// The bytes. Whoever copies them answers for wiping the copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

impl Placeholder {
    /// A fresh placeholder.
    pub fn random(length: usize) -> Result<Self, Refusal> {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut bytes = vec![0; length];
        rand::fill(&mut bytes).map_err(|_| NO_RANDOMNESS)?;
        // The slight bias of the remainder costs less than a tenth of a bit a character.
        let letter = |b: u8| {
            ALPHABET
                .get(usize::from(b) % ALPHABET.len())
                .copied()
                .map(char::from)
        };
        Ok(Self(bytes.into_iter().filter_map(letter).collect()))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the memory-scan test must find: the credential itself.
    #[cfg(mutations)]
    fn unless_mutated(self, rendered: &Rendered) -> Self {
        if crate::mutation::Mutation::NoSplice.is_chosen() {
            Self(String::from_utf8_lossy(rendered.expose()).into_owned())
        } else {
            self
        }
    }
}

impl Prepared {
    /// Renders the credential and a placeholder for it.
    pub fn new(injection: &Injection, secret: &[u8]) -> Result<Self, Refusal> {
        let rendered = Rendered::new(injection, secret)?;
        let placeholder = Placeholder::random(rendered.length())?;
        #[cfg(mutations)]
        let placeholder = placeholder.unless_mutated(&rendered);
        let carrier = Carrier::new(injection, &placeholder)?;
        Ok(Self {
            carrier,
            placeholder,
            rendered,
        })
    }
}

impl Carrier {
    fn new(injection: &Injection, placeholder: &Placeholder) -> Result<Self, Refusal> {
        let placeholder = placeholder.as_str();
        let field = |name: HeaderName, value: String| {
            HeaderValue::try_from(value)
                .map(|value| Self::Header(name, value))
                .or(Err(UNSENDABLE))
        };
        match injection {
            Injection::Bearer {} => field(header::AUTHORIZATION, format!("Bearer {placeholder}")),
            Injection::Basic { .. } => field(header::AUTHORIZATION, format!("Basic {placeholder}")),
            Injection::Header { template } => {
                let (before, after) = template.around_secret();
                field(
                    template.name().clone(),
                    format!("{before}{placeholder}{after}"),
                )
            }
            Injection::Query { name } => {
                Ok(Self::Query(format!("{}={placeholder}", name.as_str())))
            }
        }
    }
}

/// `base64(user:secret)` (RFC 7617 section 2).
fn basic(user: &str, secret: &[u8]) -> Result<WipedBuffer, Refusal> {
    // RFC 7617 section 2: no control characters.
    check(secret, |b| !b.is_ascii_control())?;
    let mut pair = WipedBuffer::with_capacity(user.len() + 1 + secret.len());
    for part in [user.as_bytes(), b":", secret] {
        pair.append(part);
    }
    Ok(base64(&pair))
}

fn check(secret: &[u8], is_sendable: impl Fn(u8) -> bool) -> Result<(), Refusal> {
    if secret.iter().all(|b| is_sendable(*b)) {
        Ok(())
    } else {
        Err(UNSENDABLE)
    }
}

const UNSENDABLE: Refusal = Refusal::new(
    Code::InvalidRequest,
    "the credential holds bytes that its place cannot carry",
);
const TOO_SHORT: Refusal = Refusal::new(
    Code::InvalidRequest,
    "the credential is too short to be told from other text",
);
const NO_RANDOMNESS: Refusal =
    Refusal::new(Code::EnclaveUnavailable, "the enclave has no randomness");

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"sk-0123456789/+= ab";

    fn injection(json: &str) -> Injection {
        serde_json::from_str(json).unwrap()
    }

    fn bearer() -> Injection {
        Injection::Bearer {}
    }

    #[test]
    fn renders_each_injection() {
        let cases = [
            (
                r#"{"kind":"bearer"}"#,
                &b"0123456789abcdef"[..],
                &b"0123456789abcdef"[..],
            ),
            (
                r#"{"kind":"basic","user":"me"}"#,
                b"0123456789abcdef",
                b"bWU6MDEyMzQ1Njc4OWFiY2RlZg==",
            ),
            (
                r#"{"kind":"header","template":"X-Key: k {secret};"}"#,
                SECRET,
                SECRET,
            ),
            (
                r#"{"kind":"query","name":"k"}"#,
                SECRET,
                b"sk-0123456789%2F%2B%3D%20ab",
            ),
        ];
        for (json, secret, expected) in cases {
            let rendered = Rendered::new(&injection(json), secret).ok().unwrap();
            assert_eq!(rendered.expose(), expected, "{json}");
        }
    }

    #[test]
    fn the_library_sees_a_placeholder_of_the_same_length() {
        let prepared = Prepared::new(
            &injection(r#"{"kind":"header","template":"X-Key: k {secret};"}"#),
            SECRET,
        )
        .ok()
        .unwrap();
        let placeholder = prepared.placeholder.as_str();
        assert_eq!(placeholder.len(), SECRET.len());
        assert!(placeholder.bytes().all(|b| b.is_ascii_alphanumeric()));
        let value = HeaderValue::try_from(format!("k {placeholder};")).unwrap();
        assert_eq!(
            prepared.carrier,
            Carrier::Header("x-key".parse().unwrap(), value)
        );
        let again = Placeholder::random(placeholder.len()).unwrap();
        assert_ne!(again, prepared.placeholder);
    }

    #[test]
    fn refuses_a_secret_that_could_split_the_request() {
        let header = injection(r#"{"kind":"header","template":"X-Key: {secret}"}"#);
        for bad in [
            &b"0123456789abcdef\r\nHost: evil"[..],
            b"0123456789abcdef\n",
            b"0123456789abcdef\0",
            b"0123456789abcdef\x7f",
        ] {
            assert_eq!(Rendered::new(&bearer(), bad).err(), Some(UNSENDABLE));
            assert_eq!(Rendered::new(&header, bad).err(), Some(UNSENDABLE));
        }
        assert_eq!(
            Rendered::new(&bearer(), b"0123456789 abcdef").err(),
            Some(UNSENDABLE)
        );
        assert_eq!(
            Rendered::new(&header, b" 0123456789abcdef").err(),
            Some(UNSENDABLE)
        );
        let basic = injection(r#"{"kind":"basic","user":"me"}"#);
        assert_eq!(
            Rendered::new(&basic, b"0123456789\nabcdef").err(),
            Some(UNSENDABLE)
        );
        assert_eq!(Rendered::new(&bearer(), b"short").err(), Some(TOO_SHORT));
    }
}
