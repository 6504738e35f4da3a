use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    json::{self, Json},
    sh::{OrFail, Result, failed},
};

/// One connection to a host on loopback, kept alive (HTTP/1.1, as much of it as our own host speaks).
pub struct Http {
    address: String,
    token: String,
    connection: BufReader<TcpStream>,
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Json,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Http {
    /// `base`: `http://127.0.0.1:PORT`.
    pub fn connect(base: &str, token: &str) -> Result<Self> {
        let address = base.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&address).or_fail(format!("connect to {address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).or_fail("set a time-out")?;
        stream.set_nodelay(true).or_fail("set an option")?;
        Ok(Self { address, token: token.to_owned(), connection: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.ask("GET", path, "", "")
    }

    pub fn post(&mut self, path: &str, body: &str, idempotency_key: Option<&str>) -> Result<Answer> {
        let key = idempotency_key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        self.ask("POST", path, body, &key)
    }

    /// Submits and expects 202; the job's id.
    pub fn submit(&mut self, job_type: &str, payload: &str) -> Result<String> {
        let body = format!("{{\"type\":{},\"payload\":{payload}}}", json::quote(job_type));
        let answer = self.post("/jobs", &body, None)?;
        if answer.status != 202 {
            return failed(format!("POST /jobs: {}: {}", answer.status, answer.body.text("detail")));
        }
        Ok(answer.body.text("id").to_owned())
    }

    fn ask(&mut self, method: &str, path: &str, body: &str, more: &str) -> Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{more}\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        self.connection.get_mut().write_all(request.as_bytes()).or_fail("send a request")?;
        let status = self.line()?.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut answer = Answer { status, headers, body: Json::Null };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut text = vec![0; length];
        self.connection.read_exact(&mut text).or_fail("read an answer")?;
        answer.body = json::parse(&String::from_utf8_lossy(&text)).or_fail(format!("the answer to {method} {path}"))?;
        Ok(answer)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.connection.read_line(&mut line).or_fail("read an answer")? == 0 {
            return failed("the host closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}
