//! `dauth kms-policy`: the policy of the KMS key that guards a keyset.
use std::collections::BTreeMap;

use clap::Args;
use dauth_protocol::{
    key_policy::{
        AccountId, Administration, AttestedImage, KeyPolicy, MAX_POLICY_BYTES, PrincipalArn,
        RoleArn,
    },
    measurement::Pcr,
};

use self::region::Region;
use crate::{
    failure::{Failure, sentence},
    output::Output,
};

mod notes;
mod region;

/// Print the policy of the KMS key that guards an enclave's keyset.
///
/// The policy lets the role use the key from the named images, proved by attestation, and in no
/// other way. An image is named by PCR0 (the image itself) and PCR16 (the configuration that it is
/// started with), both; `dauth eif` measures them. Other registers may be pinned besides. A further
/// --pcr 0= begins another image, as during an upgrade.
///
/// Without --lock, an administrator may change the policy, and with it which images open the
/// keyset. With --lock, nobody can, ever: these images and configurations alone, until the key is
/// deleted. An upgrade then needs a new key, and owners who seal their credentials again.
///
/// The policy goes to stdout, what to do with it and what it means to stderr.
///
/// Example, for one image:
///
///   dauth kms-policy --account 123456789012 --region eu-west-1 \
///     --role arn:aws:iam::123456789012:role/dauth-parent \
///     --pcr 0=8af1... --pcr 16=03bc... > policy.json
///
/// For the image of today and the one of tomorrow:
///
///   dauth kms-policy ... --pcr 0=8af1... --pcr 16=03bc... --pcr 0=c27e... --pcr 16=03bc...
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct KmsPolicy {
    /// The AWS account of the key: 12 digits.
    #[arg(long, value_name = "ID")]
    account: AccountId,
    /// The region of the key, as in eu-west-1.
    #[arg(long, value_name = "R")]
    region: Region,
    /// The role of the instances that run the enclaves.
    #[arg(long, value_name = "ARN")]
    role: RoleArn,
    /// A register of an image, as in 0=8af1…; PCR0 and PCR16 at least. A further 0= begins another
    /// image.
    #[arg(long = "pcr", value_name = "N=HEX", value_parser = parse_pcr)]
    pcrs: Vec<(u16, Pcr)>,
    /// Let nobody change the policy, for ever.
    #[arg(long)]
    lock: bool,
    /// Who administers the key in place of the account's root: a role or a user. With --lock, who
    /// may still disable and delete it.
    #[arg(long, value_name = "ARN")]
    admin: Option<PrincipalArn>,
    /// Print the policy, which is JSON in any case, without the notes.
    #[arg(long)]
    json: bool,
}

fn parse_pcr(text: &str) -> Result<(u16, Pcr), String> {
    let (index, value) = text.split_once('=').ok_or("write N=HEX, as in 0=8af1…")?;
    let index = index
        .parse()
        .ok()
        .filter(|index| *index < 32)
        .ok_or_else(|| format!("'{index}' is not a PCR index from 0 to 31"))?;
    let value = value.parse().map_err(|e| format!("PCR{index}: {e}"))?;
    Ok((index, value))
}

impl KmsPolicy {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let policy = self.policy()?;
        let json = policy.to_json();
        if json.len() > MAX_POLICY_BYTES {
            return Err(Failure::refused(format!(
                "a policy for {} images has {} bytes, and KMS takes {MAX_POLICY_BYTES}: name fewer",
                policy.images.len(),
                json.len()
            )));
        }
        anstream::println!("{json}");
        if Output::from_flag(self.json) == Output::Text {
            anstream::eprint!("{}", notes::notes(&policy, &self.region));
        }
        Ok(())
    }

    fn policy(&self) -> Result<KeyPolicy, Failure> {
        let role = self.role.as_principal();
        if *role.account() != self.account {
            return Err(Failure::refused(format!(
                "--role {role} is of another account than --account {}",
                self.account
            )));
        }
        if let Some(partition) = self.region.partition()
            && partition != role.partition()
        {
            return Err(Failure::refused(format!(
                "--role {role} is of the partition {}, and --region {} of {partition}",
                role.partition(),
                self.region
            )));
        }
        let administrator = self.administrator()?;
        Ok(KeyPolicy {
            role: self.role.clone(),
            images: images(&self.pcrs)?,
            administration: if self.lock {
                Administration::Locked(administrator)
            } else {
                Administration::By(administrator)
            },
        })
    }

    fn administrator(&self) -> Result<PrincipalArn, Failure> {
        let role = self.role.as_principal();
        let Some(admin) = &self.admin else {
            return Ok(role.root());
        };
        // KMS takes changes of a policy from the key's own account alone.
        if admin.root() != role.root() {
            return Err(Failure::refused(format!(
                "--admin {admin} is of another account than --account {}",
                self.account
            )));
        }
        if admin == role {
            return Err(Failure::refused(
                "--admin is the role of the instances: whoever is root on one of them has its \
                 credentials and would decide which images open the keyset",
            ));
        }
        Ok(admin.clone())
    }
}

/// The images that registers name, in the order given: PCR0 begins one.
fn images(pcrs: &[(u16, Pcr)]) -> Result<Vec<AttestedImage>, Failure> {
    let mut images = vec![BTreeMap::new()];
    for (index, value) in pcrs {
        let begins_another = *index == 0 && images.last().is_some_and(|i| i.contains_key(&0));
        if begins_another {
            images.push(BTreeMap::new());
        }
        let image = images.last_mut();
        if image.is_some_and(|image| image.insert(*index, *value).is_some()) {
            return Err(Failure::usage(format!(
                "--pcr {index} is given more than once for one image; --pcr 0= begins another image"
            )));
        }
    }
    let several = images.len() > 1;
    images
        .into_iter()
        .zip(1..)
        .map(|(registers, number)| {
            AttestedImage::new(registers).map_err(|error| {
                let which = if several {
                    format!("image {number}: ")
                } else {
                    String::new()
                };
                Failure::refused(format!("{which}{}", sentence(&error)))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
