//! Cuts what a robot sends: XML documents back to back without a length, or raw elements.
//!
//! A document ends where its root element does, so tags are followed here, byte by byte and each byte once. What is not
//! well-formed is dropped up to the next beginning of a known root element. Source: \[1\] §6, \[2\].

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use crate::{Fault, FaultKind};

/// Longest document: the largest buffer that a robot can be given (BUFFSIZE). Source: \[1\].
pub const DOCUMENT_BYTES_MAX: usize = 65_534;
/// Elements within elements; the robot's own examples have four.
pub const DEPTH_MAX: usize = 32;
/// Longest raw element. Source: \[1\], RAW, Size.
pub const RAW_BYTES_MAX: usize = 3_600;

/// How one frame is told from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// XML documents; after damage, one with such a root element is looked for, or any where none is known.
    Documents {
        /// Names of root elements.
        roots: Vec<String>,
    },
    /// Raw elements of so many bytes.
    Fixed(usize),
    /// Raw elements of at most so many bytes, each closed by one of these sequences.
    Closed {
        /// The sequences; none is empty.
        ends: Vec<Vec<u8>>,
        /// Without the sequence.
        bytes_max: usize,
    },
}

impl Default for Framing {
    fn default() -> Self {
        Self::Documents { roots: Vec::new() }
    }
}

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// A document from the `<` of its root element to the `>` that closes it, or a raw element without what closes it.
    Frame(Bytes),
    /// Bytes that are neither were dropped.
    Fault(Fault),
}

/// Takes bytes in and gives frames out.
#[derive(Debug)]
pub struct Cutter {
    framing: Framing,
    held: BytesMut,
    scan: Scan,
    /// The root element of the last whole document.
    last_root: Option<Vec<u8>>,
    /// What is held is passed over until something known begins.
    is_lost: bool,
    taken: usize,
}

/// How far the bytes that are held were looked at.
#[derive(Debug, Default)]
struct Scan {
    /// The next byte to look at.
    at: usize,
    /// Where the tag or remark began that is not closed yet.
    mark: Option<usize>,
    /// The quote that has to close a value.
    quote: Option<u8>,
    /// The names of the elements that are open.
    open: Vec<Range<usize>>,
    /// Where the root element began, once it has.
    root: Option<usize>,
}

/// Whether a document is whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    On,
    Whole,
}

