//! The command line: one verb, one file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{backup, check, command, decode, demo, device, exit, export, serve, simulate, verify};

/// The head-end for data loggers and other field devices: connect, prove, store, acknowledge, see.
#[derive(Debug, Parser)]
#[command(name = "loggerhead", version, after_help = exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the head-end
    Serve(serve::ServeArgs),
    /// Say what a configuration does, and what is wrong with it
    Check(check::CheckArgs),
    /// Explain every byte of a captured frame or conversation
    Decode(decode::DecodeArgs),
    /// Write what is stored as CSV, JSON lines or Parquet
    Export(export::ExportArgs),
    /// Say who may log in and who is there; add and remove devices
    #[command(subcommand)]
    Device(device::DeviceVerb),
    /// Ask something of a device
    Command(command::CommandArgs),
    /// Copy a store while it is in use
    Backup(backup::BackupArgs),
    /// Read everything in a store back against its checksums
    Verify(verify::VerifyArgs),
    /// Pretend to be many devices, and say how the head-end took it
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    /// See it all work: a head-end on loopback, with simulated loggers of every dialect
    Demo(demo::DemoArgs),
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// What the verb could not do; `exit::report` prints it and gives the exit code.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Serve(args) => serve::run(&args).await,
            Verb::Check(args) => check::run(&args),
            Verb::Decode(args) => decode::run(&args),
            Verb::Export(args) => export::run(&args),
            Verb::Device(verb) => device::run(verb).await,
            Verb::Command(args) => command::run(&args).await,
            Verb::Backup(args) => backup::run(&args),
            Verb::Verify(args) => verify::run(&args),
            Verb::Simulate(what) => simulate::run(what).await,
            Verb::Demo(args) => demo::run(args).await,
        }
    }
}
