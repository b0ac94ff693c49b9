//! The image's small text files.
use std::{ffi::CString, fs, io::ErrorKind, path::Path};

/// The program and its arguments: at least one line.
pub(crate) fn command(file: &Path) -> Result<Vec<CString>, String> {
    let lines = of(file)?;
    if lines.is_empty() {
        return Err(format!("{} is empty", file.display()));
    }
    Ok(lines)
}

/// The environment; none without the file.
pub(crate) fn environment(file: &Path) -> Result<Vec<CString>, String> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    of(file)
}

/// What is in a file that may be absent.
pub(crate) fn if_present(file: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn of(file: &Path) -> Result<Vec<CString>, String> {
    let failed = |error: &dyn std::error::Error| format!("{}: {error}", file.display());
    fs::read_to_string(file)
        .map_err(|e| failed(&e))?
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| CString::new(line).map_err(|e| failed(&e)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panic")]
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn one_argument_per_line_whatever_ends_the_last() {
        let expected = [c"/dauth-enclave", c"--parent-cid", c"3"].map(CString::from);
        for text in [
            "/dauth-enclave\n--parent-cid\n3",
            "/dauth-enclave\n--parent-cid\n3\n",
            "/dauth-enclave\n\n--parent-cid\n3\n\n",
        ] {
            assert_eq!(command(file(text).path()).unwrap(), expected);
        }
    }

    #[test]
    fn no_program_is_an_error_and_no_environment_is_not() {
        assert!(command(file("").path()).is_err());
        assert!(command(file("\n").path()).is_err());
        assert!(command(Path::new("/nonexistent")).is_err());
        assert!(environment(file("").path()).unwrap().is_empty());
        assert!(environment(Path::new("/nonexistent")).unwrap().is_empty());
        let set = environment(file("RUST_LOG=info\n").path()).unwrap();
        assert_eq!(set, [CString::from(c"RUST_LOG=info")]);
    }

    #[test]
    fn a_zero_byte_is_an_error() {
        assert!(command(file("/dauth\0enclave").path()).is_err());
    }
}
