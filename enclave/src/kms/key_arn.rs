//! The ARN of a KMS key: where it is, and so where it is asked for.
use super::KmsError;

/// `arn:<partition>:kms:<region>:<account>:key/<id>`. An alias is none: who may change it names
/// another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyArn<'a> {
    partition: &'a str,
    region: &'a str,
}

impl<'a> KeyArn<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, KmsError> {
        let parts: Vec<&str> = text.split(':').collect();
        let &["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
            return Err(KmsError::KeyArn);
        };
        let id = resource.strip_prefix("key/").ok_or(KmsError::KeyArn)?;
        let is_name = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !text.is_empty() && text.bytes().all(plain)
        };
        if [partition, region, account, id].into_iter().all(is_name) {
            Ok(Self { partition, region })
        } else {
            Err(KmsError::KeyArn)
        }
    }

    /// The region that the key is in. A request signed for another is refused there.
    pub(super) fn region(&self) -> &'a str {
        self.region
    }

    /// The region's public endpoint, where the partition's domain is known.
    pub(super) fn public_endpoint(&self) -> Option<String> {
        Some(format!("https://kms.{}.{}", self.region, self.domain()?))
    }

    /// Whether `host` is a name of KMS in this region that AWS alone can have: the public endpoint,
    /// that of FIPS 140, or either of a VPC. Other names in AWS's domain are its customers'.
    pub(super) fn has_endpoint(&self, host: &str) -> bool {
        let (region, Some(domain)) = (self.region, self.domain()) else {
            return false;
        };
        ["kms", "kms-fips"].into_iter().any(|service| {
            let of_vpc = format!(".{service}.{region}.vpce.{domain}");
            let is_of_vpc = |id: &str| id.starts_with("vpce-") && !id.contains('.');
            host == format!("{service}.{region}.{domain}")
                || host.strip_suffix(&of_vpc).is_some_and(is_of_vpc)
        })
    }

    fn domain(&self) -> Option<&'static str> {
        Some(match self.partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            "aws-iso" => "c2s.ic.gov",
            "aws-iso-b" => "sc2s.sgov.gov",
            "aws-iso-e" => "cloud.adc-e.uk",
            "aws-iso-f" => "csp.hci.ic.gov",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_domain() {
        for (partition, region, endpoint) in [
            ("aws", "eu-west-1", "https://kms.eu-west-1.amazonaws.com"),
            (
                "aws-us-gov",
                "us-gov-west-1",
                "https://kms.us-gov-west-1.amazonaws.com",
            ),
            (
                "aws-cn",
                "cn-north-1",
                "https://kms.cn-north-1.amazonaws.com.cn",
            ),
            (
                "aws-iso",
                "us-iso-east-1",
                "https://kms.us-iso-east-1.c2s.ic.gov",
            ),
            (
                "aws-iso-b",
                "us-isob-east-1",
                "https://kms.us-isob-east-1.sc2s.sgov.gov",
            ),
        ] {
            let arn = format!("arn:{partition}:kms:{region}:123456789012:key/mrk-1");
            let arn = KeyArn::parse(&arn).unwrap();
            assert_eq!(arn.region(), region);
            assert_eq!(arn.public_endpoint().unwrap(), endpoint);
        }
        let unknown = KeyArn::parse("arn:aws-new:kms:x-1:1:key/k").unwrap();
        assert_eq!(unknown.public_endpoint(), None);
    }

    #[test]
    fn names_that_aws_alone_has_are_told_from_those_of_its_customers() {
        let arn = KeyArn::parse("arn:aws:kms:eu-west-1:1:key/k").unwrap();
        for host in [
            "kms.eu-west-1.amazonaws.com",
            "kms-fips.eu-west-1.amazonaws.com",
            "vpce-0a1b-c2d3.kms.eu-west-1.vpce.amazonaws.com",
            "vpce-0a1b-c2d3-eu-west-1a.kms-fips.eu-west-1.vpce.amazonaws.com",
        ] {
            assert!(arn.has_endpoint(host), "{host}");
        }
        for host in [
            "kms.example",
            "127.0.0.1",
            "kms.eu-west-1.amazonaws.com.example",
            "kms.eu-west-2.amazonaws.com",
            "kms.eu-west-1.amazonaws.com.cn",
            "a.execute-api.eu-west-1.amazonaws.com",
            "a.kms.eu-west-1.amazonaws.com",
            "kms.eu-west-1.vpce.amazonaws.com",
            ".kms.eu-west-1.vpce.amazonaws.com",
            // A service of a customer, behind an endpoint of a VPC.
            "vpce-0a1b.vpce-svc-9.eu-west-1.vpce.amazonaws.com",
            "vpce-0a1b.vpce-svc-9.kms.eu-west-1.vpce.amazonaws.com",
        ] {
            assert!(!arn.has_endpoint(host), "{host}");
        }
        let unknown = KeyArn::parse("arn:aws-new:kms:eu-west-1:1:key/k").unwrap();
        assert!(!unknown.has_endpoint("kms.eu-west-1.amazonaws.com"));
    }

    #[test]
    fn an_alias_or_anything_else_is_no_key() {
        for text in [
            "",
            "key/k",
            "arn:aws:kms:eu-west-1:1:alias/k",
            "arn:aws:kms:eu-west-1:1:key/",
            "arn:aws:kms:eu-west-1:1:key/k:k",
            "arn:aws:kms::1:key/k",
            "arn:aws:iam:eu-west-1:1:key/k",
            "arn:aws:kms:eu-west-1.evil.test/:1:key/k",
            "arn:aws:kms:eu-west-1:1:key/k k",
        ] {
            assert!(
                matches!(KeyArn::parse(text), Err(KmsError::KeyArn)),
                "{text}"
            );
        }
    }
}
