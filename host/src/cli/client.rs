//! How commands speak to a running host: HTTP, in the name of whoever a token names.

use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, value::RawValue};

use super::Failure;

/// A host that runs somewhere.
pub(super) struct Host {
    base: Url,
    token: String,
    http: reqwest::Client,
}

impl Host {
    /// `name`: of the option that said the address.
    pub fn at(said: &str, name: &str, token: &str) -> Result<Self, Failure> {
        let base = Url::parse(said)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Failure::Usage(format!("{name} \"{said}\" is no address such as http://127.0.0.1:8080")))?;
        // It is printed where something is wrong, and others see the arguments of a command.
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Failure::Usage(format!("{name} holds a user or a password; the token says who asks")));
        }
        let token = token.trim().to_owned();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Usage(
                "the token is empty, or has spaces or other characters that no token has".to_owned(),
            ));
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(300))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { base, token, http })
    }

    pub fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        // The host may live below a path.
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        Ok(self.http.request(method, url).bearer_auth(&self.token))
    }

    /// The answer, or what the host has against it.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let (status, body) = self.ask(request).await?;
        if status.is_success() { Ok(body) } else { Err(self.refused(status, &body)) }
    }

    /// The same, as it came.
    pub async fn fetch(&self, request: reqwest::RequestBuilder) -> Result<Box<RawValue>, Failure> {
        let (status, text) = self.read(request).await?;
        if !status.is_success() {
            return Err(self.refused(status, &serde_json::from_str(&text).unwrap_or(Value::Null)));
        }
        RawValue::from_string(text).map_err(|_| self.stranger(status))
    }

    /// Whatever it answers; null where that is no JSON.
    pub async fn ask(&self, request: reqwest::RequestBuilder) -> Result<(StatusCode, Value), Failure> {
        let (status, text) = self.read(request).await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<(StatusCode, String), Failure> {
        let away = |said: &str, error: reqwest::Error| {
            Failure::NoAnswer(anyhow::Error::new(error).context(format!("{} {said}", self.base)))
        };
        let answer = request.send().await.map_err(|error| away("does not answer", error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| away("did not answer in whole", error))?;
        Ok((status, text))
    }

    fn stranger(&self, status: StatusCode) -> Failure {
        Failure::NoAnswer(anyhow!("{} answered {status}; is it a host of Usher?", self.base))
    }

    /// In the host's words, with what to do about it.
    pub fn refused(&self, status: StatusCode, body: &Value) -> Failure {
        let Some(detail) = body["detail"].as_str() else { return self.stranger(status) };
        let mut said = match body["title"].as_str() {
            Some(title) => format!("{title}: {detail}"),
            None => detail.to_owned(),
        };
        if let Some(line) = body["line"].as_u64() {
            said.push_str(&format!(" (line {line} of plugin.toml)"));
        }
        let slug = slug(body);
        let more = if slug == "verify-failed" { groups(&body["verify"]) } else { findings(body) };
        let error = anyhow!("{said} [{slug}]{}{more}", advice(slug));
        // Not let in, and "come again": nothing is known of what was asked.
        let is_answered = !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
        if is_answered && !status.is_server_error() { Failure::Failed(error) } else { Failure::NoAnswer(error) }
    }
}

/// Of a problem: the name that stays.
pub(super) fn slug(problem: &Value) -> &str {
    let kind = problem["type"].as_str().unwrap_or_default();
    kind.strip_prefix("urn:usher:problem:").unwrap_or(kind)
}

pub(super) fn with_json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    with_text(request, body.to_string())
}

/// JSON that is text already.
pub(super) fn with_text(request: reqwest::RequestBuilder, json: String) -> reqwest::RequestBuilder {
    request.header("content-type", "application/json").body(json)
}

/// What to do about it, where the host's own words do not say.
fn advice(slug: &str) -> &'static str {
    match slug {
        "unauthenticated" => "; mint a token: usher token mint --role admin",
        "forbidden" => "; the token must be an admin's",
        "signature-missing" => "; say --sign KEYFILE",
        "signature-invalid" => "; sign with a key that plugins.trusted_keys of the host names",
        "verify-failed" => "; look into it by `usher plugin verify FILE`, or take it all the same by --unverified",
        "version-taken" => "; raise plugin.version in plugin.toml and build again",
        _ => "",
    }
}

/// Which parts of the request are wrong, one a line.
fn findings(problem: &Value) -> String {
    let all = problem["errors"].as_array().into_iter().flatten();
    all.map(|error| format!("\n    {} {}", text(&error["pointer"]), text(&error["message"]))).collect()
}

/// What recorded jobs do otherwise, one group a line, with its examples.
fn groups(report: &Value) -> String {
    let mut out = String::new();
    for group in report["groups"].as_array().into_iter().flatten().filter(|group| group["verdict"] != "skipped") {
        out.push_str(&format!("\n    {:>6}  {}: {}", group["jobs"], text(&group["type"]), text(&group["text"])));
        for example in group["examples"].as_array().into_iter().flatten() {
            out.push_str(&format!("\n            e.g. job {} {}", text(&example["job"]), text(&example["detail"])));
        }
    }
    out
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