impl Cutter {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, held: BytesMut::new(), scan: Scan::default(), last_root: None, is_lost: false, taken: 0 }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Bytes that were not cut yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Bytes that were cut or passed over so far.
    #[must_use]
    pub fn taken_bytes(&self) -> usize {
        self.taken
    }

    /// The next frame or fault; `None`: wait for more bytes.
    pub fn cut(&mut self) -> Option<Cut> {
        let cut = match self.framing {
            Framing::Documents { .. } => self.document(),
            Framing::Fixed(bytes) => (self.held.len() >= bytes).then(|| Cut::Frame(self.take(bytes))),
            Framing::Closed { bytes_max, .. } => self.closed(bytes_max),
        };
        if self.held.is_empty() {
            // An idle connection keeps no memory for what it does not hold.
            self.held = BytesMut::new();
        }
        cut
    }

    /// Nothing goes on from here: a datagram has ended. A fault when something in it had begun and is not whole.
    pub fn end(&mut self) -> Option<Fault> {
        let held = std::mem::take(&mut self.held);
        self.scan = Scan::default();
        self.taken += held.len();
        // What was lost was told when it was.
        let was_lost = std::mem::take(&mut self.is_lost);
        (!held.is_empty() && !was_lost).then(|| malformed("a datagram ends within a document or element"))
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        self.taken += bytes;
        self.held.split_to(bytes).freeze()
    }

    fn pass_over(&mut self, bytes: usize) {
        self.taken += bytes;
        self.held.advance(bytes);
    }

    fn document(&mut self) -> Option<Cut> {
        if self.is_lost && !self.find_root() {
            return None;
        }
        while let Some(&byte) = self.held.get(self.scan.at) {
            self.scan.at += 1;
            match self.step(byte) {
                Ok(Step::On) => {}
                Ok(Step::Whole) => return Some(Cut::Frame(self.whole())),
                Err(fault) => return Some(self.lose(fault)),
            }
            if self.scan.at > DOCUMENT_BYTES_MAX {
                let fault = Fault::new(FaultKind::TooLarge, format!("a document of over {DOCUMENT_BYTES_MAX} bytes"));
                return Some(self.lose(fault));
            }
        }
        if self.scan.open.is_empty() && self.scan.mark.is_none() {
            self.pass_over(self.scan.at);
            self.scan = Scan::default();
        }
        None
    }

    fn whole(&mut self) -> Bytes {
        let scan = std::mem::take(&mut self.scan);
        let root = scan.root.unwrap_or(0);
        self.pass_over(root);
        let document = self.take(scan.at - root);
        let name = document.get(1..).unwrap_or_default();
        let name = name.split(|&byte| is_name_end(byte)).next().unwrap_or_default();
        if self.last_root.as_deref() != Some(name) {
            self.last_root = Some(name.to_vec());
        }
        document
    }

    /// Drops what began here, and goes on with the next known root element, now or once it comes.
    fn lose(&mut self, fault: Fault) -> Cut {
        let last = self.scan.at.saturating_sub(1);
        let began = self.scan.root.or(self.scan.mark).unwrap_or(last);
        let fault = fault.at(last - began);
        self.scan = Scan::default();
        self.pass_over(began + 1);
        self.is_lost = true;
        self.find_root();
        Cut::Fault(fault)
    }

    /// Passes over everything before the next known root element. False while none is there.
    fn find_root(&mut self) -> bool {
        let mut from = 0;
        while let Some(found) = memchr::memchr(b'<', self.held.get(from..).unwrap_or_default()) {
            let place = from + found;
            match self.is_root(self.held.get(place + 1..).unwrap_or_default()) {
                Some(true) => {
                    self.pass_over(place);
                    self.is_lost = false;
                    return true;
                }
                Some(false) => from = place + 1,
                None => {
                    self.pass_over(place);
                    return false;
                }
            }
        }
        self.pass_over(self.held.len());
        false
    }

    /// Whether a known root element begins behind its `<`; `None` while too little of it is there.
    fn is_root(&self, tag: &[u8]) -> Option<bool> {
        let configured = if let Framing::Documents { roots } = &self.framing { roots.as_slice() } else { &[] };
        let known: Vec<&[u8]> = match (configured, &self.last_root) {
            ([], None) => return tag.first().map(|&byte| is_name_start(byte)),
            ([], Some(root)) => vec![root],
            (roots, _) => roots.iter().map(String::as_bytes).collect(),
        };
        let begins = |root: &[u8]| match tag.get(root.len()) {
            Some(&end) => Some(tag.starts_with(root) && is_name_end(end)),
            None if root.starts_with(tag) || tag == root => None,
            None => Some(false),
        };
        let found: Vec<Option<bool>> = known.into_iter().map(begins).collect();
        if found.contains(&Some(true)) {
            return Some(true);
        }
        if found.contains(&None) { None } else { Some(false) }
    }

    /// Looks at one byte.
    ///
    /// # Errors
    /// `Malformed` when the document cannot go on with it, `TooLarge` when it is too deep.
    fn step(&mut self, byte: u8) -> Result<Step, Fault> {
        let place = self.scan.at - 1;
        let Some(mark) = self.scan.mark else {
            return match byte {
                b'<' => {
                    self.scan.mark = Some(place);
                    Ok(Step::On)
                }
                // Blanks, a zero byte or a byte order mark before a document. Source: [3] sends one zero byte first.
                0 | b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => Ok(Step::On),
                _ if self.scan.open.is_empty() => Err(malformed("characters outside of a document")),
                _ => Ok(Step::On),
            };
        };
        let markup = self.held.get(mark..self.scan.at).unwrap_or_default();
        if markup.starts_with(b"<?") || markup.starts_with(b"<!") {
            if remark_ends(markup, self.scan.open.is_empty())? {
                self.scan.mark = None;
            }
            return Ok(Step::On);
        }
        match (self.scan.quote, byte) {
            (_, b'<') => Err(malformed("a tag within a tag")),
            (Some(quote), _) => {
                self.scan.quote = Some(quote).filter(|quote| *quote != byte);
                Ok(Step::On)
            }
            (None, b'"' | b'\'') => {
                self.scan.quote = Some(byte);
                Ok(Step::On)
            }
            (None, b'>') => self.tag(mark),
            (None, _) => Ok(Step::On),
        }
    }

    /// Takes in a tag that began at `mark` and has just ended.
    fn tag(&mut self, mark: usize) -> Result<Step, Fault> {
        self.scan.mark = None;
        let inside = mark + 1..self.scan.at - 1;
        let tag = self.held.get(inside.clone()).unwrap_or_default();
        if let Some(name) = tag.strip_prefix(b"/") {
            let open = self.scan.open.pop().and_then(|open| self.held.get(open));
            if open != Some(name.trim_ascii_end()) {
                return Err(malformed("a closing tag that does not fit"));
            }
            return Ok(if self.scan.open.is_empty() { Step::Whole } else { Step::On });
        }
        let name_bytes = tag.iter().position(|&byte| is_name_end(byte)).unwrap_or(tag.len());
        if !is_name(tag.get(..name_bytes).unwrap_or_default()) {
            return Err(malformed("a tag without a name"));
        }
        let is_root = self.scan.open.is_empty();
        if is_root {
            self.scan.root = Some(mark);
        }
        // Or one end that got lost would swallow all documents that follow.
        let root = self.scan.open.first().and_then(|open| self.held.get(open.clone()));
        if root.is_some() && root == tag.get(..name_bytes) {
            return Err(malformed("a document begins before the end of the one before"));
        }
        if tag.ends_with(b"/") {
            return Ok(if is_root { Step::Whole } else { Step::On });
        }
        if self.scan.open.len() == DEPTH_MAX {
            return Err(Fault::new(FaultKind::TooLarge, format!("elements more than {DEPTH_MAX} deep")));
        }
        self.scan.open.push(inside.start..inside.start + name_bytes);
        Ok(Step::On)
    }

    fn closed(&mut self, bytes_max: usize) -> Option<Cut> {
        let Framing::Closed { ends, .. } = &self.framing else { return None };
        let longest = ends.iter().map(Vec::len).max().unwrap_or(1);
        let from = self.scan.at.saturating_sub(longest);
        let unseen = self.held.get(from..).unwrap_or_default();
        let found = ends.iter().filter_map(|end| Some((memmem::find(unseen, end)? + from, end.len()))).min();
        if let Some((place, end_bytes)) = found {
            self.scan = Scan::default();
            let frame = self.take(place);
            self.pass_over(end_bytes);
            if std::mem::take(&mut self.is_lost) {
                return self.closed(bytes_max);
            }
            return Some(if place > bytes_max { Cut::Fault(too_long(bytes_max)) } else { Cut::Frame(frame) });
        }
        self.scan.at = self.held.len();
        if self.held.len() <= bytes_max + longest {
            return None;
        }
        // As much stays as may be the beginning of what closes it.
        let kept = longest - 1;
        self.pass_over(self.held.len() - kept);
        self.scan.at = 0;
        (!std::mem::replace(&mut self.is_lost, true)).then(|| Cut::Fault(too_long(bytes_max)))
    }
}

