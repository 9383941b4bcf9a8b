//! The command line: one verb, one file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{check, demo, exit, serve, simulate, verify};

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
            Verb::Verify(args) => verify::run(&args),
            Verb::Simulate(what) => simulate::run(what).await,
            Verb::Demo(args) => demo::run(args).await,
        }
    }
}
