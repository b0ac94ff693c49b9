//! Requests signed by the instance's role.
//!
//! Its credentials end after some hours, and the parent renews them. They are asked for at each
//! request, so what is renewed is used from then on; they are kept nowhere and written nowhere.
use bytes::Bytes;
use dauth_protocol::host::RoleCredentials;
use http::{Request, header};
use http_body_util::Full;

use super::{
    KmsError, expiration,
    sigv4::{self, AmzDate, Scope, SignedRequest, Signer},
};
use crate::{
    clock,
    host::{HostError, HostServices},
};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Credentials that end sooner than this are not used: the request may take as long. AWS renews an
/// instance's at least five minutes before they end.
const MARGIN_S: u64 = 60;

/// The role.
#[derive(Clone)]
pub(super) struct Role(HostServices);

/// A request that is not signed yet.
#[derive(Clone, Copy)]
pub(super) struct Unsigned<'a> {
    /// The value of `Host`.
    pub authority: &'a str,
    /// The region that it is signed for.
    pub region: &'a str,
    /// The value of `X-Amz-Target`.
    pub target: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Role {
    /// The role whose credentials this host supplies.
    pub(super) fn new(host: HostServices) -> Self {
        Self(host)
    }

    /// Signs a request with the credentials of this moment.
    pub(super) async fn sign(
        &self,
        request: Unsigned<'_>,
    ) -> Result<Request<Full<Bytes>>, KmsError> {
        let credentials = self.0.credentials().await;
        let credentials = credentials.map_err(KmsError::RoleCredentials)?;
        let now_s = clock::now_s();
        require_fresh(&credentials, now_s)?;
        #[cfg(mutations)]
        crate::mutation::keep(credentials.secret_access_key.as_bytes());
        signed(&credentials, request, now_s)
            // The credentials hold what no header can.
            .map_err(|_| KmsError::RoleCredentials(HostError::Malformed))
    }
}

fn require_fresh(credentials: &RoleCredentials, now_s: u64) -> Result<(), KmsError> {
    let end_s = expiration::unix_s(&credentials.expiration)
        .ok_or(KmsError::RoleCredentials(HostError::Malformed))?;
    if end_s > now_s.saturating_add(MARGIN_S) {
        Ok(())
    } else {
        Err(KmsError::RoleCredentialsExpired)
    }
}

fn signed(
    credentials: &RoleCredentials,
    request: Unsigned<'_>,
    now_s: u64,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let date = AmzDate::from_unix_s(now_s);
    let mut headers = vec![
        ("content-type", CONTENT_TYPE),
        ("host", request.authority),
        ("x-amz-date", date.as_str()),
    ];
    if !credentials.session_token.is_empty() {
        headers.push(("x-amz-security-token", &credentials.session_token));
    }
    headers.push(("x-amz-target", request.target));
    let authorization = sigv4::authorization(
        &Signer {
            access_key_id: &credentials.access_key_id,
            secret_access_key: &credentials.secret_access_key,
        },
        &Scope {
            date: &date,
            region: request.region,
            service: "kms",
        },
        &SignedRequest {
            method: "POST",
            headers: &headers,
            body: request.body,
        },
    );
    headers
        .into_iter()
        .fold(Request::post("/"), |request, (name, value)| {
            request.header(name, value)
        })
        .header(header::AUTHORIZATION, authorization)
        .body(Full::new(Bytes::copy_from_slice(request.body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(expiration: &str) -> RoleCredentials {
        RoleCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: "token".to_owned(),
            expiration: expiration.to_owned(),
        }
    }

    #[test]
    fn credentials_that_end_within_a_minute_are_refused() {
        let credentials = credentials("2015-08-30T12:36:00Z");
        let end_s = 1_440_938_160;
        require_fresh(&credentials, end_s - MARGIN_S - 1).unwrap();
        for now_s in [end_s - MARGIN_S, end_s, end_s + 3600, u64::MAX] {
            let refused = require_fresh(&credentials, now_s);
            assert!(matches!(refused, Err(KmsError::RoleCredentialsExpired)));
        }
    }

    #[test]
    fn credentials_without_an_end_are_refused() {
        for expiration in ["", "never"] {
            let refused = require_fresh(&credentials(expiration), 0).unwrap_err();
            let malformed = KmsError::RoleCredentials(HostError::Malformed);
            assert_eq!(refused.to_string(), malformed.to_string());
        }
    }

    #[test]
    fn the_signature_covers_token_and_target() {
        let request = Unsigned {
            authority: "kms.eu-west-1.amazonaws.com",
            region: "eu-west-1",
            target: "TrentService.Decrypt",
            body: b"{}",
        };
        let signed = signed(&credentials(""), request, 1_440_938_160).unwrap();
        let authorization = signed.headers()[header::AUTHORIZATION].to_str().unwrap();
        assert!(authorization.contains(
            "Credential=AKIDEXAMPLE/20150830/eu-west-1/kms/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        ));
        assert!(!authorization.contains("secret"));
        assert_eq!(signed.headers()["x-amz-security-token"], "token");
    }

    #[test]
    fn credentials_that_no_header_holds_are_refused() {
        let mut injected = credentials("");
        injected.session_token = "token\r\nx-amz-target: other".to_owned();
        let request = Unsigned {
            authority: "kms.test",
            region: "eu-west-1",
            target: "TrentService.Decrypt",
            body: b"{}",
        };
        assert!(signed(&injected, request, 0).is_err());
    }
}
