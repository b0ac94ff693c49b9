//! Why KMS did not release a key.
use core::fmt;

use crate::{
    host::{EgressError, HostError},
    platform::AttesterError,
};

/// Why a request to KMS failed. Nothing that KMS or the parent wrote is in it but an error code.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// KMS evaluated the key policy and refused.
    #[error(
        "KMS refused this image: its PCR0 or PCR16 is not in the key policy, or the policy does not \
         let this role use the key"
    )]
    AccessDenied,
    /// The signature or the credentials of the role do not hold.
    #[error("KMS refused the role's credentials ({0}): check the instance's role and clock")]
    Credentials(ErrorCode),
    /// The key does not exist, is disabled, or waits for deletion.
    #[error("KMS cannot use the key ({0}): check kms.key_arn and the key's state")]
    Key(ErrorCode),
    /// The wrapped key is not one of this KMS key under this deployment's encryption context.
    #[error("KMS cannot open the keyset's data key ({0}): it belongs to another key or deployment")]
    Ciphertext(ErrorCode),
    /// KMS is overloaded, or failed inside; asked again until the deadline.
    #[error("KMS did not answer in time ({0}); try again")]
    Transient(ErrorCode),
    /// Any other refusal.
    #[error("KMS refused the request: {0}")]
    Refused(ErrorCode),
    /// No answer in time.
    #[error("KMS did not answer in time; try again")]
    TimedOut,
    /// `kms.endpoint` is not `https://host[:port]`, or is missing where the partition is unknown.
    #[error("kms.endpoint names no host: expected https://host[:port]")]
    Endpoint,
    /// `kms.key_arn` is not the ARN of a key.
    #[error(
        "kms.key_arn is not a key's full ARN: expected arn:<partition>:kms:<region>:<account>:key/<id>"
    )]
    KeyArn,
    /// A request signed for `kms.region` would be refused where the key is.
    #[error("kms.region is not the region in kms.key_arn: set it to that of the ARN")]
    OtherRegion,
    /// No byte stream to the endpoint.
    #[error("KMS cannot be reached: {0}")]
    Egress(#[from] EgressError),
    /// No credentials of the role.
    #[error("the role's credentials are not available: {0}")]
    RoleCredentials(#[source] HostError),
    /// The parent supplies credentials that have ended, or end within a minute.
    #[error(
        "the role's credentials have expired: the parent must renew them from the instance's \
         metadata; check the instance's role, and the clock"
    )]
    RoleCredentialsExpired,
    /// The TLS peer is not the endpoint.
    #[error("the TLS handshake with KMS failed")]
    Tls(#[source] std::io::Error),
    /// The connection broke, or the reply is no HTTP.
    #[error("the connection to KMS failed")]
    Http,
    /// KMS's reply is not what KMS answers to this request. What is wrong with it is not said: a
    /// difference would be an oracle to whoever can change a reply.
    #[error(
        "KMS's reply was refused: it is not what KMS answers to this image for kms.key_arn; \
         check kms.endpoint"
    )]
    ReplyRefused,
    /// No attestation document.
    #[error("no attestation document for KMS: {0}")]
    Attester(#[from] AttesterError),
    /// The recipient's RSA key could not be made, or the program's own threads are gone.
    #[error("the recipient key for KMS could not be made")]
    RecipientKey,
}

impl KmsError {
    /// Classifies an error reply (AWS JSON 1.1) by its status and code.
    pub(super) fn of_reply(status: u16, code: ErrorCode) -> Self {
        match code.as_str() {
            "AccessDeniedException" => Self::AccessDenied,
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "InvalidClientTokenId"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired" => Self::Credentials(code),
            "NotFoundException"
            | "DisabledException"
            | "KMSInvalidStateException"
            | "InvalidKeyUsageException"
            | "InvalidArnException"
            | "CloudHsmClusterInvalidConfigurationException"
            | "CustomKeyStoreInvalidStateException" => Self::Key(code),
            "InvalidCiphertextException" | "IncorrectKeyException" => Self::Ciphertext(code),
            // AWS's common errors say the first four in several ways.
            "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "KMSInternalException"
            | "KeyUnavailableException"
            | "DependencyTimeoutException" => Self::Transient(code),
            _ if status >= 500 || status == 429 => Self::Transient(code),
            _ => Self::Refused(code),
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Transient(_)
                | Self::TimedOut
                | Self::Http
                | Self::RoleCredentials(HostError::Unavailable)
                | Self::Egress(
                    EgressError::Unreachable | EgressError::TimedOut | EgressError::HostUnavailable
                )
        )
    }
}

/// The code of an error reply: letters and digits, at most 64.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    const MAX_BYTES: usize = 64;

    /// From `__type`, which may carry a namespace before `#` and a URL after `:`.
    pub fn of_type(text: &str) -> Self {
        let name = text.rsplit('#').next().unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default();
        let valid = !name.is_empty()
            && name.len() <= Self::MAX_BYTES
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self(if valid { name } else { "no known code" }.to_owned())
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lose_namespace_and_url_and_carry_no_text() {
        for (text, code) in [
            ("AccessDeniedException", "AccessDeniedException"),
            ("com.amazonaws.kms#DisabledException", "DisabledException"),
            (
                "ThrottlingException:http://internal/",
                "ThrottlingException",
            ),
            ("", "no known code"),
            ("a\nb", "no known code"),
            (&"x".repeat(65), "no known code"),
        ] {
            assert_eq!(ErrorCode::of_type(text).as_str(), code);
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_retried() {
        for (status, code, transient) in [
            (400, "ThrottlingException", true),
            (400, "Throttling", true),
            (400, "KMSInternalException", true),
            (500, "KMSInternalException", true),
            (400, "DependencyTimeoutException", true),
            (503, "DependencyTimeoutException", true),
            (400, "KeyUnavailableException", true),
            (500, "KeyUnavailableException", true),
            (500, "InternalFailure", true),
            (503, "Unknown", true),
            (502, "", true),
            (429, "Unknown", true),
            (400, "AccessDeniedException", false),
            (500, "AccessDeniedException", false),
            (400, "InvalidCiphertextException", false),
            (500, "InvalidCiphertextException", false),
            (400, "IncorrectKeyException", false),
            (400, "UnrecognizedClientException", false),
            (400, "InvalidSignatureException", false),
            (400, "ExpiredTokenException", false),
            (400, "RequestExpired", false),
            (400, "DisabledException", false),
            (409, "KMSInvalidStateException", false),
            (400, "NotFoundException", false),
            (400, "InvalidKeyUsageException", false),
            (400, "ValidationException", false),
            (400, "Unknown", false),
            (302, "", false),
        ] {
            let error = KmsError::of_reply(status, ErrorCode::of_type(code));
            assert_eq!(error.is_transient(), transient, "{status} {code}");
        }
    }

    #[test]
    fn what_does_not_pass_by_itself_is_not_retried() {
        for error in [
            KmsError::ReplyRefused,
            KmsError::RoleCredentialsExpired,
            KmsError::RoleCredentials(HostError::Malformed),
            KmsError::Tls(std::io::Error::other("other certificate")),
            KmsError::Egress(EgressError::Refused),
            KmsError::OtherRegion,
            KmsError::Endpoint,
        ] {
            assert!(!error.is_transient(), "{error}");
        }
        for error in [
            KmsError::TimedOut,
            KmsError::Http,
            KmsError::RoleCredentials(HostError::Unavailable),
            KmsError::Egress(EgressError::Unreachable),
        ] {
            assert!(error.is_transient(), "{error}");
        }
    }
}
