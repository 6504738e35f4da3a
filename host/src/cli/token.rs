use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{text, with_json},
    releases::Door,
    runtime,
};
use crate::{
    auth::{self, MintClaims},
    config::{Algorithm, Config, DEV_ISSUER},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sign a token with an issuer's secret and print it.
    Mint(Mint),
    /// Have a token let in nowhere any more.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(super) struct Revoke {
    /// The token's id, its claim jti.
    #[arg(long, group = "which")]
    jti: Option<String>,
    /// The token itself, in a file; - is standard input.
    #[arg(long, group = "which", value_name = "FILE")]
    file: Option<PathBuf>,
    /// When it expires, in seconds since 1970 [default: as the token in the file says; else it is kept out for a year]
    #[arg(long, value_name = "SECONDS")]
    exp: Option<u64>,
    /// Only if this issuer signed it [default: whoever did]
    #[arg(long)]
    issuer: Option<String>,
    #[command(flatten)]
    door: Door,
}

#[derive(Debug, Args)]
pub(super) struct Mint {
    #[command(flatten)]
    common: Common,
    /// The data folder of `usher serve --dev`, whose secret signs if the configuration names no issuer.
    #[arg(long, default_value = ".usher")]
    data_dir: PathBuf,
    #[arg(long, value_enum)]
    role: Role,
    /// The caller's tenant; only an admin may have none.
    #[arg(long)]
    tenant: Option<String>,
    /// The caller's user id.
    #[arg(long, default_value = "cli")]
    subject: String,
    /// How long it is good for, e.g. 15m or 8h.
    #[arg(long, default_value = "1h", value_parser = |text: &str| humantime(text))]
    ttl: Duration,
    /// Which issuer signs [default: the only one]
    #[arg(long)]
    issuer: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Role {
    Admin,
    VenueAdmin,
    User,
}

pub(super) fn humantime(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text).map_err(|e| e.to_string())
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let mint = match self {
            Self::Mint(mint) => mint,
            Self::Revoke(revoke) => return revoke.run(),
        };
        let mut config = mint.common.load()?;
        let role = match mint.role {
            Role::Admin => "admin",
            Role::VenueAdmin => "venue_admin",
            Role::User => "user",
        };
        let claims = MintClaims { subject: mint.subject, tenant: mint.tenant, role: role.to_owned(), ttl: mint.ttl };
        println!("{}", sign(&mut config, &mint.data_dir, mint.issuer.as_deref(), &claims)?);
        Ok(())
    }
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (jti, exp) = match (self.jti, &self.file) {
            (Some(jti), _) => (jti, self.exp),
            (None, Some(file)) => {
                let (jti, exp) = named(&read(file)?).map_err(Failure::Usage)?;
                (jti, self.exp.or(exp))
            }
            // clap demands one of them.
            (None, None) => return Err(Failure::Usage("which token? Say --jti or --file".to_owned())),
        };
        let mut body = json!({ "jti": jti });
        if let Some(exp) = exp {
            body["exp"] = exp.into();
        }
        if let Some(issuer) = self.issuer {
            body["issuer"] = issuer.into();
        }
        let host = self.door.open()?;
        let done = runtime()?.block_on(async {
            host.send(with_json(host.request(reqwest::Method::POST, "/revocations")?, &body)).await
        })?;
        if self.door.json {
            println!("{done}");
        } else {
            println!("{} is let in no more; kept until {}", text(&done["jti"]), text(&done["expiresAt"]));
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    read.map_err(|e| Failure::Usage(format!("cannot read {}: {e}", file.display())))
}

/// What a token calls itself, and when it expires. Whether it is a good one does not matter here.
fn named(token: &str) -> Result<(String, Option<u64>), String> {
    let claims = token.trim().split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|text| serde_json::from_slice::<Value>(&text).ok()).ok_or("this is no JWT")?;
    let jti = claims["jti"].as_str().ok_or("the token has no id (jti), so it cannot be revoked")?;
    // Rounded up: it is good in that second, too.
    Ok((jti.to_owned(), claims["exp"].as_f64().map(|exp| exp.ceil() as u64)))
}

/// By the issuer of that name; where the configuration names none, by the secret of `usher serve --dev`.
pub(super) fn sign(
    config: &mut Config,
    data_dir: &Path,
    issuer: Option<&str>,
    claims: &MintClaims,
) -> Result<String, Failure> {
    if config.auth.issuers.is_empty() && data_dir.join("dev-secret").is_file() {
        config.fill_dev(data_dir).map_err(Failure::Usage)?;
    }
    let issuer = pick(config, issuer).map_err(Failure::Usage)?;
    auth::mint(issuer, claims).map_err(|e| Failure::Usage(e.to_string()))
}

fn pick<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a crate::config::Issuer, String> {
    let all = &config.auth.issuers;
    match name {
        Some(name) => all.iter().find(|issuer| issuer.name == name).ok_or(format!("there is no issuer \"{name}\"")),
        None => {
            let mut able = all.iter().filter(|issuer| issuer.algorithm == Algorithm::HS256);
            match (able.next(), able.next()) {
                (Some(only), None) => Ok(only),
                (Some(_), Some(_)) => Err("several issuers can sign: name one with --issuer".to_owned()),
                (None, _) => Err(format!(
                    "no issuer can sign: configure one with an HS256 secret, or start `usher serve --dev` once, which makes the issuer \"{DEV_ISSUER}\""
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_its_id_and_its_expiry() {
        let token = |claims: Value| format!("x.{}.y\n", URL_SAFE_NO_PAD.encode(claims.to_string()));
        assert_eq!(named(&token(json!({ "jti": "a", "exp": 7.5 }))), Ok(("a".to_owned(), Some(8))));
        assert_eq!(named(&token(json!({ "jti": "a" }))), Ok(("a".to_owned(), None)));
        assert!(named(&token(json!({ "exp": 7 }))).is_err_and(|said| said.contains("jti")));
        assert!(named("nonsense").is_err());
    }
}