/// Whether a declaration, a remark or character data ends with the last byte of `markup`.
fn remark_ends(markup: &[u8], is_outside: bool) -> Result<bool, Fault> {
    const REMARK: &[u8] = b"<!--";
    const VERBATIM: &[u8] = b"<![CDATA[";
    if markup.starts_with(b"<?") {
        return Ok(markup.len() > 3 && markup.ends_with(b"?>"));
    }
    if markup.starts_with(REMARK) {
        return Ok(markup.len() > 6 && markup.ends_with(b"-->"));
    }
    if markup.starts_with(VERBATIM) && !is_outside {
        return Ok(markup.ends_with(b"]]>"));
    }
    if REMARK.starts_with(markup) || (VERBATIM.starts_with(markup) && !is_outside) {
        return Ok(false);
    }
    Err(malformed("a document type, which is not allowed"))
}

fn malformed(reason: &'static str) -> Fault {
    Fault::new(FaultKind::Malformed, reason)
}

fn too_long(bytes_max: usize) -> Fault {
    Fault::new(FaultKind::TooLarge, format!("a raw element of over {bytes_max} bytes"))
}

/// Whether this can be the name of an element.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| is_name_start(*byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    name.first().is_some_and(|&byte| is_name_start(byte)) && name.iter().all(is_part)
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || byte >= 0x80
}

fn is_name_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')
}

#[cfg(test)]
mod tests {
    use super::{Cut, Cutter, DEPTH_MAX, DOCUMENT_BYTES_MAX, Framing};

    /// Frames and faults, a line each; the same however the bytes are split.
    fn check(framing: &Framing, bytes: &[u8], expected: &[&str]) {
        for piece in [1, 2, 3, 7, bytes.len().max(1)] {
            let mut cutter = Cutter::new(framing.clone());
            let mut found = Vec::new();
            for piece in bytes.chunks(piece) {
                cutter.push(piece);
                while let Some(cut) = cutter.cut() {
                    found.push(match cut {
                        Cut::Frame(frame) => String::from_utf8_lossy(&frame).into_owned(),
                        Cut::Fault(fault) => format!("! {}", fault.reason),
                    });
                }
            }
            assert_eq!(found, expected, "{} in pieces of {piece}", String::from_utf8_lossy(bytes));
        }
    }

