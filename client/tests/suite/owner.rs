//! What an owner gets from honest parties, and what dishonest ones get from an owner.
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use dauth_client::{
    CallBody, CallRequest, Custody, KeptPolicyError, KeysetMemory, NewConnection, Owner,
    OwnerError, Pinning, PolicyChange, PolicyParts, Profile, ReceiptError, Root, Rotation, Secret,
    Trust, VaultError, private_file,
};
use dauth_dispatch::DpopKey;
use dauth_protocol::{Handle, Injection, Policy, policy::Limits, policy::ServerKeys};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::{
    control_plane::{self, Conduct, Stored},
    enclave::{Enclave, Falsify, RotationTime},
    plain_server::PlainServer,
    support::{AUDIENCE, PCR0},
};

const SECRET: &[u8] = b"sk-0123456789abcdef";

struct World {
    owner: Owner,
    enclave: Enclave,
    control_plane: PlainServer,
    stored: Stored,
    _folder: TempDir,
}

impl World {
    async fn new(conduct: Conduct, falsify: Falsify) -> Self {
        let enclave = Enclave::start(falsify).await;
        let (control_plane, stored) = control_plane::start(conduct).await;
        let folder = tempfile::tempdir().unwrap();
        let profile = profile(folder.path(), &control_plane.url, &enclave);
        Self {
            owner: Owner::new(&profile).unwrap(),
            enclave,
            control_plane,
            stored,
            _folder: folder,
        }
    }

    async fn honest() -> Self {
        Self::new(Conduct::Honest, |_| ()).await
    }

    async fn connect(&self) -> Result<Handle, OwnerError> {
        self.owner.connect(&new_connection(), &secret()).await
    }
}

/// A profile that went through its file.
pub(crate) fn profile(folder: &Path, issuer: &str, enclave: &Enclave) -> Profile {
    let root = folder.join("root.pem");
    std::fs::write(&root, &enclave.root_pem).unwrap();
    let owner_key = folder.join("owner.pem");
    let pem = DpopKey::generate().unwrap().to_pem().unwrap();
    private_file::write(&owner_key, pem.as_bytes()).unwrap();
    // The fixture's documents have PCR0 as named, and in every other register its number plus one.
    let pcrs = BTreeMap::from([(0, PCR0.into()), (16, [17; 48].into())]);
    let profile = Profile {
        issuer: issuer.to_owned(),
        client_id: "sdk".to_owned(),
        client_secret: Zeroizing::new("client secret".to_owned()),
        ingress: enclave.ingress.clone(),
        resource: AUDIENCE.to_owned(),
        trust: Trust {
            root: Root::Pem(root),
            pcrs,
            releases: Vec::new(),
            custody: Custody::Any,
        },
        owner_key,
        operator_keyset: None,
        keysets: Arc::new(KeysetMemory::in_process()),
    };
    let path = folder.join("profile.toml");
    profile.save(&path).unwrap();
    Profile::load(&path).unwrap()
}

fn parts() -> PolicyParts {
    PolicyParts {
        base_url: "https://api.example/v1".parse().unwrap(),
        injection: Injection::Bearer {},
        rules: vec!["GET /notes/* notes:read".parse().unwrap()],
        request_headers: Vec::new(),
        limits: Limits::default(),
        servers: vec!["https://mcp.example/mcp".to_owned()],
        pinning: Pinning::Unpinned,
    }
}

fn new_connection() -> NewConnection {
    NewConnection {
        name: "notes".to_owned(),
        policy: parts(),
        life: NewConnection::DEFAULT_LIFE,
    }
}

fn secret() -> Secret {
    Secret::new(SECRET.to_vec()).unwrap()
}

#[tokio::test]
async fn a_credential_reaches_the_enclave_alone() {
    let world = World::honest().await;
    let handle = world.connect().await.unwrap();
    assert!(handle.as_str().starts_with("ddls:conn:"));

    let admitted = world.enclave.keys.admitted.lock().unwrap().clone();
    let (header, sealed) = admitted.first().unwrap();
    assert_eq!(sealed, SECRET);
    assert_eq!((&header.handle, header.version), (&handle, 1));
    assert_eq!(header.owner.issuer, world.control_plane.url);
    assert_eq!(header.owner.subject, "subject-1");
    assert_eq!(
        header.owner.thumbprint,
        world.owner.key().thumbprint().as_str()
    );
    assert_eq!(
        (header.tenant.as_str(), header.audience.as_str()),
        ("org-1", AUDIENCE)
    );
    let policy = Policy::from_json(&header.policy).unwrap();
    assert_eq!(policy.rules, parts().rules);
    assert_eq!(policy.servers[0].keys, ServerKeys::Unpinned);

    for seen in world.control_plane.log.lock().unwrap().iter() {
        let shown = format!("{seen:?}");
        assert!(!shown.contains("sk-0123456789abcdef"), "{shown}");
    }
    let listed = world.owner.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0], world.owner.show(&handle).await.unwrap());
    assert_eq!(listed[0].base_url, "https://api.example/v1");

    let request = CallRequest {
        handle: handle.clone(),
        method: http::Method::GET,
        path_and_query: "/notes/1?x=1".to_owned(),
        headers: http::HeaderMap::new(),
        body: CallBody::Bytes(bytes::Bytes::new()),
    };
    let reply = world.owner.call(request).await.unwrap();
    let reply = reply.into_body().collect().await.unwrap().to_bytes();
    assert!(reply.ends_with(b"/notes/1?x=1"));

    world.owner.revoke(&handle).await.unwrap();
    let gone = world.owner.show(&handle).await;
    assert!(matches!(
        gone,
        Err(OwnerError::Vault(VaultError::NotFound(_)))
    ));
}

