//! Attestation documents in the form that NSMs emit since 2025.
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, iana};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_bytes::{ByteBuf, Bytes};

use super::{chain::Chain, registers::Registers};

/// What the enclave asked to have signed; `None` becomes null.
pub(super) struct Claims {
    pub(super) user_data: Option<ByteBuf>,
    pub(super) nonce: Option<ByteBuf>,
    pub(super) public_key: Option<ByteBuf>,
}

/// An untagged COSE_Sign1 by the leaf of `chain`.
pub(super) fn sign(
    module_id: &str,
    timestamp_ms: u64,
    registers: &Registers,
    chain: &Chain,
    claims: &Claims,
) -> Option<Vec<u8>> {
    let payload = Payload {
        module_id,
        timestamp_ms,
        registers,
        chain,
        claims,
    };
    let mut bytes = Vec::new();
    ciborium::into_writer(&payload, &mut bytes).ok()?;
    CoseSign1Builder::new()
        .protected(
            HeaderBuilder::new()
                .algorithm(iana::Algorithm::ES384)
                .build(),
        )
        .payload(bytes)
        .try_create_signature(&[], |message| chain.sign(message))
        .ok()?
        .build()
        .to_vec()
        .ok()
}

struct Payload<'a> {
    module_id: &'a str,
    timestamp_ms: u64,
    registers: &'a Registers,
    chain: &'a Chain,
    claims: &'a Claims,
}

impl Serialize for Payload<'_> {
    /// All nine keys, in a map of indefinite length (0xbf); everything within is definite.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cabundle: Vec<&Bytes> = self.chain.cabundle().map(Bytes::new).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("module_id", self.module_id)?;
        map.serialize_entry("digest", "SHA384")?;
        map.serialize_entry("timestamp", &self.timestamp_ms)?;
        map.serialize_entry("pcrs", &Pcrs(self.registers))?;
        map.serialize_entry("certificate", Bytes::new(self.chain.certificate()))?;
        map.serialize_entry("cabundle", &cabundle)?;
        map.serialize_entry("public_key", &self.claims.public_key)?;
        map.serialize_entry("user_data", &self.claims.user_data)?;
        map.serialize_entry("nonce", &self.claims.nonce)?;
        map.end()
    }
}

struct Pcrs<'a>(&'a Registers);

impl Serialize for Pcrs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.locked().count()))?;
        for (index, value) in self.0.locked() {
            map.serialize_entry(&index, Bytes::new(value.as_bytes()))?;
        }
        map.end()
    }
}
