//! The tools of the demo MCP server.
use std::sync::Arc;

use bytes::Bytes;
use dauth_mcp::{Call, Caller, Dispatcher};
use http::{HeaderMap, Method, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use rmcp::{
    ErrorData, ServerHandler,
    handler::server::{tool::Extension, wrapper::Parameters},
    model::{CallToolResult, ContentBlock, ServerCapabilities, ServerConfig},
    schemars, tool, tool_handler, tool_router,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The connection that `whoami` uses.
const DEMO_CONNECTION: &str = "demo";
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// The server: tools that dispatch for whoever calls them.
#[derive(Clone)]
pub(super) struct DemoServer {
    dispatcher: Arc<Dispatcher>,
}

/// What `call_api` takes.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct CallApi {
    /// The connection's name or handle.
    connection: String,
    /// The HTTP method.
    method: String,
    /// The path below the connection's base URL, beginning with /.
    path: String,
}

#[tool_router]
impl DemoServer {
    pub(super) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher }
    }

    /// Asks the API who the credential belongs to.
    #[tool(description = "Who am I at the demo API? Uses the connection named \"demo\".")]
    async fn whoami(
        &self,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let request = CallApi {
            connection: DEMO_CONNECTION.to_owned(),
            method: "GET".to_owned(),
            path: "/v1/me".to_owned(),
        };
        self.dispatch(&parts, request).await
    }

    /// Any call that the connection's policy allows.
    #[tool(description = "Make a request through one of your connections.")]
    async fn call_api(
        &self,
        Parameters(request): Parameters<CallApi>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        self.dispatch(&parts, request).await
    }

    async fn dispatch(&self, parts: &Parts, request: CallApi) -> Result<CallToolResult, ErrorData> {
        let caller = parts
            .extensions
            .get::<Caller>()
            .ok_or_else(|| ErrorData::internal_error("the request has no verified caller", None))?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| ErrorData::invalid_params("method is not an HTTP method", None))?;
        let call = Call {
            connection: request.connection,
            method,
            path_and_query: request.path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        match self.dispatcher.call(caller, call).await {
            Ok(response) => Ok(answered(response).await),
            Err(error) => Ok(refused(error.code().as_str(), &error.to_string())),
        }
    }
}

#[tool_handler]
impl ServerHandler for DemoServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_instructions(
            "Calls APIs with credentials that this server never holds. Your token names them.",
        )
    }
}

/// The upstream's reply: `{status, content_type, body}`.
async fn answered(response: http::Response<hyper::body::Incoming>) -> CallToolResult {
    let (parts, body) = response.into_parts();
    let Ok(whole) = Limited::new(body, MAX_REPLY_BYTES).collect().await else {
        return refused(
            "RESPONSE_REFUSED",
            "the reply broke off, or is too large for a tool",
        );
    };
    let bytes = whole.to_bytes();
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let body: Value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    CallToolResult::structured(json!({
        "status": parts.status.as_u16(),
        "content_type": content_type,
        "body": body,
    }))
}

fn refused(code: &str, message: &str) -> CallToolResult {
    let mut result = CallToolResult::error(vec![ContentBlock::text(message)]);
    result.structured_content = Some(json!({ "error": { "code": code, "message": message } }));
    result
}
