//! The course of one call, and of a question about one: look what became of what was signed before, send it again while it
//! may land, sign anew only when none of it can any more.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Call, Mints,
    confirm::{self, Fate, Meaning},
    metaplex,
    nft::Nft,
    transport::Fault,
};
use crate::{
    clock::Boottime,
    config::TokenStandard,
    effects::{Asked, CallEnd},
    ids::EffectId,
    journal::{
        Answer, Rejection,
        mints::{self, NewTry, Outcome, Try, Written},
        store,
    },
};

/// The same bytes are sent again this often: nodes drop what they have no room for.
const AGAIN: Duration = Duration::from_secs(2);
/// Of so many looks one is at all nodes, should the first be behind.
const ALL_EVERY: u32 = 4;
/// How soon a question about a transaction on its way is asked again.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// How long the wallet's jobs wait when it cannot pay.
const UNFUNDED: Duration = Duration::from_secs(15);

/// What all that was signed comes to.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// The try at this place minted.
    Minted(usize, u64),
    /// It did, and what it minted is something else.
    Taken,
    /// One is on the chain, and not yet at the commitment.
    Wait,
    /// This one may still land.
    Resend(usize),
    /// This one is on the chain, to no effect.
    Failed(usize, Value),
    /// None of them can land any more.
    Sign,
    /// Nobody says.
    Untold,
}

fn verdict(tries: &[Try], fates: &[Fate], request_hash: &[u8]) -> Verdict {
    let landed = fates.iter().enumerate().find_map(|(n, fate)| match fate {
        Fate::Landed { slot } => Some((n, *slot)),
        _ => None,
    });
    if let Some((n, slot)) = landed {
        return if tries[n].request_hash == request_hash { Verdict::Minted(n, slot) } else { Verdict::Taken };
    }
    if fates.contains(&Fate::Pending) {
        return Verdict::Wait;
    }
    // Newest first; those of which the end is written down are over.
    let mut open = tries.iter().zip(fates).enumerate().rev().filter(|(_, (one, _))| one.outcome.is_none());
    open.find_map(|(n, (_, fate))| match fate {
        Fate::Failed(err) => Some(Verdict::Failed(n, err.clone())),
        Fate::Open => Some(Verdict::Resend(n)),
        Fate::Untold => Some(Verdict::Untold),
        Fate::Gone | Fate::Pending | Fate::Landed { .. } => None,
    })
    .unwrap_or(Verdict::Sign)
}

/// What came of sending.
enum Sent {
    /// It is on its way, or may be.
    Perhaps,
    /// Every node that answered has tried it, and did not send it on.
    Refused(Meaning),
    /// No node has read it.
    Not(Fault),
}

pub(super) struct Course<'a> {
    mints: &'a Mints,
    id: EffectId,
    call: &'a Call,
    began: Boottime,
    looks: u32,
    /// The number of the try that this call signed.
    fresh: Option<i32>,
    /// Something of it may be on its way.
    is_out: bool,
    sent_at: Option<Boottime>,
    /// Why nothing was sent, last.
    unsent: CallEnd,
}

