//! Usher: a job platform in one binary on PostgreSQL. `docs/design.md` is the map; section 3 names the rooms and
//! who may use whom.

// L0
pub mod clock;
pub mod config;
pub mod db;
pub mod egress;
pub mod ids;
pub mod lifecycle;
pub mod signature;
pub mod telemetry;
// L1
pub mod alerts;
pub mod audit;
mod auth;
pub mod idempotency;
pub mod journal;
pub mod outbox;
pub mod queue;
pub mod ratelimit;
pub mod releases;
pub mod webhooks;
// L2
pub mod effects;
pub mod submit;
// L3
pub mod import;
pub mod inbound;
pub mod operate;
pub mod runtime;
// L4
pub mod delivery;
pub mod http;
pub mod scheduler;
pub mod worker;
// L5
pub mod app;
pub mod cli;
