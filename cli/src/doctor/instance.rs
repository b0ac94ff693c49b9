//! The instance: its metadata service, its type and its role.
use dauth_protocol::host::RoleCredentials;
use jiff::Timestamp;

use super::{
    finding::Finding,
    metadata::{Metadata, MetadataError},
};

const SERVICE: &str = "metadata-service";
const TYPE: &str = "instance-type";
const ROLE: &str = "role";
const ENABLE: &str = "aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint \
                      enabled --http-tokens required";
const ATTACH: &str = "attach an instance profile whose role the KMS key's policy names: aws ec2 \
                      associate-iam-instance-profile --instance-id ID --iam-instance-profile Name=NAME";

/// Families on which AWS offers no enclaves, by how the type begins; and bare metal, below.
const WITHOUT: [&str; 12] = [
    "t1.", "t2.", "t3.", "t3a.", "t4g.", "a1.", "mac", "u-", "vt1.", "trn1", "g4ad.", "g5g.",
];

pub(super) async fn examine(endpoint: &str) -> [Finding; 3] {
    match Metadata::begin(endpoint).await {
        Ok(metadata) => [
            Finding::ok(SERVICE, "IMDSv2 gives a session token"),
            instance_type(&metadata).await,
            role(&metadata).await,
        ],
        Err(error) => {
            let why = "the metadata service does not answer";
            [
                unavailable(&error),
                Finding::not_checked(TYPE, why),
                Finding::not_checked(ROLE, why),
            ]
        }
    }
}

fn unavailable(error: &MetadataError) -> Finding {
    let remedy = match error {
        MetadataError::Unreachable(_) => {
            format!("on EC2, enable it: {ENABLE}\nelsewhere, use an EC2 instance")
        }
        MetadataError::NoAnswer(_) => format!(
            "its answer is dropped on the way into a container or a virtual machine: {ENABLE} \
             --http-put-response-hop-limit 2"
        ),
        _ => format!("enable version 2: {ENABLE}"),
    };
    Finding::missing(SERVICE, error.to_string(), remedy)
}

async fn instance_type(metadata: &Metadata) -> Finding {
    match metadata.get("instance-type").await {
        Err(error) => Finding::not_checked(TYPE, error.to_string()),
        Ok(name) if offers_enclaves(&name) => Finding::ok(TYPE, name.as_str()),
        Ok(name) => Finding::missing(
            TYPE,
            format!("{} has no enclaves", name.as_str()),
            "take a Nitro instance that is neither burstable nor bare metal, with four vCPUs (two \
             with Graviton), as m6i.xlarge or c6g.large: aws ec2 describe-instance-types \
             --filters Name=nitro-enclaves-support,Values=supported",
        ),
    }
}

fn offers_enclaves(name: &str) -> bool {
    !name.contains(".metal") && !WITHOUT.iter().any(|family| name.starts_with(family))
}

async fn role(metadata: &Metadata) -> Finding {
    const PATH: &str = "iam/security-credentials/";
    let name = match metadata.get(PATH).await {
        Ok(name) if is_role_name(&name) => name,
        Ok(_) | Err(MetadataError::Status(404)) => {
            return Finding::missing(ROLE, "the instance has no role", ATTACH);
        }
        Err(error) => return Finding::not_checked(ROLE, error.to_string()),
    };
    let name = name.as_str();
    let credentials = match metadata.get(&format!("{PATH}{name}")).await {
        Ok(text) => serde_json::from_str::<RoleCredentials>(&text).ok(),
        Err(_) => None,
    };
    let expires = credentials.and_then(|c| c.expiration.parse::<Timestamp>().ok());
    match expires {
        Some(at) if at > Timestamp::now() => {
            Finding::ok(ROLE, format!("{name}, with credentials until {at}"))
        }
        Some(at) => Finding::missing(
            ROLE,
            format!("{name}, with credentials that expired at {at}"),
            "see that the clock is right (`clock` above); the service renews them before that",
        ),
        None => Finding::missing(
            ROLE,
            format!("{name}, without credentials"),
            "let EC2 assume the role: its trust policy needs sts:AssumeRole for \
             ec2.amazonaws.com (deploy/terraform has one)",
        ),
    }
}

