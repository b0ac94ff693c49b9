//! The cases: each shows one rule, kept at its limit or broken.
mod accepted;
mod chain;
mod fields;
mod form;
mod policy;
mod signature;

use crate::{certificate::Template, forge::Forged};

/// One vector.
pub(crate) struct Case {
    /// The file's name, without verdict and extension.
    pub(crate) name: &'static str,
    /// The rule, in a sentence.
    pub(crate) shows: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) forged: Forged,
}

/// What a verifier is to say.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Accept,
    /// With this variant of `dauth_attestation::Error`.
    Reject(&'static str),
}

pub(crate) fn all() -> Vec<Case> {
    [
        accepted::cases(),
        form::cases(),
        fields::cases(),
        chain::cases(),
        signature::cases(),
        policy::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn accept(name: &'static str, shows: &'static str, edit: fn(&mut Forged)) -> Case {
    case(name, shows, Verdict::Accept, |_| {}, edit)
}

fn accept_chain(name: &'static str, shows: &'static str, edit: fn(&mut Vec<Template>)) -> Case {
    case(name, shows, Verdict::Accept, edit, |_| {})
}

fn reject(
    name: &'static str,
    error: &'static str,
    shows: &'static str,
    edit: fn(&mut Forged),
) -> Case {
    case(name, shows, Verdict::Reject(error), |_| {}, edit)
}

fn reject_chain(
    name: &'static str,
    error: &'static str,
    shows: &'static str,
    edit: fn(&mut Vec<Template>),
) -> Case {
    case(name, shows, Verdict::Reject(error), edit, |_| {})
}

fn case(
    name: &'static str,
    shows: &'static str,
    verdict: Verdict,
    edit_chain: fn(&mut Vec<Template>),
    edit: fn(&mut Forged),
) -> Case {
    let mut forged = Forged::with_chain(edit_chain);
    edit(&mut forged);
    Case {
        name,
        shows,
        verdict,
        forged,
    }
}
