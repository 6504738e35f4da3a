//! The course of one call, and of a question about one: look what became of what was signed before, send it again while it
//! may land, sign anew only when none of it can any more.

use std::time::Duration;

use serde_json::json;

use super::{
    Call, Mints,
    confirm::{self, Fate},
    meaning::{meaning, refused, taken},
    verdict::{Verdict, verdict},
};
use crate::{
    clock::Boottime,
    effects::{Asked, CallEnd, Sending},
    journal::{
        Answer, ledger,
        mints::{self, Outcome, Try},
    },
};

/// Of so many looks one is at all nodes, should the first be behind.
const ALL_EVERY: u32 = 4;
/// How soon a question about a transaction on its way is asked again.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

pub(super) struct Course<'a> {
    pub(super) mints: &'a Mints,
    pub(super) sending: Sending,
    pub(super) call: &'a Call,
    pub(super) began: Boottime,
    looks: u32,
    /// The highest slot that any node has called final.
    finalized: u64,
    /// The number of the try that this call signed.
    pub(super) fresh: Option<i32>,
    /// Something of it may be on its way.
    pub(super) is_out: bool,
    pub(super) sent_at: Option<Boottime>,
    /// Why nothing was sent, last.
    pub(super) unsent: CallEnd,
}

impl<'a> Course<'a> {
    pub fn new(mints: &'a Mints, sending: Sending, call: &'a Call) -> Self {
        Self {
            mints,
            sending,
            call,
            began: Boottime::now(),
            looks: 0,
            finalized: 0,
            fresh: None,
            is_out: false,
            sent_at: None,
            unsent: CallEnd::Unreachable("no node of the profile answered".to_owned()),
        }
    }

