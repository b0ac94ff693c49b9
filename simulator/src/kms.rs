//! A simulated AWS KMS: enough of it for an attested enclave, and as strict.
//!
//! Signatures are verified, documents in `Recipient` too (against the simulator's root), and each
//! key's policy decides about the rest: it is the JSON document that one gives KMS. Data keys come in
//! the CMS envelope that KMS writes, indefinite lengths included.
use std::{collections::BTreeSet, future::Future, sync::Arc};

use dauth_attestation::TrustAnchors;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub mod cms;
mod configuration;
pub mod error;
pub mod key;
pub mod master_key;
pub mod operation;
pub mod policy;
pub mod policy_file;
pub mod recipient;
mod server;
pub mod service;
pub mod signature;

pub use configuration::{Configuration, KeyConfiguration, PrincipalConfiguration, RunError};
pub use server::Server;

use configuration::read;
use key::Key;
use master_key::MasterKey;
use policy_file::PolicyFile;
use service::Kms;
use signature::Principal;

/// Serves until `shutdown` resolves.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let tls = acceptor(&configuration)?;
    let address = configuration.listen;
    let kms = kms(configuration)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(%address, keys = kms.keys.len(), "the simulated KMS serves");
    Server::new(kms).serve(listener, tls, shutdown).await;
    Ok(())
}

fn kms(configuration: Configuration) -> Result<Kms, RunError> {
    if configuration.principals.is_empty() {
        return Err(RunError::NoPrincipals);
    }
    let keys = keys(configuration.keys)?;
    let file = configuration.attestation_root_file;
    let anchors = TrustAnchors::from_pem(&read(file.clone())?)
        .map_err(|source| RunError::AttestationRoot { file, source })?;
    let principals = configuration
        .principals
        .into_iter()
        .map(|principal| {
            let secret = read(principal.secret_access_key_file)?;
            Ok(Principal {
                arn: principal.arn,
                access_key_id: principal.access_key_id,
                secret_access_key: secret.trim_end().to_owned(),
            })
        })
        .collect::<Result<_, RunError>>()?;
    Ok(Kms {
        region: configuration.region,
        principals,
        keys,
        anchors,
    })
}

fn keys(configurations: Vec<KeyConfiguration>) -> Result<Vec<Key>, RunError> {
    if configurations.is_empty() {
        return Err(RunError::NoKeys);
    }
    let mut arns = BTreeSet::new();
    configurations
        .into_iter()
        .map(|configuration| {
            let arn = configuration.key_arn;
            if !arns.insert(arn.clone()) {
                return Err(RunError::SameArn(arn));
            }
            let policy = PolicyFile::new(configuration.key_policy_file.clone());
            // A mistake in it is told at the start, not by refusals.
            policy.read().map_err(|source| RunError::KeyPolicy {
                file: configuration.key_policy_file,
                source,
            })?;
            let file = configuration.master_key_file;
            let master = MasterKey::open_or_create(&file, &arn)
                .map_err(|source| RunError::MasterKey { file, source })?;
            Ok(Key {
                master,
                policy,
                origin: configuration.origin,
                multi_region: configuration.multi_region,
                state: configuration.state,
                grants: configuration.grants,
            })
        })
        .collect()
}

fn acceptor(configuration: &Configuration) -> Result<TlsAcceptor, RunError> {
    let invalid = || RunError::Tls {
        certificate: configuration.tls_certificate_file.clone(),
        key: configuration.tls_key_file.clone(),
    };
    let certificates = read(configuration.tls_certificate_file.clone())?;
    let certificates = CertificateDer::pem_slice_iter(certificates.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| invalid())?;
    let key = read(configuration.tls_key_file.clone())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| invalid())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| invalid())?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|_| invalid())?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}
