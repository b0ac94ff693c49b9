//! Token and proof, as a request brings them.
use dauth_token::{CredentialsError, dpop_credentials, sole_proof};
use http::{HeaderMap, HeaderName, Method, header::AUTHORIZATION};

use super::refuse;
use crate::refusal::Refusal;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// What of a request is authenticated.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it was sent: percent-encoded, without the query.
    pub path: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// The sole token and the sole proof of a request, not verified yet.
pub(super) struct Credentials<'a> {
    pub(super) token: &'a str,
    pub(super) proof: &'a str,
}

impl<'a> Credentials<'a> {
    pub(super) fn of(head: &RequestHead<'a>) -> Result<Self, Refusal> {
        Self::find(head.headers).map_err(refuse::credentials)
    }

    fn find(headers: &'a HeaderMap) -> Result<Self, CredentialsError> {
        Ok(Self {
            token: dpop_credentials(fields(headers, &AUTHORIZATION))?,
            proof: sole_proof(fields(headers, &DPOP))?,
        })
    }
}

fn fields<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .map(|value| value.as_bytes())
}