impl<'a> Course<'a> {
    pub fn new(mints: &'a Mints, id: EffectId, call: &'a Call) -> Self {
        Self {
            mints,
            id,
            call,
            began: Boottime::now(),
            looks: 0,
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
                Verdict::Minted(n, slot) => {
                    self.conclude(&mut tries[n], Outcome::Landed).await;
                    return CallEnd::Answer(self.minted(&tries[n], slot));
                }
                Verdict::Taken => return CallEnd::Answer(taken()),
                Verdict::Wait => self.is_out = true,
                Verdict::Untold => {}
                Verdict::Resend(n) => {
                    if let Some(end) = self.resend(&mut tries[n]).await {
                        return end;
                    }
                }
                Verdict::Failed(n, err) => {
                    self.conclude(&mut tries[n], Outcome::Failed).await;
                    return refused(confirm::meaning(&err));
                }
                Verdict::Sign => {
                    for one in tries.iter_mut().filter(|one| one.outcome.is_none()) {
                        self.conclude(one, Outcome::Expired).await;
                    }
                    // What was out is surely dead.
                    (self.is_out, self.sent_at) = (false, None);
                    let number = tries.last().map_or(1, |one| one.number + 1);
                    match self.sign(number).await {
                        Ok(one) => tries.push(one),
                        Err(end) => return end,
                    }
                    let Some(one) = tries.last_mut() else { continue };
                    if let Some(end) = self.resend(one).await {
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
    pub async fn ask(self) -> Asked {
        let Ok(mut tries) = self.tries().await else {
            return Asked::NotNow { message: "the journal could not be read".to_owned(), after: None };
        };
        if tries.is_empty() {
            return Asked::Absent;
        }
        let fates = self.fates(&tries, true).await;
        match verdict(&tries, &fates, &self.call.request_hash) {
            Verdict::Minted(n, slot) => {
                self.conclude(&mut tries[n], Outcome::Landed).await;
                Asked::Answer(self.minted(&tries[n], slot))
            }
            Verdict::Taken => Asked::Answer(taken()),
            Verdict::Wait => Asked::NotNow {
                message: "the mint is on the chain, and not yet final".to_owned(),
                after: Some(ON_ITS_WAY),
            },
            // The call goes on from there: the same bytes while they may land, else new ones.
            Verdict::Resend(_) | Verdict::Failed(..) | Verdict::Sign => Asked::Absent,
            Verdict::Untold => {
                Asked::NotNow { message: "no node of the profile says what became of the mint".to_owned(), after: None }
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
            let fates = self.fates(tries, false).await;
            let one = verdict(tries, &fates, &self.call.request_hash);
            if matches!(one, Verdict::Minted(..) | Verdict::Wait | Verdict::Resend(_)) {
                return one;
            }
        }
        let fates = self.fates(tries, true).await;
        verdict(tries, &fates, &self.call.request_hash)
    }

    async fn fates(&self, tries: &[Try], all: bool) -> Vec<Fate> {
        let signatures: Vec<_> = tries.iter().map(|one| one.signature.as_str()).collect();
        let mut fates = vec![Fate::Untold; tries.len()];
        let nodes = &self.call.profile.nodes;
        for node in nodes.in_order() {
            match node.look(self.id, &signatures).await {
                Ok(look) => {
                    let commitment = self.call.profile.config.commitment;
                    for (n, (known, one)) in fates.iter_mut().zip(tries).enumerate() {
                        *known = known.clone().or(confirm::fate(&look, n, one, commitment));
                    }
                    if !all {
                        nodes.answered(node);
                        break;
                    }
                }
                Err(fault) => tracing::debug!(node = node.place, fault = %fault, "a node does not say what landed"),
            }
        }
        fates
    }

    /// Sends a try, unless it was sent a moment ago. `Some`: it surely does not happen.
    async fn resend(&mut self, one: &mut Try) -> Option<CallEnd> {
        if self.sent_at.is_some_and(|at| at.elapsed() < AGAIN) {
            return None;
        }
        self.sent_at = Some(Boottime::now());
        // What an earlier call may have sent cannot be refused any more: it lands, or its time goes by.
        let is_first = self.fresh == Some(one.number) && !self.is_out;
        match self.send(&one.transaction).await {
            Sent::Perhaps => {
                self.is_out = true;
                None
            }
            Sent::Refused(meaning) if !is_first => {
                tracing::debug!(?meaning, "a node refuses what was sent before");
                None
            }
            Sent::Refused(Meaning::Stale) => {
                let message = "no node of the profile knows the blockhash yet".to_owned();
                self.unsent = CallEnd::Transient { message, retry_after: None };
                self.sent_at = None;
                None
            }
            // The same bytes may be sent when there is money.
            Sent::Refused(Meaning::Funds) => Some(refused(Meaning::Funds)),
            Sent::Refused(meaning) => {
                self.conclude(one, Outcome::Refused).await;
                Some(refused(meaning))
            }
            Sent::Not(fault) => {
                self.sent_at = None;
                self.unsent = unsent(&fault);
                let is_short = matches!(fault, Fault::Limited(after) if after < self.call.profile.config.timeout / 4);
                (is_first && !is_short).then(|| self.unsent.clone())
            }
        }
    }

    async fn send(&self, transaction: &[u8]) -> Sent {
        let nodes = &self.call.profile.nodes;
        let mut outcome = Sent::Not(Fault::Away("the profile has no node".to_owned()));
        for node in nodes.in_order() {
            let Err(fault) = node.send(self.id, transaction).await else {
                nodes.answered(node);
                return Sent::Perhaps;
            };
            tracing::debug!(node = node.place, fault = %fault, "a node did not take a transaction");
            outcome = match (fault, outcome) {
                // It may have sent it on; the same bytes to the next node do no harm.
                (Fault::Lost(_), _) | (_, Sent::Perhaps) => Sent::Perhaps,
                (Fault::Said { code: PREFLIGHT, err, .. }, before) => match (confirm::meaning(&err), before) {
                    (Meaning::Processed, _) => Sent::Perhaps,
                    // One that is behind says less than one that is not.
                    (Meaning::Stale, before @ Sent::Refused(_)) => before,
                    (meaning, _) => Sent::Refused(meaning),
                },
                (Fault::Said { code, message, .. }, before) if NOT_READ.contains(&code) => match before {
                    Sent::Not(_) => Sent::Not(Fault::Busy { message, after: None }),
                    before => before,
                },
                (Fault::Said { .. }, _) => Sent::Perhaps,
                (fault @ (Fault::Away(_) | Fault::Limited(_) | Fault::Busy { .. }), Sent::Not(_)) => Sent::Not(fault),
                (_, before) => before,
            };
        }
        outcome
    }

    /// Builds, signs and writes down the next try. Nothing of it is sent here.
    async fn sign(&mut self, number: i32) -> Result<Try, CallEnd> {
        let Call { profile, nft, mint, .. } = self.call;
        let rent = profile.nodes.rent_of_empty(self.id).await.map_err(|fault| unsent(&fault))?;
        let collection = self.collection(nft).await?;
        // Last, so that it is fresh.
        let recent = profile.nodes.recent(self.id).await.map_err(|fault| unsent(&fault))?;
        let plan = profile
            .plan(nft, collection, mint, rent)
            .map_err(|message| CallEnd::Answer(no("instructions", message)))?;
        let signed = profile.wallet.sign(&plan.instructions, recent.blockhash, mint);
        let fee = super::wallet::fee(profile.config.compute_units, profile.config.priority_fee);
        let new = NewTry {
            effect: self.id,
            number,
            request_hash: self.call.request_hash,
            mint: self.call.address(),
            token_account: plan.token_account.to_string(),
            signature: signed.signature.to_string(),
            transaction: &signed.bytes,
            blockhash: recent.blockhash.to_string(),
            last_valid_block_height: recent.last_valid_block_height,
            fee_lamports: fee,
            rent_lamports: plan.costs.rent.saturating_add(plan.costs.extra),
        };
        let written = self.write(&new).await.map_err(|error| away(&error))?;
        let cost = new.fee_lamports.saturating_add(new.rent_lamports);
        match written {
            Written::Yes => {}
            Written::Overtaken => {
                return Err(CallEnd::Unreachable("this call was overtaken by a later one".to_owned()));
            }
            Written::JobCap(spent) => {
                let most = profile.caps().job;
                let message = format!("the mint takes up to {cost} lamports; of the job's {most}, {spent} are spent");
                return Err(CallEnd::Answer(no("lamports-per-job", message)));
            }
            Written::HourCap(spent) => {
                let most = profile.caps().hour;
                return Err(CallEnd::Unreachable(format!(
                    "the mint takes up to {cost} lamports; of the tenant's {most} an hour, {spent} are spent"
                )));
            }
        }
        self.fresh = Some(number);
        Ok(Try {
            number,
            request_hash: new.request_hash.to_vec(),
            mint: new.mint,
            token_account: new.token_account,
            signature: new.signature,
            transaction: signed.bytes.clone(),
            last_valid_block_height: new.last_valid_block_height,
            fee_lamports: new.fee_lamports,
            rent_lamports: new.rent_lamports,
            outcome: None,
        })
    }

    /// Who may verify a collection, and how, is on the chain.
    async fn collection(&self, nft: &Nft) -> Result<Option<metaplex::Collection>, CallEnd> {
        let profile = &self.call.profile;
        let Some(mint) = nft.collection.filter(|_| profile.config.standard == TokenStandard::Metaplex) else {
            return Ok(None);
        };
        let account = profile.nodes.account(self.id, &metaplex::metadata_of(&mint)).await;
        let found = account
            .map_err(|fault| unsent(&fault))?
            .and_then(|account| metaplex::read_collection(mint, &account.owner, &account.data));
        match found {
            Some(collection) => Ok(Some(collection)),
            None => Err(CallEnd::Answer(no("collection-not-found", format!("{mint} is no collection on this chain")))),
        }
    }

    async fn write(&self, new: &NewTry<'_>) -> sqlx::Result<Written> {
        let mut tx = store::begin_durable(&self.mints.pool).await?;
        let written = mints::write(&mut tx, &self.call.place(), new, self.call.profile.caps()).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// What is not written down is only looked up once more.
    async fn conclude(&self, one: &mut Try, outcome: Outcome) {
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

    fn minted(&self, one: &Try, slot: u64) -> Answer {
        Answer::Ok(json!({
            "mint": one.mint, "tokenAccount": one.token_account, "signature": one.signature, "slot": slot,
            "lamports": one.fee_lamports.saturating_add(one.rent_lamports),
            "commitment": self.call.profile.config.commitment.as_str(),
        }))
    }

    fn out_of_time(self) -> CallEnd {
        if !self.is_out {
            return self.unsent;
        }
        CallEnd::doubt(format!("the mint was sent, and is not yet {}", self.call.profile.config.commitment.as_str()))
    }
}

/// A node has tried the transaction, it would fail, and it was not sent on.
const PREFLIGHT: i64 = -32002;
/// Answers to what was not even tried: bad signature, node unhealthy or behind, malformed, no such method, no such context.
const NOT_READ: [i64; 6] = [-32003, -32005, -32016, -32600, -32601, -32602];

/// Nothing was sent.
fn unsent(fault: &Fault) -> CallEnd {
    match fault {
        Fault::Busy { message, after } => CallEnd::Transient { message: message.clone(), retry_after: *after },
        Fault::Away(_) | Fault::Limited(_) => CallEnd::Unreachable(fault.to_string()),
        // A question, whose answer was lost or is an error.
        Fault::Lost(_) | Fault::Said { .. } => CallEnd::Transient { message: fault.to_string(), retry_after: None },
    }
}

/// Nothing came of it: refused by a node's check, or failed on the chain. The table in docs/security.md, in code.
fn refused(meaning: Meaning) -> CallEnd {
    match meaning {
        Meaning::Funds => {
            CallEnd::Transient { message: "the wallet cannot pay for the mint".to_owned(), retry_after: Some(UNFUNDED) }
        }
        Meaning::Exists => {
            CallEnd::Unknown("the mint is on the chain, and none of the signatures that were kept made it".to_owned())
        }
        Meaning::Processed | Meaning::Stale => CallEnd::doubt("the nodes contradict each other"),
        Meaning::Wrong { code, message } => CallEnd::Answer(no(&code, message)),
    }
}

fn no(code: &str, message: impl Into<String>) -> Answer {
    Answer::Rejected(Rejection { code: code.to_owned(), message: message.into(), status: None })
}

fn taken() -> Answer {
    no("label-taken", "another NFT was minted under this label of the job")
}

fn away(error: &sqlx::Error) -> CallEnd {
    tracing::error!(error = %error, "the tries of a mint could not be read or written");
    CallEnd::Unreachable("the tries of the mint could not be read or written".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: i32, outcome: Option<Outcome>) -> Try {
        Try {
            number,
            request_hash: vec![7; 32],
            mint: String::new(),
            token_account: String::new(),
            signature: String::new(),
            transaction: Vec::new(),
            last_valid_block_height: 0,
            fee_lamports: 0,
            rent_lamports: 0,
            outcome,
        }
    }

    #[test]
    fn nothing_is_signed_anew_while_something_may_land() {
        let hash = [7; 32];
        let open = [one(1, Some(Outcome::Expired)), one(2, None)];
        for (fate, expected) in [
            (Fate::Open, Verdict::Resend(1)),
            (Fate::Untold, Verdict::Untold),
            (Fate::Pending, Verdict::Wait),
            (Fate::Gone, Verdict::Sign),
            (Fate::Failed(Value::Null), Verdict::Failed(1, Value::Null)),
            (Fate::Landed { slot: 9 }, Verdict::Minted(1, 9)),
        ] {
            assert_eq!(verdict(&open, &[Fate::Gone, fate], &hash), expected);
        }
        // What was written off and landed all the same is believed, as is an earlier one of two.
        let off = [one(1, Some(Outcome::Refused)), one(2, Some(Outcome::Expired))];
        assert_eq!(verdict(&off, &[Fate::Landed { slot: 3 }, Fate::Untold], &hash), Verdict::Minted(0, 3));
        assert_eq!(verdict(&off, &[Fate::Pending, Fate::Gone], &hash), Verdict::Wait);
        assert_eq!(verdict(&off, &[Fate::Open, Fate::Untold], &hash), Verdict::Sign);
        assert_eq!(verdict(&off, &[Fate::Landed { slot: 3 }, Fate::Gone], &[8; 32]), Verdict::Taken);
        assert_eq!(verdict(&[], &[], &hash), Verdict::Sign);
    }
}
