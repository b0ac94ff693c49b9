//! Whatever becomes of a call whose record opens, it leaves one receipt.
use dauth_protocol::{
    Policy, RecordHeader,
    audit::{CallReceipt, Ending, Outcome, Reflection},
};
use http::StatusCode;
use serde_bytes::ByteBuf;
use tokio::sync::Notify;

use super::{
    enclave::{Asked, Enclave, SECRET},
    *,
};
use crate::{call::tests::upstreams::Does, in_progress::Share};

/// What is wrong with a call.
#[derive(Clone, Copy)]
enum Fault {
    Header(fn(&mut RecordHeader)),
    Asked(fn(&mut Asked)),
}

impl Fault {
    fn asked(self, enclave: &Enclave) -> Asked {
        let mut header = enclave.header();
        if let Self::Header(change) = self {
            change(&mut header);
        }
        let mut asked = enclave.asked(&header);
        if let Self::Asked(change) = self {
            change(&mut asked);
        }
        asked
    }
}

fn fine() -> Does {
    Does::Answers("fine".to_owned())
}

/// The one receipt of a call that is read to its end, named in the reply.
async fn called(enclave: &mut Enclave, asked: &Asked) -> (StatusCode, Bytes, CallReceipt) {
    let reply = enclave.ask(asked).await;
    let (status, id) = (reply.response.status(), reply.receipt().unwrap());
    let body = reply.body().await;
    let receipt = enclave.books.receipts(1).await.remove(0);
    assert_eq!(receipt.id.to_string(), id);
    (status, body, receipt)
}

#[tokio::test]
async fn an_answered_call() {
    let mut enclave = Enclave::new(fine()).await;
    let asked = enclave.asked(&enclave.header());
    let (status, body, receipt) = called(&mut enclave, &asked).await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"fine"[..]));
    assert_eq!(receipt.outcome, Outcome::Answered { status: 200 });
    assert_eq!(receipt.ending, Ending::Complete);
    assert_eq!(receipt.response_bytes, 4);
    assert_eq!(receipt.owner, asked.claims.sub);
    assert_eq!(receipt.token_id, asked.claims.jti);
    assert_eq!(receipt.caller, enclave.parties.owner.thumbprint());
    assert!(receipt.started_ms / 1000 <= now_s());
}

#[tokio::test]
async fn a_call_of_which_a_head_is_asked() {
    let mut enclave = Enclave::new(fine()).await;
    let mut asked = enclave.asked(&enclave.header());
    asked.method = Method::HEAD;
    for (path, ending) in [("/me", Ending::Complete), ("/other", Ending::Complete)] {
        asked.path = path;
        let (_, body, receipt) = called(&mut enclave, &asked).await;
        assert!(body.is_empty());
        assert_eq!(receipt.ending, ending, "{path}");
    }
}

#[tokio::test]
async fn a_refused_call() {
    let cases: [(Fault, Code); 6] = [
        (
            Fault::Asked(|asked| asked.path = "/other"),
            Code::PolicyDenied,
        ),
        (
            Fault::Asked(|asked| asked.method = Method::DELETE),
            Code::PolicyDenied,
        ),
        (
            Fault::Header(|header| header.owner.thumbprint.push('x')),
            Code::PolicyDenied,
        ),
        (
            Fault::Header(|header| header.tenant.push('x')),
            Code::OrgMismatch,
        ),
        (
            Fault::Header(|header| header.expires = now_s()),
            Code::ConnectionExpired,
        ),
        (
            Fault::Header(|header| header.policy = ByteBuf::from(*b"{}")),
            Code::DecryptionFailed,
        ),
    ];
    let mut enclave = Enclave::new(fine()).await;
    for (fault, code) in cases {
        let asked = fault.asked(&enclave);
        let (status, body, receipt) = called(&mut enclave, &asked).await;
        assert_eq!(status.as_u16(), code.status());
        assert_eq!(receipt.outcome, Outcome::Refused { code });
        assert_eq!(receipt.ending, Ending::Complete);
        assert_eq!(receipt.response_bytes, body.len() as u64);
    }
}

#[tokio::test]
async fn a_call_of_an_upstream_that_is_not_there() {
    let mut enclave = Enclave::new(Does::Nothing).await;
    let asked = enclave.asked(&enclave.header());
    let (_, _, receipt) = called(&mut enclave, &asked).await;
    let code = Code::DownstreamUnreachable;
    assert_eq!(receipt.outcome, Outcome::Refused { code });
}

