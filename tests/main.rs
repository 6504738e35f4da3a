//! Real hosts (the built binary), real PostgreSQL, a real SMTP server, and components as plugin authors ship them.
//! `cargo xtask test` starts what they need and tells them by environment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

mod alerts;
mod arrows;
mod auth;
mod author;
mod batch;
mod cards;
mod cli;
mod clients;
mod compat;
mod config;
mod contract;
mod contract_page;
mod crash;
mod door;
mod email;
mod embedded;
mod engine;
mod events;
mod expectations;
mod failover;
mod failpoints;
mod idle;
mod inbound;
mod job_types;
mod keys;
mod languages;
mod limits;
mod line;
mod messages;
mod metrics;
mod openapi;
mod operate;
mod outage;
mod peers;
mod pgboss;
mod pgbouncer;
mod plugins;
mod pressure;
mod promises;
mod queue;
mod rate_limits;
mod redrive;
mod releases;
mod replay;
mod retention;
mod roles;
mod runtime;
mod secrets;
mod solana;
mod solana_crash;
mod sql_door;
mod stand_ins;
mod stripe;
mod stripe_crash;
mod swap;
mod upstream_crash;
mod upstreams;
mod verify;
mod webhooks;
