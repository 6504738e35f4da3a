//! The composition root: the one place that sees every room.
//!
//! Owns: the order in which a host comes up and goes down.
//! Refuses: to be ready before migrations ran, its node row is written and its releases are loaded.
//! Invariant: on the way down nothing new is claimed, what runs is finished or given back, and only then the node's row
//! goes.
//! Tables: none.

mod health;
mod metrics;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, watch},
};

use crate::{
    auth::{ServiceKeys, Verifier},
    config::{Config, Pooler, SynchronousCommit},
    db::{self, Database, Durable, Place, Pool, embedded::Embedded},
    delivery::Sender,
    effects::{
        Gate,
        email::Smtp,
        gate::Providers,
        push::Push,
        sms::Sms,
        stripe::Stripe,
        upstream::{Http, Targets},
    },
    egress::{self, Egress},
    http::{self, health::Health, metrics::Scrapes, pressure::Pressure},
    idempotency,
    ids::NodeId,
    inbound::Inbound,
    lifecycle::{Lifecycle, Pulse},
    operate::Operator,
    outbox::{Hub, Live},
    queue::{Bell, Lanes},
    ratelimit::Limiter,
    runtime::{Folder, Registry, Runtime},
    scheduler::{self, Scheduler},
    submit::{Catalog, Quotas, Submitter},
    telemetry::metrics::Metrics,
    webhooks::{self, Webhooks},
    worker::{Running, Worker},
};

/// What `usher serve` was asked for.
#[derive(Debug)]
pub struct Options {
    pub config: Config,
    pub dev: bool,
    pub data_dir: PathBuf,
}

/// Runs a host until SIGTERM or SIGINT.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    // A second provider in the process would be a programming error; a first one from a test is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let signals = Signals::new()?;

    let embedded = match &options.config.database.url {
        Some(_) => None,
        None => Some(
            Embedded::start(&options.data_dir.join("postgres")).await.context("the embedded Postgres did not start")?,
        ),
    };
    let served = run(&options, embedded.as_ref(), signals).await;
    if let Some(embedded) = embedded {
        embedded.stop().await.context("the embedded Postgres did not stop")?;
    }
    served
}

