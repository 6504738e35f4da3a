//! The jobs: what each does to the world, under a business key of its own, so that it can be counted there.

use serde_json::{Value, json};

use super::rig::Account;
use crate::rng::Rng;

/// What a provider can show of a job, by its business key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Done {
    Charge,
    Capture,
    Cancel,
    Refund,
    Payout,
    Mint,
    /// On the chain.
    Nft,
    /// At a service that knows no keys.
    Once,
    /// At least once, under one Message-ID.
    Mail,
    /// At most once.
    StrictMail,
    Event,
}

/// One thing that a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Does(Done),
    /// A mail of the host's own template.
    Template,
    /// A card that is declined.
    Declined,
    /// Reads the payment.
    Get,
    /// Fails the first attempt, so that the next one replays what came before.
    Again,
}

impl Step {
    /// What is to be found of it.
    pub fn done(self) -> Option<Done> {
        match self {
            Self::Does(done) => Some(done),
            Self::Template => Some(Done::Mail),
            Self::Declined => Some(Done::Charge),
            Self::Get | Self::Again => None,
        }
    }

    /// It has a row in the journal. (An event goes into the table of its deliveries when the job is settled.)
    pub fn is_call(self) -> bool {
        !matches!(self, Self::Again | Self::Does(Done::Event))
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub n: u64,
    /// Of the business, and unique in the run.
    pub key: String,
    /// Index of the account, and with it the tenant.
    pub account: usize,
    pub tier: i16,
    pub steps: Vec<Step>,
}

/// The account that ignores keys; those before it keep Stripe's promises.
pub const LOCAL: usize = 3;

/// Where the business key stands in what is minted: between this and `.json`.
pub const NFT: &str = "https://files.example.com/";

impl Plan {
    pub fn new(seed: u64, n: u64) -> Self {
        use Done::*;
        let mut rng = Rng::fork(seed, n.wrapping_mul(2) + 1);
        let mut account = rng.index(LOCAL);
        let (mut tier, does) = (1, Step::Does);
        let mut steps = match rng.below(100) {
            0..15 => vec![does(Charge)],
            15..18 => vec![Step::Declined],
            18..30 => {
                account = LOCAL;
                vec![does(Charge)]
            }
            30..36 => vec![does(Refund)],
            36..41 => vec![does(Payout)],
            41..47 => vec![Step::Get, does(Capture)],
            47..52 => vec![does(Cancel)],
            52..60 => vec![does(Mint)],
            60..68 => vec![does(Nft)],
            68..73 => vec![does(Once)],
            73..80 => vec![does(Mail)],
            80..84 => vec![Step::Template],
            84..88 => vec![does(StrictMail)],
            _ => {
                let again = if rng.below(3) == 0 { Some(Step::Again) } else { None };
                let mut all = vec![does(Charge), does(Mint)];
                all.extend(again);
                all.extend([does(StrictMail), does(Event)]);
                all
            }
        };
        // Mails alone are tier 2 as often as not, any job may fail once, and some say what they did.
        if matches!(steps[0], Step::Does(Mail | StrictMail) | Step::Template) && rng.below(2) == 0 {
            tier = 2;
        }
        if steps.len() == 1 && rng.below(12) == 0 {
            steps.push(Step::Again);
        }
        if steps.len() == 1 && rng.below(6) == 0 {
            steps.push(does(Event));
        }
        Self { n, key: format!("k{seed}-{n}"), account, tier, steps }
    }

    /// What a payment must have been made for beforehand.
    pub fn needs(&self) -> Option<Done> {
        let needs = |done: &Done| matches!(done, Done::Refund | Done::Capture | Done::Cancel);
        self.steps.iter().find_map(|step| step.done().filter(needs))
    }

    pub fn job_type(&self) -> &'static str {
        if self.tier == 1 { "guest-chaos" } else { "guest-chaos-mail" }
    }

    /// `payment`: the one that was made beforehand.
    pub fn payload(&self, account: &Account, payment: Option<&str>) -> Value {
        let steps: Vec<_> = self.steps.iter().map(|step| self.step(*step, account, payment)).collect();
        json!({"do": "steps", "steps": steps})
    }

    fn step(&self, step: Step, account: &Account, payment: Option<&str>) -> Value {
        let (key, mark) = (&self.key, json!({"metadata[order]": self.key}));
        let charge = |card: &str| {
            json!({"do": "stripe", "call": "payment", "amount": 1200, "currency": "eur", "paymentMethod": card,
                   "confirm": true, "extra": mark, "catch": true})
        };
        let post = |upstream: &str| {
            json!({"do": "upstream", "upstream": upstream, "method": "post", "path": format!("/{upstream}"),
                   "body": json!({"ticket": key}).to_string()})
        };
        let to = format!("{key}@example.com");
        match step {
            Step::Does(Done::Charge) => charge(&account.card),
            Step::Declined => charge(&account.bad_card),
            Step::Does(Done::Refund) => {
                json!({"do": "stripe", "call": "refund", "paymentIntent": payment, "amount": 100, "extra": mark})
            }
            Step::Does(Done::Payout) => {
                json!({"do": "stripe", "call": "payout", "amount": 700, "currency": "eur", "extra": mark})
            }
            Step::Get => json!({"do": "stripe", "call": "get", "paymentIntent": payment}),
            Step::Does(Done::Capture) => json!({"do": "stripe", "call": "capture", "paymentIntent": payment}),
            Step::Does(Done::Cancel) => json!({"do": "stripe", "call": "cancel", "paymentIntent": payment}),
            Step::Does(Done::Mint) => post("mint"),
            Step::Does(Done::Nft) => json!({"do": "mint", "label": "ticket", "name": "Seat", "symbol": "TICKET",
                "recipient": account.recipient, "uri": format!("{NFT}{key}.json")}),
            Step::Does(Done::Once) => post("once"),
            Step::Does(Done::Mail) => json!({"do": "mail", "to": to, "subject": key}),
            Step::Does(Done::StrictMail) => json!({"do": "mail", "profile": "strict", "to": to, "subject": key}),
            Step::Template => json!({"do": "mail-template", "to": to, "template": "refund-confirmation",
                "data": {"name": "Ada", "amount": 100, "currency": "eur", "orderId": key}}),
            Step::Does(Done::Event) => json!({"do": "publish", "event": "guest.happened", "data": {"order": key}}),
            Step::Again => json!({"do": "retry", "until": 2}),
        }
    }
}
