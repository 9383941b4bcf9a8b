//! Loggerhead: the head-end for data loggers and other field devices.

mod backup;
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
mod serve;
mod server;
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
