//! An attestation document as it lies in a file: raw, or in base64.
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use base64::{Engine, engine::general_purpose};
use dauth_attestation::MAX_DOCUMENT_BYTES;

use crate::failure::Failure;

/// Base64 with line breaks takes less than twice the bytes.
const MAX_FILE_BYTES: u64 = 2 * MAX_DOCUMENT_BYTES as u64;

/// The document in `file`, or on standard input for `-`.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let name = name_of(file);
    let bytes =
        bytes_of(file).map_err(|error| Failure::refused(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::refused(format!(
            "{name}: refused: it is longer than {MAX_FILE_BYTES} bytes, and a document has at most \
             16384 of payload (AWS section 3.1)"
        )));
    }
    decode(&bytes).map_err(|reason| Failure::refused(format!("{name}: refused: {reason}")))
}

/// How messages name a file.
pub(super) fn name_of(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn bytes_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|f| f.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
    }?;
    Ok(bytes)
}

/// A raw document begins with a CBOR array or tag, which no base64 text does.
fn decode(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    if matches!(bytes.first(), Some(0x80..)) {
        return Ok(bytes.to_vec());
    }
    let text: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    if text.is_empty() {
        return Err("it is empty, and a document is a COSE_Sign1 (RFC 9052 section 4.2)");
    }
    general_purpose::STANDARD
        .decode(&text)
        .or_else(|_| general_purpose::STANDARD_NO_PAD.decode(&text))
        .or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(&text))
        .map_err(|_| "it is neither a COSE_Sign1 (RFC 9052 section 4.2) nor base64 of one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_raw_and_in_each_form_of_base64() {
        let raw = [&[0x84, 0x44][..], &[0xfb; 30]].concat();
        assert_eq!(decode(&raw), Ok(raw.clone()));
        let tagged = [&[0xd2][..], &raw].concat();
        assert_eq!(decode(&tagged), Ok(tagged.clone()));
        let padded = general_purpose::STANDARD.encode(&raw);
        let broken = padded.as_bytes().chunks(10).collect::<Vec<_>>();
        for text in [
            padded.clone(),
            general_purpose::STANDARD_NO_PAD.encode(&raw),
            general_purpose::URL_SAFE_NO_PAD.encode(&raw),
            String::from_utf8(broken.join(&b"\r\n"[..])).unwrap(),
        ] {
            assert_eq!(decode(text.as_bytes()), Ok(raw.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_neither_says_which_rule_it_breaks() {
        for (bytes, what) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"{\"document\":\"hEQ\"}", "base64"),
            (b"-----BEGIN CERTIFICATE-----", "base64"),
            (&[0x00, 0x01], "base64"),
        ] {
            let reason = decode(bytes).unwrap_err();
            assert!(
                reason.contains(what) && reason.contains("RFC 9052"),
                "{reason}"
            );
        }
    }

    #[test]
    fn files_that_cannot_be_read_or_are_too_long_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let failure = |file: &Path| read(file).unwrap_err().to_string();
        let missing = folder.path().join("missing.cose");
        assert!(failure(&missing).contains("cannot read") && failure(&missing).contains("missing"));
        assert!(failure(folder.path()).contains("cannot read"));
        let long = folder.path().join("long.cose");
        fs::write(&long, vec![0x84; 2 * MAX_DOCUMENT_BYTES + 1]).unwrap();
        let failure = failure(&long);
        assert!(
            failure.contains("long.cose: refused") && failure.contains("AWS section 3.1"),
            "{failure}"
        );
    }
}