async fn run(options: &Options, embedded: Option<&Embedded>, mut signals: Signals) -> anyhow::Result<()> {
    let config = &options.config;
    let durable = match config.database.synchronous_commit {
        SynchronousCommit::On => Durable::Flushed,
        SynchronousCommit::RemoteApply => Durable::Applied,
    };
    let place = match (embedded, &config.database.url) {
        (Some(embedded), _) => Place { url: embedded.url(), is_pooled: false, direct: embedded.url(), durable },
        (None, Some(url)) => Place {
            url: url.expose(),
            is_pooled: config.database.pooler == Pooler::Transaction,
            direct: config.database.direct_url.as_ref().unwrap_or(url).expose(),
            durable,
        },
        (None, None) => anyhow::bail!("there is no database: set DATABASE_URL or database.url"),
    };
    let database =
        Database::connect(place, config.database.max_connections).await.context("cannot use the database")?;
    let pool = database.pool.clone();
    db::migrate(&database.direct).await?;
    scheduler::make_days(&pool).await.context("archive partitions could not be made")?;
    // Not worth a start that fails: it is tried again every minute.
    if let Err(error) = scheduler::drop_days(&database.direct).await {
        tracing::warn!(error = %error, "days of history whose time is over could not be dropped");
    }

    // Before anything runs: a host that cannot listen must not begin to work.
    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.server.listen))?;
    let address = listener.local_addr()?;

    let host = Host::build(config, &database)?;
    host.scheduler.register().await.context("this node could not be registered")?;
    host.registry.bring_up(&pool).await.context("the active releases could not be loaded")?;
    read_imported(&host.submitter, &pool).await.context("the types with imported keys could not be read")?;
    host.limiter.refresh().await.context("the rate limits could not be read")?;
    host.verifier.refresh(&pool).await.context("the revoked tokens could not be read")?;
    host.verifier.start(&host.lifecycle);
    host.services.refresh().await.context("the keys of services could not be read")?;
    let duties = Arc::clone(&host.scheduler).start();
    if options.dev
        && let Some(dir) = &config.plugins.dir
    {
        let watcher = Folder::new(dir.clone(), Arc::clone(&host.registry), pool.clone());
        watcher.scan().await;
        // What lies there serves when this host says that it is ready, if the other nodes are there and able.
        host.registry.wait_for_others(&pool, config.cluster.dead_after * 2).await;
        tokio::spawn(watcher.run(host.lifecycle.clone()));
    }
    // What serves here is loaded by now, so it counts as used.
    tokio::spawn(Arc::clone(&host.registry).tidy(host.lifecycle.clone()));
    host.worker.restore().await.context("the claim's cursors could not be read")?;
    let worker = Arc::clone(&host.worker).start();
    config.queues.0.keys().for_each(|queue| host.bell.heard(queue));
    let delivery = host.sender(config).map(Sender::start);
    let events = host.scheduler.events.start();

    let (health, parts) = watch::channel(BTreeMap::new());
    tokio::spawn(health::run(
        Arc::clone(&host.smtp),
        Arc::clone(&host.registry),
        host.pulse.clone(),
        host.lifecycle.clone(),
        health,
    ));
    let pressure = Pressure::new(&config.pressure);
    tokio::spawn(pressure.clone().watch(host.lifecycle.clone()));
    let router = http::router(http::Rooms {
        verifier: Arc::clone(&host.verifier),
        services: host.services.clone(),
        submitter: host.submitter.clone(),
        operator: host.operator.clone(),
        registry: Arc::clone(&host.registry),
        limiter: host.limiter.clone(),
        quotas: Quotas::start(&pool, &config.pressure.live_jobs),
        pressure,
        queues: Arc::new(config.queues.clone()),
        pool: pool.clone(),
        health: Health { pool: pool.clone(), parts },
        scrapes: Scrapes::new(host.metrics.clone(), config.metrics.auth),
        events: host.scheduler.events.clone(),
        webhooks: host.webhooks.clone(),
        inbound: Inbound::new(
            &config.stripe,
            &pool,
            &host.bell,
            &host.operator.lanes,
            &host.submitter,
            config.cluster.doubt_margin,
        ),
    });
    let door = tokio::spawn(http::server::serve(listener, router, config.pressure.clone(), host.lifecycle.clone()));
    say_ready(&address.to_string());

    signals.wait().await;
    tracing::info!(running = host.running.count(), "stopping: nothing new is claimed");
    host.lifecycle.stop();
    // Who waits for a job is told what is known.
    host.bell.waits().close();
    let mut worker = worker;
    let finished = tokio::select! {
        done = tokio::time::timeout(config.server.grace, &mut worker) => done.is_ok(),
        () = signals.wait() => false,
    };
    if !finished {
        tracing::warn!(running = host.running.count(), "the grace is over; what still runs is given back");
    }
    host.lifecycle.end();
    host.running.end_all();
    if !finished && tokio::time::timeout(LAST_WAIT, worker).await.is_err() {
        tracing::error!("some jobs could not be given back; another node will reap them");
    }
    if let Some(delivery) = delivery
        && tokio::time::timeout(LAST_WAIT, delivery).await.is_err()
    {
        tracing::warn!("some webhooks were still being sent; they will be sent again");
    }
    if tokio::time::timeout(LAST_WAIT, events).await.is_err() {
        tracing::warn!("the reader of events did not end");
    }
    if tokio::time::timeout(LAST_WAIT, door).await.is_err() {
        tracing::warn!("some connections were still open");
    }
    let mut duties = duties;
    if tokio::time::timeout(LAST_WAIT, async { while duties.join_next().await.is_some() {} }).await.is_err() {
        duties.abort_all();
    }
    // A node that still holds jobs keeps its row, so that they are reaped by the ordinary way.
    if host.running.count() == 0
        && let Err(error) = host.scheduler.unregister().await
    {
        tracing::warn!(error = %error, "this node's row could not be taken away");
    }
    database.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Before the first submit; later by every heartbeat.
async fn read_imported(submitter: &Submitter, pool: &Pool) -> sqlx::Result<()> {
    let mut db = pool.read().await?;
    submitter.imported().replace(idempotency::imported::types(&mut db).await?);
    Ok(())
}

/// How long each part may take to end after the grace.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// The rooms, wired.
struct Host {
    lifecycle: Lifecycle,
    bell: Bell,
    pulse: Pulse,
    running: Arc<Running>,
    registry: Arc<Registry>,
    submitter: Submitter,
    operator: Operator,
    limiter: Limiter,
    verifier: Arc<Verifier>,
    services: ServiceKeys,
    smtp: Arc<Smtp>,
    scheduler: Arc<Scheduler>,
    worker: Arc<Worker>,
    metrics: Metrics,
    /// Absent: there is no key for them.
    webhooks: Option<Webhooks>,
}

