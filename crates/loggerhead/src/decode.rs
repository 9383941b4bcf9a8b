//! `decode`: every byte of a capture with its meaning, and what is wrong with it.

mod build;
mod capture;
mod input;
mod show;
mod streams;

use std::process::ExitCode;

use anyhow::Context as _;
use loggerhead_headend::config::parse_secret;
use loggerhead_protocols::{ALL, Explain, Explanation, Judgement, Protocol};

use self::build::{Build, Parts};
use self::input::Input;
use self::streams::{Conversation, Conversations};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Options of `decode`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead decode --aes-key text:0000000000123456 --hex '68681616 e4000000 1692ec42 ...'
  loggerhead decode logger --aes-key hex:0102030405060708090a0b0c0d0e0f10 capture.pcapng
  tcpdump -w - port 36829 | loggerhead decode -
  loggerhead decode mqtt --build connect --client-id C001 --user admin --password 123456
Ends with 1 when something is wrong: a check that does not fit, garbage, bytes that no key deciphers, a gap.")]
pub(crate) struct DecodeArgs {
    /// The protocol, logger where none is named; or the file
    #[arg(value_name = "PROTOCOL | FILE")]
    first: Option<String>,
    /// A capture (pcap or pcapng), a file of hex digits, or one of the bytes themselves; - for standard input
    file: Option<String>,
    /// A key to try, with an initialisation vector when it is another: text:KEY, hex:KEY, text:KEY,iv=hex:IV
    #[arg(long, value_name = "KEY", value_parser = key)]
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

/// A cipher key and its initialisation vector.
#[derive(Clone)]
struct Key(Vec<u8>, Vec<u8>);

impl std::fmt::Debug for Key {
    /// Not the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(..)")
    }
}

fn key(written: &str) -> Result<Key, String> {
    let (key, iv) = written.rsplit_once(",iv=").map_or((written, None), |(key, iv)| (key, Some(iv)));
    let key = parse_secret(key)?.expose().to_vec();
    let iv = iv.map(|iv| parse_secret(iv).map(|iv| iv.expose().to_vec())).transpose()?;
    Ok(Key(key.clone(), iv.unwrap_or(key)))
}

/// Runs the verb: success when nothing is wrong with the bytes.
///
/// # Errors
/// When there is nothing to decode, or it cannot be read.
pub(crate) fn run(args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    let (protocol, file) = protocol_and_file(args.first.as_deref(), args.file.as_deref())?;
    let given = args.pcap.as_deref().or(file);
    if let (Some(build), None) = (args.build, given) {
        let decoder = Decoder::new(&loggerhead_protocols::mqtt::PROTOCOL, args)?;
        return show(&[decoder.bytes(build::bytes(build, &args.parts)?)], &[], args);
    }
    let input = match (&args.hex, given) {
        (Some(digits), None) => Input::of_hex(digits)?,
        (None, Some(file)) => Input::read(file)?,
        (Some(_), Some(_)) => return Err(Failure::new(Exit::Usage, "either --hex or a file").into()),
        (None, None) => return Err(Failure::new(Exit::Usage, "nothing to decode: give --hex HEX, a file, or -").into()),
    };
    if args.pcap.is_some() && !matches!(input, Input::Capture(_)) {
        return Err(Failure::new(Exit::Usage, "that file is neither pcap nor pcapng").into());
    }
    let decoder = Decoder::new(protocol, args)?;
    let (parts, mut notes) = match input {
        Input::Bytes(bytes) if bytes.is_empty() => return Err(Failure::new(Exit::Usage, "no bytes to decode").into()),
        Input::Bytes(bytes) => (vec![decoder.bytes(bytes)], Vec::new()),
        Input::Capture(bytes) => decoder.capture(&bytes, args.port)?,
    };
    if args.aes_key.is_empty() && parts.iter().flat_map(Part::explanations).any(is_enciphered) {
        notes.push("messages are enciphered: show them with --aes-key text:KEY or hex:KEY".to_owned());
    }
    show(&parts, &notes, args)
}