#[tokio::test]
async fn what_the_enclave_does_not_vouch_for_is_not_stored() {
    let cases: [(Falsify, ReceiptError); 4] = [
        (|r| r.policy_sha256[0] ^= 1, ReceiptError::Policy),
        (|r| r.fingerprint[0] ^= 1, ReceiptError::Fingerprint),
        (|r| r.version = 7, ReceiptError::Version),
        (
            |r| r.handle = "ddls:conn:other".parse().unwrap(),
            ReceiptError::Handle,
        ),
    ];
    for (falsify, expected) in cases {
        let world = World::new(Conduct::Honest, falsify).await;
        match world.connect().await {
            Err(OwnerError::Receipt(error)) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        }
        assert!(world.stored.lock().unwrap().is_none());
        assert!(world.control_plane.seen("/v1/connections").is_empty());
    }
}

#[tokio::test]
async fn a_control_plane_that_stores_another_record_is_found_out() {
    let world = World::new(Conduct::StoresAnother, |_| ()).await;
    assert!(matches!(
        world.connect().await,
        Err(OwnerError::Vault(VaultError::OtherRecord))
    ));
}

#[tokio::test]
async fn a_rotation_keeps_the_policy_or_replaces_it() {
    let world = World::honest().await;
    let handle = world.connect().await.unwrap();
    let rotate = async |policy| {
        let life = Duration::from_secs(3600);
        let rotation = Rotation { policy, life };
        let new = Secret::new(b"another secret of the same API".to_vec()).unwrap();
        world.owner.rotate(&handle, &rotation, &new).await
    };
    assert_eq!(rotate(PolicyChange::Keep).await.unwrap(), 2);
    let wider = PolicyParts {
        rules: vec!["GET,POST /**".parse().unwrap()],
        ..parts()
    };
    let replaced = rotate(PolicyChange::Replace(Box::new(wider))).await;
    assert_eq!(replaced.unwrap(), 3);
    let admitted = world.enclave.keys.admitted.lock().unwrap().clone();
    assert_eq!(admitted[0].0.policy, admitted[1].0.policy);
    assert_ne!(admitted[1].0.policy, admitted[2].0.policy);
    assert!(admitted.iter().all(|(header, _)| header.handle == handle));
}

#[tokio::test]
async fn a_policy_that_is_not_returned_cannot_be_kept() {
    let world = World::new(Conduct::ReturnsNoRecord, |_| ()).await;
    let handle = world.connect().await.unwrap();
    let rotation = Rotation {
        policy: PolicyChange::Keep,
        life: Duration::from_secs(3600),
    };
    let refused = world.owner.rotate(&handle, &rotation, &secret()).await;
    assert!(matches!(
        refused,
        Err(OwnerError::KeptPolicy(KeptPolicyError::NotReturned))
    ));
}

/// Receipt keys are replaced while people work: no wish fails for it.
#[tokio::test]
async fn a_receipt_key_that_was_replaced_meanwhile_is_looked_up() {
    let world = World::honest().await;
    let keys = &world.enclave.keys;
    *keys.rotation.lock().unwrap() = RotationTime::BeforeAdmission;
    let handle = world.connect().await.unwrap();
    // The stored record's receipt is then by a former key.
    keys.rotate();
    let rotation = Rotation {
        policy: PolicyChange::Keep,
        life: Duration::from_secs(3600),
    };
    let version = world.owner.rotate(&handle, &rotation, &secret()).await;
    assert_eq!(version.unwrap(), 2);
}

#[tokio::test]
async fn a_receipt_that_no_evidence_vouches_for_is_refused() {
    let world = World::honest().await;
    *world.enclave.keys.rotation.lock().unwrap() = RotationTime::ForEachReceipt;
    let refused = world.connect().await;
    assert!(
        matches!(refused, Err(OwnerError::Receipt(ReceiptError::Signature))),
        "{refused:?}"
    );
    assert!(world.stored.lock().unwrap().is_none());
}
