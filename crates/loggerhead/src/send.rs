//! `send`: files to a head-end, with the line broken as often as it likes.
//!
//! A file is found again by what is in it: it goes on where it broke off, also when this program was ended in between.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::ProgressBar;
use loggerhead_protocols::FileSums;
use loggerhead_protocols::upload::frame::{HEAD_BYTES_MAX, LENGTH_BYTES, with_length};
use loggerhead_protocols::upload::message::{FileHead, Told, digits};
use sha2::{Digest as _, Sha256};

use crate::exit::{Exit, Failure};
use crate::simulate::Address;
use crate::terminal;

/// What is read and sent at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// How long a head-end may be silent: it brings a large file to disk before it answers.
const SILENCE: Duration = Duration::from_mins(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Hex digits of a sum by which a file is found again.
const ID_DIGITS: usize = 32;

/// Options of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: loggerhead send 1.jpg log.txt --to 192.0.2.1:5002
A file that broke off goes on where it did: run the same command again. Without --device the head-end knows this machine by \
its address.")]
pub(crate) struct SendArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the head-end takes files: HOST:PORT, with an IPv6 address in brackets
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// As which device
    #[arg(long, value_name = "IDENTITY")]
    device: Option<String>,
    /// A file with the secret that proves it; the last line end does not count
    #[arg(long, value_name = "FILE", requires = "device")]
    secret_file: Option<PathBuf>,
    /// Give up after so many seconds without a byte taken
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Print what was kept as JSON
    #[arg(long)]
    json: bool,
}

/// A file that is to be sent.
struct Item<'a> {
    path: &'a Path,
    head: FileHead,
}

/// What became of an attempt.
enum Attempt {
    /// The name under which it is kept.
    Kept(String),
    /// The head-end says no, and would again.
    Refused(String),
}

/// Runs the verb: success when every file is kept.
///
/// # Errors
/// When a file cannot be read, a head-end cannot be reached, or it does not take a file.
pub(crate) fn run(args: &SendArgs) -> anyhow::Result<ExitCode> {
    let secret = match &args.secret_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => None,
    };
    let mut kept = Vec::new();
    for path in &args.files {
        let item = Item { path, head: head(args, secret.clone(), path)? };
        let name = send(args, &item)?;
        let sum = item.head.sums.sha256.map(|sum| digits(&sum)).unwrap_or_default();
        if args.json {
            kept.push(serde_json::json!({ "file": path, "name": name, "bytes": item.head.size, "sha256": sum }));
        } else {
            terminal::say(format_args!(
                "{} is kept as {name}, {} bytes, sha256 {sum}",
                path.display(),
                item.head.size
            ))?;
        }
    }
    if args.json {
        terminal::say_json(&kept)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a file once, and says what it is.
fn head(args: &SendArgs, secret: Option<String>, path: &Path) -> anyhow::Result<FileHead> {
    let doing = || path.display().to_string();
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::new(Exit::Usage, format!("{} has no name to send", path.display())))?;
    let mut file = File::open(path).with_context(doing)?;
    let size = file.metadata().with_context(doing)?.len();
    let bar = terminal::byte_bar("reading");
    bar.set_length(size);
    let (mut hash, mut piece, mut read) = (Sha256::new(), vec![0; PIECE_BYTES], 0);
    loop {
        let count = file.read(&mut piece).with_context(doing)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        read += bytes.len() as u64;
        bar.set_position(read);
    }
    bar.finish_and_clear();
    let sum: [u8; 32] = hash.finalize().into();
    let mut id = digits(&sum);
    id.truncate(ID_DIGITS);
    Ok(FileHead {
        name: name.to_owned(),
        size: read,
        device: args.device.clone(),
        secret,
        id: Some(id),
        resume: true,
        sums: FileSums { sha256: Some(sum), md5: None },
        ..FileHead::default()
    })
}

/// Sends a file, in as many attempts as it takes; gives the name under which it is kept.
fn send(args: &SendArgs, item: &Item<'_>) -> anyhow::Result<String> {
    let bar = terminal::byte_bar("sending");
    bar.set_length(item.head.size);
    let patience = Duration::from_secs(args.patience);
    let (mut moved_at, mut furthest) = (Instant::now(), 0);
    loop {
        let error = match attempt(&args.to, item, &bar) {
            Ok(Attempt::Kept(name)) => {
                bar.finish_and_clear();
                return Ok(name);
            }
            Ok(Attempt::Refused(reason)) => {
                bar.finish_and_clear();
                let text = format!("{} is not kept: {reason}", item.path.display());
                return Err(Failure::new(Exit::Failed, text).into());
            }
            Err(error) => error,
        };
        if bar.position() > furthest {
            (moved_at, furthest) = (Instant::now(), bar.position());
        }
        if moved_at.elapsed() >= patience {
            bar.finish_and_clear();
            let text = format!("{} is not sent to {}: {error:#}", item.path.display(), args.to);
            return Err(Failure::new(Exit::Unreachable, text).into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Sends what the head-end has not, over one connection.
fn attempt(to: &Address, item: &Item<'_>, bar: &ProgressBar) -> anyhow::Result<Attempt> {
    let Address::Tcp { host, port } = to else {
        return Ok(Attempt::Refused("files are sent to HOST:PORT".to_owned()));
    };
    let mut stream = TcpStream::connect((host.as_str(), *port)).context("connecting")?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.write_all(&with_length(&item.head.write()))?;
    let offset = match told(&mut stream)? {
        Told::Offset { offset } => offset,
        Told::Outcome { reason, .. } => return Ok(Attempt::Refused(reason)),
    };
    let mut file = File::open(item.path).with_context(|| item.path.display().to_string())?;
    file.seek(SeekFrom::Start(offset))?;
    bar.set_position(offset);
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = item.head.size.saturating_sub(offset);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let count = file.read(piece.get_mut(..most).unwrap_or_default())?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Attempt::Refused("it became shorter while it was sent".to_owned()));
        };
        if let Err(error) = stream.write_all(bytes) {
            // Who stops reading has said why.
            return match told(&mut stream) {
                Ok(Told::Outcome { reason, .. }) => Ok(Attempt::Refused(reason)),
                Ok(Told::Offset { .. }) | Err(_) => Err(error.into()),
            };
        }
        left -= bytes.len() as u64;
        bar.inc(bytes.len() as u64);
    }
    match told(&mut stream)? {
        Told::Outcome { status, name, .. } if status == "ok" => Ok(Attempt::Kept(name)),
        // Another one of this program goes on with it.
        Told::Outcome { reason, .. } => Ok(Attempt::Refused(reason)),
        Told::Offset { .. } => anyhow::bail!("the head-end says where to begin, at the end"),
    }
}

/// The next answer of a head-end.
fn told(stream: &mut TcpStream) -> anyhow::Result<Told> {
    let mut length = [0; LENGTH_BYTES];
    stream
        .read_exact(&mut length)
        .context("the head-end ended the connection, as it does when it does not know a sender")?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    anyhow::ensure!(length <= HEAD_BYTES_MAX, "an answer of {length} bytes: is this a head-end for files?");
    let mut json = vec![0; length];
    stream.read_exact(&mut json)?;
    Ok(Told::parse(&json)?)
}
