//! XML as devices write it, which is not always XML.
//!
//! [`Scanner`] goes through a text once and gives its parts as slices of it. It knows no document types and no entities but
//! the five of every XML and numeric ones, keeps to a depth, and forgives what firmware gets wrong: blanks inside tag
//! names, `<x/>` that is closed again by `</x>`, an element that is not closed before its parent is, attributes without
//! quotes, a missing declaration. `xml_write.rs` writes. Source: \[1\] annex 4, whose own samples are malformed; \[2\].

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use crate::references::unescape;
use crate::{Fault, FaultKind};

/// Elements within elements; the deepest message known has six.
pub const DEPTH_MAX: usize = 32;
/// Elements and attributes in a tree; a list of 100 meters with 10 points of 10 attributes each is below.
pub const ELEMENTS_MAX: usize = 20_000;

/// The next part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An element begins. One that is empty is closed by the next token.
    Open(Tag<'a>),
    /// The element that was opened last ends.
    Close,
    /// Characters, with references in them.
    Text(&'a str),
    /// Characters without references in them.
    Verbatim(&'a str),
    /// The root element ended. What stands behind it is not looked at.
    End,
}

/// An opening tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Its name.
    pub name: &'a str,
    /// What stands behind the name.
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// Its attributes, in order.
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.attributes }
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes().find(|(found, _)| same_name(found, name)).map(|(_, value)| value)
    }
}

/// Goes through a text, part by part.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: [&'a str; DEPTH_MAX],
    depth: usize,
    closing: usize,
    began: bool,
}