    fn documents(roots: &[&str]) -> Framing {
        Framing::Documents { roots: roots.iter().map(|&root| root.to_owned()).collect() }
    }

    #[test]
    fn documents_end_where_their_root_does() {
        let any = documents(&[]);
        check(&any, b"<R/><R><A>1</A></R>", &["<R/>", "<R><A>1</A></R>"]);
        check(&any, b"\0\xef\xbb\xbf<?xml version=\"1.0\"?>\r\n<R a='>'></R >\r\n \0", &["<R a='>'></R >"]);
        check(&any, b"<!-- <x> --><R><!-- </R> --><![CDATA[</R>]]></R>", &["<R><!-- </R> --><![CDATA[</R>]]></R>"]);
        check(&any, b"<R><S>1</S>", &[]);
    }

    #[test]
    fn what_is_not_well_formed_is_dropped_up_to_the_next_root() {
        let known = documents(&["Robot", "Rob"]);
        let twice: &[&str] = &["! a closing tag that does not fit", "<Robot>2</Robot>"];
        check(&known, b"<Robot><A>1</Robot><Robot>2</Robot>", twice);
        check(&known, b"<Robot><A>1</B></A><Robots/></Robot><Robot>2</Robot>", twice);
        check(&known, b"<Robot a=\"1><A/></Robot><Robot>2</Robot>", &["! a tag within a tag", "<Robot>2</Robot>"]);
        let early = "! a document begins before the end of the one before";
        check(&known, b"<Robot><A>1</A><Robot>2</Robot>", &[early, "<Robot>2</Robot>"]);
        check(&known, b"free text<Rob/>", &["! characters outside of a document", "<Rob/>"]);
        check(&known, b"</Rob><Rob/>", &["! a closing tag that does not fit", "<Rob/>"]);
        check(&known, b"<1/><Rob/>", &["! a tag without a name", "<Rob/>"]);
        // Once one was whole, its root is known.
        let learnt: &[&str] = &["<A/>", "! a closing tag that does not fit", "<A/>"];
        check(&documents(&[]), b"<A/><A><B></A><C/><A/>", learnt);
    }

    #[test]
    fn no_document_brings_types_or_entities() {
        let reason = "! a document type, which is not allowed";
        check(&documents(&["R"]), b"<!DOCTYPE r [<!ENTITY a \"b\">]><R>&a;</R>", &[reason, "<R>&a;</R>"]);
        check(&documents(&["R"]), b"<![CDATA[x]]><R/>", &[reason, "<R/>"]);
    }

    #[test]
    fn depth_and_size_have_limits() {
        let deep = |depth: usize| format!("<r>{}{}</r>", "<a>".repeat(depth - 1), "</a>".repeat(depth - 1));
        check(&documents(&["R"]), deep(DEPTH_MAX).as_bytes(), &[&deep(DEPTH_MAX)]);
        let reason = format!("! elements more than {DEPTH_MAX} deep");
        check(&documents(&["R"]), deep(DEPTH_MAX + 1).as_bytes(), &[&reason]);
        let reason = format!("! a document of over {DOCUMENT_BYTES_MAX} bytes");
        let long = format!("<R>{}</R><R/>", "x".repeat(DOCUMENT_BYTES_MAX));
        check(&documents(&["R"]), long.as_bytes(), &[&reason, "<R/>"]);
        // Nothing is kept of blanks, however many there are.
        let mut cutter = Cutter::new(documents(&[]));
        for _ in 0..100 {
            cutter.push(&[b' '; 10_000]);
            assert_eq!(cutter.cut(), None);
        }
        assert_eq!(cutter.held_bytes(), 0);
        assert_eq!(cutter.taken_bytes(), 1_000_000);
    }

    #[test]
    fn raw_elements_have_a_length_or_an_end() {
        check(&Framing::Fixed(3), b"abcdefgh", &["abc", "def"]);
        let closed = Framing::Closed { ends: vec![b"\r\n".to_vec(), b";".to_vec()], bytes_max: 4 };
        check(&closed, b"ab\r\ncd;;abcd\r\n", &["ab", "cd", "", "abcd"]);
        check(&closed, b"much too long\r\nab\r\n", &["! a raw element of over 4 bytes", "ab"]);
    }
}
