//! The client's secret: from a file, from standard input, or from a prompt without echo.
use std::{
    fs,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use zeroize::Zeroizing;

use crate::failure::Failure;

const MAX_SECRET_BYTES: usize = 1024;

pub(super) fn read(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let failed = |e: io::Error| Failure::refused(format!("cannot read the client's secret: {e}"));
    let text = match file {
        Some(file) if file != Path::new("-") => fs::File::open(file).and_then(bounded),
        None if io::stdin().is_terminal() => {
            rpassword::prompt_password("Client secret: ").map(Zeroizing::new)
        }
        None => {
            return Err(Failure::usage(
                "no client secret: name a file with --client-secret-file, or - for standard input",
            ));
        }
        Some(_) => bounded(io::stdin()),
    }
    .map_err(failed)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret.len() {
        0 => Err(Failure::refused("the client's secret is empty")),
        1..=MAX_SECRET_BYTES => Ok(Zeroizing::new(secret.to_owned())),
        _ => Err(Failure::refused(format!(
            "the client's secret is longer than {MAX_SECRET_BYTES} bytes"
        ))),
    }
}

fn bounded(source: impl Read) -> io::Result<Zeroizing<String>> {
    // Room for one byte more than allowed, and never reallocated.
    let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET_BYTES + 3));
    source
        .take(MAX_SECRET_BYTES as u64 + 3)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_the_file_holds_without_its_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = |text: &str| {
            fs::write(file.path(), text).unwrap();
            read(Some(file.path()))
        };
        for text in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(secret(text).unwrap().as_str(), "s3cret");
        }
        let long = "x".repeat(MAX_SECRET_BYTES);
        assert_eq!(*secret(&long).unwrap(), long);
        for text in ["", "\n", &format!("{long}x"), &format!("{long}xxxxx")] {
            assert!(secret(text).is_err());
        }
        assert!(read(Some(Path::new("no-such-file"))).is_err());
    }
}
