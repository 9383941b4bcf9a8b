//! Loggerhead: the head-end for data loggers and other field devices.

mod check;
mod cli;
#[expect(dead_code, reason = "asked by verbs that are not written yet")]
mod client;
mod configuration;
mod demo;
mod exit;
mod limits;
mod logging;
mod serve;
mod simulate;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

/// Many small allocations of many connections come and go; this allocator gives their memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match command.run().await {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
