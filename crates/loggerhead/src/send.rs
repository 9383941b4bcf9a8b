//! `send`: files to a head-end, with the line broken as often as it likes.
//!
//! A file is found again by its name and what is in it: it goes on where it broke off, also when this program was ended in between.

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
use loggerhead_protocols::upload::legitimacy::{Auth, HELLO, NONCE_BYTES};
use loggerhead_protocols::upload::message::{FileHead, Told, digits};
use sha2::{Digest as _, Sha256};

use crate::exit::{Exit, Failure};
use crate::simulate::{Address, Way};
use crate::terminal;

/// What is read and sent at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// How long a head-end may be silent: it brings a large file to disk before it answers.
const SILENCE: Duration = Duration::from_mins(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// The word of a head-end that has no place for another file now.
const BUSY: &str = "busy";
/// Hex digits by which a file is found again.
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
    #[command(flatten)]
    way: Way,
    /// As which device
    #[arg(long, value_name = "IDENTITY")]
    device: Option<String>,
    /// A file with the secret that proves it; the last line end does not count
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Answer a listener that challenges its senders: hmac-md5, md5-hex or hmac-sha256
    #[arg(long, value_name = "FORM", requires = "secret_file", value_parser = Auth::of_word)]
    prove: Option<Auth>,
    /// Give up after so many seconds without a byte taken, once the head-end has answered
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Print what was kept as JSON
    #[arg(long)]
    json: bool,
}

/// Who sends to whom.
struct Sender<'a> {
    to: &'a Address,
    way: &'a Way,
    /// How a challenge is answered, and with which secret.
    proof: Option<(Auth, String)>,
    patience: Duration,
    /// Whether the head-end has ever answered: until then, waiting would hide a mistake.
    is_heard: bool,
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
    let proof = args.prove.zip(secret.clone());
    // What answers a challenge is not told besides.
    let secret = secret.filter(|_| args.prove.is_none());
    let mut sender =
        Sender { to: &args.to, way: &args.way, proof, patience: Duration::from_secs(args.patience), is_heard: false };
    let mut kept = Vec::new();
    let sent = args.files.iter().try_for_each(|path| {
        let item = Item { path, head: head(args, secret.clone(), path)? };
        let name = sender.send(&item)?;
        let sum = item.head.sums.sha256.map(|sum| digits(&sum)).unwrap_or_default();
        if args.json {
            kept.push(serde_json::json!({ "file": path, "name": name, "bytes": item.head.size, "sha256": sum }));
        } else {
            let bytes = item.head.size;
            terminal::say(format_args!("{} is kept as {name}, {bytes} bytes, sha256 {sum}", path.display()))?;
        }
        anyhow::Ok(())
    });
    if args.json {
        terminal::say_json(&kept)?;
    }
    sent.map(|()| ExitCode::SUCCESS)
}

/// Reads a file once, and says what it is.
fn head(args: &SendArgs, secret: Option<String>, path: &Path) -> anyhow::Result<FileHead> {
    let doing = || path.display().to_string();
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::new(Exit::Usage, format!("{} has no name to send", path.display())))?;
    let mut file = File::open(path).map_err(|error| Failure::of_file(path, &error))?;
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
    // With the name, so that a copy under another one is a file of its own.
    let mut id = digits(&Sha256::new().chain_update(name).chain_update([0]).chain_update(sum).finalize());
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

impl Sender<'_> {
    /// Sends a file, in as many attempts as it takes; gives the name under which it is kept.
    fn send(&mut self, item: &Item<'_>) -> anyhow::Result<String> {
        let bar = terminal::byte_bar("sending");
        bar.set_length(item.head.size);
        let (mut moved_at, mut furthest) = (Instant::now(), 0);
        let failure = loop {
            let error = match self.attempt(item, &bar) {
                Ok(Attempt::Kept(name)) => {
                    bar.finish_and_clear();
                    return Ok(name);
                }
                Ok(Attempt::Refused(reason)) => {
                    break Failure::new(Exit::Failed, format!("{} is not kept: {reason}", item.path.display()));
                }
                Err(error) => error,
            };
            if bar.position() > furthest {
                (moved_at, furthest) = (Instant::now(), bar.position());
            }
            if !self.is_heard || moved_at.elapsed() >= self.patience {
                let text = format!("{} is not sent to {}: {error:#}", item.path.display(), self.to);
                break Failure::new(Exit::Unreachable, text);
            }
            std::thread::sleep(PAUSE);
        };
        bar.finish_and_clear();
        Err(failure.into())
    }

    /// Sends what the head-end has not, over one connection.
    fn attempt(&mut self, item: &Item<'_>, bar: &ProgressBar) -> anyhow::Result<Attempt> {
        let Address::Tcp { host, port } = self.to else {
            return Ok(Attempt::Refused("files are sent to HOST:PORT".to_owned()));
        };
        let mut stream = self.way.connect(host, *port).context("connecting")?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        if let Some((auth, secret)) = &self.proof
            && !prove(&mut stream, *auth, secret)?
        {
            return Ok(Attempt::Refused("the head-end does not take the proof".to_owned()));
        }
        stream.write_all(&with_length(&item.head.write()))?;
        let answer = told(&mut stream)?;
        self.is_heard = true;
        match answer {
            Told::Offset { offset } => send_from(offset, &mut stream, item, bar),
            Told::Outcome { error, reason, .. } if error == BUSY => anyhow::bail!(reason),
            Told::Outcome { reason, .. } => Ok(Attempt::Refused(reason)),
        }
    }
}

/// Answers a challenge; false when the answer is not taken.
fn prove(stream: &mut TcpStream, auth: Auth, secret: &str) -> anyhow::Result<bool> {
    let mut nonce = [0; NONCE_BYTES];
    stream.read_exact(&mut nonce).context("waiting for the challenge")?;
    stream.write_all(&auth.answer(&nonce, secret.as_bytes()))?;
    let mut hello = [0; HELLO.len()];
    // Who is not known hears nothing but the end.
    Ok(stream.read_exact(&mut hello).is_ok() && hello == *HELLO)
}

/// Sends the bytes from `offset` on, and waits for the outcome.
fn send_from(offset: u64, stream: &mut TcpStream, item: &Item<'_>, bar: &ProgressBar) -> anyhow::Result<Attempt> {
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
            return match told(stream) {
                Ok(Told::Outcome { reason, .. }) => Ok(Attempt::Refused(reason)),
                Ok(Told::Offset { .. }) | Err(_) => Err(error.into()),
            };
        }
        left -= bytes.len() as u64;
        bar.inc(bytes.len() as u64);
    }
    match told(stream)? {
        Told::Outcome { status, name, .. } if status == "ok" => Ok(Attempt::Kept(name)),
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
    anyhow::ensure!(
        length <= HEAD_BYTES_MAX,
        "an answer of {length} bytes: it challenges its senders, which takes --prove and --secret-file, or takes no files"
    );
    let mut json = vec![0; length];
    stream.read_exact(&mut json)?;
    Ok(Told::parse(&json)?)
}
