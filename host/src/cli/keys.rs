//! Keys of services on a running host, over HTTP with an admin's token.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Failure,
    client::{Host, text, with_json},
    releases::Door,
    runtime,
};
use crate::ids::KeyId;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key. Its secret is printed now and never again.
    Create(Create),
    /// List all keys, also the revoked ones.
    List {
        #[command(flatten)]
        door: Door,
    },
    /// Give a key a new secret, which is printed now and never again; the one before is good for a while.
    Rotate {
        /// The key's id.
        id: KeyId,
        #[command(flatten)]
        door: Door,
    },
    /// Nothing that is signed with this key is taken any more.
    Revoke {
        /// The key's id.
        id: KeyId,
        #[command(flatten)]
        door: Door,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("tenants").args(["tenant", "all_tenants"])))]
#[command(group(ArgGroup::new("types").args(["job_type", "all_types"])))]
pub(super) struct Create {
    /// For people: which service it is.
    name: String,
    #[arg(long, value_enum, default_value = "service")]
    role: Role,
    /// A tenant for which it may act; may be said several times.
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    #[arg(long)]
    all_tenants: bool,
    /// A job type that it may submit; may be said several times.
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Vec<String>,
    #[arg(long)]
    all_types: bool,
    #[command(flatten)]
    door: Door,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Role {
    Service,
    VenueAdmin,
    Admin,
}

/// Keys of one page.
const PAGE: &str = "200";

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        match self {
            Self::Create(create) => create.run(),
            Self::List { door } => list(&door),
            Self::Rotate { id, door } => {
                let host = door.open()?;
                runtime()?.block_on(async {
                    let done = host.send(host.request(Method::POST, &format!("/keys/{id}/rotate"))?).await?;
                    if door.json {
                        println!("{done}");
                    } else {
                        println!("id:     {id}");
                        println!("secret: {}", text(&done["secret"]));
                        println!("The secret before is good until {}.", text(&done["previousUntil"]));
                    }
                    Ok(())
                })
            }
            Self::Revoke { id, door } => {
                let host = door.open()?;
                runtime()?.block_on(async {
                    host.send(host.request(Method::DELETE, &format!("/keys/{id}"))?).await?;
                    if !door.json {
                        println!("{id} is revoked");
                    }
                    Ok(())
                })
            }
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let body = self.body()?;
        let host = self.door.open()?;
        runtime()?.block_on(async {
            let made = host.send(with_json(host.request(Method::POST, "/keys")?, &body)).await?;
            if self.door.json {
                println!("{made}");
            } else {
                println!("id:     {}", text(&made["id"]));
                println!("secret: {}", text(&made["secret"]));
            }
            Ok(())
        })
    }

    fn body(&self) -> Result<Value, Failure> {
        let role = match self.role {
            Role::Service => "service",
            Role::VenueAdmin => "venue_admin",
            Role::Admin => "admin",
        };
        let mut body = json!({ "name": self.name, "role": role });
        let mut say = |field: &str, named: &[String], all: bool, asked: &str| match (named, all) {
            ([], false) => Err(Failure::Usage(format!("which {asked}"))),
            ([], true) => {
                body[field] = Value::Null;
                Ok(())
            }
            (named, _) => {
                body[field] = json!(named);
                Ok(())
            }
        };
        // What does not go with a role is for the host to say.
        if !matches!(self.role, Role::Admin) || !self.tenant.is_empty() {
            say("tenants", &self.tenant, self.all_tenants, "tenants? Say --tenant TENANT, or --all-tenants")?;
        }
        if matches!(self.role, Role::Service) || !self.job_type.is_empty() {
            say("jobTypes", &self.job_type, self.all_types, "job types? Say --type TYPE, or --all-types")?;
        }
        Ok(body)
    }
}

fn list(door: &Door) -> Result<(), Failure> {
    let host = door.open()?;
    let keys = runtime()?.block_on(all(&host))?;
    if door.json {
        println!("{}", json!({ "items": keys }));
    } else {
        print!("{}", table(&keys));
    }
    Ok(())
}

async fn all(host: &Host) -> Result<Vec<Value>, Failure> {
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = host.send(host.request(Method::GET, &format!("/keys?limit={PAGE}{cursor}"))?).await?;
        keys.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(keys),
        }
    }
}

fn table(keys: &[Value]) -> String {
    let header = ["ID", "NAME", "ROLE", "TENANTS", "TYPES", "STATE", "LAST USED"].map(str::to_owned);
    let names = |value: &Value| match value.as_array() {
        Some(names) => names.iter().map(text).collect::<Vec<_>>().join(","),
        None => "all".to_owned(),
    };
    let rows = keys.iter().map(|key| {
        let state = match (&key["revokedAt"], &key["previousUntil"]) {
            (Value::String(_), _) => "revoked",
            (_, Value::String(_)) => "rotated",
            _ => "live",
        };
        let used = key["lastUsedAt"].as_str().map_or("never", |at| at.get(..16).unwrap_or(at)).replace('T', " ");
        [
            text(&key["id"]).to_owned(),
            text(&key["name"]).to_owned(),
            text(&key["role"]).to_owned(),
            names(&key["tenants"]),
            names(&key["jobTypes"]),
            state.to_owned(),
            used,
        ]
    });
    let all: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..7).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_table() {
        let keys = [
            json!({ "id": "1", "name": "shop", "role": "service", "tenants": ["t1", "t2"], "jobTypes": null,
                    "lastUsedAt": "2026-01-02T03:04:05.678Z" }),
            json!({ "id": "2", "name": "old", "role": "admin", "tenants": null, "jobTypes": null, "revokedAt": "x" }),
        ];
        let shown = table(&keys);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "ID  NAME  ROLE     TENANTS  TYPES  STATE    LAST USED");
        assert_eq!(lines[1], "1   shop  service  t1,t2    all    live     2026-01-02 03:04");
        assert_eq!(lines[2], "2   old   admin    all      all    revoked  never");
    }
}
