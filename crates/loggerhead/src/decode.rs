//! `decode`: every byte of a capture with its meaning, and what is wrong with it.

mod build;
mod input;
mod show;

use std::process::ExitCode;

use anyhow::Context as _;
use loggerhead_protocols::{ALL, Protocol};
use loggerhead_web::api::Explanation;
use loggerhead_web::inspect::{Decoder, Input, InspectError, Key};

use self::build::{Build, Parts};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Options of `decode`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead decode --aes-key text:0000000000123456 --hex '68681616 e4000000 1692ec42 ...'
  loggerhead decode logger --aes-key hex:0102030405060708090a0b0c0d0e0f10 capture.pcapng
  tcpdump -w - port 36829 | loggerhead decode -
  loggerhead decode mqtt --mqtt-version 3.1.1 --hex '9004 0001 00 01'
  loggerhead decode mqtt --build connect --client-id C001 --user admin --password 123456
Ends with 1 when something is wrong: a check that does not fit, garbage, bytes that no key deciphers, a gap.")]
pub(crate) struct DecodeArgs {
    /// The protocol, logger where none is named; or the file
    #[arg(value_name = "PROTOCOL | FILE")]
    first: Option<String>,
    /// A capture (pcap or pcapng), a file of hex digits, or one of the bytes themselves; - for standard input
    file: Option<String>,
    /// A key to try, with an initialisation vector when it is another: text:KEY, hex:KEY, text:KEY,iv=hex:IV
    #[arg(long, value_name = "KEY", value_parser = Key::parse)]
    aes_key: Vec<Key>,
    /// Bytes as hex digits
    #[arg(long, value_name = "HEX")]
    hex: Option<String>,
    /// Build a packet instead of reading one, and explain it
    #[arg(long, value_name = "PACKET", conflicts_with_all = ["hex", "pcap"])]
    build: Option<Build>,
    #[command(flatten)]
    parts: Parts,
    /// A capture: pcap or pcapng
    #[arg(long, value_name = "FILE", conflicts_with = "hex")]
    pcap: Option<String>,
    /// Only conversations with this TCP port at either end
    #[arg(long)]
    port: Option<u16>,
    /// A setting as on a listener, such as dialect=bare or time_zone=+08:00
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb: success when nothing is wrong with the bytes.
///
/// # Errors
/// When there is nothing to decode, or it cannot be read.
pub(crate) fn run(args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    let (protocol, file) = protocol_and_file(args.first.as_deref(), args.file.as_deref())?;
    let given = args.pcap.as_deref().or(file);
    let mqtt = &loggerhead_protocols::mqtt::PROTOCOL;
    let (protocol, input) = match (args.build, given) {
        (Some(build), None) if args.first.is_none() || protocol.name == mqtt.name => {
            (mqtt, Input::Bytes(build::bytes(build, &args.parts)?))
        }
        (Some(_), None) => {
            return Err(Failure::new(Exit::Usage, format!("--build is not for {}", protocol.name)).into());
        }
        (Some(_), Some(_)) => return Err(Failure::new(Exit::Usage, "either --build or a file").into()),
        (None, _) if args.parts.is_any() => {
            let words = "--client-id, --user, --password, --keep-alive and --keep-session go with --build";
            return Err(Failure::new(Exit::Usage, words).into());
        }
        (None, given) => (protocol, input(args, given)?),
    };
    let version = args.parts.level()?.map(|level| level.name().to_owned());
    if version.is_some() && protocol.name != mqtt.name {
        return Err(Failure::new(Exit::Usage, format!("--mqtt-version is not for {}", protocol.name)).into());
    }
    let decoder = Decoder::new(protocol, &args.aes_key, settings(args)?)
        .map_err(|error| Failure::new(Exit::Usage, format!("--set {error}")))?
        .of_version(version);
    let mut inspection = decoder.decode(input, args.port).map_err(|error| failure(&error))?;
    if args.aes_key.is_empty() && inspection.is_enciphered() {
        inspection.notes.push("messages are enciphered: show them with --aes-key text:KEY or hex:KEY".to_owned());
    }
    if args.json {
        terminal::say_json(&serde_json::to_value(Explanation::from(&inspection))?)?;
    } else {
        show::print(&inspection, terminal::has_colour())?;
    }
    Ok(if inspection.is_wrong() { Exit::Failed.into() } else { ExitCode::SUCCESS })
}

/// What is to be decoded: digits, a file, or standard input.
fn input(args: &DecodeArgs, file: Option<&str>) -> anyhow::Result<Input> {
    let input = match (&args.hex, file) {
        (Some(digits), None) => input::of_hex(digits)?,
        (None, Some(file)) => input::read(file)?,
        (Some(_), Some(_)) => return Err(Failure::new(Exit::Usage, "either --hex or a file").into()),
        (None, None) => return Err(Failure::new(Exit::Usage, "nothing to decode: give --hex HEX, a file, or -").into()),
    };
    if args.pcap.is_some() && !matches!(input, Input::Capture(_)) {
        return Err(Failure::new(Exit::Usage, "that file is neither pcap nor pcapng").into());
    }
    Ok(input)
}

/// The settings of `--set`.
fn settings(args: &DecodeArgs) -> anyhow::Result<toml::Table> {
    let mut settings = toml::Table::new();
    for assignment in &args.set {
        let refused = || Failure::new(Exit::Usage, format!("--set {assignment}: takes KEY=VALUE"));
        let (key, value) = assignment.split_once('=').ok_or_else(refused)?;
        settings.insert(key.trim().to_owned(), toml::Value::String(value.trim().to_owned()));
    }
    Ok(settings)
}

/// With the exit code that goes with it.
fn failure(error: &InspectError) -> Failure {
    let exit = match error {
        InspectError::Settings(_) | InspectError::Empty | InspectError::TooLarge { .. } => Exit::Usage,
        InspectError::NoCapture(_) | InspectError::Block(_) | InspectError::NoConversation => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

fn protocol_and_file<'a>(
    word: Option<&'a str>,
    file: Option<&'a str>,
) -> anyhow::Result<(&'static Protocol, Option<&'a str>)> {
    let first = ALL.first().context("no protocol is built in")?;
    match (word, word.and_then(loggerhead_protocols::find), file) {
        (None, _, file) => Ok((first, file)),
        (Some(_), Some(protocol), file) => Ok((protocol, file)),
        (Some(word), None, None) => Ok((first, Some(word))),
        (Some(word), None, Some(_)) => Err(Failure::new(Exit::Usage, format!("there is no protocol {word:?}")).into()),
    }
}
