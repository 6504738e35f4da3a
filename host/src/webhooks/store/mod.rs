//! All SQL of the room, one file a table or moment; functions over the caller's connection.

mod claim;
mod endpoints;
mod history;
mod publish;
mod settle;

pub use self::{
    claim::{Claim, Due, claim},
    endpoints::{change, create, delete, endpoint, endpoints, rotate},
    history::{Delivery, DeliveryState, Page, deliveries, make_days, replay_one, replay_since},
    publish::{insert_ping, publish},
    settle::{Disabled, End, Sent, settle},
};
