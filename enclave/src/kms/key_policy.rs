//! Whether a key policy is locked: nobody can change it, and only known images can use the key.
//!
//! Whoever wrote the policy is the one that it shall bind, so it is read by what it may contain, not
//! by what it must not: statements that deny; statements that allow looking at the key, stopping and
//! destroying it; and statements that allow its use to one image under one configuration, both of
//! which this enclave knows. Anything else unlocks it. How AWS would evaluate what is neither is not
//! asked here.
use std::collections::BTreeSet;

use dauth_protocol::{
    deployment::Predecessor,
    key_policy::{ATTESTED_ACTIONS, INSPECTION_ACTIONS, LIFECYCLE_ACTIONS, MAX_POLICY_BYTES},
    measurement::Pcr,
};

use super::json::Json;

mod fault;

pub use fault::{ActionName, StatementFault, UnlockedPolicy};

/// The two names of PCR0.
const IMAGE_KEYS: [&str; 2] = [
    "kms:RecipientAttestation:ImageSha384",
    "kms:RecipientAttestation:PCR0",
];
const CONFIGURATION_KEY: &str = "kms:RecipientAttestation:PCR16";

/// A value is one of those that a statement lists, letter case aside in the second.
const EQUALITIES: [&str; 2] = ["StringEquals", "StringEqualsIgnoreCase"];

/// What a statement may consist of.
const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// What a policy is held against.
#[derive(Clone, Copy, Debug)]
pub struct Custody<'a> {
    /// The key that the policy is of.
    pub key_arn: &'a str,
    /// The images and configurations that may use it.
    pub images: &'a [Predecessor],
}

