//! One HTTPS exchange with the KMS endpoint, through the parent's byte relay.
use std::sync::Arc;

use bytes::Bytes;
use dauth_protocol::deployment;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{KmsError, key_arn::KeyArn};
use crate::host::HostServices;

/// A reply of KMS: one with a data key takes about 1.2 kB; a key policy has at most 32 kB, and each
/// byte may take two within JSON.
const MAX_REPLY_BYTES: usize = 80 * 1024;
const MAX_HEAD_BYTES: usize = 16 * 1024;
const HTTPS_PORT: u16 = 443;

/// Where KMS is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
    target: String,
    name: ServerName<'static>,
    holder: Holder,
}

/// Who can answer at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// AWS alone.
    Aws,
    /// Whoever has a certificate for its name.
    Anyone,
}

impl Endpoint {
    /// The endpoint of a key: the configured one (of a VPC, of FIPS 140), else the public one of
    /// its region.
    pub fn of(kms: &deployment::Kms) -> Result<Self, KmsError> {
        let arn = KeyArn::parse(&kms.key_arn)?;
        if arn.region() != kms.region {
            return Err(KmsError::OtherRegion);
        }
        let url = match &kms.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => arn.public_endpoint().ok_or(KmsError::Endpoint)?,
        };
        let uri: Uri = url.parse().map_err(|_| KmsError::Endpoint)?;
        let (Some("https"), Some(authority), "/", None) =
            (uri.scheme_str(), uri.authority(), uri.path(), uri.query())
        else {
            return Err(KmsError::Endpoint);
        };
        if authority.as_str().contains('@') {
            return Err(KmsError::Endpoint);
        }
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| KmsError::Endpoint)?;
        let holder = if arn.has_endpoint(host) {
            Holder::Aws
        } else {
            Holder::Anyone
        };
        let port = authority.port_u16().unwrap_or(HTTPS_PORT);
        Ok(Self {
            authority: authority.as_str().to_owned(),
            target: format!("{host}:{port}"),
            name,
            holder,
        })
    }

    /// The value of `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Who can answer there.
    pub(super) fn holder(&self) -> Holder {
        self.holder
    }
}

/// The way to the endpoint. TLS ends here, in the enclave.
pub(super) struct Connection {
    endpoint: Endpoint,
    host: HostServices,
    tls: TlsConnector,
}

impl Connection {
    /// A way to `endpoint`, whose certificate must lead to one of `roots`.
    pub(super) fn new(
        endpoint: Endpoint,
        host: HostServices,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, KmsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| KmsError::Tls(std::io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            endpoint,
            host,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The endpoint.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A way to another endpoint, with the same trust.
    pub(super) fn to(&self, endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            host: self.host.clone(),
            tls: self.tls.clone(),
        }
    }

    /// Sends one request on a connection of its own, and returns status and body; no body when it
    /// is longer than its bound. The connection ends before the reply is judged.
    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, Option<Bytes>), KmsError> {
        let stream = self.host.connect(&self.endpoint.target).await?;
        let name = self.endpoint.name.clone();
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            // rustls's own refusals arrive as InvalidData; anything else is the relay's doing.
            if error.kind() == std::io::ErrorKind::InvalidData {
                KmsError::Tls(error)
            } else {
                KmsError::Http
            }
        })?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| KmsError::Http)?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await;
        let result = match response {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = Limited::new(response.into_body(), MAX_REPLY_BYTES);
                match body.collect().await {
                    Ok(body) => Ok((status, Some(body.to_bytes()))),
                    Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                        Ok((status, None))
                    }
                    Err(_) => Err(KmsError::Http),
                }
            }
            Err(_) => Err(KmsError::Http),
        };
        driver.abort();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: Option<&str>) -> Result<Endpoint, KmsError> {
        Endpoint::of(&deployment::Kms {
            key_arn: "arn:aws:kms:eu-west-1:123456789012:key/k".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: url.map(str::to_owned),
            key_policy: deployment::KeyPolicyRule::Unchecked,
        })
    }

    #[test]
    fn endpoints_are_a_host_and_a_port() {
        for (url, authority, target) in [
            (
                None,
                "kms.eu-west-1.amazonaws.com",
                "kms.eu-west-1.amazonaws.com:443",
            ),
            (
                Some("https://127.0.0.1:8443"),
                "127.0.0.1:8443",
                "127.0.0.1:8443",
            ),
            (Some("https://[::1]:8443/"), "[::1]:8443", "[::1]:8443"),
            (
                Some("https://kms-fips.eu-west-1.amazonaws.com"),
                "kms-fips.eu-west-1.amazonaws.com",
                "kms-fips.eu-west-1.amazonaws.com:443",
            ),
            (
                Some("https://vpce-0a1b-2c3d.kms.eu-west-1.vpce.amazonaws.com"),
                "vpce-0a1b-2c3d.kms.eu-west-1.vpce.amazonaws.com",
                "vpce-0a1b-2c3d.kms.eu-west-1.vpce.amazonaws.com:443",
            ),
        ] {
            let endpoint = endpoint(url).unwrap();
            assert_eq!(endpoint.authority, authority);
            assert_eq!(endpoint.target, target);
        }
    }

    #[test]
    fn anything_else_is_no_endpoint() {
        for url in [
            "http://kms.example",
            "https://",
            "https://kms.example/path",
            "https://kms.example/?q",
            "https://user@kms.example",
            "kms.example",
        ] {
            assert!(
                matches!(endpoint(Some(url)), Err(KmsError::Endpoint)),
                "{url}"
            );
        }
    }

    #[test]
    fn a_request_is_signed_for_the_region_of_its_key() {
        let of = |key_arn: &str, region: &str| {
            Endpoint::of(&deployment::Kms {
                key_arn: key_arn.to_owned(),
                region: region.to_owned(),
                endpoint: Some("https://kms.eu-west-1.amazonaws.com".to_owned()),
                key_policy: deployment::KeyPolicyRule::Unchecked,
            })
        };
        let key = "arn:aws:kms:eu-west-1:123456789012:key/k";
        of(key, "eu-west-1").unwrap();
        assert!(matches!(of(key, "eu-west-2"), Err(KmsError::OtherRegion)));
        let alias = "arn:aws:kms:eu-west-1:123456789012:alias/k";
        assert!(matches!(of(alias, "eu-west-1"), Err(KmsError::KeyArn)));
    }
}
