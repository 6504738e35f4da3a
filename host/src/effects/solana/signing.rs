//! A transaction for a mint: built, signed, and written down within the caps. Nothing is sent here.

use std::time::Duration;

use super::{
    Call,
    course::{Course, away},
    meaning::no,
    metaplex,
    nft::Nft,
    sending::unsent,
    wallet,
};
use crate::{
    clock::Boottime,
    config::TokenStandard,
    db,
    effects::CallEnd,
    ids::Tier,
    journal::mints::{self, NewTry, Try, Written},
};

/// Longest wait for others of the same tenant and profile, who are counted first.
const PURSE: Duration = Duration::from_secs(2);

impl Course<'_> {
    /// Builds, signs and writes down the next try. Nothing of it is sent here.
    pub(super) async fn sign(&mut self, number: i32) -> Result<Try, CallEnd> {
        let Call { profile, nft, mint, .. } = self.call;
        let rent = profile.nodes.rent_of_empty(self.sending.id).await.map_err(|fault| unsent(&fault))?;
        let collection = self.collection(nft).await?;
        // Last, so that it is fresh.
        let recent = profile.nodes.recent(self.sending.id).await.map_err(|fault| unsent(&fault))?;
        let plan = profile
            .plan(nft, collection, mint, rent)
            .map_err(|message| CallEnd::Answer(no("instructions", message)))?;
        let signed = profile.wallet.sign(&plan.instructions, recent.blockhash, mint);
        let fee = wallet::fee(profile.config.compute_units, profile.config.priority_fee);
        let new = NewTry {
            effect: self.sending.id,
            effect_try: self.sending.try_no,
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
        let written = self.write(&new).await?;
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
            effect: new.effect,
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
        let account = profile.nodes.account(self.sending.id, &metaplex::metadata_of(&mint)).await;
        let found = account
            .map_err(|fault| unsent(&fault))?
            .and_then(|account| metaplex::read_collection(mint, &account.owner, &account.data));
        match found {
            Some(collection) => Ok(Some(collection)),
            None => Err(CallEnd::Answer(no("collection-not-found", format!("{mint} is no collection on this chain")))),
        }
    }

    /// One of this host's calls at a time asks for the purse, so that however long it is held elsewhere, others have
    /// connections.
    async fn write(&self, new: &NewTry<'_>) -> Result<Written, CallEnd> {
        let busy = || CallEnd::Unreachable("others of the tenant are counting lamports; nothing was sent".to_owned());
        let began = Boottime::now();
        let patience = self.call.profile.config.timeout.saturating_sub(self.began.elapsed()).min(PURSE);
        let purse = self.mints.purse(&self.call.profile.name, &self.call.tenant);
        let Ok(_turn) = tokio::time::timeout(patience, purse.lock()).await else { return Err(busy()) };
        let patience = patience.saturating_sub(began.elapsed());
        let (pool, place, caps) = (&self.mints.pool, self.call.place(), self.call.profile.caps());
        let write = async {
            let mut db = pool.write().await?;
            let durability = pool.synchronous_commit(Tier::Money);
            let written = mints::write(&mut db, durability, patience, &place, new, caps).await?;
            db.done().await?;
            sqlx::Result::Ok(written)
        };
        write.await.map_err(|error| if db::is_lock_timeout(&error) { busy() } else { away(&error) })
    }
}
