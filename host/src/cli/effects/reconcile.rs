use anyhow::{Context, anyhow};
use chrono::{Days, NaiveDate, TimeDelta};
use clap::{Args, ValueEnum};

use crate::{
    cli::{Common, Failure, progress, runtime},
    db,
    effects::stripe::{Difference, Stripe},
    journal::ledger,
    telemetry,
};

/// Compare a day of the ledger with what the provider shows, and name what only one side has (exit code 1).
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    common: Common,
    #[arg(long, value_enum)]
    provider: Provider,
    /// The day in UTC, as 2026-01-31.
    #[arg(long)]
    day: NaiveDate,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Provider {
    Stripe,
}

impl Reconcile {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        telemetry::init(&config.log).map_err(Failure::Usage)?;
        let Some(url) = config.database.direct_url.as_ref().or(config.database.url.as_ref()) else {
            return Err(Failure::Usage("no database is named: set DATABASE_URL or database.url".to_owned()));
        };
        let Provider::Stripe = self.provider;
        if config.stripe.profiles.is_empty() {
            return Err(Failure::Usage("stripe.profiles: there is none to compare with".to_owned()));
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let day = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc();
        let (from, to) = (day(self.day), day(self.day + Days::new(1)));
        let compare = async {
            let pool = db::straight(url.expose()).await.context("cannot use the database")?;
            let mut db = pool.acquire().await.context("cannot use the database")?;
            // What was made just before midnight may have been written down after it.
            let edge = TimeDelta::hours(1);
            let mut lines = ledger::between(&mut db, "stripe", from - edge, to + edge).await.context("the ledger")?;
            let stripe = Stripe::new(&config.stripe).map_err(anyhow::Error::new)?;
            let shown = stripe.day(from, to, &lines).await.map_err(|e| anyhow!(e))?;
            let late = ledger::of_effects(&mut db, &shown.effects()).await.context("the ledger")?;
            lines.extend(late);
            stripe.reconcile(shown, &lines).await.map_err(|e| anyhow!(e))
        };
        // Exit code 1 is for differences alone.
        let done = runtime()?.block_on(progress::spinner("asking Stripe", compare));
        let done = done.map_err(|error| Failure::from(error).unasked())?;
        for difference in &done.differences {
            if self.json {
                println!("{}", serde_json::json!(difference));
            } else {
                println!("{difference}");
            }
        }
        if !self.json {
            println!("{} agree, {} differ", done.agreed, done.differences.len());
        }
        match done.differences.len() {
            0 => Ok(()),
            n => Err(Failure::Failed(anyhow!("{n} differences between Stripe and the ledger on {}", self.day))),
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtStripe { kind, id, amount, currency, profile, effect } => {
                let effect = effect.as_deref().unwrap_or("none of ours");
                write!(f, "only at Stripe: {kind} {id} {amount} {currency} (profile {profile}, effect {effect})")
            }
            Self::InLedger { kind, id, amount, currency, profile, effect } => {
                write!(f, "only in the ledger: {kind} {id} {amount} {currency} (profile {profile}, effect {effect})")
            }
            Self::Differs { kind, id, ledger, stripe } => {
                write!(f, "differs: {kind} {id}: {ledger} in the ledger, {stripe} at Stripe")
            }
        }
    }
}
