//! What a document says: elements by path, each with its attributes and characters.
//!
//! Paths are written as in a robot's own configuration: `Robot/Status` is an element, `Robot/ActPos/@X` an attribute.
//! Source: \[1\] §6.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::frame::{DEPTH_MAX, is_name};
use crate::references::unescape;
use crate::{Fault, FaultKind};

/// Longest path; the longest of the robot's own examples has 40 bytes.
pub const PATH_BYTES_MAX: usize = 256;
/// Elements and attributes of a document: eight times what a robot's configuration may name.
pub const VALUES_MAX: usize = 4_096;

/// A document in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its elements, the root first.
    pub elements: Vec<Element>,
}

/// An element without those within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// From the root to it: `Robot/ActPos`.
    pub path: String,
    /// Its attributes in order.
    pub attributes: Vec<(String, String)>,
    /// Its characters as they came; without the blanks around them where other elements stand in it.
    pub text: String,
    /// No other element stands in it.
    pub is_leaf: bool,
}

impl Document {
    /// Everything that is a value, each with its path.
    pub fn values(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        self.elements.iter().flat_map(|element| {
            let says = !element.text.is_empty() || (element.is_leaf && element.attributes.is_empty());
            let own = says.then_some((Cow::Borrowed(element.path.as_str()), element.text.as_str()));
            let attributes = element.attributes.iter();
            let attributes =
                attributes.map(|(name, value)| (Cow::Owned(format!("{}/@{name}", element.path)), value.as_str()));
            attributes.chain(own)
        })
    }

    /// The first value of that path.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&str> {
        self.values().find(|(found, _)| found == path).map(|(_, value)| value)
    }
}

/// The characters of a document, which are UTF-8 or else ISO 8859-1.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// Reads a document that was cut as one: its tags fit each other.
///
/// # Errors
/// `Malformed` for attributes that are none, `TooLarge` over a limit.
pub fn read(bytes: &[u8]) -> Result<Document, Fault> {
    let text = text(bytes);
    let mut reader = Reader { elements: Vec::new(), open: Vec::with_capacity(DEPTH_MAX), values: 0 };
    let mut rest: &str = &text;
    while let Some((before, tag)) = rest.split_once('<') {
        reader.characters(&unescape(before));
        let (ends, is_tag) = if tag.starts_with('?') {
            ("?>", false)
        } else if tag.starts_with("!--") {
            ("-->", false)
        } else if let Some(verbatim) = tag.strip_prefix("![CDATA[") {
            reader.characters(verbatim.split_once("]]>").map_or("", |(inside, _)| inside));
            ("]]>", false)
        } else {
            (">", true)
        };
        if is_tag {
            rest = reader.tag(tag)?;
        } else {
            rest = tag.split_once(ends).map_or("", |(_, behind)| behind);
        }
    }
    if !reader.open.is_empty() {
        return Err(Fault::new(FaultKind::Malformed, "the document ends within an element"));
    }
    for element in reader.elements.iter_mut().filter(|element| !element.is_leaf) {
        element.text = element.text.trim().to_owned();
    }
    Ok(Document { elements: reader.elements })
}

struct Reader {
    elements: Vec<Element>,
    /// Places in `elements` of those that are open.
    open: Vec<usize>,
    values: usize,
}

impl Reader {
    fn characters(&mut self, text: &str) {
        if let Some(element) = self.open.last().and_then(|&place| self.elements.get_mut(place)) {
            element.text.push_str(text);
        }
    }

    /// Takes in the tag at the beginning of `tag`, behind its `<`; gives what stands behind it.
    fn tag<'a>(&mut self, tag: &'a str) -> Result<&'a str, Fault> {
        if let Some(closing) = tag.strip_prefix('/') {
            self.open.pop();
            return Ok(closing.split_once('>').map_or("", |(_, behind)| behind));
        }
        let name_bytes = tag.find(|sign: char| sign.is_ascii_whitespace() || matches!(sign, '/' | '>'));
        let (name, mut rest) = tag.split_at_checked(name_bytes.unwrap_or(tag.len())).unwrap_or((tag, ""));
        let parent = self.open.last().and_then(|&place| self.elements.get_mut(place));
        let path = match parent {
            Some(parent) => {
                parent.is_leaf = false;
                format!("{}/{name}", parent.path)
            }
            None => name.to_owned(),
        };
        if path.len() > PATH_BYTES_MAX || self.open.len() == DEPTH_MAX {
            return Err(Fault::new(FaultKind::TooLarge, format!("a path of over {PATH_BYTES_MAX} bytes")));
        }
        self.count()?;
        let mut element = Element { path, is_leaf: true, ..Element::default() };
        loop {
            rest = rest.trim_ascii_start();
            if let Some(behind) = rest.strip_prefix("/>") {
                self.elements.push(element);
                return Ok(behind);
            }
            if let Some(behind) = rest.strip_prefix('>') {
                self.open.push(self.elements.len());
                self.elements.push(element);
                return Ok(behind);
            }
            let (name, value, behind) =
                attribute(rest).ok_or_else(|| Fault::new(FaultKind::Malformed, "an attribute that is none"))?;
            if element.path.len() + name.len() > PATH_BYTES_MAX {
                return Err(Fault::new(FaultKind::TooLarge, format!("a path of over {PATH_BYTES_MAX} bytes")));
            }
            self.count()?;
            element.attributes.push((name.to_owned(), unescape(value).into_owned()));
            rest = behind;
        }
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Fault::new(FaultKind::TooLarge, format!("over {VALUES_MAX} elements and attributes")));
        }
        Ok(())
    }
}

