//! A control plane with room for one connection, which does what it is told to.
use std::sync::{Arc, Mutex};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dauth_protocol::Fingerprint;
use http::{Method, Response};
use serde_json::{Value, json};

use crate::plain_server::{PlainServer, Seen, reply};

/// How the control plane behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// It says that it stored another record.
    StoresAnother,
    /// It keeps record and receipt to itself.
    ReturnsNoRecord,
}

/// The connection that is stored: what was posted, with its version.
pub(crate) type Stored = Arc<Mutex<Option<Value>>>;

pub(crate) async fn start(conduct: Conduct) -> (PlainServer, Stored) {
    let stored = Stored::default();
    let shared = Arc::clone(&stored);
    let server = PlainServer::start(move |url, seen| answer(conduct, &shared, url, seen)).await;
    (server, stored)
}

/// A control plane's tokens, and `answer` to all else.
pub(crate) async fn with_tokens(
    answer: impl Fn(&Seen) -> Response<String> + Send + Sync + 'static,
) -> PlainServer {
    PlainServer::start(move |url, seen| tokens(url, seen).unwrap_or_else(|| answer(seen))).await
}

fn tokens(url: &str, seen: &Seen) -> Option<Response<String>> {
    let json = match seen.head.uri.path() {
        "/.well-known/oauth-authorization-server" => {
            json!({ "issuer": url, "token_endpoint": format!("{url}/token") })
        }
        "/token" => {
            let claims = json!({
                "iss": url, "sub": "subject-1", "ddls:org": "org-1", "ddls:owner": true,
            });
            let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string()));
            json!({ "access_token": token, "token_type": "DPoP", "expires_in": 60 })
        }
        _ => return None,
    };
    Some(reply(200, None, &json.to_string()))
}

fn answer(conduct: Conduct, stored: &Stored, url: &str, seen: &Seen) -> Response<String> {
    if let Some(reply) = tokens(url, seen) {
        return reply;
    }
    let path = seen.head.uri.path();
    let posted = || serde_json::from_str::<Value>(&seen.body).unwrap();
    let mut stored = stored.lock().unwrap();
    match (&seen.head.method, path) {
        (&Method::POST, "/v1/connections") => keep(conduct, &mut stored, posted(), 1),
        (&Method::POST, _) if path.ends_with("/rotate") => {
            let before = stored.clone().unwrap();
            let mut posted = posted();
            posted["handle"] = before["handle"].clone();
            posted["name"] = before["name"].clone();
            let version = posted["version"].as_u64().unwrap();
            keep(conduct, &mut stored, posted, version)
        }
        (&Method::GET, _) => match stored.as_ref() {
            Some(connection) => {
                let mut shown = connection.clone();
                if conduct == Conduct::ReturnsNoRecord {
                    shown["record"] = Value::Null;
                }
                if path == "/v1/connections" {
                    shown = json!({ "connections": [shown] });
                }
                reply(200, None, &shown.to_string())
            }
            None => reply(404, None, ""),
        },
        (&Method::DELETE, _) => {
            *stored = None;
            reply(204, None, "")
        }
        _ => reply(404, None, ""),
    }
}

fn keep(
    conduct: Conduct,
    stored: &mut Option<Value>,
    mut posted: Value,
    version: u64,
) -> Response<String> {
    let record = STANDARD.decode(posted["record"].as_str().unwrap()).unwrap();
    let fingerprint = match conduct {
        Conduct::StoresAnother => Fingerprint::of(b"another"),
        _ => Fingerprint::of(&record),
    };
    posted["fingerprint"] = fingerprint.to_string().into();
    posted["version"] = version.into();
    posted["created"] = 1.into();
    let said = json!({
        "handle": posted["handle"], "fingerprint": fingerprint, "version": version,
    });
    *stored = Some(posted);
    reply(201, None, &said.to_string())
}
