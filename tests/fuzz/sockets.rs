//! Bytes over sockets: what is no HTTP, nearly HTTP, or two things at once to two readers.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{report::Report, rig::Rig, support::token};

const KIND: &str = "sockets";
/// A host that says nothing for so long, waits for more.
const SILENCE: Duration = Duration::from_millis(700);
/// At once.
const WIDTH: usize = 8;
/// Of an answer, kept.
const MOST: usize = 1 << 20;

/// What must come of it. In all cases: no 5xx, and the host lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// One 4xx, or the end of the connection; nothing after it is taken for a request.
    Refused,
    /// So many answers at most.
    Most(usize),
    /// Answers to all of so many.
    All(usize),
}
use Wanted::{All, Most, Refused};

struct Attack {
    name: &'static str,
    bytes: Vec<u8>,
    wanted: Wanted,
}

/// What a smuggler wants the host to take for a request of somebody else.
const HIDDEN: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

fn attacks() -> Vec<Attack> {
    let mut all = framing();
    all.extend(heads());
    all.extend(others());
    all
}

fn attack(name: &'static str, bytes: impl Into<Vec<u8>>, wanted: Wanted) -> Attack {
    Attack { name, bytes: bytes.into(), wanted }
}

/// Where a body ends.
fn framing() -> Vec<Attack> {
    let authorized =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", token("user", Some("t1")));
    let post = |headers: &str, rest: &str| format!("POST /jobs HTTP/1.1\r\nHost: x\r\n{authorized}{headers}\r\n{rest}");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let body = r#"{"type":"guest","payload":{"do":"ok"}}"#;
    let whole = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    vec![
        // By RFC 9112 6.1 the encoding counts alone: what follows the last chunk is another request, for each reader.
        attack("CL and TE", post(&format!("Content-Length: 4\r\n{chunked}"), &format!("{whole}{HIDDEN}")), Most(2)),
        attack("TE and CL", post(&format!("{chunked}Content-Length: 4\r\n"), &format!("{whole}{HIDDEN}")), Most(2)),
        attack(
            "CL that ends within the hidden",
            post(&format!("Content-Length: {}\r\n{chunked}", 5 + HIDDEN.len()), &format!("0\r\n\r\n{HIDDEN}")),
            Most(2),
        ),
        attack("two CL that differ", post("Content-Length: 0\r\nContent-Length: 41\r\n", HIDDEN), Refused),
        attack("two CL in one", post("Content-Length: 0, 41\r\n", HIDDEN), Refused),
        attack("CL with a sign", post("Content-Length: +0\r\n", HIDDEN), Refused),
        attack("CL below zero", post("Content-Length: -1\r\n", HIDDEN), Refused),
        attack("CL in hex", post("Content-Length: 0x10\r\n", HIDDEN), Refused),
        attack("CL with a fraction", post("Content-Length: 1.0\r\n", HIDDEN), Refused),
        attack("CL that is empty", post("Content-Length: \r\n", HIDDEN), Refused),
        attack("CL beyond 64 bits", post("Content-Length: 18446744073709551616\r\n", ""), Refused),
        attack("CL of an exabyte", post("Content-Length: 1152921504606846976\r\n", ""), Refused),
        attack("CL with a space before the colon", post("Content-Length : 0\r\n", HIDDEN), Refused),
        attack(
            "TE with a space before the colon",
            post("Transfer-Encoding : chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            Refused,
        ),
        attack("TE that is not chunked", post("Transfer-Encoding: gzip\r\n", HIDDEN), Refused),
        attack("TE identity", post("Transfer-Encoding: identity\r\n", HIDDEN), Refused),
        attack(
            "TE chunked, then another",
            post("Transfer-Encoding: chunked, identity\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            Refused,
        ),
        attack("TE xchunked", post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{HIDDEN}")), Refused),
        attack(
            "TE with a vertical tab",
            post("Transfer-Encoding: \u{b}chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            Refused,
        ),
        attack(
            "TE in HTTP/1.0",
            format!("POST /jobs HTTP/1.0\r\nHost: x\r\n{authorized}{chunked}\r\n0\r\n\r\n{HIDDEN}"),
            Refused,
        ),
        attack(
            "chunk extension",
            post(chunked, &format!("{:x};a=b;c=\"d\"\r\n{body}\r\n0\r\n\r\n", body.len())),
            Most(1),
        ),
        attack(
            "chunk extension of 64 KiB",
            post(chunked, &format!("{:x};{}\r\n{body}\r\n0\r\n\r\n", body.len(), "a".repeat(65_536))),
            Refused,
        ),
        attack("chunk extension with a bare LF", post(chunked, &format!("1;a\nb\r\nX\r\n0\r\n\r\n{HIDDEN}")), Most(2)),
        attack("chunk size beyond 64 bits", post(chunked, "fffffffffffffffff\r\nx"), Refused),
        attack("chunk size with a sign", post(chunked, "+1\r\nx\r\n0\r\n\r\n"), Refused),
        attack("chunk size 0x1", post(chunked, "0x1\r\nx\r\n0\r\n\r\n"), Refused),
        attack("chunk size that is empty", post(chunked, "\r\n\r\n"), Refused),
        attack("chunk longer than it says", post(chunked, "1\r\nxyz\r\n0\r\n\r\n"), Refused),
        attack("chunk without its end", post(chunked, "5\r\nab"), Most(1)),
        attack(
            "a trailer that says the length",
            post(
                chunked,
                &format!("{:x}\r\n{body}\r\n0\r\nContent-Length: 5\r\nAuthorization: Bearer x\r\n\r\n", body.len()),
            ),
            Most(1),
        ),
        attack("trailers without end", post(chunked, &format!("0\r\n{}", "a: b\r\n".repeat(20_000))), Refused),
        attack(
            "a body of a GET",
            format!("GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
            Most(1),
        ),
        attack("a body that does not come", post("Content-Length: 100\r\n", "{"), Most(1)),
    ]
}

/// Request lines and header fields.
fn heads() -> Vec<Attack> {
    let get = |headers: &str| format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    vec![
        attack("a folded header", get("X-A: b\r\n c: d\r\n"), Refused),
        attack("a folded length", get("Content-Length:\r\n 5\r\n"), Refused),
        attack("bare LF after each line", "GET /health/live HTTP/1.1\nHost: x\n\n", Most(1)),
        attack("bare CR within a header", get("X-A: b\rX-B: c\r\n"), Refused),
        attack("bare CR as the end", "GET /health/live HTTP/1.1\rHost: x\r\r", Refused),
        attack("NUL in a value", get("X-A: b\0c\r\n"), Refused),
        attack("NUL in a name", get("X\0A: b\r\n"), Refused),
        attack("an escape in a value", get("X-A: \u{1b}[31mFUZZ\r\n"), Refused),
        attack("a space in a name", get("X A: b\r\n"), Refused),
        attack("a name that is empty", get(": b\r\n"), Refused),
        attack("no colon", get("X-A\r\n"), Refused),
        attack(
            "bytes that are no text",
            [get("").trim_end().as_bytes(), b"\r\nX-A: \xff\xfe\r\n\r\n"].concat(),
            Most(1),
        ),
        attack("a space before the first header", "GET /health/live HTTP/1.1\r\n Host: x\r\n\r\n", Refused),
        attack("no host", "GET /health/live HTTP/1.1\r\n\r\n", Most(1)),
        attack("two hosts", get("Host: y\r\n"), Most(1)),
        attack("a host with a path", "GET /health/live HTTP/1.1\r\nHost: x/../../etc\r\n\r\n", Most(1)),
        attack("a whole URL", "GET http://evil.example/health/live HTTP/1.1\r\nHost: x\r\n\r\n", Most(1)),
        attack("a whole URL with a user", "GET http://a:b@evil.example/jobs HTTP/1.1\r\nHost: x\r\n\r\n", Most(1)),
        attack("an authority", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", Refused),
        attack("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", Most(1)),
        attack("an asterisk of a GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("no path", "GET HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path without its slash", "GET health HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path with a space", "GET /health /live HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path with a NUL", "GET /health\0 HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path with an escape", "GET /\u{1b}[31mFUZZ HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path that is no UTF-8", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), Refused),
        attack("a path with escapes of no UTF-8", "GET /jobs/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path with half an escape", "GET /jobs/%f HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path up and out", "GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a path of 100 KB", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)), Refused),
        attack("a method of 100 KB", format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(100_000)), Refused),
        attack("a method in small letters", "get /health/live HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a method that nobody has", "FUZZ /health/live HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("a method with an escape", "G\u{1b}ET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
        attack("HTTP/0.9", "GET /health/live\r\n", Refused),
        attack("HTTP/1.9", "GET /health/live HTTP/1.9\r\nHost: x\r\n\r\n", Refused),
        attack("HTTP/3.0", "GET /health/live HTTP/3.0\r\nHost: x\r\n\r\n", Refused),
        attack("no version at all", "GET /health/live HTTP\r\nHost: x\r\n\r\n", Refused),
        attack("one header of 1 MB", get(&format!("X-A: {}\r\n", "a".repeat(1 << 20))), Refused),
        attack("a name of 1 MB", get(&format!("{}: a\r\n", "a".repeat(1 << 20))), Refused),
        attack("5,000 headers", get(&"X-A: b\r\n".repeat(5_000)), Refused),
        attack("headers without end", format!("GET / HTTP/1.1\r\n{}", "X-A: b\r\n".repeat(200_000)), Refused),
    ]
}

/// Other protocols, several requests at once, and those that go early.
fn others() -> Vec<Attack> {
    let mut hello = vec![0x16_u8, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    hello.resize(205, 7);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frame = |length: u32, kind: u8, flags: u8, stream: u32| {
        [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat()
    };
    let settings = frame(0, 4, 0, 0);
    let h2 = |frames: &[Vec<u8>]| [preface.as_slice(), &settings, &frames.concat()].concat();
    vec![
        attack("HTTP/2 without leave", preface.as_slice(), Most(1)),
        attack("HTTP/2: a frame of 16 MB", h2(&[frame(0xff_ffff, 0, 0, 1)]), Most(1)),
        attack("HTTP/2: data of no stream", h2(&[frame(0, 0, 1, 7)]), Most(1)),
        attack("HTTP/2: a continuation of nothing", h2(&[frame(0, 9, 4, 1)]), Most(1)),
        attack(
            "HTTP/2: windows that overflow",
            h2(&[[frame(4, 8, 0, 0), vec![0x7f, 0xff, 0xff, 0xff]].concat()]),
            Most(1),
        ),
        attack("HTTP/2: 5,000 resets", h2(&vec![[frame(4, 3, 0, 1), vec![0; 4]].concat(); 5_000]), Most(1)),
        attack("HTTP/2: 5,000 pings", h2(&vec![[frame(8, 6, 0, 0), vec![0; 8]].concat(); 5_000]), Most(1)),
        attack("HTTP/2: settings of an odd length", h2(&[[frame(5, 4, 0, 0), vec![0; 5]].concat()]), Most(1)),
        attack(
            "HTTP/2 by upgrade",
            "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
            Most(1),
        ),
        attack(
            "a websocket",
            "GET /events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            Most(1),
        ),
        attack("TLS", hello, Refused),
        attack("SSH", "SSH-2.0-OpenSSH_9.6\r\n", Refused),
        attack("Redis", "*1\r\n$4\r\nPING\r\n", Refused),
        attack("PostgreSQL", b"\0\0\0\x08\x04\xd2\x16\x2f".as_slice(), Refused),
        attack(
            "a proxy's word",
            "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
            Refused,
        ),
        attack("zeros", vec![0_u8; 100_000], Refused),
        attack("all bytes there are", (0..=255_u8).cycle().take(100_000).collect::<Vec<_>>(), Refused),
        attack("empty lines, then a request", format!("\r\n\r\n\r\n{HIDDEN}"), Most(1)),
        attack("nothing", "", Most(0)),
        attack("half a line", "GET /hea", Most(1)),
        attack("ten at once", HIDDEN.repeat(10), All(10)),
        attack("one after a refusal", format!("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN}"), All(2)),
        attack("one after what is no HTTP", format!("GET / HTTP/9\r\nHost: x\r\n\r\n{HIDDEN}"), Refused),
        attack(
            "one after a body that was not read",
            format!("POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
            Most(1),
        ),
        attack(
            "one after the last",
            format!("GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n{HIDDEN}"),
            Most(1),
        ),
        attack(
            "waits to be told to go on",
            "POST /jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            Most(1),
        ),
        attack(
            "expects what nobody has",
            "GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: the-spanish-inquisition\r\n\r\n",
            Most(1),
        ),
        attack(
            "ranges without end",
            format!("GET /openapi.json HTTP/1.1\r\nHost: x\r\nRange: bytes={}\r\n\r\n", "0-,".repeat(1_000)),
            Most(1),
        ),
    ]
}

pub async fn all(rig: &Rig, report: &mut Report) {
    let place = rig.base.trim_start_matches("http://");
    let told = stream::iter(attacks()).map(|attack| async move { (talk(place, &attack.bytes).await, attack) });
    let told: Vec<_> = told.buffer_unordered(WIDTH).collect().await;
    for (answer, attack) in told {
        report.cases += 1;
        if let Some(fault) = fault(&answer, attack.wanted) {
            report.fail(KIND, &format!("{}: {fault}: {answer:.500}", attack.name));
        }
    }
    early(place, report).await;
    let answer = rig.admin.get("/health/ready").await;
    if !answer.status.is_success() {
        report.fail(KIND, &format!("afterwards the host is not ready: {} {}", answer.status, answer.body));
    }
}

/// What is wrong with what the host said.
fn fault(answer: &str, wanted: Wanted) -> Option<String> {
    let statuses: Vec<u16> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3)?.parse().ok())
        // That a body may come is no answer yet.
        .filter(|status| *status != 100)
        .collect();
    if let Some(status) = statuses.iter().find(|status| **status >= 500) {
        return Some(format!("answered {status}"));
    }
    let good = match wanted {
        Refused => statuses.is_empty() || statuses.len() == 1 && statuses[0] >= 400,
        Most(most) => statuses.len() <= most,
        All(all) => statuses.len() == all,
    };
    (!good).then(|| format!("answered {statuses:?}, wanted {wanted:?}"))
}

/// All that is said until the other side closes, or is silent.
async fn talk(place: &str, bytes: &[u8]) -> String {
    let Ok(mut stream) = TcpStream::connect(place).await else { return "not connected: HTTP/1.1 599".to_owned() };
    let (mut reader, mut writer) = stream.split();
    // Who is refused early does not take the rest.
    let write = async {
        let _ = tokio::time::timeout(SILENCE * 10, writer.write_all(bytes)).await;
    };
    let read = async {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while all.len() < MOST {
            match tokio::time::timeout(SILENCE, reader.read(&mut buffer)).await {
                Ok(Ok(n)) if n > 0 => all.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
        all
    };
    let ((), all) = tokio::join!(write, read);
    String::from_utf8_lossy(&all).into_owned()
}

/// Connections that end in the middle, at each byte of a submit, and those that are reset.
async fn early(place: &str, report: &mut Report) {
    let head = format!("POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", token("user", Some("t1")));
    let body = r#"{"type":"guest","payload":{"do":"ok"}}"#;
    let whole = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for end in (0..whole.len()).step_by(7) {
        report.cases += 1;
        let Ok(mut stream) = TcpStream::connect(place).await else {
            report.fail(KIND, "a connection is refused");
            return;
        };
        let _ = stream.write_all(&whole.as_bytes()[..end]).await;
        // What was not read makes the system reset it.
        drop(stream);
    }
}