impl<'a> Scanner<'a> {
    /// Starts at the first character.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: [""; DEPTH_MAX], depth: 0, closing: 0, began: false }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// What was not looked at yet.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next part.
    ///
    /// # Errors
    /// `Malformed` when the text ends within an element or holds a document type, `TooLarge` when it is too deep.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault> {
        loop {
            if self.closing > 0 {
                self.closing -= 1;
                self.depth = self.depth.saturating_sub(1);
                return Ok(Token::Close);
            }
            if self.began && self.depth == 0 {
                return Ok(Token::End);
            }
            let rest = self.rest();
            let text_bytes = if rest.starts_with('<') { Some(0) } else { memchr(b'<', rest.as_bytes()) };
            let text_bytes = text_bytes.ok_or_else(|| self.malformed("the text ends within an element"))?;
            if text_bytes > 0 {
                self.at += text_bytes;
                if self.began {
                    return Ok(Token::Text(rest.get(..text_bytes).unwrap_or_default()));
                }
                continue;
            }
            let inside = rest.get(1..).unwrap_or_default();
            let tag = match inside.as_bytes() {
                [b' ' | b'\t' | b'\r' | b'\n', ..] => inside.trim_ascii_start(),
                _ => inside,
            };
            match tag.as_bytes() {
                [b'/', ..] => self.closing_tag(rest, tag)?,
                [b'?' | b'!', ..] => {
                    if let Some(text) = self.remark(rest, tag)? {
                        return Ok(Token::Verbatim(text));
                    }
                }
                _ => return self.open(tag),
            }
        }
    }

    /// Reads a closing tag; `tag` begins with its slash.
    #[inline]
    fn closing_tag(&mut self, rest: &'a str, tag: &'a str) -> Result<(), Fault> {
        let end = memchr(b'>', rest.as_bytes()).ok_or_else(|| self.malformed("a tag without an end"))?;
        self.at += end + 1;
        let start = rest.len() - tag.len() + 1;
        self.close(rest.get(start..end).unwrap_or_default().trim_ascii());
        Ok(())
    }

    /// Reads a declaration, a remark or character data, which alone is given back.
    #[cold]
    fn remark(&mut self, rest: &'a str, tag: &'a str) -> Result<Option<&'a str>, Fault> {
        if tag.starts_with('?') {
            self.skip(rest, "?>").map(|()| None)
        } else if tag.starts_with("!--") {
            self.skip(rest, "-->").map(|()| None)
        } else if let Some(text) = tag.strip_prefix("![CDATA[") {
            self.skip(rest, "]]>")?;
            let end = memchr::memmem::find(text.as_bytes(), b"]]>").unwrap_or(text.len());
            Ok(Some(text.get(..end).unwrap_or_default()))
        } else {
            Err(self.malformed("a document type, which is not allowed"))
        }
    }

    fn skip(&mut self, rest: &str, end: &str) -> Result<(), Fault> {
        let found = memchr::memmem::find(rest.as_bytes(), end.as_bytes());
        self.at += found.ok_or_else(|| self.malformed("a declaration or a remark without an end"))? + end.len();
        Ok(())
    }

    /// Reads an opening tag; `tag` begins with its name.
    #[inline]
    fn open(&mut self, tag: &'a str) -> Result<Token<'a>, Fault> {
        let end = tag_end(tag.as_bytes()).ok_or_else(|| self.malformed("a tag without an end"))?;
        self.at = self.text.len() - tag.len() + end + 1;
        let mut inside = tag.get(..end).unwrap_or_default();
        if let Some(shorter) = inside.strip_suffix('/') {
            inside = shorter;
            self.closing = 1;
        }
        let name_end = inside.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(name_end).unwrap_or((inside, ""));
        if name.is_empty() {
            return Err(self.malformed("a tag without a name"));
        }
        let Some(place) = self.open.get_mut(self.depth) else {
            let reason = format!("elements more than {DEPTH_MAX} deep");
            return Err(Fault::new(FaultKind::TooLarge, reason).at(self.at));
        };
        *place = name;
        self.depth += 1;
        self.began = true;
        Ok(Token::Open(Tag { name, attributes }))
    }

    /// A closing tag ends the innermost element of its name, with all that stand in it; one of no such name ends nothing.
    #[inline]
    fn close(&mut self, name: &str) {
        let open = self.open.get(..self.depth).unwrap_or_default();
        if let Some(behind) = open.iter().rev().position(|open| same_name(open, name)) {
            self.closing = behind + 1;
        }
    }

    /// All characters of the element that was just opened, up to its end. Elements in it are passed over.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.plain_leaf() {
            Some(text) => Ok(unescape(text)),
            None => self.whole_text(),
        }
    }

    /// The characters of the element that was just opened when nothing else is in it and it is closed as it should be.
    #[inline]
    fn plain_leaf(&mut self) -> Option<&'a str> {
        if self.closing > 0 {
            return None;
        }
        let rest = self.rest();
        let text_bytes = memchr(b'<', rest.as_bytes())?;
        let (text, behind) = rest.split_at_checked(text_bytes)?;
        let name = self.open.get(self.depth.checked_sub(1)?)?;
        let closed = behind.strip_prefix("</")?.strip_prefix(name)?.strip_prefix('>')?;
        self.at = self.text.len() - closed.len();
        self.depth -= 1;
        Some(text)
    }

    fn whole_text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let depth = self.depth;
        let mut text = Cow::Borrowed("");
        loop {
            let piece = match self.next()? {
                Token::Text(piece) => unescape(piece),
                Token::Verbatim(piece) => Cow::Borrowed(piece),
                Token::Open(_) => continue,
                Token::Close if self.depth >= depth => continue,
                Token::Close | Token::End => return Ok(text),
            };
            if text.is_empty() {
                text = piece;
            } else {
                text.to_mut().push_str(&piece);
            }
        }
    }

    /// Passes over the rest of the element that was just opened.
    pub(super) fn pass(&mut self) -> Result<(), Fault> {
        let depth = self.depth;
        while self.depth >= depth {
            self.next()?;
        }
        Ok(())
    }

    /// The element that was just opened, with everything in it.
    pub(super) fn element(&mut self, tag: &Tag<'a>) -> Result<Element, Fault> {
        let depth = self.depth;
        let mut root = Element::of(tag);
        let mut path: Vec<Element> = Vec::new();
        let mut count = 1 + root.attributes.len();
        loop {
            let innermost = path.last_mut().unwrap_or(&mut root);
            match self.next()? {
                Token::Open(tag) => {
                    count += 1 + tag.attributes().take(ELEMENTS_MAX).count();
                    if count > ELEMENTS_MAX {
                        let reason = format!("more than {ELEMENTS_MAX} elements");
                        return Err(Fault::new(FaultKind::TooLarge, reason).at(self.at));
                    }
                    path.push(Element::of(&tag));
                }
                Token::Text(piece) => innermost.text.push_str(&unescape(piece)),
                Token::Verbatim(piece) => innermost.text.push_str(piece),
                Token::Close => {
                    innermost.settle();
                    let done = path.pop();
                    let Some(done) = done else { return Ok(root) };
                    path.last_mut().unwrap_or(&mut root).children.push(done);
                    debug_assert!(self.depth >= depth, "the element itself is closed only when its path is empty");
                }
                Token::End => return Ok(root),
            }
        }
    }

    fn malformed(&self, reason: &'static str) -> Fault {
        Fault::new(FaultKind::Malformed, reason).at(self.at)
    }
}