fn show(parts: &[Part], notes: &[String], args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        terminal::say_json(&show::as_json(parts, notes))?;
    } else {
        show::print(parts, notes, terminal::has_colour())?;
    }
    let is_wrong = |part: &Part| part.missing > 0 || part.explanations().any(is_wrong);
    Ok(if parts.iter().any(is_wrong) { Exit::Failed.into() } else { ExitCode::SUCCESS })
}

fn is_wrong(explanation: &Explanation) -> bool {
    explanation.fields.iter().any(|field| field.judgement == Judgement::Wrong)
}

/// Whether something stays a secret.
fn is_enciphered(explanation: &Explanation) -> bool {
    explanation.fields.iter().any(|field| field.name == "cipher" && field.judgement == Judgement::Odd)
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

/// One conversation, explained.
pub(crate) struct Part {
    /// Who talked with whom; nothing for bytes from nowhere.
    title: Option<String>,
    /// What was said, in its order.
    runs: Vec<Explained>,
    /// Bytes that the capture does not hold.
    missing: u64,
}

impl Part {
    fn explanations(&self) -> impl Iterator<Item = &Explanation> {
        self.runs.iter().map(|run| &run.explanation)
    }
}

/// Bytes of one direction without a gap, explained.
pub(crate) struct Explained {
    /// Who says it; nothing for bytes from nowhere.
    from: Option<String>,
    bytes: Vec<u8>,
    explanation: Explanation,
    arrivals: Vec<streams::Arrival>,
}

struct Decoder {
    protocol: &'static Protocol,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    settings: toml::Table,
}

impl Decoder {
    fn new(protocol: &'static Protocol, args: &DecodeArgs) -> anyhow::Result<Self> {
        let mut settings = toml::Table::new();
        for assignment in &args.set {
            let refused = || Failure::new(Exit::Usage, format!("--set {assignment}: takes KEY=VALUE"));
            let (key, value) = assignment.split_once('=').ok_or_else(refused)?;
            settings.insert(key.trim().to_owned(), toml::Value::String(value.trim().to_owned()));
        }
        (protocol.acceptor)(&settings, &mut std::iter::empty())
            .map_err(|error| Failure::new(Exit::Usage, format!("--set {error}")))?;
        let keys = args.aes_key.iter().map(|Key(key, iv)| (key.clone(), iv.clone())).collect();
        Ok(Self { protocol, keys, settings })
    }

    fn explain(&self, bytes: &[u8]) -> Explanation {
        (self.protocol.explain)(&Explain { bytes, keys: &self.keys, settings: Some(&self.settings) })
    }

    fn bytes(&self, bytes: Vec<u8>) -> Part {
        let explanation = self.explain(&bytes);
        Part { title: None, runs: vec![Explained { from: None, bytes, explanation, arrivals: Vec::new() }], missing: 0 }
    }

    fn capture(&self, bytes: &[u8], port: Option<u16>) -> anyhow::Result<(Vec<Part>, Vec<String>)> {
        let mut conversations = Conversations::new(port);
        let notes = capture::read(bytes, &mut |segment| conversations.take(&segment))?;
        let conversations = conversations.finish();
        if conversations.is_empty() {
            return Err(Failure::new(Exit::Failed, "the capture holds no TCP conversation with any bytes").into());
        }
        Ok((conversations.into_iter().map(|conversation| self.conversation(conversation)).collect(), notes))
    }

    fn conversation(&self, conversation: Conversation) -> Part {
        let title = format!("{} with {}", conversation.opener, conversation.other);
        let missing = conversation.runs.iter().map(|run| run.missing_before).sum();
        let runs = conversation.runs.into_iter().map(|run| Explained {
            from: Some(run.from.to_string()),
            explanation: self.explain(&run.bytes),
            bytes: run.bytes,
            arrivals: run.arrivals,
        });
        Part { title: Some(title), runs: runs.collect(), missing }
    }
}

#[cfg(test)]
mod tests;
