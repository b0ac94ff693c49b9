//! A service with its issuer, its parent, a vault and an upstream, all in memory.
use std::sync::atomic::{AtomicU64, Ordering};

use dauth_protocol::{Fingerprint, Injection, Owner, Policy, RecordHeader, policy::Limits};
use dauth_sealing::Secret;
use dauth_token::{AccessClaims, Jwks, NamedJwk, Signer as _, access_token_hash};
use http_body_util::Full;
use hyper::{client::conn::http1 as client, server::conn::http1 as server, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_bytes::ByteBuf;
use tokio::{io::duplex, task::JoinSet};

use super::*;
use crate::{
    authorize::tests::fixture::*,
    call::tests::upstreams::{BASE_URL, Does, upstream},
    in_progress::Share,
    issuer::IssuerKeys,
    platform::SharedModule,
    receipt::tests::parent::{Answer, Books},
};

pub(super) const SECRET: &str = "sk-live-0123456789/abc+def";

/// A service that has booted.
pub(super) struct Enclave {
    pub(super) parties: Parties,
    pub(super) books: Books,
    service: Arc<Service>,
    proofs: AtomicU64,
}

/// One request and who makes it.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) claims: AccessClaims,
}

/// What comes back while the caller stays.
pub(super) struct Reply {
    pub(super) response: Response<Incoming>,
    _connected: JoinSet<hyper::Result<()>>,
}

impl Reply {
    /// `DAuth-Receipt-Id`.
    pub(super) fn receipt(&self) -> Option<String> {
        let id = self.response.headers().get("dauth-receipt-id")?;
        Some(id.to_str().unwrap().to_owned())
    }

    pub(super) async fn body(self) -> Bytes {
        self.response.collect().await.unwrap().to_bytes()
    }
}

impl Enclave {
    pub(super) async fn new(does: Does) -> Self {
        let parties = Parties::new();
        let books = Books::new(Answer::Stores).await;
        let keys = IssuerKeys::for_tests(Jwks::new(vec![NamedJwk {
            kid: "k1".into(),
            key: parties.issuer.jwk().clone(),
        }]));
        let host = HostServices::new(Arc::new(books.parent.clone()));
        let events = Events::start(host.clone());
        let reencryptor = Reencryptor::start(host.clone(), events.clone());
        let module = SharedModule::new(books.fleet.nsm());
        let service = Service {
            clock: Clock::for_tests(),
            evidence: EvidenceService::new(module.for_strangers()),
            authorizer: Authorizer::new(&configuration(), keys, now_s()).unwrap(),
            keeper: books.keeper.clone(),
            opener: Opener::new(host, reencryptor),
            receipts: books.receipts.clone(),
            suspensions: Suspensions::default(),
            in_progress: InProgress::new(CALLS),
            upstream: upstream(does),
            events,
        };
        Self {
            parties,
            books,
            service: Arc::new(service),
            proofs: AtomicU64::new(0),
        }
    }

    /// Calls in progress, from now on.
    pub(super) fn admits(&mut self, share: Share) {
        let service = Arc::get_mut(&mut self.service).expect("idle");
        service.in_progress = InProgress::new(share);
    }

    /// The service itself, and the books that it writes.
    pub(super) fn into_parts(self) -> (Service, Books) {
        let service = Arc::try_unwrap(self.service).ok().expect("idle");
        (service, self.books)
    }

    /// An owner's `GET /me`, with the record of this header in the vault.
    pub(super) fn asked(&self, header: &RecordHeader) -> Asked {
        let serving = self.books.keeper.current();
        let secret = Secret::new(SECRET.as_bytes().to_vec()).unwrap();
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        let key = serving.keyset().record_key();
        let record = key.seal(header, &secret, nonce).unwrap();
        self.books.parent.has(&record);
        let now_s = now_s();
        let mut claims = AccessClaims {
            iat: now_s,
            exp: now_s + 100,
            ..self.parties.owner_claims()
        };
        let fingerprint = Fingerprint::of(&record).to_string();
        claims.fingerprints.insert(HANDLE.into(), fingerprint);
        Asked {
            method: Method::GET,
            path: "/me",
            claims,
        }
    }

    pub(super) fn header(&self) -> RecordHeader {
        let policy = Policy {
            version: 1,
            base_url: BASE_URL.parse().unwrap(),
            injection: Injection::Bearer {},
            rules: vec!["GET,HEAD /me".parse().unwrap()],
            servers: Vec::new(),
            request_headers: Vec::new(),
            limits: Limits {
                max_reflections_per_hour: 1,
                ..Limits::default()
            },
        };
        RecordHeader {
            layout: 1,
            handle: HANDLE.parse().unwrap(),
            owner: Owner {
                issuer: ISSUER.into(),
                subject: SUBJECT.into(),
                thumbprint: self.parties.owner.thumbprint(),
            },
            tenant: TENANT.into(),
            policy: ByteBuf::from(policy.to_json().unwrap()),
            version: 2,
            created: now_s(),
            expires: now_s() + 100,
        }
    }

    /// Asks, and gets the head of the reply. Who drops the future, or the reply, has left.
    pub(super) async fn ask(&self, asked: &Asked) -> Reply {
        let (near, far) = duplex(1 << 16);
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(service.answer(request).await) }
            });
            let serving = server::Builder::new();
            let _ = serving.serve_connection(TokioIo::new(far), answer).await;
        });
        let (mut sender, connection) = client::handshake(TokioIo::new(near)).await.unwrap();
        let mut connected = JoinSet::new();
        connected.spawn(connection);
        let response = sender.send_request(self.request(asked)).await.unwrap();
        Reply {
            response,
            _connected: connected,
        }
    }

    pub(super) fn request(&self, asked: &Asked) -> Request<Full<Bytes>> {
        let token = self.parties.token(&asked.claims);
        let path = format!("/v1/connections/{HANDLE}{}", asked.path);
        let proof = Proof {
            method: asked.method.to_string(),
            htu: format!("{AUDIENCE}{path}"),
            iat: now_s(),
            jti: self.proofs.fetch_add(1, Ordering::Relaxed).to_string(),
            ath: Some(access_token_hash(&token)),
            nonce: Some(self.service.authorizer.nonce(now_s())),
        };
        let mut request = Request::new(Full::default());
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = headers(&token, &proof.signed(&self.parties.owner));
        let host = HeaderValue::from_static("enclave.example");
        request.headers_mut().insert(http::header::HOST, host);
        request
    }
}
