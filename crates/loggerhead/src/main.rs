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
mod find;
mod limits;
mod logging;
mod mqtt;
mod password;
mod send;
mod serve;
mod server;
mod simulate;
mod terminal;
mod token;
mod user;
mod verify;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::runtime::Runtime;

/// Ten thousand idle connections are many small allocations: of three allocators this one took the least memory for them,
/// see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a storm of logins took goes back to the system after a second, instead of ten.
#[expect(unsafe_code, reason = "the allocator looks for this name before anything else runs")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; 37] = b"dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    let done = Runtime::new().context("the threads of this program").and_then(|runtime| {
        let done = runtime.block_on(command.run());
        // Whatever still waits for a disk that hangs is left behind: a stop has its bound.
        runtime.shutdown_background();
        done
    });
    done.unwrap_or_else(|error| exit::report(&error))
}
