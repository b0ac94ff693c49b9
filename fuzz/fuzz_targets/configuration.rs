//! What the parent hands over, and what evidence and owners say.
#![no_main]

use dauth_protocol::{DeploymentConfiguration, KeyConfiguration, Policy, host};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = DeploymentConfiguration::from_json(bytes);
    let _ = Policy::from_json(bytes);
    if let Ok(configuration) = KeyConfiguration::from_cbor(bytes) {
        let again = KeyConfiguration::from_cbor(&configuration.to_cbor());
        assert_eq!(again, Ok(configuration));
    }
    let _ = host::keyset_tag(bytes);
});
