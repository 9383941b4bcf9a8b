//! The API of a head-end: JSON over HTTP, server-sent events, Prometheus text.
//!
//! It is served on a private Unix socket and, where configured, on a TCP address that needs a token. It only asks the
//! head-end and its store; without it devices go on as before.

#![expect(unused_qualifications, reason = "the macro that describes an operation repeats the paths of its parameters")]

mod access;
pub mod api;
mod console;
mod course;
pub mod export;
mod extract;
mod held;
pub mod inspect;
mod live;
mod metrics;
mod openapi;
mod page;
mod places;
mod problem;
mod routes;
mod server;
mod socket;
mod state;
#[cfg(test)]
mod tests;
mod told;

pub use access::{
    ACCOUNTS_MAX, ADDRESSES_MAX, FAILURE_FORGOTTEN_AFTER, FAILURES_MAX, NAME_BYTES_MAX, PASSWORD_BYTES_MAX,
    PASSWORD_BYTES_MIN, Password, SESSION_IDLE_MAX, SESSION_MAX, SESSIONS_PER_ACCOUNT_MAX, TOKEN_BYTES_MAX,
    TOKEN_BYTES_MIN, TOKENS_MAX, Token, TokenError, Transport,
};
pub use problem::{PROBLEM_TYPE, PROBLEMS_PATH};
pub use routes::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};
pub use server::{CONNECTIONS_MAX, ServeError, Server, Settings, Waits, Web};
pub use state::{QUERIES_MAX, REQUESTS_MAX, STREAMS_MAX};
