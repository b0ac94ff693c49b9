//! Each wrong token, wrong proof, and wrong way to present them.
use super::*;

type Fields = Vec<(&'static str, String)>;

#[tokio::test]
async fn refuses_each_wrong_token() {
    let fixture = fixture(DpopNonces::Required).await;
    let another = DpopKey::generate().unwrap();
    let other_issuer = TestIssuer::start().await;
    let good = fixture.issuer.claims(RESOURCE, &fixture.key);
    let with = |change: &dyn Fn(&mut dauth_token::AccessClaims)| {
        let mut claims = good.clone();
        change(&mut claims);
        fixture.issuer.mint(&claims)
    };
    let cases = [
        (
            "another resource",
            with(&|c| c.aud = "https://other.example/mcp".into()),
        ),
        ("a prefix", with(&|c| c.aud = "https://mcp.example".into())),
        (
            "a trailing slash",
            with(&|c| c.aud = format!("{RESOURCE}/")),
        ),
        (
            "a sibling path",
            with(&|c| c.aud = "https://mcp.example/mcp2".into()),
        ),
        ("an empty audience", with(&|c| c.aud = String::new())),
        (
            "another issuer's name",
            with(&|c| c.iss = other_issuer.url.clone()),
        ),
        (
            "a trailing slash in iss",
            with(&|c| c.iss = format!("{}/", c.iss)),
        ),
        (
            "expired",
            with(&|c| (c.iat, c.exp) = (now_s() - 900, now_s() - 600)),
        ),
        (
            "of the future",
            with(&|c| (c.iat, c.exp) = (now_s() + 600, now_s() + 900)),
        ),
        ("unbound", with(&|c| c.cnf = None)),
        (
            "another's",
            fixture
                .issuer
                .mint(&fixture.issuer.claims(RESOURCE, &another)),
        ),
        ("another issuer's signature", other_issuer.mint(&good)),
        (
            "an unknown key",
            fixture.issuer.mint_under(&good, "../../etc/passwd"),
        ),
        ("no JWT", "opaque".to_owned()),
        ("huge", "a".repeat(100_000)),
    ];
    for (case, token) in cases {
        let proof = signed(&fixture.proof(&token), &fixture.key);
        let response = fixture.present(&token, &proof).await;
        assert_refused(&response, "invalid_token", case);
    }
}

#[tokio::test]
async fn refuses_each_wrong_proof() {
    let fixture = fixture(DpopNonces::Required).await;
    let token = fixture.token();
    let proof = || fixture.proof(&token);
    let cases = [
        (
            "another method",
            Proof {
                method: "POST",
                ..proof()
            },
        ),
        (
            "the method in lower case",
            Proof {
                method: "get",
                ..proof()
            },
        ),
        (
            "another host",
            Proof {
                htu: "https://evil.example/mcp",
                ..proof()
            },
        ),
        (
            "the address dialled",
            Proof {
                htu: "http://127.0.0.1/mcp",
                ..proof()
            },
        ),
        (
            "another port",
            Proof {
                htu: "https://mcp.example:8443/mcp",
                ..proof()
            },
        ),
        (
            "the default port",
            Proof {
                htu: "https://mcp.example:443/mcp",
                ..proof()
            },
        ),
        (
            "another path",
            Proof {
                htu: "https://mcp.example/mcp2",
                ..proof()
            },
        ),
        (
            "a trailing slash",
            Proof {
                htu: "https://mcp.example/mcp/",
                ..proof()
            },
        ),
        (
            "dot segments",
            Proof {
                htu: "https://mcp.example/a/../mcp",
                ..proof()
            },
        ),
        (
            "userinfo",
            Proof {
                htu: "https://a@mcp.example/mcp",
                ..proof()
            },
        ),
        (
            "old",
            Proof {
                iat: now_s() - 600,
                ..proof()
            },
        ),
        (
            "of the future",
            Proof {
                iat: now_s() + 600,
                ..proof()
            },
        ),
        (
            "no ath",
            Proof {
                ath: None,
                ..proof()
            },
        ),
        (
            "another ath",
            Proof {
                ath: Some(access_token_hash("other")),
                ..proof()
            },
        ),
    ];
    for (case, proof) in cases {
        let response = fixture.present(&token, &signed(&proof, &fixture.key)).await;
        assert_refused(&response, "invalid_dpop_proof", case);
    }
    let response = fixture.present(&token, "not.a.proof").await;
    assert_refused(&response, "invalid_dpop_proof", "no JWT");
}

#[tokio::test]
async fn refuses_each_wrong_way_to_present_them() {
    let fixture = fixture(DpopNonces::Required).await;
    let token = fixture.token();
    let dpop = format!("DPoP {token}");
    let bearer = format!("Bearer {token}");
    let proof = || signed(&fixture.proof(&token), &fixture.key);
    let cases: [(&str, &str, Fields); 6] = [
        (
            "as Bearer",
            "invalid_token",
            vec![("authorization", bearer.clone())],
        ),
        (
            "as Bearer with its proof",
            "invalid_token",
            vec![("authorization", bearer), ("dpop", proof())],
        ),
        (
            "as Basic",
            "invalid_token",
            vec![
                ("authorization", format!("Basic {token}")),
                ("dpop", proof()),
            ],
        ),
        (
            "without a proof",
            "invalid_dpop_proof",
            vec![("authorization", dpop.clone())],
        ),
        (
            "with two proofs",
            "invalid_token",
            vec![
                ("authorization", dpop.clone()),
                ("dpop", proof()),
                ("dpop", proof()),
            ],
        ),
        (
            "with two tokens",
            "invalid_token",
            vec![
                ("authorization", dpop.clone()),
                ("authorization", dpop),
                ("dpop", proof()),
            ],
        ),
    ];
    for (case, error, fields) in cases {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_refused(&fixture.send(&fields).await, error, case);
    }
}

#[tokio::test]
async fn what_proxies_claim_changes_nothing() {
    let fixture = fixture(DpopNonces::Required).await;
    let token = fixture.token();
    let spoofed = Proof {
        htu: "https://evil.example/mcp",
        ..fixture.proof(&token)
    };
    let response = fixture
        .send(&[
            ("authorization", &format!("DPoP {token}")),
            ("dpop", &signed(&spoofed, &fixture.key)),
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "host=evil.example;proto=https"),
        ])
        .await;
    assert_refused(&response, "invalid_dpop_proof", "spoofed");
}