/// The attribute at the beginning of `text`: its name, its value, and what stands behind it.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, behind) = text.split_once('=')?;
    let name = name.trim_ascii_end();
    let behind = behind.trim_ascii_start();
    let quote = behind.chars().next().filter(|sign| matches!(sign, '"' | '\''))?;
    let (value, behind) = behind.get(1..)?.split_once(quote)?;
    is_name(name.as_bytes()).then_some((name, value, behind))
}

/// Writes a document with these values. Elements come in the order of their first value, each with an end tag of its own,
/// as robots want it. The values of one root only; names are checked by `path`.
#[must_use]
pub fn write(values: &[(&str, &str)]) -> String {
    let mut root = Branch::default();
    for (path, value) in values {
        let mut place = &mut root;
        for name in path.split('/') {
            if let Some(attribute) = name.strip_prefix('@') {
                place.attributes.push((attribute.to_owned(), (*value).to_owned()));
                continue;
            }
            place = place.below(name);
        }
        if !path.contains('@') {
            place.text.push_str(value);
        }
    }
    let mut out = String::new();
    for (name, branch) in &root.children {
        branch.write(name, &mut out);
    }
    out
}

#[derive(Default)]
struct Branch {
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<(String, Branch)>,
}

impl Branch {
    fn below(&mut self, name: &str) -> &mut Self {
        let found = self.children.iter().position(|(known, _)| known == name);
        let place = found.unwrap_or_else(|| {
            self.children.push((name.to_owned(), Self::default()));
            self.children.len() - 1
        });
        &mut self.children.get_mut(place).expect("it was found or has just been added").1
    }

    fn write(&self, name: &str, out: &mut String) {
        let _ = write!(out, "<{name}");
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}=\"{}\"", escape(value));
        }
        let _ = write!(out, ">{}", escape(&self.text));
        for (name, branch) in &self.children {
            branch.write(name, out);
        }
        let _ = write!(out, "</{name}>");
    }
}

/// `text` with what has a meaning in XML as references, and characters that XML does not have left out.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            sign if sign.is_control() && sign != '\t' && sign != '\n' => {}
            sign => out.push(sign),
        }
    }
    out
}

/// Whether `text` is a path: names joined by `/`, at most the last one an attribute.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let (elements, attribute) = text.split_once("/@").map_or((text, None), |(before, name)| (before, Some(name)));
    let is_legal = |name: &str| is_name(name.as_bytes());
    text.len() <= PATH_BYTES_MAX
        && elements.split('/').count() <= DEPTH_MAX
        && elements.split('/').all(is_legal)
        && attribute.is_none_or(is_legal)
}

#[cfg(test)]
mod tests {
    use super::{PATH_BYTES_MAX, VALUES_MAX, is_path, read, write};

    /// The values in one line, and the same after writing and reading again.
    fn check(text: &str, expected: &str) {
        let show = |text: &[u8]| {
            let document = read(text).expect("a document");
            document.values().map(|(path, value)| format!("{path}={value};")).collect::<Vec<_>>().concat()
        };
        assert_eq!(show(text.as_bytes()), expected, "{text}");
        let document = read(text.as_bytes()).expect("a document");
        let values: Vec<(String, String)> =
            document.values().map(|(path, value)| (path.into_owned(), value.to_owned())).collect();
        let values: Vec<(&str, &str)> = values.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        assert_eq!(show(write(&values).as_bytes()), expected, "{}", write(&values));
    }

    #[test]
    fn a_document_is_its_values_by_path() {
        check("<Robot><Status>12345678</Status></Robot>", "Robot/Status=12345678;");
        check(
            "<Robot><ActPos X=\"1000.12\" Y = '2'></ActPos><Mode/><T> a&lt;b </T></Robot>",
            "Robot/ActPos/@X=1000.12;Robot/ActPos/@Y=2;Robot/Mode=;Robot/T= a<b ;",
        );
        check("<A>\n  <B>1</B>\n</A>", "A/B=1;");
        check("<A n=\"塔\"><!-- <B> --><![CDATA[<&>]]></A>", "A/@n=塔;A=<&>;");
        check("<Status>5</Status>", "Status=5;");
    }

    #[test]
    fn text_that_is_not_utf_8_is_iso_8859_1() {
        let document = read(b"<A>K\xfcche</A>").expect("a document");
        assert_eq!(document.value("A"), Some("Küche"));
    }

    #[test]
    fn what_is_wrong_within_tags_and_what_is_too_much_is_refused() {
        for text in ["<A X=1/>", "<A X/>", "<A X=\"1\" =\"2\"/>", "<A"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(format!("<A>{}</A>", "<B/>".repeat(VALUES_MAX - 1)).as_bytes()).is_ok());
        assert!(read(format!("<A>{}</A>", "<B/>".repeat(VALUES_MAX)).as_bytes()).is_err());
        assert!(read(format!("<{}/>", "a".repeat(PATH_BYTES_MAX + 1)).as_bytes()).is_err());
    }

    #[test]
    fn paths_are_names_and_an_attribute_at_most() {
        for right in ["Robot", "Robot/ActPos/@X", "a_1/b-2.c/@d"] {
            assert!(is_path(right), "{right}");
        }
        for wrong in ["", "/", "Robot/", "1", "Robot/@X/Y", "a b", "@X", "a/<b>"] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }
}
