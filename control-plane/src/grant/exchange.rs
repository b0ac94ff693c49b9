//! Token exchange (RFC 8693): an MCP server turns the token that it was called with into a dispatch
//! token for the enclave.
//!
//! The subject token must be for the very server that asks, so that no server can use what another
//! one was given. The result says who acts, is bound to the server's own key, and holds no scope or
//! connection that the subject token does not.
use dauth_protocol::limit::MAX_DISPATCH_TOKEN_LIFE_S;
use dauth_token::{
    AccessClaims, AccessTokenRules, Actor, Confirmation, TokenError, verify_access_token,
};

use super::{Granted, Request, TOKEN_EXCHANGE, by_name, fingerprints};
use crate::{
    app::App,
    oauth_error::{ErrorCode, OAuthError},
    random,
    store::Connection,
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) async fn decide(app: &App, request: &Request<'_>) -> Result<Granted, OAuthError> {
    let client = request.client;
    let own_resource = client.resource.as_deref().ok_or_else(|| {
        OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "the client is not registered as an MCP server, so there is no token that it may exchange",
        )
    })?;
    check_parameters(app, request)?;
    let subject = verify_subject_token(app, request, own_resource)?;
    let scope = request.scope(&subject.scopes().collect::<Vec<_>>())?;
    let connections = connections(app, request, &subject, own_resource).await?;
    let exp = subject
        .exp
        .min(request.now_s + MAX_DISPATCH_TOKEN_LIFE_S)
        .min(request.now_s + app.settings.access_token_life_s);
    let claims = AccessClaims {
        iss: app.settings.issuer.clone(),
        sub: subject.sub,
        aud: app.settings.enclave.clone(),
        exp,
        iat: request.now_s,
        nbf: None,
        jti: random::identifier()?,
        client_id: client.id.clone(),
        scope,
        cnf: Some(Confirmation {
            jkt: request.holder.to_string(),
        }),
        act: Some(Actor {
            sub: own_resource.to_owned(),
            client_id: Some(client.id.clone()),
        }),
        connections: by_name(&connections),
        fingerprints: fingerprints(&connections),
        org: subject.org,
        owner: false,
    };
    Ok(Granted {
        grant_type: TOKEN_EXCHANGE,
        claims,
        issued_token_type: Some(ACCESS_TOKEN),
    })
}

fn check_parameters(app: &App, request: &Request<'_>) -> Result<(), OAuthError> {
    let enclave = app.settings.enclave.as_str();
    let form = request.form;
    let invalid = |description| Err(OAuthError::new(ErrorCode::InvalidRequest, description));
    if form.get("subject_token_type") != Some(ACCESS_TOKEN) {
        return invalid("subject_token_type must be urn:ietf:params:oauth:token-type:access_token");
    }
    if form
        .get("requested_token_type")
        .is_some_and(|kind| kind != ACCESS_TOKEN)
    {
        return invalid(
            "requested_token_type must be urn:ietf:params:oauth:token-type:access_token",
        );
    }
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return invalid("actor_token is not taken: the actor is the client that authenticates");
    }
    let is_for_enclave = request.resource()? == Some(enclave)
        && form
            .get("audience")
            .is_none_or(|audience| audience == enclave);
    if is_for_enclave {
        Ok(())
    } else {
        Err(OAuthError::new(
            ErrorCode::InvalidTarget,
            "a token is exchanged for one resource alone, the enclave; name it in resource",
        ))
    }
}

fn verify_subject_token(
    app: &App,
    request: &Request<'_>,
    own_resource: &str,
) -> Result<AccessClaims, OAuthError> {
    let token = request
        .form
        .get("subject_token")
        .ok_or_else(|| OAuthError::new(ErrorCode::InvalidRequest, "subject_token is missing"))?;
    let rules = AccessTokenRules {
        issuer: &app.settings.issuer,
        audience: own_resource,
        keys: &app.jwks,
        now_s: request.now_s,
        leeway_s: 0,
    };
    let refused = |description: String| OAuthError::new(ErrorCode::InvalidGrant, description);
    let subject = verify_access_token(token, &rules).map_err(|error| match error {
        TokenError::Audience => refused(
            "the subject token is for another resource than the one this client is registered as"
                .to_owned(),
        ),
        other => refused(format!("the subject token is refused: {other}")),
    })?;
    let claims = subject.claims();
    // A chain of actors is not built: what an exchange returns is for the enclave alone.
    if claims.act.is_some() {
        return Err(refused(
            "the subject token is itself the result of an exchange".to_owned(),
        ));
    }
    if claims.cnf.is_none() {
        return Err(refused(
            "the subject token is not bound to a key".to_owned(),
        ));
    }
    Ok(claims.clone())
}

/// The subject's connections as they are now: named in the subject token, still live, still for
/// this server.
async fn connections(
    app: &App,
    request: &Request<'_>,
    subject: &AccessClaims,
    own_resource: &str,
) -> Result<Vec<Connection>, OAuthError> {
    let mut live = app
        .store
        .live_connections(&subject.sub, request.now_s)
        .await?;
    live.retain(|connection| {
        subject
            .connections
            .values()
            .any(|handle| *handle == connection.handle)
            && connection
                .servers
                .iter()
                .any(|server| server == own_resource)
    });
    Ok(live)
}
