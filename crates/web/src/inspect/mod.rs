//! Every byte of a capture with its meaning: what `decode` prints and the console's inspector shows.
//!
//! Puts conversations together from captures and lets a protocol explain each direction. Knows no protocol itself.

mod capture;
mod input;
mod streams;
#[cfg(test)]
mod tests;

use loggerhead_headend::config::parse_secret;
use loggerhead_protocols::{Explain, Explanation, Field, Judgement, Protocol, SettingsError};

pub use input::{Input, from_hex};
pub use streams::Arrival;

use streams::{Conversation, Conversations};

/// A cipher key and its initialisation vector.
#[derive(Clone)]
pub struct Key {
    key: Vec<u8>,
    iv: Vec<u8>,
}

impl std::fmt::Debug for Key {
    /// Not the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(..)")
    }
}

impl Key {
    /// Reads `text:KEY`, `hex:KEY` or `text:KEY,iv=hex:IV`; without a vector it is the key.
    ///
    /// # Errors
    /// What would be right; never the key.
    pub fn parse(written: &str) -> Result<Self, String> {
        let (key, iv) = written.rsplit_once(",iv=").map_or((written, None), |(key, iv)| (key, Some(iv)));
        let key = parse_secret(key)?.expose().to_vec();
        let iv = iv.map(|iv| parse_secret(iv).map(|iv| iv.expose().to_vec())).transpose()?;
        Ok(Self { iv: iv.unwrap_or_else(|| key.clone()), key })
    }
}

/// Bytes that cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A setting cannot be.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// There is nothing to explain.
    #[error("no bytes to decode")]
    Empty,
    /// The file is no capture.
    #[error("no capture: {0}")]
    NoCapture(&'static str),
    /// A block of a capture is over its limit.
    #[error("a block of over {0} bytes")]
    Block(usize),
    /// A capture with too much in it.
    #[error("over {bytes} bytes or {conversations} conversations: cut the capture, or give --port")]
    TooLarge {
        /// Most bytes of all conversations.
        bytes: usize,
        /// Most conversations.
        conversations: usize,
    },
    /// A capture without what is looked for.
    #[error("the capture holds no TCP conversation with any bytes")]
    NoConversation,
}

/// Everything that could be said.
#[derive(Debug)]
pub struct Inspection {
    /// The conversations, in the order in which they began.
    pub parts: Vec<Part>,
    /// What people should know about the capture.
    pub notes: Vec<String>,
}

/// One conversation, explained.
#[derive(Debug)]
pub struct Part {
    /// Who talked with whom; nothing for bytes from nowhere.
    pub title: Option<String>,
    /// What was said, in its order.
    pub runs: Vec<Explained>,
    /// Bytes that the capture does not hold.
    pub missing: u64,
}

/// Bytes of one direction without a gap, explained.
#[derive(Debug)]
pub struct Explained {
    /// Who says it; nothing for bytes from nowhere.
    pub from: Option<String>,
    /// What is said.
    pub bytes: Vec<u8>,
    /// What it means.
    pub explanation: Explanation,
    /// When its pieces came.
    pub arrivals: Vec<Arrival>,
}

/// One field at its place in the conversation.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The direction that it is in.
    pub run: &'a Explained,
    /// The field.
    pub field: &'a Field,
    /// The packet that completed it; 0 for bytes from nowhere.
    pub packet: u64,
}

impl Inspection {
    /// Every explanation in it.
    pub fn explanations(&self) -> impl Iterator<Item = &Explanation> {
        self.parts.iter().flat_map(Part::explanations)
    }

    /// What people should know, of the capture and of how its bytes were read; each once.
    #[must_use]
    pub fn all_notes(&self) -> Vec<&str> {
        let read = self.explanations().flat_map(|explanation| &explanation.notes);
        let mut notes: Vec<&str> = Vec::new();
        for note in self.notes.iter().chain(read) {
            if !notes.contains(&note.as_str()) {
                notes.push(note);
            }
        }
        notes
    }

    /// Whether a check does not fit, bytes mean nothing, or bytes are missing.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        let is_wrong = |field: &Field| field.judgement == Judgement::Wrong;
        self.parts.iter().any(|part| part.missing > 0)
            || self.explanations().any(|explanation| explanation.fields.iter().any(is_wrong))
    }

    /// Whether something stays a secret for want of a key.
    #[must_use]
    pub fn is_enciphered(&self) -> bool {
        let is_enciphered = |field: &Field| field.name == "cipher" && field.judgement == Judgement::Odd;
        self.explanations().any(|explanation| explanation.fields.iter().any(is_enciphered))
    }
}

