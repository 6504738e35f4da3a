use super::{
    Manifest,
    tracks::{self, Track},
};
use crate::{
    config::{Config, GrantSet},
    ids::Tier,
};

/// Why a release may not serve here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("job type \"{job_type}\": the queue \"{queue}\" is not configured (queues.{queue})")]
    NoQueue { job_type: String, queue: String },
    #[error("job type \"{job_type}\": {grant} grants need a queue of tier {needs}, \"{queue}\" has tier {has}")]
    WrongTier { job_type: String, grant: &'static str, queue: String, needs: &'static str, has: u8 },
    #[error("job type \"{job_type}\": limits.{limit} is beyond what this host allows (runtime.max_{limit})")]
    Limit { job_type: String, limit: &'static str },
    #[error(
        "the manifest asks for {provider} = \"{wanted}\", which nobody granted: add it to plugins.policy.{plugin}.{provider}"
    )]
    NotGranted { plugin: String, provider: &'static str, wanted: String },
    #[error("the component imports {interface}, but the manifest's [grants] has no {provider}")]
    ImportWithoutGrant { interface: String, provider: &'static str },
    #[error("the component imports {interface}, which this host does not serve")]
    UnknownImport { interface: String },
    #[error(
        "the component imports {interface}, and guests have no network; if only its toolchain wants it, name it in the \
         manifest: unused_imports = [\"wasi:sockets\"] in [plugin]"
    )]
    Sockets { interface: String },
    #[error("the component exports {interface}, and this host serves the tracks of {served}")]
    UnknownHandler { interface: String, served: String },
    #[error(
        "the component imports {interface}, but its handler is of track {track}: all of a component is of one track"
    )]
    OtherTrack { interface: String, track: &'static str },
    #[error("the manifest asks for {provider} grants, which this host does not serve")]
    NotServed { provider: &'static str },
}

/// What this host makes of an import.
enum Served {
    /// Needs no grant.
    Free,
    Email,
    Sms,
    Push,
    Upstream,
    Jobs,
    Stripe,
    Solana,
    Webhook,
}

/// Whether this host was built with it.
const SOLANA: bool = cfg!(feature = "solana");

/// Of WASI 0.2: what can be served without reaching out of the guest (`runtime::wasi`). Never sockets, never http.
const WASI: [&str; 20] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
];

fn serves_wasi(import: &str, manifest: &Manifest) -> Option<Result<Served, PolicyError>> {
    let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let interface = || import.to_owned();
    if name.starts_with("sockets/") {
        let unused = manifest.unused_imports.iter().any(|package| package == "wasi:sockets");
        return Some(if unused { Ok(Served::Free) } else { Err(PolicyError::Sockets { interface: interface() }) });
    }
    (WASI.contains(&name) && version.starts_with("0.2.")).then_some(Ok(Served::Free))
}

/// The linker takes any version of a track that asks for nothing this host lacks.
fn serves(tracks: &[Track], import: &str, manifest: &Manifest) -> Result<Served, PolicyError> {
    if let Some(wasi) = serves_wasi(import, manifest) {
        return wasi;
    }
    match tracks::of(tracks, import).map(|(name, _)| name) {
        Some("types" | "context" | "log" | "progress") => Ok(Served::Free),
        Some("email") => Ok(Served::Email),
        Some("sms") => Ok(Served::Sms),
        Some("push") => Ok(Served::Push),
        Some("upstream") => Ok(Served::Upstream),
        Some("jobs") => Ok(Served::Jobs),
        Some("stripe") => Ok(Served::Stripe),
        Some("solana") if SOLANA => Ok(Served::Solana),
        Some("webhook") => Ok(Served::Webhook),
        _ => Err(PolicyError::UnknownImport { interface: import.to_owned() }),
    }
}

/// Whether a host takes this import at all, granted or not.
pub fn takes(import: &str, manifest: &Manifest) -> Result<(), PolicyError> {
    serves(tracks::SERVED, import, manifest).map(drop)
}

/// A component is of the track of its handler, and so is all that it imports of the contract. One without a handler is for the
/// linker to refuse.
fn is_of_one_track(tracks: &[Track], imports: &[String], exports: &[String]) -> Result<(), PolicyError> {
    let Some(handler) = tracks::handler(exports) else { return Ok(()) };
    let Some((_, own)) = tracks::of(tracks, handler) else {
        let served = tracks.iter().map(|track| track.version).collect::<Vec<_>>().join(", ");
        return Err(PolicyError::UnknownHandler { interface: handler.to_owned(), served });
    };
    let other = |import: &&String| tracks::of(tracks, import).is_some_and(|(_, track)| track != own);
    match imports.iter().find(other) {
        Some(import) => Err(PolicyError::OtherTrack { interface: import.clone(), track: own.number }),
        None => Ok(()),
    }
}

