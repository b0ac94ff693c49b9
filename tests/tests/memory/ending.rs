//! Each way in which a call can end.
use dauth_protocol::Code;

/// How a call ends. The upstream knows what to do by the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// Answered.
    Success,
    /// Answered with the whole request's head in a field and in the body.
    Reflected,
    /// The same, in the middle of a stream of events, one of which is cut in two.
    ReflectedInEvents,
    /// The same, in a trailer.
    ReflectedInTrailer,
    /// The same, compressed.
    ReflectedCompressed,
    /// Answered with status 500.
    UpstreamError,
    /// The upstream closes in the middle of its head, in which it reflects.
    BrokenHead,
    /// The upstream closes in the middle of its body, in which it reflects.
    BrokenBody,
    /// The upstream's certificate is another's.
    TlsRefused,
    /// Nothing listens.
    Unreachable,
    /// The sealed policy refuses, after the record was opened.
    Denied,
    /// The upstream does not answer within the policy's time.
    TimedOut,
    /// The caller goes while its request's body is on its way.
    CancelledInRequest,
    /// The caller goes before the upstream answers.
    CancelledBeforeHead,
    /// The upstream reflects and then sends no more; the caller goes.
    StalledBody,
    /// The reply says that it is over the limit.
    TooLongDeclared,
    /// The reply turns out to be over the limit, and reflects.
    TooLongStreamed,
    /// The reply is not what its content coding says.
    Undecodable,
    /// The reply has a content coding that is not searched.
    UnknownCoding,
    /// The reply is not HTTP.
    Malformed,
    /// The upstream sends an interim reply first, in which it reflects.
    Interim,
    /// The connection is revoked while the upstream is at work.
    Revoked,
    /// The credential is rotated while the upstream is at work.
    Rotated,
    /// The task of the call panics just before the request leaves. Under `cfg(mutations)` alone.
    PanicBeforeHead,
    /// The task of the call panics once the reply's head is searched. Under `cfg(mutations)` alone.
    PanicAfterHead,
}

/// What the caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole reply with this status.
    Answered(u16),
    /// DAuth's refusal.
    Refused(Code),
    /// A reply that ends before its end. Its head may be lost with it.
    BrokenOff,
    /// The caller did not wait.
    Cancelled,
}

impl Ending {
    /// Every ending of an enclave as it is shipped.
    pub(crate) const ALL: [Ending; 23] = [
        Ending::Success,
        Ending::Reflected,
        Ending::ReflectedInEvents,
        Ending::ReflectedInTrailer,
        Ending::ReflectedCompressed,
        Ending::UpstreamError,
        Ending::BrokenHead,
        Ending::BrokenBody,
        Ending::TlsRefused,
        Ending::Unreachable,
        Ending::Denied,
        Ending::TimedOut,
        Ending::CancelledInRequest,
        Ending::CancelledBeforeHead,
        Ending::StalledBody,
        Ending::TooLongDeclared,
        Ending::TooLongStreamed,
        Ending::Undecodable,
        Ending::UnknownCoding,
        Ending::Malformed,
        Ending::Interim,
        Ending::Revoked,
        Ending::Rotated,
    ];
    /// Those that need an enclave built to panic.
    pub(crate) const PANICS: [Ending; 2] = [Ending::PanicBeforeHead, Ending::PanicAfterHead];

    /// What the caller must see.
    pub(crate) fn expected(self) -> Outcome {
        match self {
            Ending::Success
            | Ending::Reflected
            | Ending::ReflectedInEvents
            | Ending::ReflectedInTrailer
            | Ending::ReflectedCompressed
            | Ending::Interim
            | Ending::Revoked
            | Ending::Rotated => Outcome::Answered(200),
            Ending::UpstreamError => Outcome::Answered(500),
            Ending::BrokenBody
            | Ending::TooLongStreamed
            | Ending::Undecodable
            | Ending::PanicBeforeHead
            | Ending::PanicAfterHead => Outcome::BrokenOff,
            Ending::BrokenHead | Ending::Unreachable => {
                Outcome::Refused(Code::DownstreamUnreachable)
            }
            Ending::TlsRefused => Outcome::Refused(Code::DownstreamTlsError),
            Ending::Denied => Outcome::Refused(Code::PolicyDenied),
            Ending::TimedOut => Outcome::Refused(Code::DownstreamTimeout),
            Ending::TooLongDeclared | Ending::UnknownCoding | Ending::Malformed => {
                Outcome::Refused(Code::ResponseRefused)
            }
            Ending::CancelledInRequest | Ending::CancelledBeforeHead | Ending::StalledBody => {
                Outcome::Cancelled
            }
        }
    }

    /// Whether the upstream is asked and waits, so that the credential is in use for as long as the
    /// test wants.
    pub(crate) fn is_held(self) -> bool {
        !matches!(
            self,
            Ending::Unreachable | Ending::Denied | Ending::TimedOut | Ending::PanicBeforeHead
        )
    }

    /// Whether the connection to the upstream serves the next call.
    pub(crate) fn is_pooled(self) -> bool {
        matches!(
            self,
            Ending::Success | Ending::UpstreamError | Ending::Revoked | Ending::Rotated
        )
    }

    /// The path of its call, by which the upstream (and a panicking enclave) knows it.
    pub(crate) fn path(self) -> String {
        match self {
            Ending::PanicBeforeHead => "/allowed/panic".to_owned(),
            Ending::PanicAfterHead => "/allowed/panic-after-head".to_owned(),
            Ending::Denied => "/denied".to_owned(),
            other => format!("/allowed/{other:?}"),
        }
    }

    /// The ending whose call has this request target.
    pub(crate) fn of_target(target: &str) -> Option<Self> {
        let path = target.split('?').next()?;
        let mut every = Self::ALL.into_iter().chain(Self::PANICS);
        every.find(|ending| ending.path() == path)
    }
}