impl Part {
    /// Every explanation in it.
    pub fn explanations(&self) -> impl Iterator<Item = &Explanation> {
        self.runs.iter().map(|run| &run.explanation)
    }

    /// The fields of both directions in the order in which they were complete.
    #[must_use]
    pub fn steps(&self) -> Vec<Step<'_>> {
        let mut steps: Vec<Step<'_>> = Vec::new();
        for run in &self.runs {
            for field in &run.explanation.fields {
                let index = run.arrivals.partition_point(|arrival| arrival.end < field.range.end);
                let packet = run.arrivals.get(index).map_or(0, |arrival| arrival.packet);
                steps.push(Step { run, field, packet });
            }
        }
        steps.sort_by_key(|step| step.packet); // stable: fields of one packet keep their order
        steps
    }
}

impl<'a> Step<'a> {
    /// The bytes of the field.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.run.bytes.get(self.field.range.clone()).unwrap_or_default()
    }

    /// The texts whose bytes end in this field.
    pub fn messages(&self) -> impl Iterator<Item = &'a str> {
        let range = self.field.range.clone();
        let messages = self.run.explanation.messages.iter();
        messages.filter(move |(bytes, _)| range.contains(&(bytes.end.max(1) - 1))).map(|(_, text)| text.as_str())
    }
}

/// Explains bytes by one protocol.
#[derive(Debug)]
pub struct Decoder {
    explain: fn(&Explain<'_>) -> Explanation,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    settings: toml::Table,
    version: Option<String>,
}

impl Decoder {
    /// For this protocol, with keys to try and settings as on a listener.
    ///
    /// # Errors
    /// `Settings` when the protocol does not take the settings.
    pub fn new(protocol: &'static Protocol, keys: &[Key], settings: toml::Table) -> Result<Self, InspectError> {
        (protocol.acceptor)(&settings, &mut std::iter::empty())?;
        let keys = keys.iter().map(|Key { key, iv }| (key.clone(), iv.clone())).collect();
        Ok(Self { explain: protocol.explain, keys, settings, version: None })
    }

    /// With the version that is spoken, where bytes do not say it.
    #[must_use]
    pub fn of_version(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }

    /// Explains everything in the input; of a capture, conversations with `port` at either end, or all.
    ///
    /// # Errors
    /// `Empty` without bytes; for a capture `NoCapture`, `Block`, `TooLarge` or `NoConversation`.
    pub fn decode(&self, input: Input, port: Option<u16>) -> Result<Inspection, InspectError> {
        match input {
            Input::Bytes(bytes) if bytes.is_empty() => Err(InspectError::Empty),
            Input::Bytes(bytes) => Ok(Inspection { parts: vec![self.bytes(bytes)], notes: Vec::new() }),
            Input::Capture(bytes) => self.capture(&bytes, port),
        }
    }

    /// Explains bytes from nowhere.
    #[must_use]
    pub fn bytes(&self, bytes: Vec<u8>) -> Part {
        let explanation = self.explain(&bytes, &[]);
        Part { title: None, runs: vec![Explained { from: None, bytes, explanation, arrivals: Vec::new() }], missing: 0 }
    }

    fn explain(&self, bytes: &[u8], opening: &[u8]) -> Explanation {
        let (settings, version) = (Some(&self.settings), self.version.as_deref());
        (self.explain)(&Explain { bytes, keys: &self.keys, settings, opening, version })
    }

    fn capture(&self, bytes: &[u8], port: Option<u16>) -> Result<Inspection, InspectError> {
        let mut conversations = Conversations::new(port);
        let notes = capture::read(bytes, &mut |segment| conversations.take(&segment))?;
        let conversations = conversations.finish();
        if conversations.is_empty() {
            return Err(InspectError::NoConversation);
        }
        let parts = conversations.into_iter().map(|conversation| self.conversation(conversation)).collect();
        Ok(Inspection { parts, notes })
    }

    fn conversation(&self, conversation: Conversation) -> Part {
        let title = format!("{} with {}", conversation.opener, conversation.other);
        let missing = conversation.runs.iter().map(|run| run.missing_before).sum();
        let opened = conversation.runs.iter().find(|run| run.from == conversation.opener);
        let opening = opened.map(|run| run.bytes.as_slice()).unwrap_or_default();
        let explanations: Vec<_> = conversation.runs.iter().map(|run| self.explain(&run.bytes, opening)).collect();
        let runs = conversation.runs.into_iter().zip(explanations).map(|(run, explanation)| Explained {
            from: Some(run.from.to_string()),
            explanation,
            bytes: run.bytes,
            arrivals: run.arrivals,
        });
        Part { title: Some(title), runs: runs.collect(), missing }
    }
}
