use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};

use super::{Common, Failure};
use crate::{
    auth::{self, MintClaims},
    config::{Algorithm, Config, DEV_ISSUER},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sign a token with an issuer's secret and print it.
    Mint(Mint),
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
        let Self::Mint(mint) = self;
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
