use std::{fmt, path::Path, sync::Arc};

use wasmtime_wasi_io::bytes::Bytes;

use super::{PublishError, Registry, Release, Runtime, admission, compile::MAX_COMPONENT, inspect, publish::Candidate};
use crate::{
    config::{Config, GrantSet},
    db::Pool,
    effects::{
        Gate,
        email::Smtp,
        gate::Providers,
        push::Push,
        sms::Sms,
        stripe::Stripe,
        upstream::{Http, Targets},
    },
    ids::{Digest, NodeId},
    lifecycle::Pulse,
    queue::{Bell, Lanes},
    ratelimit::Limiter,
    releases::{Manifest, Needs, manifest},
    submit::{Catalog, Submitter},
};

/// What `usher plugin check` says of a file.
#[derive(Debug, Default)]
pub struct Report {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub manifest: Option<Manifest>,
    /// The operator's policy for this plugin.
    pub policy: Option<GrantSet>,
    pub needs: Option<Needs>,
    /// Why this host would not load it.
    pub refusal: Option<String>,
}

/// Looks at a file as a publish would, without a database and without changing anything.
pub async fn check(file: &Path, config: &Config) -> Result<Report, String> {
    let bytes = std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    if bytes.len() > MAX_COMPONENT {
        return Err(format!("{} has {} bytes, at most {MAX_COMPONENT} are allowed", file.display(), bytes.len()));
    }
    let mut report = Report::default();
    // What can be seen is shown even if the file is refused later on.
    if let Ok(inspected) = inspect::inspect(&bytes) {
        report.manifest = inspected.embedded.and_then(|e| manifest::parse(&e.manifest, &e.files).ok());
        report.imports = inspected.imports;
        report.exports = inspected.exports;
        report.needs = Some(inspected.needs);
    }
    report.policy = report.manifest.as_ref().and_then(|m| config.plugins.policy.get(&m.name).cloned());
    let (_, examined) = examine(&bytes, config).await?;
    match examined {
        Ok(candidate) => {
            report.needs = Some(candidate.release.needs);
            report.imports = candidate.inspected.imports;
        }
        Err(error) => report.refusal = Some(error.told()),
    }
    Ok(report)
}

/// A runtime with one release, for measuring attempts without a database. What an attempt would journal fails.
pub async fn alone(file: &Path, config: &Config) -> Result<(Arc<Runtime>, Arc<Release>), String> {
    let bytes = std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let (registry, examined) = examine(&bytes, config).await?;
    let candidate = examined.map_err(|e| e.to_string())?;
    Ok((Arc::clone(&registry.runtime), candidate.release))
}

pub(super) async fn examine(
    bytes: &[u8],
    config: &Config,
) -> Result<(Registry, Result<Candidate, PublishError>), String> {
    // A scratch cache: looking at a file must not need, or leave, one.
    let cache = std::env::temp_dir().join(format!("usher-check-{}", uuid::Uuid::new_v4()));
    let registry = without_database(config, &cache).map_err(|e| format!("{e:#}"))?;
    let examined = registry.examine(Digest::of(bytes), &Bytes::copy_from_slice(bytes)).await;
    let _ = std::fs::remove_dir_all(&cache);
    Ok((registry, examined))
}

/// A registry whose gate nobody will call: there are no jobs.
pub(crate) fn without_database(config: &Config, cache: &Path) -> anyhow::Result<Registry> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = config.clone();
    config.runtime.artifacts = Some(cache.to_owned());
    let pool = Pool::lazy("postgres://nobody@127.0.0.1:1/none")?;
    let limiter = Limiter::start(&pool, &config.rate_limits);
    let targets = Targets::new(&config.upstreams)?;
    let gate = Gate::new(
        Providers {
            email: Arc::new(Smtp::new(&config.email)?),
            sms: Arc::new(Sms::new(&config.sms, &targets)?),
            push: Arc::new(Push::new(&config.push, &targets)?),
            upstream: Arc::new(Http::new(&targets)),
            stripe: Arc::new(Stripe::new(&config.stripe)?),
            #[cfg(feature = "solana")]
            solana: Arc::new(crate::effects::solana::Mints::new(&config.solana, &pool, &limiter)?),
        },
        pool.clone(),
        &pool,
        Pulse::new(config.cluster.confirm_within),
        limiter,
    );
    let catalog = Arc::new(Catalog::default());
    let submitter = Submitter::start(
        &pool,
        Arc::clone(&catalog),
        Arc::new(config.queues.clone()),
        &Bell::default(),
        &Lanes::default(),
    );
    let runtime = Runtime::new(&config, gate, submitter)?;
    Ok(Registry::new(Arc::new(runtime), catalog, config, NodeId::random()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, title: &str, items: &[String]| {
            writeln!(f, "{title}: {}", if items.is_empty() { "none".to_owned() } else { items.join(", ") })
        };
        if let Some(manifest) = &self.manifest {
            writeln!(f, "plugin: {} {}", manifest.name, manifest.version)?;
            for job in &manifest.jobs {
                let limits = job.limits;
                writeln!(
                    f,
                    "job type: {} (queue {}; memory {} MiB, cpu {:?}, wall {:?}, effects {})",
                    job.job_type,
                    job.queue,
                    limits.memory >> 20,
                    limits.cpu,
                    limits.wall,
                    limits.effects
                )?;
            }
        }
        list(f, "imports", &self.imports)?;
        list(f, "exports", &self.exports)?;
        if let Some(manifest) = &self.manifest {
            grants(f, "asks for", &manifest.grants)?;
            grants(f, "policy allows", self.policy.as_ref().unwrap_or(&GrantSet::default()))?;
        }
        if let Some(needs) = self.needs {
            writeln!(
                f,
                "needs: {} core instances, {} memories, {} tables: {} slots; {} KiB of memory at the start",
                needs.core_instances,
                needs.memories,
                needs.tables,
                admission::slots(&needs),
                64 * u64::from(needs.memory_pages)
            )?;
        }
        match &self.refusal {
            None => writeln!(f, "this host would load it"),
            Some(refusal) => writeln!(f, "refused: {refusal}"),
        }
    }
}

fn grants(f: &mut fmt::Formatter<'_>, title: &str, set: &GrantSet) -> fmt::Result {
    let all = [
        ("email", &set.email),
        ("sms", &set.sms),
        ("push", &set.push),
        ("upstream", &set.upstream),
        ("jobs", &set.jobs),
        ("webhook", &set.webhook),
        ("stripe", &set.stripe),
        ("solana", &set.solana),
    ];
    let shown: Vec<_> =
        all.iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| format!("{name} = {list:?}")).collect();
    writeln!(f, "{title}: {}", if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") })
}
