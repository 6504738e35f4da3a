//! Solana: minting NFTs, each at most once.
//!
//! What is signed is written down before it is sent, with the last block height at which it can land. So whoever comes after
//! a crash asks for these signatures, sends the same bytes while they may land, and signs anew only when the finalized chain
//! is beyond all of them. Behind that stands a second line: the mint's own key is derived from job and label, and an account
//! can be made only once.

mod build;
mod confirm;
mod course;
mod meaning;
mod metaplex;
mod mint;
mod nft;
mod rpc;
mod sending;
mod signing;
mod token2022;
mod transport;
mod verdict;
mod wallet;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use solana_hash::Hash;
use solana_keypair::{Keypair, Signer};

pub use self::nft::Request;
use self::{
    build::{Plan, Rent},
    course::Course,
    nft::Nft,
    rpc::Nodes,
    wallet::{MAX_TRANSACTION, Wallet},
};
use super::{Asked, CallEnd, OnBehalf, Prepared, Provider, Refused, Sending, Sent, Told};
use crate::{
    config::{self, Secret, SolanaProfile, TokenStandard},
    db::Pool,
    idempotency::canonical,
    ids::{EffectId, JobId},
    journal::{
        Answer, Class, ledger,
        mints::{Caps, Place},
    },
    ratelimit::{Bucket, Limiter},
};

const MINT_NFT: &str = "mint-nft";

#[derive(Debug, thiserror::Error)]
#[error("solana.profiles.{profile}: {message}")]
pub struct SolanaError {
    profile: String,
    message: String,
}

/// The provider.
pub struct Mints {
    pool: Pool,
    mint_key: Option<Secret>,
    /// By tenant; `*` is all others.
    routes: BTreeMap<String, Arc<Profile>>,
    /// Whose turn it is on this host to spend, by profile and tenant. Only those that are asked for are there.
    purses: Mutex<HashMap<(String, String), Arc<Turn>>>,
}

type Turn = tokio::sync::Mutex<()>;

/// One configured profile.
struct Profile {
    name: String,
    config: SolanaProfile,
    wallet: Wallet,
    nodes: Nodes,
}

/// A checked request, and the wallet that pays for it.
pub struct Call {
    profile: Arc<Profile>,
    nft: Nft,
    job: JobId,
    tenant: String,
    label: String,
    mint: Keypair,
    /// Of what is minted, and how.
    request_hash: [u8; 32],
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("profile", &self.profile.name)
            .field("mint", &self.address())
            .finish_non_exhaustive()
    }
}

impl Mints {
    pub fn new(config: &config::Solana, pool: &Pool, limiter: &Limiter) -> Result<Self, SolanaError> {
        let mut routes = BTreeMap::new();
        for (name, profile) in &config.profiles {
            let failed = |message: String| SolanaError { profile: name.clone(), message };
            let keypair = profile.keypair().ok_or_else(|| failed("wallet: is no key pair".to_owned()))?;
            let profile = Arc::new(Profile {
                name: name.clone(),
                config: profile.clone(),
                wallet: Wallet::new(keypair),
                nodes: Nodes::new(profile, limiter).map_err(failed)?,
            });
            for tenant in &profile.config.tenants {
                routes.insert(tenant.clone(), Arc::clone(&profile));
            }
        }
        Ok(Self { pool: pool.clone(), mint_key: config.mint_key.clone(), routes, purses: Mutex::default() })
    }

    fn purse(&self, profile: &str, tenant: &str) -> Arc<Turn> {
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        purses.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(purses.entry((profile.to_owned(), tenant.to_owned())).or_default())
    }
}

impl Profile {
    fn caps(&self) -> Caps {
        Caps { job: self.config.max_lamports_per_job, hour: self.config.max_lamports_per_hour }
    }

    fn plan(
        &self,
        nft: &Nft,
        collection: Option<metaplex::Collection>,
        mint: &Keypair,
        rent_of_empty: u64,
    ) -> Result<Plan, String> {
        let (wallet, mint, rent) = (self.wallet.address(), mint.pubkey(), Rent::from_empty(rent_of_empty));
        let plan = match self.config.standard {
            TokenStandard::Token2022 => token2022::plan(nft, &wallet, &mint, rent),
            TokenStandard::Metaplex => metaplex::plan(nft, collection, &wallet, &mint, rent),
        };
        Ok(plan?.with_budget(self.config.compute_units, self.config.priority_fee))
    }

