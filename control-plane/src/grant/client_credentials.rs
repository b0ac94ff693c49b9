//! Client credentials (RFC 6749 section 4.4): the client is the owner.
use dauth_token::{AccessClaims, Confirmation};

use super::{CLIENT_CREDENTIALS, Granted, Request, by_name, fingerprints};
use crate::{
    app::App,
    oauth_error::{ErrorCode, OAuthError},
    random,
    store::{Connection, Source},
};

pub(super) async fn decide(app: &App, request: &Request<'_>) -> Result<Granted, OAuthError> {
    let settings = &app.settings;
    let resource = request.resource()?.unwrap_or(&settings.issuer);
    let target = target(app, resource)?;
    let client = request.client;
    let allowed: Vec<&str> = client.scopes.iter().map(String::as_str).collect();
    let scope = request.scope(&allowed)?;
    let source = Source::Client {
        issuer: &settings.issuer,
        id: &client.id,
    };
    let sub = app.store.subject(source, request.now_s).await?;
    let connections = match target {
        Target::Issuer => Vec::new(),
        Target::Enclave => app.store.live_connections(&sub, request.now_s).await?,
        Target::Server => {
            let mut live = app.store.live_connections(&sub, request.now_s).await?;
            live.retain(|connection| names(connection, resource));
            live
        }
    };
    let fingerprints = match target {
        Target::Enclave => fingerprints(&connections),
        // What an MCP server gets is exchanged before use, and the exchange reads them afresh.
        Target::Issuer | Target::Server => Default::default(),
    };
    let claims = AccessClaims {
        iss: settings.issuer.clone(),
        sub,
        aud: resource.to_owned(),
        exp: request.now_s + settings.access_token_life_s,
        iat: request.now_s,
        nbf: None,
        jti: random::identifier()?,
        client_id: client.id.clone(),
        scope,
        cnf: Some(Confirmation {
            jkt: request.holder.to_string(),
        }),
        act: None,
        connections: by_name(&connections),
        fingerprints,
        org: Some(client.org.clone()),
        // A server's token is for acting on the owner's behalf, not for being the owner.
        owner: matches!(target, Target::Issuer | Target::Enclave),
    };
    Ok(Granted {
        grant_type: CLIENT_CREDENTIALS,
        claims,
        issued_token_type: None,
    })
}

#[derive(Clone, Copy)]
enum Target {
    Issuer,
    Enclave,
    Server,
}

fn target(app: &App, resource: &str) -> Result<Target, OAuthError> {
    let settings = &app.settings;
    if resource == settings.issuer {
        Ok(Target::Issuer)
    } else if resource == settings.enclave {
        Ok(Target::Enclave)
    } else if settings.clients.has_resource(resource) {
        Ok(Target::Server)
    } else {
        Err(OAuthError::new(
            ErrorCode::InvalidTarget,
            "the resource is not known here; it is compared byte for byte",
        ))
    }
}

fn names(connection: &Connection, resource: &str) -> bool {
    connection.servers.iter().any(|server| server == resource)
}
