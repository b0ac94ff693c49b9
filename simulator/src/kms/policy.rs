//! A key policy: the JSON document that KMS takes, evaluated for one request.
//!
//! Supported is what policies of attested keys have: `Allow` and `Deny`, AWS principals, actions
//! with `*` and `?`, `NotAction` and `NotPrincipal`, and the operators of [`Operator`]. Anything else
//! is refused when the policy is loaded, never ignored. There is no IAM beside it: an `Allow` for the
//! account's root, which delegates to IAM, grants nothing here but to the root user himself.
use std::collections::BTreeMap;

use serde::{Deserialize, de::Error as _};

/// A key policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct KeyPolicy {
    #[serde(rename = "Version")]
    _version: Version,
    #[serde(default, rename = "Id")]
    _id: Option<String>,
    statement: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "StatementForm")]
struct Statement {
    effect: Effect,
    principal: Named<Principal>,
    action: Named<OneOrMany>,
    condition: BTreeMap<Operator, BTreeMap<String, OneOrMany>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct StatementForm {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: Option<Principal>,
    not_principal: Option<Principal>,
    action: Option<OneOrMany>,
    not_action: Option<OneOrMany>,
    #[serde(rename = "Resource")]
    _resource: AnyResource,
    #[serde(default)]
    condition: BTreeMap<Operator, BTreeMap<String, OneOrMany>>,
}

impl TryFrom<StatementForm> for Statement {
    type Error = &'static str;

    fn try_from(form: StatementForm) -> Result<Self, &'static str> {
        Ok(Self {
            effect: form.effect,
            principal: Named::one_of(form.principal, form.not_principal)
                .ok_or("a statement has either Principal or NotPrincipal")?,
            action: Named::one_of(form.action, form.not_action)
                .ok_or("a statement has either Action or NotAction")?,
            condition: form.condition,
        })
    }
}

/// What a statement names, or all but that.
#[derive(Clone, Debug)]
enum Named<T> {
    These(T),
    AllBut(T),
}

impl<T> Named<T> {
    fn one_of(these: Option<T>, all_but: Option<T>) -> Option<Self> {
        match (these, all_but) {
            (Some(these), None) => Some(Self::These(these)),
            (None, Some(all_but)) => Some(Self::AllBut(all_but)),
            _ => None,
        }
    }

    fn covers(&self, includes: impl FnOnce(&T) -> bool) -> bool {
        match self {
            Self::These(names) => includes(names),
            Self::AllBut(names) => !includes(names),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// In a key policy, `*` means the key that the policy belongs to.
#[derive(Clone, Copy, Debug, Deserialize)]
enum AnyResource {
    #[serde(rename = "*")]
    ThisKey,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Operator {
    /// The value is one of these.
    StringEquals,
    /// The same, letter case aside.
    StringEqualsIgnoreCase,
    /// The value is none of these, or absent.
    StringNotEquals,
    /// The same, letter case aside.
    StringNotEqualsIgnoreCase,
    /// `true`: the value is absent; `false`: it is there.
    Null,
}

#[derive(Clone, Debug)]
enum Principal {
    Anyone,
    Aws(Vec<String>),
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Map(BTreeMap<String, OneOrMany>),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) if text == "*" => Ok(Self::Anyone),
            Form::Text(_) => Err(D::Error::custom("a Principal is \"*\" or {\"AWS\": ...}")),
            Form::Map(mut map) => match (map.remove("AWS"), map.is_empty()) {
                (Some(OneOrMany(names)), true) => Ok(Self::Aws(names)),
                _ => Err(D::Error::custom("only AWS principals are simulated")),
            },
        }
    }
}

#[derive(Clone, Debug)]
struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::One(one) => vec![one],
            Form::Many(many) => many,
        }))
    }
}

/// What a policy decides about.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    /// The caller's ARN.
    pub principal: &'a str,
    /// `kms:Decrypt` and so on.
    pub action: &'a str,
    /// Condition keys and their values. Names are compared without regard to case.
    pub context: BTreeMap<String, String>,
}

/// What it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it: a grant does not help.
    Denied,
    /// No statement says anything about it: denied, unless a grant allows it.
    NotAllowed,
}

impl KeyPolicy {
    /// Parses a policy document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Decides: an explicit denial overrides.
    pub fn decide(&self, access: &Access<'_>) -> Decision {
        let applies = |effect| {
            self.statement
                .iter()
                .any(|statement| statement.effect == effect && statement.matches(access))
        };
        if applies(Effect::Deny) {
            Decision::Denied
        } else if applies(Effect::Allow) {
            Decision::Allowed
        } else {
            Decision::NotAllowed
        }
    }
}

impl Statement {
    fn matches(&self, access: &Access<'_>) -> bool {
        let named = |OneOrMany(patterns): &OneOrMany| {
            patterns
                .iter()
                .any(|pattern| matches_pattern(pattern.as_bytes(), access.action.as_bytes()))
        };
        self.principal
            .covers(|names| names.include(access.principal, self.effect))
            && self.action.covers(named)
            && self.condition.iter().all(|(operator, keys)| {
                keys.iter()
                    .all(|(key, OneOrMany(values))| operator.holds(access.value(key), values))
            })
    }
}

impl Principal {
    fn include(&self, principal: &str, effect: Effect) -> bool {
        let Self::Aws(names) = self else {
            return true;
        };
        let mut parts = principal.split(':');
        let partition = parts.nth(1).unwrap_or_default();
        let account = parts.nth(2).unwrap_or_default();
        let root = format!("arn:{partition}:iam::{account}:root");
        names.iter().any(|name| {
            let name = if name == account { &root } else { name };
            // Whom IAM of the account lets act is not simulated; whom it denies, all of them.
            name == "*" || name == principal || (effect == Effect::Deny && *name == root)
        })
    }
}

/// `*` stands for any characters and `?` for one; letter case is no difference in names of actions.
fn matches_pattern(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], text) => {
            (0..=text.len()).any(|skipped| matches_pattern(rest, &text[skipped..]))
        }
        ([b'?', pattern @ ..], [_, text @ ..]) => matches_pattern(pattern, text),
        ([expected, pattern @ ..], [actual, text @ ..]) => {
            expected.eq_ignore_ascii_case(actual) && matches_pattern(pattern, text)
        }
        _ => false,
    }
}

impl Access<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        self.context
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.as_str())
    }
}

impl Operator {
    fn holds(self, actual: Option<&str>, values: &[String]) -> bool {
        let equals = |actual: &str| values.iter().any(|value| value == actual);
        let like = |actual: &str| {
            values
                .iter()
                .any(|value| value.eq_ignore_ascii_case(actual))
        };
        match self {
            Self::StringEquals => actual.is_some_and(equals),
            Self::StringEqualsIgnoreCase => actual.is_some_and(like),
            Self::StringNotEquals => !actual.is_some_and(equals),
            Self::StringNotEqualsIgnoreCase => !actual.is_some_and(like),
            Self::Null => values
                .iter()
                .any(|value| (value == "true") == actual.is_none()),
        }
    }
}

#[cfg(test)]
mod tests;