    /// How long it would be at the longest, in bytes.
    fn length(&self, nft: &Nft, mint: &Keypair) -> Result<usize, String> {
        let own = |mint| metaplex::Collection { mint, update_authority: self.wallet.address(), is_sized: true };
        let plan = self.plan(nft, nft.collection.map(own), mint, 0)?;
        Ok(self.wallet.sign(&plan.instructions, Hash::default(), mint).bytes.len())
    }
}

impl Call {
    fn address(&self) -> String {
        self.mint.pubkey().to_string()
    }

    fn place(&self) -> Place<'_> {
        Place { job: self.job, label: &self.label, tenant: &self.tenant, profile: &self.profile.name }
    }
}

/// The chain does not forget, and nothing is repeated without having asked it; a year bounds how long it is asked.
const REMEMBERS: Duration = Duration::from_secs(365 * 24 * 3600);

impl Provider for Mints {
    const NAME: &'static str = "solana";
    type Request = Request;
    type Call = Call;

    fn prepare(&self, who: &OnBehalf, request: Request) -> Result<Prepared<Call>, Refused> {
        let profile = self.routes.get(&who.tenant).or_else(|| self.routes.get("*"));
        let (mut identity, mut redacted) = (request.identity(), request.redacted());
        for shown in [&mut identity, &mut redacted] {
            shown["profile"] = json!(profile.map(|profile| &profile.name));
            shown["standard"] = json!(profile.map(|profile| profile.config.standard.as_str()));
        }
        let refuse = |answer| Refused { function: MINT_NFT, identity: identity.clone(), answer };
        if !who.grants.solana.iter().any(|granted| granted == MINT_NFT) {
            return Err(refuse(Answer::Denied(format!("grants.solana does not name \"{MINT_NFT}\""))));
        }
        let (Some(profile), Some(key)) = (profile, &self.mint_key) else {
            return Err(refuse(Answer::Denied("no Solana profile of this host serves the job's tenant".to_owned())));
        };
        let nft = request.check(&profile.config).map_err(refuse)?;
        let mint = mint::keypair(key, who.job, &request.label);
        match profile.length(&nft, &mint) {
            Ok(length) if length <= MAX_TRANSACTION => {}
            Ok(length) => {
                return Err(refuse(Answer::Invalid(format!(
                    "attributes: the transaction would have {length} bytes, at most {MAX_TRANSACTION} are possible"
                ))));
            }
            Err(message) => return Err(refuse(Answer::Invalid(message))),
        }
        Ok(Prepared {
            function: MINT_NFT,
            class: Class::Asked,
            timeout: profile.config.timeout,
            remembers: REMEMBERS,
            bucket: Bucket::profile(Self::NAME, &profile.name),
            call: Call {
                profile: Arc::clone(profile),
                nft,
                job: who.job,
                tenant: who.tenant.clone(),
                label: request.label,
                mint,
                request_hash: Sha256::digest(canonical(&identity)).into(),
            },
            identity,
            redacted,
        })
    }

    async fn call(&self, sending: Sending, call: &Call) -> CallEnd {
        Course::new(self, sending, call).run().await
    }

    async fn ask(&self, id: EffectId, _: Sent, call: &Call) -> Asked {
        // Nothing is signed, so no try is this one.
        Course::new(self, Sending { id, try_no: 0 }, call).ask().await
    }

    fn ledger(&self, call: &Call, value: &Value) -> Option<ledger::Line> {
        line(&call.profile.name, value)
    }
}

/// What the wallet paid at most: rent of the accounts, and the fee. None where another effect of the job has the line.
fn line(profile: &str, value: &Value) -> Option<ledger::Line> {
    Some(ledger::Line {
        profile: profile.to_owned(),
        account: None,
        kind: "mint",
        provider_id: value["mint"].as_str()?.to_owned(),
        amount: value["lamports"].as_i64()?,
        currency: "sol".to_owned(),
        status: value["commitment"].as_str()?.to_owned(),
    })
}

/// What a person reads off an explorer: mint, token account, signature, slot; the lamports it took, if they are to be in
/// the ledger.
pub(super) fn by_person(request: &Value, answer: &Value) -> Result<Told, String> {
    let text = |field: &str| {
        answer[field].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("/answer/{field}: a string"))
    };
    let value = json!({
        "mint": text("mint")?, "tokenAccount": text("tokenAccount")?, "signature": text("signature")?,
        "slot": answer["slot"].as_u64().ok_or("/answer/slot: a whole number")?,
        "lamports": answer["lamports"].as_u64(), "commitment": "finalized",
    });
    let line = line(request["profile"].as_str().unwrap_or_default(), &value);
    Ok(Told { value, line })
}
