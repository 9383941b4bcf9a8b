//! Writes XML into the buffer of a frame, laid out as a dialect has it.

use bytes::{BufMut, BytesMut};
use loggerhead_model::Decimal;

use super::xml::Element;

/// How XML is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// What stands before the root element.
    pub declaration: &'static str,
    /// What stands before every element but the root.
    pub newline: &'static str,
    /// What stands behind that, once for every element around it.
    pub indent: &'static str,
    /// How a tag without content ends.
    pub empty: &'static str,
    /// What stands behind the root element.
    pub end: &'static str,
}

impl Style {
    /// With a declaration, in one line.
    pub const FLAT: Self = Self {
        declaration: "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        newline: "",
        indent: "",
        empty: "/>",
        end: "",
    };
    /// Without a declaration, in lines. `vectors/sequence-zhejiang.hex`.
    pub const INDENTED: Self = Self { declaration: "", newline: "\n", indent: "  ", empty: "/>", end: "" };
    /// With a declaration of its own line that says `standalone`. `vectors/request-supcon.hex`.
    pub const STANDALONE: Self = Self {
        declaration: "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\" ?>\n",
        newline: "\n",
        indent: "    ",
        empty: " />",
        end: "\n",
    };
}

/// Writes XML.
pub(super) struct Writer<'o> {
    out: &'o mut BytesMut,
    style: Style,
    depth: usize,
}

impl<'o> Writer<'o> {
    /// Begins a text with its declaration.
    pub(super) fn new(out: &'o mut BytesMut, style: Style) -> Self {
        out.put_slice(style.declaration.as_bytes());
        Self { out, style, depth: 0 }
    }

    fn line(&mut self) {
        if self.depth > 0 {
            self.out.put_slice(self.style.newline.as_bytes());
            for _ in 0..self.depth {
                self.out.put_slice(self.style.indent.as_bytes());
            }
        }
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.line();
        self.out.put_u8(b'<');
        self.out.put_slice(name.as_bytes());
        for (name, value) in attributes {
            self.attribute(name, value);
        }
    }

    /// Adds an attribute to a tag that was begun with `begin`.
    #[inline]
    pub(super) fn attribute(&mut self, name: &str, value: &str) {
        self.out.put_u8(b' ');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"=\"");
        self.escaped(value);
        self.out.put_u8(b'"');
    }

    /// Begins a tag to which attributes are added; `end_of_tag` or `characters_of_tag` must follow.
    #[inline]
    pub(super) fn begin(&mut self, name: &str) {
        self.start(name, &[]);
    }

    /// Ends the tag of an element with elements in it.
    pub(super) fn end_of_tag(&mut self) {
        self.out.put_u8(b'>');
        self.depth += 1;
    }

    /// Ends the tag of an element whose characters are written next; `close_leaf` must follow.
    #[inline]
    pub(super) fn characters_of_tag(&mut self) {
        self.out.put_u8(b'>');
    }

    /// Ends an element with characters in it.
    #[inline]
    pub(super) fn close_leaf(&mut self, name: &str) {
        self.end_tag(name);
    }

    /// A number, as its digits came.
    #[inline]
    pub(super) fn decimal(&mut self, decimal: Decimal) {
        // 19 digits, a point, a sign and a zero before the point.
        let mut text = [b'0'; 22];
        let mut start = text.len();
        let mut rest = decimal.mantissa.unsigned_abs();
        let mut written = 0;
        for place in text.iter_mut().rev() {
            if written == usize::from(decimal.scale) && written > 0 && start + written == 22 {
                *place = b'.';
                start -= 1;
                continue;
            }
            if rest == 0 && written > usize::from(decimal.scale) {
                break;
            }
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            written += 1;
            start -= 1;
        }
        if decimal.mantissa < 0 {
            self.out.put_u8(b'-');
        }
        self.out.put_slice(text.get(start..).unwrap_or_default());
    }

    #[inline]
    fn end_tag(&mut self, name: &str) {
        self.out.put_slice(b"</");
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b'>');
    }

    /// Opens an element with elements in it.
    pub(super) fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.end_of_tag();
    }

    /// Closes what `open` opened.
    pub(super) fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            self.out.put_slice(self.style.newline.as_bytes());
        } else {
            self.line();
        }
        self.end_tag(name);
        if self.depth == 0 {
            self.out.put_slice(self.style.end.as_bytes());
        }
    }

    /// An element with characters in it.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.start(name, &[]);
        self.out.put_u8(b'>');
        self.escaped(text);
        self.end_tag(name);
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.out.put_slice(self.style.empty.as_bytes());
    }

    /// A whole element, with the attribute that names the operation in front unless it has one.
    pub(super) fn element(&mut self, element: &Element) {
        self.start(&element.name, &[]);
        for (name, value) in &element.attributes {
            self.attribute(name, value);
        }
        if element.children.is_empty() {
            if element.text.is_empty() {
                self.out.put_slice(self.style.empty.as_bytes());
            } else {
                self.out.put_u8(b'>');
                self.escaped(&element.text);
                self.end_tag(&element.name);
            }
            return;
        }
        self.end_of_tag();
        for child in &element.children {
            self.element(child);
        }
        self.close(&element.name);
    }

    /// Characters with everything replaced that means something to XML.
    #[inline]
    pub(super) fn escaped(&mut self, text: &str) {
        if !text.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | b'"')) {
            self.out.put_slice(text.as_bytes());
            return;
        }
        for character in text.chars() {
            match character {
                '<' => self.out.put_slice(b"&lt;"),
                '>' => self.out.put_slice(b"&gt;"),
                '&' => self.out.put_slice(b"&amp;"),
                '"' => self.out.put_slice(b"&quot;"),
                other => self.out.put_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}
