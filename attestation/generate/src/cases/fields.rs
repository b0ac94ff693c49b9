//! The rules of the fields (AWS section 3.2.2), broken.
use super::{Case, reject};
use crate::cbor::{Cbor, Length};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = values();
    cases.extend(missing());
    cases.extend(pcrs());
    cases.extend(certificates());
    cases
}

fn values() -> Vec<Case> {
    vec![
        reject("module_id_bytes", "Value", "module_id as bytes", |f| {
            f.set("module_id", Cbor::bytes(b"i-0"));
        }),
        reject("timestamp_negative", "Value", "a timestamp of -1", |f| {
            f.set("timestamp", Cbor::Negative(0));
        }),
        reject("certificate_null", "Value", "certificate is null", |f| {
            f.set("certificate", Cbor::Null);
        }),
        reject("nonce_text", "Value", "nonce as text", |f| {
            f.set("nonce", Cbor::text("nonce"));
        }),
        reject("user_data_chunks", "Value", "user_data in chunks", |f| {
            f.set("user_data", Cbor::Raw(vec![0x5f, 0x41, 1, 0x41, 2, 0xff]));
        }),
        reject("unknown_field", "UnknownField", "a tenth key", |f| {
            f.fields.push((Cbor::text("extra"), Cbor::Null));
        }),
        reject("duplicate_field", "DuplicateField", "two nonces", |f| {
            f.fields.push((Cbor::text("nonce"), Cbor::bytes(&[1; 32])));
        }),
        reject(
            "module_id_empty",
            "EmptyModuleId",
            "an empty module_id",
            |f| {
                f.set("module_id", Cbor::text(""));
            },
        ),
        reject("digest_sha256", "Digest", "digest SHA256", |f| {
            f.set("digest", Cbor::text("SHA256"));
        }),
        reject("digest_lower_case", "Digest", "digest sha384", |f| {
            f.set("digest", Cbor::text("sha384"));
        }),
        reject("timestamp_zero", "ZeroTimestamp", "a timestamp of 0", |f| {
            f.set("timestamp", Cbor::Unsigned(0));
        }),
        reject(
            "public_key_1025_bytes",
            "OptionalLength",
            "a public_key too long",
            |f| {
                f.set("public_key", Cbor::bytes(&[1; 1025]));
            },
        ),
        reject(
            "user_data_1025_bytes",
            "OptionalLength",
            "user_data too long",
            |f| {
                f.set("user_data", Cbor::bytes(&[1; 1025]));
            },
        ),
        reject(
            "nonce_1025_bytes",
            "OptionalLength",
            "a nonce too long",
            |f| {
                f.set("nonce", Cbor::bytes(&[1; 1025]));
            },
        ),
    ]
}

fn missing() -> Vec<Case> {
    const ERROR: &str = "MissingField";
    vec![
        reject("no_module_id", ERROR, "no module_id", |f| {
            f.remove("module_id");
        }),
        reject("no_digest", ERROR, "no digest", |f| f.remove("digest")),
        reject("no_timestamp", ERROR, "no timestamp", |f| {
            f.remove("timestamp");
        }),
        reject("no_pcrs", ERROR, "no pcrs", |f| f.remove("pcrs")),
        reject("no_certificate", ERROR, "no certificate", |f| {
            f.remove("certificate");
        }),
        reject("no_cabundle", ERROR, "no cabundle", |f| {
            f.remove("cabundle");
        }),
    ]
}

fn pcrs() -> Vec<Case> {
    vec![
        reject("pcrs_empty", "NoPcrs", "not one PCR", |f| f.pcrs().clear()),
        reject("pcr_32", "PcrIndex", "PCR32", |f| {
            f.pcrs().push((Cbor::Unsigned(32), Cbor::bytes(&[1; 48])));
        }),
        reject("pcr_twice", "DuplicatePcr", "PCR0 a second time", |f| {
            f.pcrs().push((Cbor::Unsigned(0), Cbor::bytes(&[1; 48])));
        }),
        reject("pcr_47_bytes", "PcrLength", "a PCR of 47 bytes", |f| {
            f.pcrs()[4].1 = Cbor::bytes(&[1; 47]);
        }),
        reject("pcr_empty", "PcrLength", "a PCR of no bytes", |f| {
            f.pcrs()[4].1 = Cbor::bytes(&[]);
        }),
    ]
}

fn certificates() -> Vec<Case> {
    vec![
        reject(
            "cabundle_empty",
            "EmptyCabundle",
            "an empty cabundle",
            |f| {
                f.set("cabundle", Cbor::Array(Length::Definite, vec![]));
            },
        ),
        reject("cabundle_8", "LongCabundle", "eight in cabundle", |f| {
            let instance = f.cabundle()[3].clone();
            f.cabundle().resize(8, instance);
        }),
        reject(
            "certificate_empty",
            "CertificateLength",
            "an empty certificate",
            |f| {
                f.set("certificate", Cbor::bytes(&[]));
            },
        ),
        reject(
            "certificate_1025_bytes",
            "CertificateLength",
            "a certificate of 1025 bytes",
            |f| f.cabundle()[1] = Cbor::bytes(&[0; 1025]),
        ),
    ]
}
