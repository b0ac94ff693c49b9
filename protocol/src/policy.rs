//! What a connection may be used for, sealed with its credential.
use http::{HeaderName, Method};
use serde::{Deserialize, Serialize};

use crate::{
    BaseUrl, Injection, PathPattern, RequestPath, header,
    limit::{
        DEFAULT_MAX_REFLECTIONS_PER_HOUR, DEFAULT_MAX_REQUEST_BYTES, DEFAULT_MAX_RESPONSE_BYTES,
        DEFAULT_TIMEOUT_MS, MAX_POLICY_BYTES, MAX_POLICY_RULES, MAX_POLICY_SERVERS, MAX_TIMEOUT_MS,
    },
};

/// The policy of a connection. Its JSON bytes travel unchanged from the client's envelope into the
/// record, so that their hash means the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always 1; another version is refused, never guessed at.
    pub version: u64,
    /// Where calls go.
    pub base_url: BaseUrl,
    /// How the credential enters a request.
    pub injection: Injection,
    /// What may be called. Nothing, when empty.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Which MCP servers may call, beside the owner.
    #[serde(default)]
    pub servers: Vec<PermittedServer>,
    /// Request header fields that pass upstream beside the usual ones; lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<String>,
    /// Bounds on each call.
    #[serde(default)]
    pub limits: Limits,
}

/// One rule: methods, a path pattern below the base URL, and the scope that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Method names, upper case, at least one.
    pub methods: Vec<String>,
    /// Matched against the path below the base URL's, without the query.
    pub path: PathPattern,
    /// A scope that a caller's token must hold, if any. The owner's own calls need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// An MCP server that may use the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermittedServer {
    /// Its resource identifier (RFC 9728), byte for byte.
    pub resource: String,
    /// Whose keys it may use.
    pub keys: ServerKeys,
}

/// The keys that a permitted server may prove possession of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerKeys {
    /// RFC 7638 thumbprints: a compromised control plane cannot stand in for the server.
    Pinned(Vec<String>),
    /// Whatever key the control plane says is the server's.
    Unpinned,
}

/// Bounds on each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Time to the head of the reply, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Bytes of a request body.
    #[serde(default = "default_max_request_bytes")]
    pub max_request_bytes: u64,
    /// Bytes of a reply body, decoded.
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: u64,
    /// Replies in an hour that may hold the credential (they are redacted all the same). Then the
    /// connection is suspended, until its owner rotates it or the enclave boots anew. With zero, the
    /// first one suspends it.
    #[serde(
        default = "default_max_reflections",
        skip_serializing_if = "is_default_max_reflections"
    )]
    pub max_reflections_per_hour: u64,
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Longer than [`MAX_POLICY_BYTES`], or with more rules or servers than allowed.
    #[error("policy is too large")]
    TooLarge,
    /// Not this structure, or with an unknown field.
    #[error("policy is malformed or has an unknown field")]
    Malformed,
    /// Another version.
    #[error("policy has an unknown version")]
    UnknownVersion,
    /// A rule without methods, or with one that is not an upper-case token, or CONNECT or TRACE.
    #[error("policy has a rule with an invalid method")]
    Method,
    /// A scope that is not one RFC 6749 scope token.
    #[error("policy has a rule with an invalid scope")]
    Scope,
    /// An empty resource, or pinned with no thumbprint.
    #[error("policy permits a server without a resource or without a key")]
    Server,
    /// A header that never passes upstream, or that carries the credential.
    #[error(
        "policy lets a header pass that never may: one that frames, routes or carries a credential"
    )]
    RequestHeader,
    /// A limit of zero, or a timeout over the maximum.
    #[error("policy has a limit out of range: a timeout is at most ten minutes, and none is zero")]
    Limit,
}

/// Why a policy does not allow a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No rule names this method with this path.
    #[error("no rule of the connection's policy allows this method and path")]
    NoRule,
    /// A rule does, but the token lacks its scope.
    #[error("the token lacks the scope that this operation needs")]
    Scope,
}

