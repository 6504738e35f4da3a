//! As much HTTP/1.1 as the stand-ins need: a request read whole, an answer with its length.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The path alone, and its query or nothing.
    pub fn split(&self) -> (&str, &str) {
        self.path.split_once('?').unwrap_or((&self.path, ""))
    }
}

/// The next request, if the client has one.
pub async fn read(client: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if client.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("not a request line: {line:?}")));
    };
    let mut request =
        Request { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    if request.header("transfer-encoding").is_some() {
        return Err(io::Error::other("the stand-ins read no chunks"));
    }
    let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    request.body.resize(length, 0);
    client.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

/// An answer of this status; its length is added.
pub async fn answer(
    client: &mut BufReader<TcpStream>,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let bytes = [head.as_bytes(), body].concat();
    client.get_mut().write_all(&bytes).await
}

fn reason(status: u16) -> &'static str {
    reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}

/// `name=value&…`, encoded as a form or a query.
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut url = scratch_url();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// The fields of a form or a query, decoded, in their order.
pub fn fields(form: &str) -> Vec<(String, String)> {
    let mut url = scratch_url();
    url.set_query(Some(form).filter(|form| !form.is_empty()));
    url.query_pairs().into_owned().collect()
}

/// Reads and writes forms: the encoding of a query is that of a form.
fn scratch_url() -> reqwest::Url {
    reqwest::Url::parse("http://localhost/").unwrap()
}
