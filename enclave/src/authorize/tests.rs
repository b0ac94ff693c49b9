use std::time::Duration;

use dauth_protocol::Code::{EnclaveUnavailable, InvalidToken, LimitExceeded};
use dauth_token::{AccessClaims, Confirmation, mint_access_token};

use super::*;

pub(crate) mod fixture;
mod proofs;
use fixture::*;

fn refusal(result: Result<Authenticated, Refusal>) -> (Code, &'static str) {
    let refusal = result.expect_err("refused");
    (refusal.code, refusal.detail)
}

#[tokio::test]
async fn an_owner_and_a_server_are_told_apart() {
    let parties = Parties::new();
    let owner = parties.authenticated(&parties.owner_claims()).await;
    assert_eq!(owner.caller(), &Caller::Owner);
    assert_eq!(owner.tenant(), TENANT);
    assert_eq!(owner.thumbprint(), parties.owner.thumbprint());
    assert_eq!(owner.owner().unwrap().subject, SUBJECT);
    assert!(owner.fingerprint(&HANDLE.parse().unwrap()).is_some());

    let server = parties.authenticated(&parties.server_claims()).await;
    let expected = Caller::Server {
        resource: MCP.into(),
        client_id: Some("mcp".into()),
    };
    assert_eq!(server.caller(), &expected);
    assert_eq!(server.owner(), None);
    assert!(server.has_scope("notes:read") && !server.has_scope("notes:write"));
}

#[tokio::test]
async fn each_wrong_claim_is_refused() {
    type Change = fn(&mut AccessClaims);
    let owner: [(Change, &str); 9] = [
        (|c| c.iss.push('/'), "the access token is by another issuer"),
        (
            |c| c.aud = "https://other.example".into(),
            "the access token is for another resource than this enclave",
        ),
        (
            |c| c.aud.push('/'),
            "the access token is for another resource than this enclave",
        ),
        (
            |c| (c.iat, c.exp) = (NOW_S - 100, NOW_S - LEEWAY_S),
            "the access token has expired",
        ),
        (
            |c| c.iat = NOW_S + LEEWAY_S + 1,
            "the access token is not valid yet",
        ),
        (|c| c.cnf = None, "the access token is not bound to a key"),
        (
            |c| {
                c.cnf = Some(Confirmation {
                    jkt: "a".repeat(43),
                });
            },
            "the DPoP proof is by another key than the access token's",
        ),
        (|c| c.org = None, "the access token names no tenant"),
        (
            |c| c.owner = false,
            "the access token is neither an owner's nor a server's",
        ),
    ];
    let server: [(Change, &str); 3] = [
        (
            |c| c.owner = true,
            "the access token is both an owner's and a server's",
        ),
        (
            |c| c.exp = c.iat + 121,
            "the dispatch token lives longer than two minutes",
        ),
        (
            |c| c.act.as_mut().unwrap().sub.clear(),
            "the access token names no actor in act",
        ),
    ];
    let parties = Parties::new();
    let owner = owner.map(|(change, detail)| (parties.owner_claims(), change, detail));
    let server = server.map(|(change, detail)| (parties.server_claims(), change, detail));
    for (mut claims, change, detail) in owner.into_iter().chain(server) {
        let key = if claims.owner {
            &parties.owner
        } else {
            &parties.server
        };
        change(&mut claims);
        let token = parties.token(&claims);
        let headers = headers(&token, &parties.proof(&token).signed(key));
        let result = parties.authenticate(&headers).await;
        assert_eq!(refusal(result), (InvalidToken, detail));
    }
    let remembered = &parties.authorizer.proofs_by_key;
    assert!(remembered.is_empty(), "a refused request leaves no trace");
}

#[tokio::test]
async fn a_token_by_another_key_or_of_an_unknown_kid_is_refused() {
    let parties = Parties::new();
    let forger = Key::generate();
    for (kid, signer, detail) in [
        (
            "k1",
            &forger,
            "the access token's signature does not verify",
        ),
        (
            "k2",
            &parties.issuer,
            "the access token names a key that the issuer does not have",
        ),
    ] {
        let token = mint_access_token(&parties.owner_claims(), kid, signer).unwrap();
        let headers = headers(&token, &parties.proof(&token).signed(&parties.owner));
        let result = parties.authenticate(&headers).await;
        assert_eq!(refusal(result), (InvalidToken, detail));
    }
}

#[tokio::test]
async fn each_wrong_field_is_refused() {
    let parties = Parties::new();
    let token = parties.token(&parties.owner_claims());
    let proof = parties.proof(&token).signed(&parties.owner);
    let right = headers(&token, &proof);
    let changed = |change: &dyn Fn(&mut http::HeaderMap)| {
        let mut headers = right.clone();
        change(&mut headers);
        headers
    };
    let bearer = format!("Bearer {token}");
    let cases = [
        (
            changed(&|h| drop(h.remove("authorization"))),
            "the request has no Authorization field; send the token with the DPoP scheme",
        ),
        (
            changed(&|h| drop(h.remove("dpop"))),
            "the request has no DPoP field; send a proof in it",
        ),
        (
            changed(&|h| {
                h.append("dpop", proof.parse().unwrap());
            }),
            "the request has more than one Authorization or DPoP field",
        ),
        (
            changed(&|h| drop(h.insert("authorization", bearer.parse().unwrap()))),
            "the token is bound to a key and cannot be used as a Bearer token; use the DPoP scheme",
        ),
        (
            changed(&|h| drop(h.insert("authorization", "Basic YTpi".parse().unwrap()))),
            "the Authorization field has another scheme than DPoP",
        ),
        (
            changed(&|h| drop(h.insert("dpop", "a b".parse().unwrap()))),
            "the Authorization or the DPoP field is malformed",
        ),
    ];
    for (headers, detail) in cases {
        let result = parties.authenticate(&headers).await;
        assert_eq!(refusal(result), (InvalidToken, detail));
    }
    assert!(parties.authenticate(&right).await.is_ok());
}

#[tokio::test]
async fn quotas_of_key_and_tenant_are_limits() {
    let limits = ReplayLimits {
        entries: 1 << 16,
        entries_per_quota: 1,
    };
    type Narrow = fn(&mut Authorizer, ReplayCache);
    let narrowed: [Narrow; 2] = [
        |authorizer, cache| authorizer.proofs_by_key = cache,
        |authorizer, cache| authorizer.proofs_by_tenant = cache,
    ];
    for narrow in narrowed {
        let mut parties = Parties::new();
        narrow(&mut parties.authorizer, ReplayCache::new(limits));
        let token = parties.token(&parties.owner_claims());
        let mut proof = parties.proof(&token);
        let first = headers(&token, &proof.signed(&parties.owner));
        proof.jti.push('x');
        let second = headers(&token, &proof.signed(&parties.owner));
        assert!(parties.authenticate(&first).await.is_ok());
        let detail = "too many recent DPoP proofs of this key or tenant";
        let result = parties.authenticate(&second).await;
        assert_eq!(refusal(result), (LimitExceeded, detail));
        let of_tenant = parties.authorizer.proofs_by_tenant.len();
        assert_eq!(of_tenant, 1, "one key's excess is not its tenant's");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_under_keys_older_than_five_minutes() {
    let parties = Parties::new();
    let token = parties.token(&parties.owner_claims());
    let headers = headers(&token, &parties.proof(&token).signed(&parties.owner));
    tokio::time::advance(Duration::from_secs(300)).await;
    let detail = "the issuer's keys cannot be fetched, and those that were are too old";
    let result = parties.authenticate(&headers).await;
    assert_eq!(refusal(result), (EnclaveUnavailable, detail));
}