impl Policy {
    /// Parses and checks the JSON form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidPolicy> {
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(InvalidPolicy::TooLarge);
        }
        let policy: Policy = serde_json::from_slice(bytes).map_err(|_| InvalidPolicy::Malformed)?;
        policy.check()?;
        Ok(policy)
    }

    /// The JSON form, once checked.
    pub fn to_json(&self) -> Result<Vec<u8>, InvalidPolicy> {
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(|_| InvalidPolicy::Malformed)?;
        if bytes.len() > MAX_POLICY_BYTES {
            Err(InvalidPolicy::TooLarge)
        } else {
            Ok(bytes)
        }
    }

    fn check(&self) -> Result<(), InvalidPolicy> {
        if self.version != 1 {
            return Err(InvalidPolicy::UnknownVersion);
        }
        if self.rules.len() > MAX_POLICY_RULES || self.servers.len() > MAX_POLICY_SERVERS {
            return Err(InvalidPolicy::TooLarge);
        }
        for rule in &self.rules {
            rule.check()?;
        }
        for server in &self.servers {
            server.check()?;
        }
        for name in &self.request_headers {
            self.check_request_header(name)?;
        }
        self.limits.check()
    }

    fn check_request_header(&self, name: &str) -> Result<(), InvalidPolicy> {
        let parsed: HeaderName = name.parse().map_err(|_| InvalidPolicy::RequestHeader)?;
        // A caller's `Authorization` is its dispatch token, whatever the injection.
        let carries_credential = parsed == http::header::AUTHORIZATION
            || matches!(&self.injection, Injection::Header { template } if parsed == *template.name());
        if parsed.as_str() != name || carries_credential || !header::may_be_permitted(&parsed) {
            return Err(InvalidPolicy::RequestHeader);
        }
        Ok(())
    }

    /// Whether a caller's header field passes upstream.
    pub fn passes_upstream(&self, name: &HeaderName) -> bool {
        header::passes_upstream(name) || self.request_headers.iter().any(|h| h == name.as_str())
    }

    /// Whether a rule allows the call to a caller that holds what `has_scope` affirms.
    pub fn permit(
        &self,
        method: &Method,
        path: &RequestPath,
        has_scope: impl Fn(&str) -> bool,
    ) -> Result<(), Denied> {
        let mut denied = Denied::NoRule;
        for rule in self.rules.iter().filter(|rule| rule.names(method, path)) {
            match &rule.scope {
                Some(scope) if !has_scope(scope) => denied = Denied::Scope,
                _ => return Ok(()),
            }
        }
        Err(denied)
    }
}

impl Rule {
    fn names(&self, method: &Method, path: &RequestPath) -> bool {
        self.methods.iter().any(|m| m == method.as_str()) && self.path.matches(path)
    }

    fn check(&self) -> Result<(), InvalidPolicy> {
        let is_method = |m: &String| {
            (1..=32).contains(&m.len())
                && m.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
                && m != "CONNECT"
                && m != "TRACE"
        };
        if self.methods.is_empty() || self.methods.len() > 32 || !self.methods.iter().all(is_method)
        {
            return Err(InvalidPolicy::Method);
        }
        match &self.scope {
            Some(scope) if !is_scope_token(scope) => Err(InvalidPolicy::Scope),
            _ => Ok(()),
        }
    }
}

/// `scope-token` of RFC 6749 section 3.3.
fn is_scope_token(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl core::str::FromStr for Rule {
    type Err = InvalidPolicy;

    /// Parses `METHOD[,METHOD] /path/pattern [scope]`.
    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let mut words = text.split_ascii_whitespace();
        let methods = words.next().ok_or(InvalidPolicy::Method)?;
        let path = words.next().ok_or(InvalidPolicy::Malformed)?;
        let rule = Rule {
            methods: methods.split(',').map(str::to_owned).collect(),
            path: path.parse().map_err(|_| InvalidPolicy::Malformed)?,
            scope: words.next().map(str::to_owned),
        };
        if words.next().is_some() {
            return Err(InvalidPolicy::Malformed);
        }
        rule.check()?;
        Ok(rule)
    }
}

impl PermittedServer {
    /// Whether a caller that acts as `resource` and holds the key of `thumbprint` is this server.
    pub fn is(&self, resource: &str, thumbprint: &str) -> bool {
        self.resource == resource
            && match &self.keys {
                ServerKeys::Pinned(keys) => keys.iter().any(|key| key == thumbprint),
                ServerKeys::Unpinned => true,
            }
    }

