use dauth_protocol::{
    Fingerprint, Injection, Owner, RequestPath,
    policy::{Limits, PermittedServer, ServerKeys},
};
use dauth_token::AccessClaims;
use serde_bytes::ByteBuf;

use super::{opened::check_owner, *};
use crate::authorize::tests::fixture::*;

mod fleet;
mod reencryption;
mod vault;

const SECRET: &[u8] = b"sk-test-0123456789abcdef";

fn policy(server: &Key) -> Policy {
    Policy {
        version: 1,
        base_url: "https://api.example.com".parse().unwrap(),
        injection: Injection::Bearer {},
        rules: [
            "GET /me",
            "GET /notes/* notes:read",
            "POST /notes notes:write",
        ]
        .map(|rule| rule.parse().unwrap())
        .to_vec(),
        servers: vec![PermittedServer {
            resource: MCP.into(),
            keys: ServerKeys::Pinned(vec![server.thumbprint()]),
        }],
        request_headers: Vec::new(),
        limits: Limits::default(),
    }
}

fn header(parties: &Parties) -> RecordHeader {
    RecordHeader {
        layout: 1,
        handle: HANDLE.parse().unwrap(),
        owner: Owner {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
            thumbprint: parties.owner.thumbprint(),
        },
        tenant: TENANT.into(),
        policy: ByteBuf::from(policy(&parties.server).to_json().unwrap()),
        version: 2,
        created: NOW_S - 10,
        expires: NOW_S + 10,
    }
}

fn request(method: Method, path: &str) -> CallRequest {
    CallRequest {
        target: Target {
            handle: HANDLE.parse().unwrap(),
            path: RequestPath::parse(path).unwrap(),
        },
        method,
        query: None,
        headers: HeaderMap::new(),
    }
}

/// The outcome of a call, and why it is refused.
struct Case<'a> {
    parties: &'a Parties,
    claims: AccessClaims,
    header: RecordHeader,
    request: CallRequest,
}

impl<'a> Case<'a> {
    fn of_owner(parties: &'a Parties) -> Self {
        Self {
            parties,
            claims: parties.owner_claims(),
            header: header(parties),
            request: request(Method::GET, "/me"),
        }
    }

    fn of_server(parties: &'a Parties) -> Self {
        Self {
            claims: parties.server_claims(),
            ..Self::of_owner(parties)
        }
    }

    async fn run(self) -> Result<Authorized<Call>, Refusal> {
        self.run_after(&Versions::default()).await
    }

    async fn run_after(self, versions: &Versions) -> Result<Authorized<Call>, Refusal> {
        let caller = self.parties.authenticated(&self.claims).await;
        check_owner(&self.header, &caller, &self.request.target.handle)?;
        let record = OwnRecord {
            connection: ConnectionName::of(&self.header.owner, &self.header.handle),
            fingerprint: Fingerprint::from([0; 32]),
            header: self.header,
            secret: Secret::new(SECRET.to_vec()).unwrap(),
            key_id: [0; 8],
        };
        authorize(&record, &caller, self.request, versions, NOW_S)
    }

    async fn refused(self) -> (Code, &'static str) {
        let refusal = self.run().await.map(drop).expect_err("refused");
        (refusal.code, refusal.detail)
    }
}

#[tokio::test]
async fn an_owner_and_a_permitted_server_may_call() {
    let parties = Parties::new();
    let call = Case::of_owner(&parties).run().await.unwrap();
    assert_eq!(call.handle.as_str(), HANDLE);
    assert_eq!(call.path.as_str(), "/me");
    assert_eq!(call.caller, parties.owner.thumbprint());
    assert_eq!(call.policy, policy(&parties.server));

    let call = Case::of_server(&parties).run().await.unwrap();
    assert_eq!(call.caller, parties.server.thumbprint());
}

