//! Loggerhead: the head-end for data loggers and other field devices.

mod backup;
mod brief;
mod check;
mod cli;
mod client;
mod command;
mod configuration;
mod decode;
mod demo;
mod device;
mod exit;
mod export;
mod limits;
mod logging;
mod password;
mod serve;
mod server;
mod simulate;
mod terminal;
mod token;
mod user;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

/// Ten thousand idle connections are many small allocations: of three allocators this one took the least memory for them,
/// see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a storm of logins took goes back to the system after a second, instead of ten.
#[expect(unsafe_code, reason = "the allocator looks for this name before anything else runs")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; 37] = b"dirty_decay_ms:1000,muzzy_decay_ms:0\0";

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match command.run().await {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
