use super::{
    State, answered, unreadable,
    wit::{
        stripe::{self, Outcome, Payment, Payout, Refund, Transfer},
        types::Error,
    },
};
use crate::effects::stripe::Request;

type Answered = wasmtime::Result<Result<Outcome, Error>>;

impl stripe::Host for State {
    async fn create_payment_intent(&mut self, p: Payment) -> Answered {
        let Payment { amount, currency, customer, payment_method, confirm, destination, application_fee, extra } = p;
        let request = Request::CreatePaymentIntent {
            amount,
            currency,
            customer,
            payment_method,
            confirm,
            destination,
            application_fee,
            extra,
        };
        self.stripe(request).await
    }

    async fn get_payment_intent(&mut self, id: String) -> Answered {
        self.stripe(Request::GetPaymentIntent { id }).await
    }

    async fn capture_payment_intent(&mut self, id: String, amount: Option<u64>) -> Answered {
        self.stripe(Request::CapturePaymentIntent { id, amount }).await
    }

    async fn cancel_payment_intent(&mut self, id: String, reason: Option<String>) -> Answered {
        self.stripe(Request::CancelPaymentIntent { id, reason }).await
    }

    async fn create_refund(&mut self, r: Refund) -> Answered {
        let Refund { payment_intent, amount, reason, extra } = r;
        self.stripe(Request::CreateRefund { payment_intent, amount, reason, extra }).await
    }

    async fn create_payout(&mut self, p: Payout) -> Answered {
        let Payout { account, amount, currency, extra } = p;
        self.stripe(Request::CreatePayout { account, amount, currency, extra }).await
    }

    async fn create_transfer(&mut self, t: Transfer) -> Answered {
        let Transfer { amount, currency, destination, transfer_group, extra } = t;
        self.stripe(Request::CreateTransfer { amount, currency, destination, transfer_group, extra }).await
    }
}

/// The answer as `effects::stripe` journals it.
#[derive(serde::Deserialize)]
struct Journaled {
    id: String,
    status: String,
    amount: u64,
    currency: String,
    raw: String,
}

impl State {
    async fn stripe(&mut self, request: Request) -> Answered {
        let passed = self.world.call(|all| &all.stripe, &self.attempt, request).await;
        Ok(match answered(self, passed)? {
            Ok(value) => {
                let Journaled { id, status, amount, currency, raw } =
                    serde_json::from_value(value).map_err(|_| unreadable(self))?;
                Ok(Outcome { id, status, amount, currency, raw })
            }
            Err(error) => Err(error),
        })
    }
}
