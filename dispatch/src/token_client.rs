//! Tokens of one issuer.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::{
    AccessToken, AuthorizationServer, DpopKey, TokenError, discovery,
    nonce::{Learned, Nonces},
    proof::{ProofFor, prove},
    token_reply,
    web::{self, Reply, SecureUrl, WebError},
};

const CLIENT_CREDENTIALS: &str = "client_credentials";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// How a client authenticates: `client_secret_basic` (RFC 6749 section 2.3.1).
pub struct ClientCredentials {
    id: String,
    secret: Zeroizing<String>,
}

impl ClientCredentials {
    /// A client's id and secret.
    pub fn new(id: impl Into<String>, secret: Zeroizing<String>) -> Self {
        Self {
            id: id.into(),
            secret,
        }
    }

    /// The client's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn basic(&self) -> Option<HeaderValue> {
        let pair = Zeroizing::new(format!(
            "{}:{}",
            *form_encoded(&self.id),
            *form_encoded(&self.secret)
        ));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl core::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// `application/x-www-form-urlencoded`, as RFC 6749 section 2.3.1 wants both parts.
fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// Gets DPoP-bound tokens from one issuer.
pub struct TokenClient {
    http: reqwest::Client,
    issuer: String,
    server: OnceCell<AuthorizationServer>,
    credentials: ClientCredentials,
    nonces: Nonces,
}

impl TokenClient {
    /// A client of `issuer`, whose metadata is fetched when first needed.
    pub fn new(
        issuer: impl Into<String>,
        credentials: ClientCredentials,
    ) -> Result<Self, WebError> {
        Ok(Self {
            http: web::client()?,
            issuer: issuer.into(),
            server: OnceCell::new(),
            credentials,
            nonces: Nonces::default(),
        })
    }

    /// A client of an authorization server whose metadata is known.
    pub fn with_server(
        server: AuthorizationServer,
        credentials: ClientCredentials,
    ) -> Result<Self, WebError> {
        Ok(Self {
            http: web::client()?,
            issuer: server.issuer.clone(),
            server: OnceCell::new_with(Some(server)),
            credentials,
            nonces: Nonces::default(),
        })
    }

    /// The issuer, byte for byte.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token of the client's own (RFC 6749 section 4.4) for `resource` (RFC 8707).
    pub async fn client_credentials(
        &self,
        resource: &str,
        scope: Option<&str>,
        key: &DpopKey,
    ) -> Result<AccessToken, TokenError> {
        let mut form = vec![("grant_type", CLIENT_CREDENTIALS), ("resource", resource)];
        form.extend(scope.map(|scope| ("scope", scope)));
        self.request(&form, key).await
    }

    /// Another's token exchanged for one of the same subject (RFC 8693 section 2.1) for
    /// `resource`, bound to `key`.
    pub async fn exchange(
        &self,
        subject_token: &str,
        resource: &str,
        scope: Option<&str>,
        key: &DpopKey,
    ) -> Result<AccessToken, TokenError> {
        let mut form = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", subject_token),
            ("subject_token_type", ACCESS_TOKEN_TYPE),
            ("resource", resource),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        self.request(&form, key).await
    }

    async fn request(
        &self,
        form: &[(&str, &str)],
        key: &DpopKey,
    ) -> Result<AccessToken, TokenError> {
        let server = self
            .server
            .get_or_try_init(|| discovery::discover(&self.http, &self.issuer))
            .await?;
        let endpoint = &server.token_endpoint;
        let (mut reply, learned) = self.post(endpoint, form, key).await?;
        if learned == Learned::New && token_reply::wants_nonce(&reply) {
            (reply, _) = self.post(endpoint, form, key).await?;
        }
        token_reply::read(&reply)
    }

    async fn post(
        &self,
        endpoint: &SecureUrl,
        form: &[(&str, &str)],
        key: &DpopKey,
    ) -> Result<(Reply, Learned), TokenError> {
        let nonce = self.nonces.latest(&endpoint.origin());
        let proof = prove(
            &ProofFor {
                method: "POST",
                htu: endpoint.htu(),
                token: None,
                nonce: nonce.as_deref(),
            },
            key,
        )?;
        let mut request = self
            .http
            .post(endpoint.url().clone())
            .header("dpop", proof)
            .form(form);
        if let Some(basic) = self.credentials.basic() {
            request = request.header(AUTHORIZATION, basic);
        }
        let reply = web::send(request, endpoint).await?;
        let learned = self
            .nonces
            .learn(&endpoint.origin(), &reply.headers, nonce.as_deref());
        Ok((reply, learned))
    }
}

impl core::fmt::Debug for TokenClient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TokenClient")
            .field("issuer", &self.issuer)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_form_encoded_before_base64() {
        let credentials = ClientCredentials::new("a:b", Zeroizing::new("p%+ ü".to_owned()));
        let value = credentials.basic().unwrap();
        let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(
            STANDARD.decode(text).unwrap(),
            b"a%3Ab:p%25%2B+%C3%BC".as_slice()
        );
        assert!(value.is_sensitive());
        assert!(!format!("{credentials:?}").contains('ü'));
    }
}