/// IAM's characters of a role's name: it becomes part of a path.
fn is_role_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
    };

    use super::{super::finding::State, *};

    /// A metadata service: what it says by path, and 404 otherwise.
    async fn service(says: BTreeMap<&'static str, String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut head = Vec::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap() == 0 || line == "\r\n" {
                        break;
                    }
                    head.push(line.to_lowercase());
                }
                let path = head[0].split(' ').nth(1).unwrap();
                let is_token = path == "/latest/api/token";
                let shown = head
                    .iter()
                    .any(|l| l.starts_with("x-aws-ec2-metadata-token: t0k"));
                let asks = head
                    .iter()
                    .any(|l| l.starts_with("x-aws-ec2-metadata-token-ttl"));
                let reply = match says.get(path.trim_start_matches("/latest/")) {
                    // Version 2: a PUT first, and its token with each request.
                    Some(text) if (is_token && asks && head[0].starts_with("put")) || shown => {
                        format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                            text.len()
                        )
                    }
                    _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_owned(),
                };
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}")
    }

    fn instance(kind: &str, expiration: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("api/token", "t0k".to_owned()),
            ("meta-data/instance-type", kind.to_owned()),
            ("meta-data/iam/security-credentials/", "dauth\n".to_owned()),
            (
                "meta-data/iam/security-credentials/dauth",
                format!(
                    r#"{{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S3CRET","Token":"T","Expiration":"{expiration}"}}"#
                ),
            ),
        ])
    }

    async fn found(endpoint: &str) -> [Finding; 3] {
        examine(endpoint).await
    }

    #[tokio::test]
    async fn an_instance_as_it_should_be() {
        let endpoint = service(instance("m6i.xlarge", "2999-12-31T23:59:59Z")).await;
        for finding in found(&endpoint).await {
            assert_eq!(finding.state, State::Ok, "{finding:?}");
            assert!(!finding.found.contains("S3CRET"));
        }
    }

    #[tokio::test]
    async fn each_lack_is_told_with_its_remedy() {
        let expired = service(instance("t3.large", "2001-01-01T00:00:00Z")).await;
        let [reached, kind, role] = found(&expired).await;
        assert_eq!(reached.state, State::Ok);
        assert_eq!((kind.state, role.state), (State::Missing, State::Missing));
        assert!(role.found.contains("expired"), "{}", role.found);

        let mut without = instance("c6g.large", "");
        without.remove("meta-data/iam/security-credentials/");
        let [_, kind, role] = found(&service(without).await).await;
        assert_eq!((kind.state, role.state), (State::Ok, State::Missing));
        assert!(role.remedy.unwrap().contains("instance-profile"));

        let mut refused = instance("m6i.xlarge", "2999-12-31T23:59:59Z");
        refused.remove("meta-data/iam/security-credentials/dauth");
        let [.., role] = found(&service(refused).await).await;
        assert!(role.remedy.unwrap().contains("sts:AssumeRole"));

        let [disabled, kind, _] = found(&service(BTreeMap::new()).await).await;
        assert_eq!(
            (disabled.state, kind.state),
            (State::Missing, State::NotChecked)
        );
        assert!(disabled.remedy.unwrap().contains("--http-tokens required"));
    }

    #[tokio::test]
    async fn no_service_and_one_behind_a_hop_too_many() {
        // Bound and not listening any more: nobody is there.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let [absent, ..] = found(&format!("http://{address}")).await;
        assert_eq!(absent.state, State::Missing);
        assert!(absent.remedy.unwrap().contains("--http-endpoint enabled"));
        // Accepts and says nothing, as where replies are dropped.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [dropped, ..] = found(&format!("http://{}", silent.local_addr().unwrap())).await;
        assert!(
            dropped
                .remedy
                .unwrap()
                .contains("--http-put-response-hop-limit 2")
        );
    }

    #[test]
    fn types_that_have_enclaves_and_types_that_have_none() {
        for name in ["m5.xlarge", "c6g.large", "r6i.2xlarge", "m7a.xlarge"] {
            assert!(offers_enclaves(name), "{name}");
        }
        for name in [
            "t3.xlarge",
            "t4g.large",
            "m5.metal",
            "c6i.metal",
            "mac2.metal",
            "a1.xlarge",
        ] {
            assert!(!offers_enclaves(name), "{name}");
        }
        for name in ["", "a/b", "a b", "..\n", &"x".repeat(65)] {
            assert!(!is_role_name(name), "{name:?}");
        }
    }
}
