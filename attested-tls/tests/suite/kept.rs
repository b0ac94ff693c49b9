//! Evidence that was kept: for what was signed when it was made.
use dauth_attestation::Error;
use dauth_attested_tls::{Evidence, EvidenceError, Expectations};
use dauth_protocol::KeyConfiguration;

use crate::support::{Attester, Claims, expectations, key_configuration, now_ms};

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

/// Evidence of a year ago, with whatever nonce, which `change` spoils.
fn kept(attester: &Attester, change: impl Fn(&mut KeyConfiguration, &mut Claims)) -> Evidence {
    let mut keys = key_configuration(b"tls key");
    let mut claims = Claims::now(&[9; 16], Vec::new());
    claims.timestamp_ms -= YEAR_MS;
    change(&mut keys, &mut claims);
    let bytes = keys.to_cbor();
    if claims.user_data.is_empty() {
        claims.user_data = KeyConfiguration::user_data(&bytes);
    }
    let json = Evidence::to_json(&attester.document(claims), &bytes);
    Evidence::from_json(&json).unwrap()
}

fn refused(
    expected: &Expectations,
    attester: &Attester,
    change: impl Fn(&mut KeyConfiguration, &mut Claims),
) -> EvidenceError {
    let evidence = kept(attester, change);
    evidence.appraise_kept(expected, now_ms()).unwrap_err()
}

#[test]
fn old_evidence_vouches_for_its_keys_when_it_is_asked_for() {
    let attester = Attester::new();
    let expected = expectations(&attester);
    let evidence = kept(&attester, |_, _| ());
    let keys = evidence.clone().appraise_kept(&expected, now_ms());
    assert_eq!(keys.unwrap().key_configuration().generation, 1);
    // A session takes nothing that old.
    let live = evidence.appraise(&expected, &[9; 16], now_ms());
    let is_old = matches!(live, Err(EvidenceError::Document(Error::TooOld { .. })));
    assert!(is_old, "{live:?}");
}

/// An enclave that has gone on since does not make what it said before untrue.
#[test]
fn a_generation_before_the_last_one_seen_is_no_roll_back() {
    let attester = Attester::new();
    let expected = expectations(&attester);
    let later = |keys: &mut KeyConfiguration, _: &mut Claims| keys.generation = 5;
    kept(&attester, later)
        .appraise_kept(&expected, now_ms())
        .unwrap();
    kept(&attester, |_, _| ())
        .appraise_kept(&expected, now_ms())
        .unwrap();
}

#[test]
fn what_is_kept_is_judged_like_all_other_evidence() {
    let attester = Attester::new();
    let expected = expectations(&attester);
    let refused =
        |change: fn(&mut KeyConfiguration, &mut Claims)| refused(&expected, &attester, change);
    let error = refused(|_, claims| claims.pcr0 = [1; 48]);
    let is_image = matches!(error, EvidenceError::Document(Error::UnknownImage(0)));
    assert!(is_image, "{error}");
    let error = refused(|_, claims| claims.user_data = vec![0; 66]);
    assert!(matches!(error, EvidenceError::NotTheseKeys), "{error}");
    let error = refused(|keys, _| keys.audience.push('x'));
    assert!(
        matches!(error, EvidenceError::OtherAudience { .. }),
        "{error}"
    );
    let other = kept(&Attester::new(), |_, _| ()).appraise_kept(&expected, now_ms());
    let is_root = matches!(
        other,
        Err(EvidenceError::Document(Error::CertificateSignature))
    );
    assert!(is_root, "{other:?}");
    // Before its certificates were valid.
    let early = kept(&attester, |_, _| ()).appraise_kept(&expected, 0);
    let is_early = matches!(
        early,
        Err(EvidenceError::Document(Error::NotYetValid { .. }))
    );
    assert!(is_early, "{early:?}");
}
