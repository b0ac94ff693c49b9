//! `dauth call`: an owner's own call through a connection.
use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use dauth_client::{CallBody, CallRequest};
use dauth_protocol::Handle;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version, response};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use crate::{
    failure::{Failure, sentence},
    output::{self, Output},
};

/// The longest body that is read from a file or standard input.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Call an API through a connection, as its owner.
///
/// The enclave adds the credential; this machine never has it. The reply's body goes to stdout. The
/// exit status is 0 when the API answered, whatever its status was, and 1 when DAuth refused, with
/// the code on stderr.
///
/// Example: dauth call ddls:conn:0191… GET '/notes?limit=10'
#[derive(Args)]
pub(crate) struct Call {
    /// The connection.
    handle: Handle,
    /// The method, as in GET.
    method: Method,
    /// The path below the connection's base URL, and a query.
    #[arg(value_name = "PATH[?QUERY]")]
    path: String,
    /// A header to send. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "'NAME: VALUE'", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A body: the text itself, @FILE, or - for standard input.
    #[arg(short, long, value_name = "DATA|@FILE|-")]
    data: Option<String>,
    /// Print the status line, the header and the trailers as well.
    #[arg(short, long, conflicts_with = "json")]
    include: bool,
    /// Print status, header, body and trailers as JSON; a body that is not UTF-8 is in base64.
    #[arg(long)]
    json: bool,
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value'")?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| format!("'{name}' is not a header name"))?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| format!("the value of '{text}' cannot be in a header"))?;
    Ok((name, value))
}

impl Call {
    pub(crate) async fn run(self, profile: Option<&Path>) -> Result<(), Failure> {
        let owner = crate::profile::owner(profile, None)?;
        let body = match &self.data {
            None => Bytes::new(),
            Some(data) => body(data)?,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        let request = CallRequest {
            handle: self.handle,
            method: self.method,
            path_and_query: self.path,
            headers,
            body: CallBody::Bytes(body),
        };
        let response = owner
            .call(request)
            .await
            .map_err(|e| Failure::refused(sentence(&e)))?;
        match (Output::from_flag(self.json), self.include) {
            (Output::Json, _) => print_json(response).await,
            (Output::Text, true) => print(response, Shown::Everything).await,
            (Output::Text, false) => print(response, Shown::Body).await,
        }
    }
}

/// What of a reply is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Body,
    Everything,
}

fn body(data: &str) -> Result<Bytes, Failure> {
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        source
            .take(MAX_BODY_BYTES + 1)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    };
    let bytes = match data.strip_prefix('@') {
        _ if data == "-" => read(&mut io::stdin())
            .map_err(|e| Failure::refused(format!("cannot read the body from stdin: {e}")))?,
        Some(file) => fs::File::open(file)
            .and_then(|mut f| read(&mut f))
            .map_err(|e| Failure::refused(format!("cannot read {file}: {e}")))?,
        None => data.as_bytes().to_vec(),
    };
    if bytes.len() as u64 > MAX_BODY_BYTES {
        return Err(Failure::refused("the body is longer than 64 MiB"));
    }
    Ok(Bytes::from(bytes))
}

async fn print<B>(response: Response<B>, shown: Shown) -> Result<(), Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let cut = |e: &B::Error| Failure::refused(format!("the reply was cut off: {}", sentence(e)));
    let unwritten = |e: io::Error| Failure::refused(format!("cannot write the reply: {e}"));
    let mut stdout = io::stdout();
    let (head, mut body) = response.into_parts();
    if shown == Shown::Everything {
        stdout.write_all(&head_text(&head)).map_err(unwritten)?;
    }
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|e| cut(&e))?.into_data() {
            Ok(data) => {
                stdout
                    .write_all(&data)
                    .and_then(|()| stdout.flush())
                    .map_err(unwritten)?;
            }
            Err(other) => trailers.extend(other.into_trailers().unwrap_or_default()),
        }
    }
    if shown == Shown::Everything {
        stdout
            .write_all(b"\n\n")
            .and_then(|()| stdout.write_all(&fields_text(&trailers)))
            .map_err(unwritten)?;
    }
    stdout.flush().map_err(unwritten)
}

/// The whole reply as one JSON object.
async fn print_json<B>(response: Response<B>) -> Result<(), Failure>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    let whole = Limited::new(body, usize::try_from(MAX_BODY_BYTES).unwrap_or(usize::MAX))
        .collect()
        .await
        .map_err(|e| Failure::refused(format!("the reply was cut off, or is too long: {e}")))?;
    let trailers = whole.trailers().cloned().unwrap_or_default();
    let mut shown = json!({
        "status": head.status.as_u16(),
        "headers": fields_json(&head.headers),
        "trailers": fields_json(&trailers),
    });
    match String::from_utf8(whole.to_bytes().to_vec()) {
        Ok(text) => shown["body"] = text.into(),
        Err(error) => shown["body_base64"] = STANDARD.encode(error.as_bytes()).into(),
    }
    output::json(&shown);
    Ok(())
}

/// Name and value pairs: a field may be there more than once.
fn fields_json(headers: &HeaderMap) -> Vec<[String; 2]> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| [name.to_string(), text(value)])
        .collect()
}

/// `HTTP/<version> <code> [reason]`, lower-case header lines, an empty line.
fn head_text(head: &response::Parts) -> Vec<u8> {
    let version = match head.version {
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    let reason = head.extensions.get::<hyper::ext::ReasonPhrase>();
    let reason = reason
        .map(|r| [b" ", r.as_bytes()].concat())
        .unwrap_or_default();
    [
        format!("HTTP/{version} {}", head.status.as_u16()).as_bytes(),
        &reason,
        b"\n",
        &fields_text(&head.headers),
        b"\n",
    ]
    .concat()
}

fn fields_text(headers: &HeaderMap) -> Vec<u8> {
    headers
        .iter()
        .flat_map(|(name, value)| {
            [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat()
        })
        .collect()
}
