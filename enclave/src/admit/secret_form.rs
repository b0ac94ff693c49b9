//! Whether a credential has the form that its injection needs.
use dauth_protocol::{Code, Injection, limit::MIN_SECRET_BYTES};

use crate::refusal::Refusal;

/// Refuses what could not be scrubbed, or would break out of the field that it is injected into.
pub(super) fn check(injection: &Injection, secret: &[u8]) -> Result<(), Refusal> {
    let invalid = |detail| Err(Refusal::new(Code::InvalidRequest, detail));
    if secret.len() < MIN_SECRET_BYTES {
        return invalid("the credential is shorter than 16 bytes and could not be redacted safely");
    }
    match injection {
        // RFC 6750 section 2.1 and RFC 9110 section 5.5, less spaces and tabs, which peers trim.
        Injection::Bearer {} | Injection::Header { .. } if !is_visible_ascii(secret) => invalid(
            "the credential holds a character other than visible ASCII; is there a newline at its end?",
        ),
        // RFC 7617 section 2: no control characters; all else is base64 in the field.
        Injection::Basic { .. } if secret.iter().any(u8::is_ascii_control) => invalid(
            "the credential holds a control character; is there a newline at its end?",
        ),
        Injection::Bearer {}
        | Injection::Header { .. }
        | Injection::Basic { .. }
        // Percent-encoded in the query.
        | Injection::Query { .. } => Ok(()),
    }
}

fn is_visible_ascii(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_injection_has_its_form() {
        let bearer = Injection::Bearer {};
        let header = Injection::Header {
            template: "X-Key: {secret}".parse().unwrap(),
        };
        let basic = Injection::Basic {
            user: "me".parse().unwrap(),
        };
        let query = Injection::Query {
            name: "key".parse().unwrap(),
        };
        // Which of bearer, header, basic and query accept it.
        let cases: [(&[u8], [bool; 4]); 7] = [
            (b"0123456789abcdef", [true; 4]),
            (b"0123456789abcde", [false; 4]),
            (b"0123456789abcdef\n", [false, false, false, true]),
            (b"0123456789\r\nHost: x", [false, false, false, true]),
            (b"0123456789 abcdef", [false, false, true, true]),
            ("0123456789abcdéf".as_bytes(), [false, false, true, true]),
            (b"0123456789abcde\0", [false, false, false, true]),
        ];
        for (secret, accepted) in cases {
            for (injection, accepted) in
                [&bearer, &header, &basic, &query].into_iter().zip(accepted)
            {
                let result = check(injection, secret);
                assert_eq!(result.is_ok(), accepted, "{injection:?} {secret:?}");
                assert!(result.is_ok() || result.unwrap_err().code == Code::InvalidRequest);
            }
        }
    }
}