/// Offset of the `>` that ends a tag: the first outside quotes, or the first of all where quotes do not match.
#[inline]
fn tag_end(tag: &[u8]) -> Option<usize> {
    let first = memchr(b'>', tag)?;
    let inside = tag.get(..first)?;
    // Nearly every tag has all its quotes before its first `>`, in pairs of one kind.
    let quotes = inside.iter().fold(0_u8, |quotes, &byte| quotes.wrapping_add(u8::from(byte == b'"')));
    let others = inside.iter().fold(0_u8, |quotes, &byte| quotes | u8::from(byte == b'\''));
    if quotes & 1 == 0 && others == 0 { Some(first) } else { Some(quoted_tag_end(tag).unwrap_or(first)) }
}

fn quoted_tag_end(tag: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr3(b'>', b'"', b'\'', tag.get(at..)?)?;
        match *tag.get(at)? {
            b'>' => return Some(at),
            quote => at += memchr(quote, tag.get(at + 1..)?)? + 2,
        }
    }
}

/// True for the same name, whatever its case: some devices are careless with it.
#[inline]
pub(super) fn same_name(found: &str, name: &str) -> bool {
    found == name || found.eq_ignore_ascii_case(name)
}

/// The attributes of a tag: `name="value"`, with blanks, single quotes or no quotes forgiven.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() { None } else { self.usual().or_else(|| self.forgiven()) }
    }
}

impl<'a> Attributes<'a> {
    /// One blank, a name of letters, a value in double quotes right behind the sign: nearly every attribute there is.
    #[inline]
    fn usual(&mut self) -> Option<(&'a str, &'a str)> {
        let named = self.rest.strip_prefix(' ')?;
        let name_bytes = named.bytes().position(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_'))?;
        let (name, behind) = named.split_at_checked(name_bytes)?;
        let quoted = behind.strip_prefix("=\"")?;
        let (value, rest) = quoted.split_at_checked(quoted.bytes().position(|byte| byte == b'"')?)?;
        if name.is_empty() {
            return None;
        }
        self.rest = rest.get(1..)?;
        Some((name, value))
    }

    #[cold]
    fn forgiven(&mut self) -> Option<(&'a str, &'a str)> {
        loop {
            let text = self.rest.trim_ascii_start();
            if text.is_empty() {
                return None;
            }
            let name_end =
                text.bytes().position(|byte| byte == b'=' || byte.is_ascii_whitespace()).unwrap_or(text.len());
            let (name, behind) = text.split_at_checked(name_end)?;
            let behind = behind.trim_ascii_start();
            let Some(value) = behind.strip_prefix('=') else {
                self.rest = behind;
                continue;
            };
            let value = value.trim_ascii_start();
            let (quoted, end) = match value.as_bytes() {
                [quote @ (b'"' | b'\''), inside @ ..] => (1, memchr(*quote, inside).unwrap_or(inside.len())),
                bare => (0, bare.iter().position(u8::is_ascii_whitespace).unwrap_or(bare.len())),
            };
            let value_text = value.get(quoted..quoted + end).unwrap_or_default();
            self.rest = value.get(quoted + end + quoted..).unwrap_or_default();
            if !name.is_empty() {
                return Some((name, value_text));
            }
        }
    }
}

/// The root element of a text, with everything in it.
pub(super) fn root(text: &str) -> Result<Element, Fault> {
    let mut scanner = Scanner::new(text);
    loop {
        match scanner.next()? {
            Token::Open(tag) => return scanner.element(&tag),
            Token::Close | Token::Text(_) | Token::Verbatim(_) => {}
            Token::End => return Ok(Element::default()),
        }
    }
}

/// An element with everything in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes in order.
    pub attributes: Vec<(String, String)>,
    /// Its characters, without the blanks around them.
    pub text: String,
    /// The elements in it, in order.
    pub children: Vec<Element>,
}

