//! A stack with one connection, and what a refusal looks like.
use bytes::Bytes;
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_tests::{Ran, Request, Stack, StackFile, Upstream};
use http::Response;
use http_body_util::Full;

pub(crate) const SECRET: &str = "sk-0123456789abcdef";

pub(crate) async fn answer(_: Request) -> Response<Full<Bytes>> {
    Response::new(Full::from("done"))
}

/// Asserts exit status 1, the code, and a sentence that holds `words`; no secret, no panic.
#[track_caller]
pub(crate) fn assert_refused(ran: &Ran, code: &str, words: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.starts_with("dauth: "), "{ran:?}");
    assert!(
        ran.stderr.contains(code) && ran.stderr.contains(words),
        "{code}, {words}: {ran:?}"
    );
    assert_eq!(
        ran.stderr.trim_end().lines().count(),
        1,
        "one sentence: {ran:?}"
    );
    assert!(ran.stdout.is_empty(), "{ran:?}");
    assert!(!ran.stderr.contains(SECRET), "{ran:?}");
}

pub(crate) fn target(handle: &str) -> String {
    format!("/v1/connections/{handle}/ok")
}

/// A stack, an upstream, and a connection to it that the demo MCP server may use for `GET /ok`.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) file: StackFile,
    pub(crate) upstream: Upstream,
    pub(crate) handle: String,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let stack = Stack::start();
        let file = stack.file();
        let upstream = Upstream::start(&file, &[], answer).await;
        let resource = &file.clients.mcp.resource;
        let options = ["--bearer", "--allow", "GET /ok", "--server", resource];
        let handle = stack.connect("scene", &upstream.base_url(), SECRET, &options);
        Self {
            stack,
            file,
            upstream,
            handle,
        }
    }

    pub(crate) fn call(&self) -> Ran {
        self.stack.dauth(&["call", &self.handle, "GET", "/ok"])
    }

    #[track_caller]
    pub(crate) fn assert_works(&self) {
        let ran = self.call();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "done"), "{ran:?}");
    }

    /// The owner's token for `resource`, bound to `key`.
    pub(crate) async fn owners_token(&self, resource: &str, key: &DpopKey) -> AccessToken {
        let tokens = self.file.clients.sdk.tokens(&self.file);
        tokens
            .client_credentials(resource, None, key)
            .await
            .unwrap()
    }
}
