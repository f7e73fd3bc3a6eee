//! The API as its users meet it: a real HTTP server on loopback, AWS's own SDK and signer as clients, a store in memory behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod auth;
mod bad_input;
mod capacity;
mod cloudwatch;
mod clusters;
mod configuration;
mod deployments;
mod events;
mod flood;
mod gpus;
mod placement;
mod raw;
mod repeats;
mod schedules;
mod scheduling;
mod server;
mod services;
mod task_definitions;
mod task_sets;
mod tasks;
