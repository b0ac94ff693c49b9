use dauth_protocol::Code::{InvalidToken, UseDpopNonce};
use http::Method;

use super::{super::*, fixture::*, refusal};

#[tokio::test]
async fn each_wrong_proof_is_refused() {
    type Change = fn(&mut Proof);
    let cases: [(Change, Code, &str); 12] = [
        (
            |p| p.method = "POST".into(),
            InvalidToken,
            "the DPoP proof is for another method",
        ),
        (
            |p| p.htu.push('/'),
            InvalidToken,
            "the DPoP proof is for another URI",
        ),
        (
            |p| {
                p.htu = p
                    .htu
                    .replace("/v1/connections/ddls:", "/v1/connections/ddls%3A");
            },
            InvalidToken,
            "the DPoP proof is for another URI",
        ),
        (
            |p| p.htu = p.htu.replace("enclave.example", "other.example"),
            InvalidToken,
            "the DPoP proof is for another URI",
        ),
        (
            |p| p.iat = NOW_S - PROOF_MAX_AGE_S - LEEWAY_S - 1,
            InvalidToken,
            "the DPoP proof is too old",
        ),
        (
            |p| p.iat = NOW_S + LEEWAY_S + 1,
            InvalidToken,
            "the DPoP proof is dated in the future",
        ),
        (
            |p| p.jti.clear(),
            InvalidToken,
            "a claim of the DPoP proof is missing or malformed",
        ),
        (
            |p| p.ath = None,
            InvalidToken,
            "the DPoP proof is not for this access token",
        ),
        (
            |p| p.ath = Some(dauth_token::access_token_hash("other")),
            InvalidToken,
            "the DPoP proof is not for this access token",
        ),
        (
            |p| p.nonce = None,
            UseDpopNonce,
            "the DPoP proof has no nonce",
        ),
        (
            |p| p.nonce = Some("x".into()),
            UseDpopNonce,
            "the nonce in the DPoP proof is not a current one of this enclave",
        ),
        (
            |p| p.nonce = Some(Parties::new().authorizer.nonce(NOW_S)),
            UseDpopNonce,
            "the nonce in the DPoP proof is not a current one of this enclave",
        ),
    ];
    let parties = Parties::new();
    let token = parties.token(&parties.owner_claims());
    for (change, code, detail) in cases {
        let mut proof = parties.proof(&token);
        change(&mut proof);
        let headers = headers(&token, &proof.signed(&parties.owner));
        let result = parties.authenticate(&headers).await;
        assert_eq!(refusal(result), (code, detail));
    }
    assert!(parties.authorizer.proofs_by_key.is_empty());
}

#[tokio::test]
async fn a_proof_by_another_key_is_refused() {
    let parties = Parties::new();
    let token = parties.token(&parties.owner_claims());
    let headers = headers(&token, &parties.proof(&token).signed(&parties.server));
    let result = parties.authenticate(&headers).await;
    let detail = "the DPoP proof is by another key than the access token's";
    assert_eq!(refusal(result), (InvalidToken, detail));
}

#[tokio::test]
async fn a_proof_passes_once_of_a_hundred_times() {
    let parties = Arc::new(Parties::new());
    let token = parties.token(&parties.owner_claims());
    let headers = headers(&token, &parties.proof(&token).signed(&parties.owner));
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (parties, headers) = (Arc::clone(&parties), headers.clone());
        attempts.spawn(async move { parties.authenticate(&headers).await });
    }
    let results = attempts.join_all().await;
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 99);
    for refusal in refused {
        assert_eq!(refusal.code, InvalidToken);
        assert_eq!(refusal.detail, "the DPoP proof was used before");
    }
}

#[tokio::test]
async fn the_path_is_compared_as_it_was_sent() {
    let parties = Parties::new();
    let token = parties.token(&parties.owner_claims());
    let mut proof = parties.proof(&token);
    let path = PATH.replace(':', "%3A");
    proof.htu = format!("{AUDIENCE}{path}");
    let headers = headers(&token, &proof.signed(&parties.owner));
    let head = RequestHead {
        method: &Method::GET,
        path: &path,
        headers: &headers,
    };
    let authenticated = parties.authorizer.authenticate(&head, NOW_S).await;
    assert!(authenticated.is_ok());
}