impl Host {
    fn build(config: &Config, database: &Database) -> anyhow::Result<Self> {
        let pool = &database.pool;
        let node = NodeId::random();
        let metrics = Metrics::default();
        let lifecycle = Lifecycle::new();
        let bell = Bell::default();
        let pulse = Pulse::new(config.cluster.confirm_within);
        let queues = Arc::new(config.queues.clone());
        let running = Running::new(config.worker.concurrency, bell.clone());

        let lanes = Lanes::new(config.tenants.weights());
        let limiter = Limiter::start(pool, &config.rate_limits);
        let verifier = Arc::new(Verifier::new(&config.auth)?);
        let services = ServiceKeys::start(pool, &config.auth.services);
        let smtp = Arc::new(Smtp::new(&config.email)?);
        let targets = Targets::new(&config.upstreams)?;
        let providers = Providers {
            email: Arc::clone(&smtp),
            sms: Arc::new(Sms::new(&config.sms, &targets)?),
            push: Arc::new(Push::new(&config.push, &targets)?),
            upstream: Arc::new(Http::new(&targets)),
            stripe: Arc::new(Stripe::new(&config.stripe)?),
            #[cfg(feature = "solana")]
            solana: Arc::new(crate::effects::solana::Mints::new(&config.solana, pool, &limiter)?),
        };
        let gate = Gate::new(providers, pool.clone(), &database.journal, pulse.clone(), limiter.clone());
        metrics.show(gate.metrics());
        let catalog = Arc::new(Catalog::default());
        let submitter = Submitter::start(pool, Arc::clone(&catalog), Arc::clone(&queues), &bell, &lanes)
            .alarming(config.alerts.mail.clone());
        metrics.show(submitter.metrics());
        let live = Live::default();
        let runtime = Arc::new(Runtime::new(config, gate, submitter.clone())?.telling(live.clone()));
        let pools =
            [("work", pool.clone()), ("duties", database.duties.clone()), ("journal", database.journal.clone())];
        let shown = metrics::Node {
            running: Arc::clone(&running),
            concurrency: config.worker.concurrency,
            runtime: Arc::clone(&runtime),
            pulse: pulse.clone(),
            pools,
            queues: config.queues.0.keys().cloned().collect(),
        };
        shown.show(&metrics);
        let registry = Arc::new(Registry::new(Arc::clone(&runtime), Arc::clone(&catalog), config.clone(), node));
        let operator = Operator {
            pool: pool.clone(),
            bell: bell.clone(),
            lanes: lanes.clone(),
            queues: Arc::clone(&queues),
            catalog: Arc::clone(&catalog),
            node,
            doubt_margin: config.cluster.doubt_margin,
        };
        let scheduler = Arc::new(Scheduler {
            pool: database.duties.clone(),
            direct: database.direct.clone(),
            node,
            cluster: config.cluster.clone(),
            alerts: config.alerts.clone(),
            queues: Arc::clone(&queues),
            bell: bell.clone(),
            pulse: pulse.clone(),
            lifecycle: lifecycle.clone(),
            registry: Arc::clone(&registry),
            running: Arc::clone(&running),
            operator: operator.clone(),
            limiter: limiter.clone(),
            services: services.clone(),
            submitter: submitter.clone(),
            events: Hub::new(pool, &config.events, &lifecycle, &live),
            redrives: Arc::new(Notify::new()),
            peers: Arc::new(AtomicUsize::new(0)),
            releases_changed: Arc::new(Notify::new()),
            releases_wanted: Arc::new(Notify::new()),
            rates_changed: Arc::new(Notify::new()),
            verifier: Arc::clone(&verifier),
            revocations_changed: Arc::new(Notify::new()),
            keys_changed: Arc::new(Notify::new()),
        });
        let published = webhooks::Bell::default();
        let webhooks = make_webhooks(config, pool, &published)?;
        let worker = Arc::new(Worker {
            pool: pool.clone(),
            node,
            config: config.worker.clone(),
            cluster: config.cluster.clone(),
            queues,
            bell: bell.clone(),
            lanes,
            pulse: pulse.clone(),
            lifecycle: lifecycle.clone(),
            registry: Arc::clone(&registry),
            runtime,
            submitter: submitter.clone(),
            running: Arc::clone(&running),
            live,
            published,
            metrics: Arc::clone(&metrics.jobs),
        });
        Ok(Self {
            lifecycle,
            bell,
            pulse,
            running,
            registry,
            submitter,
            operator,
            limiter,
            verifier,
            services,
            smtp,
            scheduler,
            worker,
            metrics,
            webhooks,
        })
    }

    fn sender(&self, config: &Config) -> Option<Sender> {
        Some(Sender {
            webhooks: self.webhooks.clone()?,
            config: config.webhooks.clone(),
            // What this node publishes rings; the look is for what others left behind.
            poll: config.cluster.poll * 3,
            lifecycle: self.lifecycle.clone(),
            metrics: Arc::clone(&self.metrics.webhooks),
        })
    }
}

fn make_webhooks(config: &Config, pool: &Pool, bell: &webhooks::Bell) -> anyhow::Result<Option<Webhooks>> {
    let settings = &config.webhooks;
    let Some(key) = settings.key.clone() else {
        tracing::info!("webhooks are off: there is no webhooks.key");
        return Ok(None);
    };
    if !settings.allow_private.is_empty() {
        tracing::warn!(
            destinations = ?settings.allow_private,
            "webhooks.allow_private lets tenants call these inside your network, without TLS"
        );
    }
    let egress = Egress::new(&egress::Settings {
        timeout: settings.timeout,
        user_agent: &settings.user_agent,
        allowed: &settings.allow_private,
    })?;
    Ok(Some(Webhooks {
        pool: pool.clone(),
        egress: Arc::new(egress),
        key,
        overlap: settings.overlap,
        bell: bell.clone(),
    }))
}

/// The line that scripts wait for.
#[expect(clippy::print_stdout, reason = "the ready line is this command's output")]
fn say_ready(address: &str) {
    println!("usher: ready on http://{address}");
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
