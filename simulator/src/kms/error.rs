//! Errors as KMS words them in AWS JSON 1.1.
use std::borrow::Cow;

/// A refusal: its code, and what AWS would say beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The value of `__type`.
    pub code: &'static str,
    /// One sentence for the caller.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal of this code.
    pub fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The key policy does not let this pass.
    pub fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("AccessDeniedException", message)
    }

    /// The request is not one that KMS takes.
    pub fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("ValidationException", message)
    }

    /// The signature does not hold.
    pub fn signature(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("InvalidSignatureException", message)
    }

    /// The wrapped key does not open.
    pub fn ciphertext() -> Self {
        Self::new("InvalidCiphertextException", "")
    }

    /// The simulator itself failed.
    pub fn internal() -> Self {
        Self::new(
            "KMSInternalException",
            "The request was rejected; try again.",
        )
    }

    /// The HTTP status that AWS gives with the code.
    pub fn status(&self) -> u16 {
        if self.code == "KMSInternalException" {
            500
        } else {
            400
        }
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        let body = serde_json::json!({ "__type": self.code, "message": self.message });
        body.to_string().into_bytes()
    }
}