/// Deny, then grant: manifest ∩ policy ∩ imports. Returns what the release may do.
pub fn check(
    manifest: &Manifest,
    imports: &[String],
    exports: &[String],
    config: &Config,
) -> Result<GrantSet, PolicyError> {
    check_by(tracks::SERVED, manifest, imports, exports, config)
}

fn check_by(
    tracks: &[Track],
    manifest: &Manifest,
    imports: &[String],
    exports: &[String],
    config: &Config,
) -> Result<GrantSet, PolicyError> {
    let asked = &manifest.grants;
    if !SOLANA && !asked.solana.is_empty() {
        return Err(PolicyError::NotServed { provider: "solana" });
    }
    let served = imports
        .iter()
        .map(|import| Ok((import, serves(tracks, import, manifest)?)))
        .collect::<Result<Vec<_>, PolicyError>>()?;
    is_of_one_track(tracks, imports, exports)?;
    for (import, provider) in served {
        let (provider, asked) = match provider {
            Served::Free => continue,
            Served::Email => ("email", &asked.email),
            Served::Sms => ("sms", &asked.sms),
            Served::Push => ("push", &asked.push),
            Served::Upstream => ("upstream", &asked.upstream),
            Served::Jobs => ("jobs", &asked.jobs),
            Served::Stripe => ("stripe", &asked.stripe),
            Served::Solana => ("solana", &asked.solana),
            Served::Webhook => ("webhook", &asked.webhook),
        };
        if asked.is_empty() {
            return Err(PolicyError::ImportWithoutGrant { interface: import.clone(), provider });
        }
    }

    let nothing = GrantSet::default();
    let allowed = config.plugins.policy.get(&manifest.name).unwrap_or(&nothing);
    for (provider, wanted, allowed) in [
        ("email", &asked.email, &allowed.email),
        ("sms", &asked.sms, &allowed.sms),
        ("push", &asked.push, &allowed.push),
        ("upstream", &asked.upstream, &allowed.upstream),
        ("jobs", &asked.jobs, &allowed.jobs),
        ("stripe", &asked.stripe, &allowed.stripe),
        ("solana", &asked.solana, &allowed.solana),
        ("webhook", &asked.webhook, &allowed.webhook),
    ] {
        if let Some(missing) = wanted.iter().find(|name| !allowed.contains(name)) {
            let wanted = missing.clone();
            return Err(PolicyError::NotGranted { plugin: manifest.name.clone(), provider, wanted });
        }
    }

    for job in &manifest.jobs {
        let job_type = || job.job_type.clone();
        let queue = config
            .queues
            .0
            .get(&job.queue)
            .ok_or_else(|| PolicyError::NoQueue { job_type: job_type(), queue: job.queue.clone() })?;
        let wrong_tier = match queue.tier {
            Tier::Background if !asked.email.is_empty() => Some(("email", "1 or 2")),
            Tier::Background if !asked.sms.is_empty() => Some(("sms", "1 or 2")),
            Tier::Background if !asked.push.is_empty() => Some(("push", "1 or 2")),
            // What moves money must not be forgotten by a crash of the database.
            Tier::Communication | Tier::Background if !asked.stripe.is_empty() => Some(("stripe", "1")),
            Tier::Communication | Tier::Background if !asked.solana.is_empty() => Some(("solana", "1")),
            Tier::Money | Tier::Communication | Tier::Background => None,
        };
        if let Some((grant, needs)) = wrong_tier {
            let (queue, has) = (job.queue.clone(), queue.tier.into());
            return Err(PolicyError::WrongTier { job_type: job_type(), grant, queue, needs, has });
        }
        let limit = match &job.limits {
            limits if limits.memory > config.runtime.max_memory => "memory",
            limits if limits.cpu > config.runtime.max_cpu => "cpu",
            limits if limits.wall > config.runtime.max_wall => "wall",
            limits if limits.effects > config.runtime.max_effects => "effects",
            _ => continue,
        };
        return Err(PolicyError::Limit { job_type: job_type(), limit });
    }
    // All that was asked is allowed by now.
    Ok(asked.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::releases::{JobType, Limits};

    fn manifest(queue: &str, grants: GrantSet) -> Manifest {
        let limits = Limits { memory: 1 << 20, cpu: Duration::from_secs(1), wall: Duration::from_secs(1), effects: 1 };
        let job = JobType {
            job_type: "a".to_owned(),
            queue: queue.to_owned(),
            schema: serde_json::json!({}),
            idempotency: None,
            limits,
        };
        let (name, version) = ("p".to_owned(), "1.0.0".to_owned());
        Manifest { name, version, grants, unused_imports: Vec::new(), jobs: vec![job] }
    }

    fn email(names: &[&str]) -> GrantSet {
        GrantSet { email: names.iter().map(|&n| n.to_owned()).collect(), ..GrantSet::default() }
    }

    fn config(policy: GrantSet) -> Config {
        let mut config = Config::default();
        config.plugins.policy.insert("p".to_owned(), policy);
        config
    }

    fn imports(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    /// Of a component of today's track.
    fn check(manifest: &Manifest, imports: &[String], config: &Config) -> Result<GrantSet, PolicyError> {
        super::check(manifest, imports, &["usher:plugin/handler@0.1.0".to_owned()], config)
    }

    #[test]
    fn nothing_is_granted_unless_the_operator_says_so() {
        let wants = manifest("communication", email(&["default"]));
        let error = check(&wants, &[], &Config::default()).expect_err("denied");
        assert!(error.to_string().contains("plugins.policy.p.email"), "{error}");
        assert!(check(&wants, &[], &config(email(&["other"]))).is_err());
        let granted = check(&wants, &[], &config(email(&["default", "other"])));
        assert_eq!(granted, Ok(email(&["default"])), "no more than was asked");
    }

    #[test]
    fn an_import_needs_a_grant_and_must_be_served() {
        let config = config(email(&["default"]));
        let mail = imports(&["usher:plugin/email@0.1.0", "usher:plugin/log@0.1.0", "usher:plugin/types@0.1.0"]);
        assert!(check(&manifest("money", email(&["default"])), &mail, &config).is_ok());
        let error = check(&manifest("money", GrantSet::default()), &mail, &config).expect_err("no grant");
        assert!(error.to_string().contains("usher:plugin/email@0.1.0"), "{error}");
        for foreign in [
            "usher:plugin/nowhere@0.1.0",
            "wasi:http/types@0.2.3",
            "wasi:cli/environment@0.3.0",
            "wasi:cli/run@0.2.0",
            "usher:plugin/email@0.2.0",
            "env",
        ] {
            let error =
                check(&manifest("money", email(&["default"])), &imports(&[foreign]), &config).expect_err(foreign);
            assert_eq!(error, PolicyError::UnknownImport { interface: foreign.to_owned() });
        }
    }

    #[test]
    fn tracks_are_served_side_by_side_and_each_component_is_of_one() {
        let track = |number, version| Track { number, version, since: None, until: None };
        let tracks = [track("0.1", "0.1.4"), track("0.2", "0.2.0")];
        let config = config(email(&["default"]));
        let plugin = manifest("money", email(&["default"]));
        let check = |handler: &str, imported: &[&str]| {
            let exports = [format!("usher:plugin/handler@{handler}")];
            check_by(&tracks, &plugin, &imports(imported), &exports, &config)
        };
        for version in ["0.1.0", "0.1.4", "0.2.0"] {
            let (mail, log) = (format!("usher:plugin/email@{version}"), format!("usher:plugin/log@{version}"));
            assert_eq!(check(version, &[&mail, &log, "wasi:io/poll@0.2.9"]), Ok(email(&["default"])), "{version}");
        }
        let beyond = "usher:plugin/email@0.3.0";
        for handler in ["0.1.0", "0.3.0"] {
            let error = check(handler, &["usher:plugin/log@0.1.0", beyond]).expect_err(handler);
            assert_eq!(error, PolicyError::UnknownImport { interface: beyond.to_owned() });
        }
        let error = check("0.3.0", &[]).expect_err("a handler beyond");
        assert!(error.to_string().contains("usher:plugin/handler@0.3.0"), "{error}");
        assert!(error.to_string().ends_with("0.1.4, 0.2.0"), "{error}");
        let mixed = "usher:plugin/log@0.1.0";
        let error = check("0.2.0", &["usher:plugin/email@0.2.0", mixed]).expect_err("two tracks in one");
        assert_eq!(error, PolicyError::OtherTrack { interface: mixed.to_owned(), track: "0.2" });
    }

    #[test]
    fn wasi_is_served_but_for_the_network() {
        let config = Config::default();
        let mut plugin = manifest("money", GrantSet::default());
        for name in WASI {
            assert!(check(&plugin, &[format!("wasi:{name}@0.2.9")], &config).is_ok(), "{name}");
        }
        let sockets = imports(&["wasi:sockets/tcp@0.2.9"]);
        let error = check(&plugin, &sockets, &config).expect_err("no network");
        assert!(error.to_string().contains("imports wasi:sockets/tcp@0.2.9"), "{error}");
        plugin.unused_imports = vec!["wasi:sockets".to_owned()];
        assert!(check(&plugin, &sockets, &config).is_ok());
        assert!(check(&plugin, &imports(&["wasi:http/outgoing-handler@0.2.9"]), &config).is_err());
    }

    #[test]
    fn grants_bind_tiers_and_limits_bind_manifests() {
        let policy = config(email(&["default"]));
        let error = check(&manifest("background", email(&["default"])), &[], &policy).expect_err("tier 3");
        assert!(matches!(error, PolicyError::WrongTier { .. }), "{error}");
        assert!(matches!(
            check(&manifest("ghost", GrantSet::default()), &[], &policy),
            Err(PolicyError::NoQueue { .. })
        ));
        let lists = |name: &str| vec![name.to_owned()];
        for (grant, set) in [
            ("sms", GrantSet { sms: lists("main"), ..GrantSet::default() }),
            ("push", GrantSet { push: lists("main"), ..GrantSet::default() }),
        ] {
            let import = imports(&[format!("usher:plugin/{grant}@0.1.0").as_str()]);
            assert!(check(&manifest("communication", set.clone()), &import, &config(set.clone())).is_ok());
            let error = check(&manifest("background", set.clone()), &import, &config(set)).expect_err("tier 3");
            assert!(matches!(error, PolicyError::WrongTier { needs: "1 or 2", .. }), "{error}");
            let error = check(&manifest("money", GrantSet::default()), &import, &policy).expect_err("no grant");
            assert!(matches!(error, PolicyError::ImportWithoutGrant { .. }), "{error}");
        }
        let mut greedy = manifest("money", GrantSet::default());
        greedy.jobs[0].limits.memory = 1 << 40;
        assert!(matches!(check(&greedy, &[], &policy), Err(PolicyError::Limit { limit: "memory", .. })));
        let stripe = || GrantSet { stripe: vec!["create-refund".to_owned()], ..GrantSet::default() };
        assert!(check(&manifest("money", stripe()), &[], &config(stripe())).is_ok());
        for queue in ["communication", "background"] {
            let error = check(&manifest(queue, stripe()), &[], &config(stripe())).expect_err("money in a lower tier");
            assert!(matches!(error, PolicyError::WrongTier { needs: "1", .. }), "{error}");
        }
        let solana = || GrantSet { solana: vec!["mint-nft".to_owned()], ..GrantSet::default() };
        let checked = |queue| check(&manifest(queue, solana()), &[], &config(solana()));
        if SOLANA {
            assert!(checked("money").is_ok());
            let error = checked("communication").expect_err("a mint in a lower tier");
            assert!(matches!(error, PolicyError::WrongTier { grant: "solana", needs: "1", .. }), "{error}");
        } else {
            assert_eq!(checked("money"), Err(PolicyError::NotServed { provider: "solana" }));
        }
    }

    #[test]
    fn events_are_granted_by_name_like_all_else() {
        let webhook =
            |names: &[&str]| GrantSet { webhook: names.iter().map(|&n| n.to_owned()).collect(), ..GrantSet::default() };
        let import = imports(&["usher:plugin/webhook@0.1.0"]);
        let policy = config(webhook(&["nft.minted", "payment.completed"]));
        assert!(check(&manifest("money", webhook(&["nft.minted"])), &import, &policy).is_ok());
        let error =
            check(&manifest("money", webhook(&["refund.completed"])), &import, &policy).expect_err("not granted");
        assert!(error.to_string().contains("plugins.policy.p.webhook"), "{error}");
        let error = check(&manifest("money", GrantSet::default()), &import, &policy).expect_err("no grant");
        assert!(matches!(error, PolicyError::ImportWithoutGrant { provider: "webhook", .. }), "{error}");
    }
}
