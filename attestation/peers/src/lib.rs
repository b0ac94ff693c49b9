//! Published verifiers of Nitro evidence behind one face, to compare verdicts and times with ours.

mod peers;

pub use peers::{Evidence, Peer, Verdict, peers};