    /// Until it is minted, surely not, or the call's time is over.
    pub async fn run(mut self) -> CallEnd {
        let mut tries = match self.tries().await {
            Ok(tries) => tries,
            Err(error) => return away(&error),
        };
        let pause = (self.call.profile.config.timeout / 30).clamp(Duration::from_millis(100), Duration::from_secs(1));
        loop {
            match self.judge(&tries).await {
                Verdict::Minted(n, slot) => return self.landed(&mut tries[n], slot).await,
                Verdict::Taken => return CallEnd::Answer(taken()),
                Verdict::Wait => self.is_out = true,
                Verdict::Untold => {}
                Verdict::Resend(n) => {
                    if let Some(end) = self.push(&mut tries, n).await {
                        return end;
                    }
                }
                Verdict::Failed(n, err) => {
                    self.conclude(&mut tries[n], Outcome::Failed).await;
                    return refused(meaning(&err));
                }
                Verdict::Sign => {
                    self.write_off(&mut tries).await;
                    if tries.iter().any(|one| one.mint != self.call.address()) {
                        // The second line of defence is lost: what was signed before would make another mint.
                        let message = "solana.mint_key is another one than when the mint was first signed".to_owned();
                        return CallEnd::Unknown(message);
                    }
                    // What was out is surely dead.
                    (self.is_out, self.sent_at) = (false, None);
                    let number = tries.last().map_or(1, |one| one.number + 1);
                    match self.sign(number).await {
                        Ok(one) => tries.push(one),
                        Err(end) => return end,
                    }
                    let newest = tries.len().saturating_sub(1);
                    if let Some(end) = self.push(&mut tries, newest).await {
                        return end;
                    }
                }
            }
            if self.began.elapsed() + pause >= self.call.profile.config.timeout {
                return self.out_of_time();
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Nothing is sent or signed.
    pub async fn ask(mut self) -> Asked {
        let Ok(mut tries) = self.tries().await else {
            return Asked::NotNow { message: UNREAD.to_owned(), after: None };
        };
        if tries.is_empty() {
            return Asked::Absent;
        }
        match self.look(&tries, true).await {
            Verdict::Minted(n, slot) => match self.landed(&mut tries[n], slot).await {
                CallEnd::Answer(answer) => Asked::Answer(answer),
                _ => Asked::NotNow { message: UNREAD.to_owned(), after: None },
            },
            Verdict::Taken => Asked::Answer(taken()),
            Verdict::Wait => Asked::NotNow {
                message: "the mint is on the chain, and not yet final".to_owned(),
                after: Some(ON_ITS_WAY),
            },
            // The call goes on from there: the same bytes while they may land, else new ones.
            Verdict::Resend(_) | Verdict::Failed(..) => Asked::Absent,
            Verdict::Sign => {
                self.write_off(&mut tries).await;
                Asked::Absent
            }
            Verdict::Untold => {
                let message = "too few nodes of the profile say what became of the mint".to_owned();
                Asked::NotNow { message, after: None }
            }
        }
    }

    async fn tries(&self) -> sqlx::Result<Vec<Try>> {
        let mut db = self.mints.pool.read().await?;
        mints::tries(&mut db, self.call.job, &self.call.label).await
    }

    /// By one node, as a rule; whatever ends something, by all of them.
    async fn judge(&mut self, tries: &[Try]) -> Verdict {
        if tries.is_empty() {
            return Verdict::Sign;
        }
        self.looks += 1;
        if !self.looks.is_multiple_of(ALL_EVERY) {
            let one = self.look(tries, false).await;
            if matches!(one, Verdict::Minted(..) | Verdict::Wait | Verdict::Resend(_)) {
                return one;
            }
        }
        self.look(tries, true).await
    }

    async fn look(&mut self, tries: &[Try], all: bool) -> Verdict {
        let fates = self.fates(tries, all).await;
        verdict(tries, &fates, &self.call.request_hash)
    }

    async fn fates(&mut self, tries: &[Try], all: bool) -> Vec<Fate> {
        let signatures: Vec<_> = tries.iter().map(|one| one.signature.as_str()).collect();
        let profile = &self.call.profile;
        let mut looks = Vec::new();
        for node in profile.nodes.in_order() {
            match node.look(self.sending.id, &signatures).await {
                Ok(look) => {
                    if look.is_current {
                        self.finalized = self.finalized.max(look.finalized_slot);
                    }
                    looks.push((node, look));
                    if !all {
                        profile.nodes.answered(node);
                        break;
                    }
                }
                Err(fault) => tracing::debug!(node = node.place, fault = %fault, "a node does not say what landed"),
            }
        }
        profile.nodes.prefer_the_furthest(&looks);
        let (commitment, finalized) = (profile.config.commitment, self.finalized);
        let fate = |n, one| {
            let words = looks.iter().map(|(_, look)| confirm::fate(look, n, one, commitment, finalized));
            Fate::together(words, profile.nodes.quorum())
        };
        tries.iter().enumerate().map(|(n, one)| fate(n, one)).collect()
    }

    /// Sends what may land. `Some`: how the call ends.
    async fn push(&mut self, tries: &mut [Try], n: usize) -> Option<CallEnd> {
        let end = self.resend(&mut tries[n]).await?;
        if !matches!(end, CallEnd::Unknown(_)) {
            return Some(end);
        }
        // The mint is there. Some node may know which of ours made it.
        match self.look(tries, true).await {
            Verdict::Minted(n, slot) => Some(self.landed(&mut tries[n], slot).await),
            Verdict::Taken => Some(CallEnd::Answer(taken())),
            Verdict::Wait => {
                self.is_out = true;
                None
            }
            _ => Some(end),
        }
    }

    /// None of them can land any more.
    async fn write_off(&self, tries: &mut [Try]) {
        for one in tries.iter_mut().filter(|one| one.outcome.is_none()) {
            self.conclude(one, Outcome::Expired).await;
        }
    }

    /// What is not written down is only looked up once more.
    pub(super) async fn conclude(&self, one: &mut Try, outcome: Outcome) {
        one.outcome = Some(outcome);
        let write = async {
            let mut db = self.mints.pool.write().await?;
            mints::conclude(&mut db, self.call.job, &self.call.label, one.number, outcome).await?;
            db.done().await
        };
        if let Err(error) = write.await {
            tracing::warn!(error = %error, job.id = %self.call.job, "what became of a transaction could not be written down");
        }
    }

    /// It minted. Where another effect of the job has had that answer, it is in the ledger already, and costs nothing here.
    async fn landed(&self, one: &mut Try, slot: u64) -> CallEnd {
        self.conclude(one, Outcome::Landed).await;
        let Call { profile, job, .. } = self.call;
        let mut lamports = Some(one.fee_lamports.saturating_add(one.rent_lamports));
        if one.effect != self.sending.id {
            let asked = async {
                let mut db = self.mints.pool.read().await?;
                ledger::is_of_another(&mut db, *job, self.sending.id, "mint", &one.mint).await
            };
            match asked.await {
                Ok(true) => lamports = None,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(error = %error, "a mint could not be looked for in the ledger");
                    return CallEnd::doubt(UNREAD);
                }
            }
        }
        CallEnd::Answer(Answer::Ok(json!({
            "mint": one.mint, "tokenAccount": one.token_account, "signature": one.signature, "slot": slot,
            "lamports": lamports, "commitment": profile.config.commitment.as_str(),
        })))
    }

    fn out_of_time(self) -> CallEnd {
        if !self.is_out {
            return self.unsent;
        }
        CallEnd::doubt(format!("the mint was sent, and is not yet {}", self.call.profile.config.commitment.as_str()))
    }
}

const UNREAD: &str = "the journal could not be read";

pub(super) fn away(error: &sqlx::Error) -> CallEnd {
    tracing::error!(error = %error, "the tries of a mint could not be read or written");
    CallEnd::Unreachable("the tries of the mint could not be read or written".to_owned())
}