impl Custody<'_> {
    /// Refuses a policy that is not locked.
    pub fn require_locked(&self, policy: &str) -> Result<(), UnlockedPolicy> {
        if policy.len() > MAX_POLICY_BYTES {
            return Err(UnlockedPolicy::TooLong);
        }
        let policy: Json = serde_json::from_str(policy).map_err(|_| UnlockedPolicy::Malformed)?;
        let document = policy.as_object().ok_or(UnlockedPolicy::Malformed)?;
        let is_known = |name: &String| ["Version", "Id", "Statement"].contains(&name.as_str());
        let version = document.get("Version").and_then(Json::as_str);
        if !document.keys().all(is_known) || version != Some("2012-10-17") {
            return Err(UnlockedPolicy::Document);
        }
        let statements = match document.get("Statement") {
            Some(Json::Array(statements)) => statements.as_slice(),
            Some(one @ Json::Object(_)) => std::slice::from_ref(one),
            _ => return Err(UnlockedPolicy::Document),
        };
        for (number, statement) in (1..).zip(statements) {
            let fault = |fault| UnlockedPolicy::Statement { number, fault };
            self.check_statement(statement).map_err(fault)?;
        }
        Ok(())
    }

    fn check_statement(&self, statement: &Json) -> Result<(), StatementFault> {
        let elements = statement.as_object().ok_or(StatementFault::Element)?;
        if !elements
            .keys()
            .all(|name| ELEMENTS.contains(&name.as_str()))
        {
            return Err(StatementFault::Element);
        }
        match elements.get("Effect").and_then(Json::as_str) {
            // Whatever it denies: less is allowed by it.
            Some("Deny") => return Ok(()),
            Some("Allow") => {}
            _ => return Err(StatementFault::Effect),
        }
        if elements.keys().any(|name| name.starts_with("Not")) {
            return Err(StatementFault::Inverted);
        }
        let strings = |name| {
            let strings = elements.get(name).and_then(Json::strings);
            strings.ok_or(StatementFault::Element)
        };
        let of_this_key = |resource: &&str| *resource == "*" || *resource == self.key_arn;
        if !strings("Resource")?.iter().all(of_this_key) {
            return Err(StatementFault::Resource);
        }
        let principal = elements.get("Principal").ok_or(StatementFault::Element)?;
        let principal = Principal::of(principal)?;
        match Permission::of(&strings("Action")?)? {
            // Who may use the key matters little when all must be these images.
            Permission::Use => self.check_use(elements.get("Condition")),
            // Conditions make it less.
            Permission::Lifecycle if principal == Principal::Named => Ok(()),
            Permission::Lifecycle => Err(StatementFault::Anyone),
        }
    }

    /// One known image under its own configuration. All conditions of a statement must hold, so
    /// others beside these make it less.
    fn check_use(&self, condition: Option<&Json>) -> Result<(), StatementFault> {
        let condition = condition.and_then(Json::as_object);
        let condition = condition.ok_or(StatementFault::Unattested)?;
        let (mut names, mut images, mut configuration) = (BTreeSet::new(), Vec::new(), None);
        for (operator, keys) in condition {
            let keys = keys.as_object().ok_or(StatementFault::Element)?;
            if !EQUALITIES.contains(&operator.as_str()) {
                return Err(StatementFault::Operator);
            }
            for (name, value) in keys {
                // KMS knows a key by its name in any case.
                if !names.insert(name.to_ascii_lowercase()) {
                    return Err(StatementFault::ConditionTwice);
                }
                if IMAGE_KEYS.contains(&name.as_str()) {
                    images.push(one_register(value)?);
                } else if name == CONFIGURATION_KEY {
                    configuration = Some(one_register(value)?);
                }
            }
        }
        let pcr16 = configuration.ok_or(StatementFault::Unattested)?;
        let pcr0 = *images.first().ok_or(StatementFault::Unattested)?;
        let is_known = |image: Pcr| {
            let mut known = self.images.iter();
            image != Pcr::ZERO && known.any(|known| known.pcr0 == image && known.pcr16 == pcr16)
        };
        if images.iter().all(|image| *image == pcr0) && is_known(pcr0) {
            Ok(())
        } else {
            Err(StatementFault::UnknownImage)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Principal {
    /// Accounts, roles or users.
    Named,
    /// Whoever signs, or does not.
    Anyone,
}

impl Principal {
    fn of(principal: &Json) -> Result<Self, StatementFault> {
        let names = match principal {
            Json::String(name) if name == "*" => return Ok(Self::Anyone),
            Json::Object(kinds) if kinds.len() == 1 => kinds.get("AWS").and_then(Json::strings),
            _ => None,
        };
        match names {
            Some(names) if names.iter().any(|name| name.contains(['*', '?'])) => Ok(Self::Anyone),
            Some(_) => Ok(Self::Named),
            None => Err(StatementFault::Principal),
        }
    }
}

/// What a statement allows.
enum Permission {
    /// To look at the key, stop it, destroy it.
    Lifecycle,
    /// That, and to open keysets.
    Use,
}

impl Permission {
    /// AWS takes names of actions in any case, and here one way to write them is enough.
    fn of(actions: &[&str]) -> Result<Self, StatementFault> {
        let is_harmless = |action: &&str| {
            LIFECYCLE_ACTIONS.contains(action) || INSPECTION_ACTIONS.contains(action)
        };
        let is_use = |action: &&str| ATTESTED_ACTIONS.contains(action);
        if actions.iter().any(|action| action.contains(['*', '?'])) {
            return Err(StatementFault::Wildcard);
        }
        match actions
            .iter()
            .find(|action| !is_harmless(action) && !is_use(action))
        {
            Some(other) => Err(StatementFault::Action(ActionName::of(other))),
            None if actions.iter().any(is_use) => Ok(Self::Use),
            None => Ok(Self::Lifecycle),
        }
    }
}

/// Several values would combine freely with those of another register.
fn one_register(value: &Json) -> Result<Pcr, StatementFault> {
    match value.strings().as_deref() {
        Some([value]) => value.parse().map_err(|_| StatementFault::Register),
        Some(_) => Err(StatementFault::SeveralValues),
        None => Err(StatementFault::Register),
    }
}

#[cfg(test)]
mod tests;
