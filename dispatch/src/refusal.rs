//! A refusal of the enclave's, as a caller receives it.
use dauth_protocol::{Code, Problem};
use http::HeaderMap;

/// The field that marks an error as DAuth's own. An upstream's field of that name never passes.
const DAUTH_ERROR: &str = "dauth-error";
/// The longest problem document that is read.
pub(crate) const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// An error of DAuth's own, told from an upstream's by the `DAuth-Error` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DauthRefusal {
    /// Which error.
    pub code: Code,
    /// What exactly was wrong, when the enclave says so.
    pub detail: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl DauthRefusal {
    /// The code of a reply's header, if the reply is an error of DAuth's own.
    ///
    /// A code that this build does not know counts as unavailability: never as success.
    pub fn code_of(headers: &HeaderMap) -> Option<Code> {
        let value = headers.get(DAUTH_ERROR)?;
        let known = value.to_str().ok().and_then(Code::from_header);
        Some(known.unwrap_or(Code::EnclaveUnavailable))
    }

    /// The refusal of a reply; the header decides, the document only explains.
    pub fn from_reply(code: Code, body: &[u8]) -> Self {
        let problem = serde_json::from_slice::<Problem>(body)
            .ok()
            .filter(|problem| problem.code == code);
        // Only the enclave knows whether the request may have been carried out already.
        let may_retry = problem.as_ref().is_none_or(|problem| problem.retryable);
        Self {
            code,
            detail: problem.and_then(|problem| problem.detail),
            retryable: code.retryable() && may_retry,
        }
    }
}

impl core::fmt::Display for DauthRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.code, self.code.title())?;
        match &self.detail {
            Some(detail) => write!(f, " ({})", printable(detail)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DauthRefusal {}

/// What a peer wrote, without what could move a terminal's cursor; quotation marks are no such.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\'' | '"' => String::from(c),
        other => other.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_decides() {
        let mut headers = HeaderMap::new();
        assert_eq!(DauthRefusal::code_of(&headers), None);
        headers.insert(DAUTH_ERROR, "POLICY_DENIED".parse().unwrap());
        assert_eq!(DauthRefusal::code_of(&headers), Some(Code::PolicyDenied));
        headers.insert(DAUTH_ERROR, "NOVELTY".parse().unwrap());
        assert_eq!(
            DauthRefusal::code_of(&headers),
            Some(Code::EnclaveUnavailable)
        );
    }

    #[test]
    fn a_sentence_is_printed_as_it_is_and_cannot_steer_a_terminal() {
        let refusal = DauthRefusal {
            code: Code::PolicyDenied,
            detail: Some("another's \"key\" \u{1b}[2J\r".to_owned()),
            retryable: false,
        };
        let text = refusal.to_string();
        assert!(
            text.ends_with("(another's \"key\" \\u{1b}[2J\\r)"),
            "{text}"
        );
    }

    #[test]
    fn a_document_of_another_code_explains_nothing() {
        let json = Problem::new(Code::PolicyDenied, Some("no rule")).to_json();
        let refusal = DauthRefusal::from_reply(Code::PolicyDenied, &json);
        assert_eq!(refusal.detail.as_deref(), Some("no rule"));
        assert_eq!(
            refusal.to_string(),
            "POLICY_DENIED: The connection's sealed policy does not allow this call. (no rule)"
        );
        assert_eq!(
            DauthRefusal::from_reply(Code::InvalidToken, &json).detail,
            None
        );
        assert_eq!(
            DauthRefusal::from_reply(Code::InvalidToken, b"{").detail,
            None
        );
    }

    #[test]
    fn the_enclave_may_say_that_a_retry_is_unsafe_but_not_that_a_refusal_is_temporary() {
        let document = |code, retryable| {
            let problem = Problem {
                retryable,
                ..Problem::new(code, None)
            };
            DauthRefusal::from_reply(code, &problem.to_json()).retryable
        };
        assert!(document(Code::DownstreamTimeout, true));
        assert!(!document(Code::DownstreamTimeout, false));
        assert!(!document(Code::PolicyDenied, true));
    }
}