impl Element {
    /// One with characters in it.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), ..Self::default() }
    }

    fn of(tag: &Tag<'_>) -> Self {
        let attributes =
            tag.attributes().map(|(name, value)| (name.to_owned(), unescape(value).trim().to_owned())).collect();
        Self { name: tag.name.to_owned(), attributes, ..Self::default() }
    }

    fn settle(&mut self) {
        let trimmed = self.text.trim();
        if trimmed.len() < self.text.len() {
            self.text = trimmed.to_owned();
        }
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| same_name(&child.name, name))
    }

    /// The characters of the first child of that name; empty when there is none.
    #[must_use]
    pub fn child_text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| same_name(found, name)).map(|(_, value)| value.as_str())
    }

    /// All of it as lines for people: `meter_info/meter/id: 1`. At most `bytes_max` bytes.
    #[must_use]
    pub fn lines(&self, bytes_max: usize) -> String {
        let mut lines = String::new();
        self.write_lines("", &mut lines, bytes_max);
        lines
    }

    fn write_lines(&self, path: &str, lines: &mut String, bytes_max: usize) {
        let said = self.attributes.iter().filter(|(name, _)| name != "operation");
        let said = said.map(|(name, value)| (format!("{path}@{name}"), value.as_str()));
        let own = (!self.text.is_empty()).then(|| (path.to_owned(), self.text.as_str()));
        for (place, value) in own.into_iter().chain(said) {
            if lines.len() + place.len() + value.len() + 3 > bytes_max {
                return;
            }
            lines.extend([place.as_str(), ": ", value, "\n"]);
        }
        for child in &self.children {
            let place = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
            child.write_lines(&place, lines, bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use quick_xml::events::Event;

    use super::{DEPTH_MAX, Element, Scanner, Token, root};
    use crate::references::unescape;

    /// Begin, end and characters of elements in one line.
    fn ours(text: &str) -> String {
        let mut scanner = Scanner::new(text);
        let mut parts = Vec::new();
        loop {
            match scanner.next().expect("well-formed") {
                Token::Open(tag) => {
                    let attributes = tag.attributes().map(|(name, value)| format!(" {name}={}", unescape(value)));
                    parts.push(format!("<{}{}>", tag.name, attributes.collect::<Vec<_>>().concat()));
                }
                Token::Text(text) => parts.push(unescape(text).trim().to_owned()),
                Token::Verbatim(text) => parts.push(text.to_owned()),
                Token::Close => parts.push("</>".to_owned()),
                Token::End => return parts.concat(),
            }
        }
    }

    /// The same, by another reader.
    fn theirs(text: &str) -> String {
        let mut reader = quick_xml::Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut parts = Vec::new();
        loop {
            let event = reader.read_event().expect("well-formed");
            if let Event::Start(tag) = &event {
                let attributes = tag.attributes().map(|attribute| {
                    let attribute = attribute.expect("an attribute");
                    format!(" {}={}", attribute.key.as_ref(), unescape(&attribute.value))
                });
                let attributes: Vec<_> = attributes.collect();
                parts.push(format!("<{}{}>", tag.name().as_ref(), attributes.concat()));
            } else if let Event::Text(text) = &event {
                parts.push(text.trim().to_owned());
            } else if let Event::GeneralRef(reference) = &event {
                parts.push(unescape(&format!("&{};", &**reference)).into_owned());
            } else if let Event::CData(text) = &event {
                parts.push(text.to_string());
            } else if let Event::End(_) = &event {
                parts.push("</>".to_owned());
            } else if event == Event::Eof {
                return parts.concat();
            }
        }
    }

    #[test]
    fn well_formed_texts_mean_what_another_reader_finds() {
        for text in [
            "<root/>",
            "<?xml version='1.0'?>\n<!-- < > --><root a='1' b=\"2>3\" c = \"'\">x<b/>y&amp;&#65;<c>z</c><![CDATA[<&>]]></root>",
            "<root><root><root>1</root></root >\n</root>",
            "<root a=\"&lt;&quot;\">塔</root>",
        ] {
            assert_eq!(ours(text), theirs(text), "{text}");
        }
        let recorded = include_str!("vectors/continuous-zhejiang.txt");
        let text = recorded.split_once("\n<root>").expect("a text").1.split_once("</root>").expect("an end").0;
        let text = format!("<root>{text}</root>");
        assert_eq!(ours(&text), theirs(&text));
    }

    #[test]
    fn a_tree_is_bounded_in_depth_and_size() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(root(&deep(DEPTH_MAX)).is_ok());
        assert!(root(&deep(DEPTH_MAX + 1)).is_err());
        assert!(root(&format!("<a>{}</a>", "<b/>".repeat(super::ELEMENTS_MAX))).is_err());
        assert!(root(&format!("<a><b {}/></a>", "c=\"\" ".repeat(super::ELEMENTS_MAX))).is_err());
    }

    #[test]
    fn an_element_tells_its_lines() {
        let element = root("<a operation=\"x\"><b c=\"1\">2</b><d><e> 3 </e></d></a>").expect("a tree");
        assert_eq!(element.lines(1000), "b: 2\nb@c: 1\nd/e: 3\n");
        assert_eq!(element.lines(6), "b: 2\n");
        assert_eq!(element.child("B").map(|child| child.text.as_str()), Some("2"));
        assert_eq!(Element::new("a", "b").child_text("c"), "");
    }
}