#[tokio::test]
async fn a_scope_binds_a_server_and_not_the_owner() {
    let parties = Parties::new();
    let mut case = Case::of_server(&parties);
    case.request = request(Method::GET, "/notes/1");
    assert!(case.run().await.is_ok());

    let mut case = Case::of_server(&parties);
    case.request = request(Method::POST, "/notes");
    let detail = "the token lacks the scope that this operation needs";
    assert_eq!(case.refused().await, (Code::PolicyDenied, detail));

    let mut case = Case::of_owner(&parties);
    case.request = request(Method::POST, "/notes");
    assert!(case.run().await.is_ok());
}

#[tokio::test]
async fn what_no_rule_allows_is_denied() {
    let parties = Parties::new();
    let detail = "no rule of the connection's policy allows this method and path";
    for (method, path) in [(Method::GET, "/other"), (Method::DELETE, "/me")] {
        let mut case = Case::of_owner(&parties);
        case.request = request(method, path);
        assert_eq!(case.refused().await, (Code::PolicyDenied, detail));
    }
}

#[tokio::test]
async fn each_disagreement_of_record_and_token_is_refused() {
    type Change = fn(&mut Case<'_>);
    let cases: [(Change, Code, &str); 10] = [
        (
            |c| {
                c.header.handle = c
                    .header
                    .handle
                    .as_str()
                    .replace("5f", "60")
                    .parse()
                    .unwrap();
            },
            Code::DecryptionFailed,
            "the record is another connection's",
        ),
        (
            |c| c.header.owner.subject.push('x'),
            Code::ConnectionNotFound,
            "the access token does not name this connection",
        ),
        (
            |c| c.header.owner.issuer.push('/'),
            Code::ConnectionNotFound,
            "the access token does not name this connection",
        ),
        (
            |c| c.header.tenant.push('x'),
            Code::OrgMismatch,
            "the token and the connection belong to different tenants",
        ),
        (
            |c| c.header.expires = NOW_S,
            Code::ConnectionExpired,
            "the connection has expired; its owner can rotate it",
        ),
        (
            |c| c.header.policy = ByteBuf::from(*b"{}"),
            Code::DecryptionFailed,
            "the record's policy is not one of this build's",
        ),
        (
            |c| c.header.owner.thumbprint = c.parties.server.thumbprint(),
            Code::PolicyDenied,
            "the owner's proof is by another key than the connection's",
        ),
        (
            |c| c.request.query = Some("a".repeat(MAX_QUERY_BYTES + 1)),
            Code::InvalidRequest,
            "the query is too long",
        ),
        (
            |c| {
                let mut policy = policy(&c.parties.owner);
                policy.servers[0].keys = ServerKeys::Pinned(vec!["a".repeat(43)]);
                c.header.policy = ByteBuf::from(policy.to_json().unwrap());
                c.claims = c.parties.server_claims();
            },
            Code::PolicyDenied,
            "the MCP server's key is not the one pinned in the connection's policy",
        ),
        (
            |c| {
                c.claims = c.parties.server_claims();
                c.claims.act.as_mut().unwrap().sub.push('/');
            },
            Code::PolicyDenied,
            "the connection's policy does not permit this MCP server",
        ),
    ];
    let parties = Parties::new();
    for (change, code, detail) in cases {
        let mut case = Case::of_owner(&parties);
        case.claims.jti.push_str(detail);
        change(&mut case);
        assert_eq!(case.refused().await, (code, detail));
    }
}

#[tokio::test]
async fn an_older_version_is_refused_after_a_newer_one() {
    let versions = Versions::default();
    for (version, accepted) in [(2, true), (1, false), (3, true), (2, false)] {
        let parties = Parties::new();
        let mut case = Case::of_owner(&parties);
        case.header.version = version;
        let result = case.run_after(&versions).await.map(drop);
        assert_eq!(result.is_ok(), accepted);
        assert!(result.is_ok() || result.unwrap_err().code == Code::DecryptionFailed);
    }
}
