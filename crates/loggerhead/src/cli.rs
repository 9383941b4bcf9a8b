//! The command line: one verb, one file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    backup, check, command, decode, demo, device, exit, export, find, mqtt, send, serve, simulate, token, user, verify,
};

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
    #[command(subcommand, after_help = "Example: loggerhead device list --data /var/lib/loggerhead")]
    Device(device::DeviceVerb),
    /// Ask something of a device
    Command(command::CommandArgs),
    /// Say who may sign in to the console, and what they may do
    #[command(subcommand, after_help = "Example: loggerhead user add ada --role admin")]
    User(user::UserVerb),
    /// Make and end what programs open the API with
    #[command(subcommand, after_help = "Example: loggerhead token add billing --scope read --days 90")]
    Token(token::TokenVerb),
    /// Copy a store while it is in use
    Backup(backup::BackupArgs),
    /// Read everything in a store back against its checksums
    Verify(verify::VerifyArgs),
    /// Send files to a head-end, and go on where the line broke
    Send(send::SendArgs),
    /// Publish to an MQTT broker, and see what it passes on
    #[command(subcommand, after_help = "Example: loggerhead mqtt sub 'loggerhead/+/alarms' --user admin")]
    Mqtt(mqtt::MqttVerb),
    /// Look for KUKA robots with a variable proxy, on a host or a whole network
    Find(find::FindArgs),
    /// Pretend to be many devices, and say how the head-end took it
    #[command(subcommand, after_help = "Example: loggerhead simulate logger --to 127.0.0.1:36829 --packets 10")]
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
            Verb::User(verb) => user::run(verb).await,
            Verb::Token(verb) => token::run(verb).await,
            Verb::Backup(args) => backup::run(&args),
            Verb::Verify(args) => verify::run(&args),
            Verb::Send(args) => send::run(&args),
            Verb::Mqtt(verb) => mqtt::run(verb).await,
            Verb::Find(args) => find::run(&args).await,
            Verb::Simulate(what) => simulate::run(what).await,
            Verb::Demo(args) => demo::run(args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_command_line_fits_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn check(verb: &clap::Command) {
            verb.get_subcommands().for_each(check);
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", verb.get_name());
        }
        Cli::command().get_subcommands().for_each(check);
    }

    #[test]
    fn what_the_documentation_shows_can_be_said() {
        for line in [
            "serve --config f --data d --set a=b --set c=d",
            "decode logger --aes-key text:0000000000123456 --hex 68681616",
            "decode --pcap f",
            "decode -",
            "decode mqtt --build connect --client-id C001 --user admin --password 123456 --keep-alive 100",
            "simulate kuka-eki --to 127.0.0.1:54600 --robots 3 --rate 20 --seconds 10",
            "simulate kuka-proxy --listen 127.0.0.1:7000 --kind simple --writable $OV_PRO",
            "simulate kuka-rsi --to 127.0.0.1:49152 --cycle-ms 12 --seconds 60 --json",
            "simulate camera --to 127.0.0.1:2021 --cameras 3 --apps 5 --rate 0.1 --seconds 60",
            "decode kuka --hex 3c412f3e",
            "send 1.jpg log.txt --to [::1]:5002 --device T1 --secret-file f --json",
            "send 1.jpg --to [::1]:5002 --secret-file f --prove md5-hex",
            "mqtt pub plant/boiler on --qos 1 --retain --user admin --password-file f",
            "mqtt sub loggerhead/+/alarms plant/# --count 1 --json --to [::1]:1883 --tls",
            "simulate mqtt --publishers 100 --subscribers 1 --qos 1 --rate 100 --json",
            "simulate mqtt --publishers 1000 --subscribers 0 --storm 10",
            "device add 192.0.2.7 --protocol kuka --id press --login name --data d",
            "device add 330302D110/01 --secret text:x --id tower-1 --data d",
            "command tower-1 period 15 --data d",
            "command tower-1 query --from 2026-01-01 --to 2026-01-02 --wait 5 --json",
            "export readings --device d --from 2026-01-01 --to 2026-02-01 --format parquet -o f",
            "backup f --data d",
            "verify --data d --json",
            "user add ada --role admin --password-file f --data d",
            "user password ada --data d --json",
            "token add billing --scope read --device tower-1 --days 90 --data d",
            "token revoke billing --json",
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("loggerhead").chain(line.split(' ')));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }
}
