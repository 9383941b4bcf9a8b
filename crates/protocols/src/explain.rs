//! What bytes mean, for people: every byte by offset, and what is wrong with it.

use std::ops::Range;

/// What to explain, and what helps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explain<'a> {
    /// Bytes of one direction of a conversation, in order.
    pub bytes: &'a [u8],
    /// Cipher keys to try: `(key, initialisation vector)`.
    pub keys: &'a [(Vec<u8>, Vec<u8>)],
    /// Settings as on a listener, such as a fixed dialect.
    pub settings: Option<&'a toml::Table>,
    /// What the peer said first that opened the conversation, where that is known; it may say what the bytes do not.
    pub opening: &'a [u8],
    /// Which version of the protocol is spoken, where somebody says it.
    pub version: Option<&'a str>,
}

/// The meaning of a run of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The fields in order of their offset; together they cover every byte once.
    pub fields: Vec<Field>,
    /// Messages in them, as pretty text, each with the bytes that it came from.
    pub messages: Vec<(Range<usize>, String)>,
    /// What people should know of how they were read.
    pub notes: Vec<String>,
}

/// A piece of bytes with one meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which bytes.
    pub range: Range<usize>,
    /// Name of the field: `head`, `length`, `cipher`.
    pub name: String,
    /// What its bytes say: `228 bytes`, `xmodem over head..cipher, high byte first`.
    pub meaning: String,
    /// Whether that is right.
    pub judgement: Judgement,
}

/// Whether a field is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As the protocol wants it.
    Right,
    /// Odd, but seen in the field and tolerated.
    Odd,
    /// Wrong; the meaning says how.
    Wrong,
}
