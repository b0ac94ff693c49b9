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
    ServiceExt,
    model::{CallToolRequestParams, ClientJsonRpcMessage},
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{
            StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
            StreamableHttpPostResponse,
        },
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
        Self {
            http,
            token: Arc::new(token),
            key,
        }
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
        for (name, value) in [
            (HeaderName::from_static("dpop"), proof),
            (header::AUTHORIZATION, credentials),
        ] {
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
        self.http
            .post_message(uri, message, session_id, None, headers)
            .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<(), StreamableHttpError<Self::Error>> {
        let headers = self.proved("DELETE", &uri, headers)?;
        self.http
            .delete_session(uri, session_id, None, headers)
            .await
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
        self.http
            .get_stream(uri, session_id, last_event_id, None, headers)
            .await
    }
}

/// Why a tool gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// No HTTP client.
    #[error("no HTTP client: {0}")]
    Http(#[from] dauth_dispatch::web::WebError),
    /// The server did not accept the session.
    #[error("the MCP server refused the session: {0}")]
    Session(String),
    /// The call itself failed.
    #[error("the MCP tool failed: {0}")]
    Call(String),
}

/// Opens a session with the MCP server at `resource`, calls one tool, and returns its structured
/// result.
pub async fn call_tool(
    resource: &str,
    token: AccessToken,
    key: Arc<DpopKey>,
    tool: &'static str,
    arguments: serde_json::Map<String, serde_json::Value>,
) -> Result<serde_json::Value, ToolError> {
    let client = DpopMcpClient::new(dauth_dispatch::web::client()?, token, key);
    let transport = StreamableHttpClientTransport::with_client(
        client,
        StreamableHttpClientTransportConfig::with_uri(resource),
    );
    let session = ().serve(transport).await.map_err(|e| ToolError::Session(e.to_string()))?;
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let result = session
        .call_tool(request)
        .await
        .map_err(|e| ToolError::Call(e.to_string()))?;
    // The answer is here: how the session ends changes nothing.
    let _ = session.cancel().await;
    Ok(result.structured_content.unwrap_or_default())
}