    fn check(&self) -> Result<(), InvalidPolicy> {
        let has_keys = match &self.keys {
            ServerKeys::Pinned(keys) => {
                (1..=16).contains(&keys.len()) && keys.iter().all(|k| k.len() == 43)
            }
            ServerKeys::Unpinned => true,
        };
        if self.resource.is_empty() || self.resource.len() > 1024 || !has_keys {
            return Err(InvalidPolicy::Server);
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), InvalidPolicy> {
        let timeout_is_valid = (1..=MAX_TIMEOUT_MS).contains(&self.timeout_ms);
        if !timeout_is_valid || self.max_request_bytes == 0 || self.max_response_bytes == 0 {
            return Err(InvalidPolicy::Limit);
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: DEFAULT_TIMEOUT_MS,
            max_request_bytes: DEFAULT_MAX_REQUEST_BYTES,
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
            max_reflections_per_hour: DEFAULT_MAX_REFLECTIONS_PER_HOUR,
        }
    }
}

fn default_timeout_ms() -> u64 {
    DEFAULT_TIMEOUT_MS
}

fn default_max_request_bytes() -> u64 {
    DEFAULT_MAX_REQUEST_BYTES
}

fn default_max_response_bytes() -> u64 {
    DEFAULT_MAX_RESPONSE_BYTES
}

fn default_max_reflections() -> u64 {
    DEFAULT_MAX_REFLECTIONS_PER_HOUR
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_default_max_reflections(limit: &u64) -> bool {
    *limit == DEFAULT_MAX_REFLECTIONS_PER_HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        Policy {
            version: 1,
            base_url: "https://api.example.com/v1".parse().unwrap(),
            injection: Injection::Bearer {},
            rules: rules.iter().map(|r| r.parse().unwrap()).collect(),
            servers: Vec::new(),
            request_headers: Vec::new(),
            limits: Limits::default(),
        }
    }

    fn permit(policy: &Policy, method: &Method, path: &str, scopes: &[&str]) -> Result<(), Denied> {
        policy.permit(method, &RequestPath::parse(path).unwrap(), |s| {
            scopes.contains(&s)
        })
    }

    #[test]
    fn allows_nothing_without_a_rule() {
        assert_eq!(
            permit(&policy(&[]), &Method::GET, "/", &[]),
            Err(Denied::NoRule)
        );
    }

    #[test]
    fn a_rule_needs_method_path_and_scope() {
        let policy = policy(&["GET,HEAD /me", "POST /notes/* notes:write"]);
        assert_eq!(permit(&policy, &Method::GET, "/me", &[]), Ok(()));
        assert_eq!(
            permit(&policy, &Method::POST, "/me", &[]),
            Err(Denied::NoRule)
        );
        assert_eq!(
            permit(&policy, &Method::POST, "/notes/1", &[]),
            Err(Denied::Scope)
        );
        assert_eq!(
            permit(&policy, &Method::POST, "/notes/1", &["notes:write"]),
            Ok(())
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let json = String::from_utf8(policy(&["GET /me"]).to_json().unwrap()).unwrap();
        assert!(Policy::from_json(json.as_bytes()).is_ok());
        let cases = [
            (
                json.replace("\"version\":1", "\"version\":2"),
                InvalidPolicy::UnknownVersion,
            ),
            (
                json.replace("\"version\":1", "\"version\":1,\"x\":0"),
                InvalidPolicy::Malformed,
            ),
            (json.replace("\"GET\"", "\"get\""), InvalidPolicy::Method),
            (json.replace("\"GET\"", ""), InvalidPolicy::Method),
            (
                json.replace("\"GET\"", "\"CONNECT\""),
                InvalidPolicy::Method,
            ),
            (json.replace("/me", "/../me"), InvalidPolicy::Malformed),
            (
                json.replace(
                    "\"servers\":[]",
                    "\"servers\":[{\"resource\":\"r\",\"keys\":{\"pinned\":[]}}]",
                ),
                InvalidPolicy::Server,
            ),
            (
                json.replace(
                    "\"servers\":[]",
                    "\"servers\":[],\"request_headers\":[\"authorization\"]",
                ),
                InvalidPolicy::RequestHeader,
            ),
            (
                json.replace(
                    "\"servers\":[]",
                    "\"servers\":[],\"request_headers\":[\"host\"]",
                ),
                InvalidPolicy::RequestHeader,
            ),
            (
                json.replace("\"timeout_ms\":30000", "\"timeout_ms\":0"),
                InvalidPolicy::Limit,
            ),
            ("x".repeat(MAX_POLICY_BYTES + 1), InvalidPolicy::TooLarge),
        ];
        for (json, error) in cases {
            assert_eq!(
                Policy::from_json(json.as_bytes()).map_err(|e| (json.clone(), e)),
                Err((json, error))
            );
        }
    }

    #[test]
    fn no_policy_lets_a_callers_token_pass() {
        for injection in [
            r#"{"kind":"query","name":"key"}"#,
            r#"{"kind":"header","template":"X-Key: {secret}"}"#,
            r#"{"kind":"bearer"}"#,
        ] {
            let mut policy = policy(&[]);
            policy.injection = serde_json::from_str(injection).unwrap();
            policy.request_headers = vec!["authorization".to_owned()];
            assert_eq!(
                policy.to_json(),
                Err(InvalidPolicy::RequestHeader),
                "{injection}"
            );
        }
    }

    #[test]
    fn a_pinned_server_is_resource_and_key() {
        let key = "a".repeat(43);
        let server = PermittedServer {
            resource: "https://mcp".into(),
            keys: ServerKeys::Pinned(vec![key.clone()]),
        };
        assert!(server.is("https://mcp", &key));
        assert!(!server.is("https://mcp/", &key) && !server.is("https://mcp", &"b".repeat(43)));
    }
}
