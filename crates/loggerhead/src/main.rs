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
