//! Where calls go: in a guest to the host, in a native test to [`crate::testing::Host`].

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::calls::*;

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::raw::usher::plugin::{
    context::{now_ms, random},
    email::{send, send_template},
    jobs::enqueue,
    log::write,
    progress::report,
    push::send as send_notification,
    sms::send as send_text,
    solana::mint_nft,
    stripe::{
        cancel_payment_intent, capture_payment_intent, create_payment_intent, create_payout, create_refund,
        create_transfer, get_payment_intent,
    },
    upstream::call,
    webhook::publish,
};
