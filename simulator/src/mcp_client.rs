//! An MCP client whose every request carries a DPoP proof (RFC 9449).
//!
//! The official SDK sends bearer tokens only; this adapter signs a proof for each request and hands
//! it to the SDK's own HTTP client.
use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_token::{ProofClaims, access_token_hash, make_proof};
use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue, header};
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::streamable_http_client::{
        StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::{Error as SseError, Sse};

type Headers = HashMap<HeaderName, HeaderValue>;

/// The SDK's HTTP client, with a token bound to a key.
#[derive(Clone)]
pub struct DpopMcpClient {
    http: reqwest::Client,
    token: Arc<AccessToken>,
    key: Arc<DpopKey>,
}

impl DpopMcpClient {
    /// A client that presents `token` and proves possession of `key`.
    pub fn new(http: reqwest::Client, token: AccessToken, key: Arc<DpopKey>) -> Self {
        Self { http, token: Arc::new(token), key }
    }

    fn proved(
        &self,
        method: &str,
        uri: &str,
        mut headers: Headers,
    ) -> Result<Headers, StreamableHttpError<reqwest::Error>> {
        let failed = || StreamableHttpError::UnexpectedServerResponse("no DPoP proof".into());
        let mut jti = [0; 16];
        aws_lc_rs::rand::fill(&mut jti).map_err(|_| failed())?;
        let claims = ProofClaims {
            method,
            htu: uri,
            iat: dauth_enclave::clock::now_s(),
            jti: &URL_SAFE_NO_PAD.encode(jti),
            ath: Some(&access_token_hash(self.token.expose())),
            nonce: None,
        };
        let proof = make_proof(&claims, &*self.key).map_err(|_| failed())?;
        let credentials = format!("DPoP {}", self.token.expose());
        for (name, value) in
            [(HeaderName::from_static("dpop"), proof), (header::AUTHORIZATION, credentials)]
        {
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| failed())?);
        }
        Ok(headers)
    }
}

impl StreamableHttpClient for DpopMcpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Self::Error>> {
        let headers = self.proved("POST", &uri, headers)?;
        self.http.post_message(uri, message, session_id, None, headers).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<(), StreamableHttpError<Self::Error>> {
        let headers = self.proved("DELETE", &uri, headers)?;
        self.http.delete_session(uri, session_id, None, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<Self::Error>> {
        let headers = self.proved("GET", &uri, headers)?;
        self.http.get_stream(uri, session_id, last_event_id, None, headers).await
    }
}