#[tokio::test]
async fn a_call_whose_caller_leaves() {
    let came = Arc::new(Notify::new());
    let mut enclave = Enclave::new(Does::Waits(Arc::clone(&came))).await;
    let asked = enclave.asked(&enclave.header());
    tokio::select! {
        _ = enclave.ask(&asked) => panic!("it is not answered"),
        () = came.notified() => {}
    }
    let receipt = enclave.books.receipts(1).await.remove(0);
    assert_eq!(receipt.outcome, Outcome::Unanswered);
    assert_eq!(receipt.ending, Ending::Abandoned);
}

/// Nobody is told of these: not the owner of the record, since it is no call of theirs.
#[tokio::test]
async fn a_call_of_what_is_not_the_callers_leaves_none() {
    let cases: [(Fault, Code); 4] = [
        (
            Fault::Header(|header| header.owner.subject.push('x')),
            Code::ConnectionNotFound,
        ),
        (
            Fault::Header(|header| header.handle = "ddls:conn:other".parse().unwrap()),
            Code::DecryptionFailed,
        ),
        (
            Fault::Asked(|asked| asked.claims.fingerprints.clear()),
            Code::ConnectionNotFound,
        ),
        (
            Fault::Asked(|asked| asked.claims.aud.push('x')),
            Code::InvalidToken,
        ),
    ];
    let mut enclave = Enclave::new(fine()).await;
    for (fault, code) in cases {
        let asked = fault.asked(&enclave);
        let reply = enclave.ask(&asked).await;
        assert_eq!(reply.response.status().as_u16(), code.status());
        assert_eq!(reply.receipt(), None);
    }
    enclave.books.stop().await;
    assert!(enclave.books.came().is_none());
}

/// The attack: the API is made to say its credential in one form after another.
#[tokio::test]
async fn a_suspended_connection_is_not_called_until_it_is_rotated() {
    let mut enclave = Enclave::new(Does::Answers(SECRET.to_owned())).await;
    let mut header = enclave.header();
    let asked = enclave.asked(&header);
    for reflection in [Reflection::Redacted, Reflection::Suspended] {
        let (status, body, receipt) = called(&mut enclave, &asked).await;
        assert_eq!((status, &*body), (StatusCode::OK, &b"[redacted]"[..]));
        assert_eq!(receipt.reflection, reflection);
    }
    // The same record sealed anew has another fingerprint, and changes nothing.
    for asked in [asked, enclave.asked(&header)] {
        let (status, body, receipt) = called(&mut enclave, &asked).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert!(!problem.retryable, "waiting does not help");
        let code = Code::LimitExceeded;
        assert_eq!(receipt.outcome, Outcome::Refused { code });
        assert_eq!(receipt.reflection, Reflection::None);
    }
    header.version += 1;
    let rotated = enclave.asked(&header);
    let (status, _, _) = called(&mut enclave, &rotated).await;
    assert_eq!(status, StatusCode::OK);
}

/// A policy that tolerates more does not let a suspended connection go on.
#[tokio::test]
async fn a_suspension_is_of_the_version_whatever_its_policy() {
    let mut enclave = Enclave::new(Does::Answers(SECRET.to_owned())).await;
    let header = enclave.header();
    let asked = enclave.asked(&header);
    for _ in 0..2 {
        called(&mut enclave, &asked).await;
    }
    let mut policy = Policy::from_json(&header.policy).unwrap();
    policy.limits.max_reflections_per_hour = 1000;
    let policy = ByteBuf::from(policy.to_json().unwrap());
    let tolerant = enclave.asked(&RecordHeader { policy, ..header });
    let (status, _, _) = called(&mut enclave, &tolerant).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

/// The attack: calls to an upstream that never answers, until nobody else gets a tunnel.
#[tokio::test]
async fn an_owner_whose_calls_wait_gets_no_more_than_its_share() {
    let came = Arc::new(Notify::new());
    let mut enclave = Enclave::new(Does::Waits(Arc::clone(&came))).await;
    enclave.admits(Share {
        all: 2,
        per_owner: 1,
    });
    let asked = enclave.asked(&enclave.header());
    let mut first = Box::pin(enclave.ask(&asked));
    tokio::select! {
        _ = &mut first => panic!("the upstream does not answer"),
        () = came.notified() => {}
    }
    let second = enclave.ask(&asked).await.response;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    // Its caller leaves, and the call ends.
    drop(first);
    loop {
        tokio::select! {
            reply = enclave.ask(&asked) => {
                assert_eq!(reply.response.status(), StatusCode::TOO_MANY_REQUESTS);
            }
            () = came.notified() => break,
        }
    }
}
