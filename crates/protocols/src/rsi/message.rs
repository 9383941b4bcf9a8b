//! What a state says: its cycle, and values by path; and the document that answers it.
//!
//! A document is flat: the elements of the root have attributes or characters, and none stands in another. Paths are
//! `RIst/@X` for an attribute and `IPOC` for an element. Source: \[1\], \[2\].

use std::fmt::Write as _;

use crate::references::unescape;
use crate::{Fault, FaultKind};

/// Values of a document: 64 channels, each of which may be a frame of six. Source: \[1\].
pub const VALUES_MAX: usize = 512;
/// Longest name of an element or attribute; those of robots have under 10 bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Digits of a cycle's number.
const IPOC_DIGITS_MAX: usize = 20;

/// One cycle of a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The number of the cycle as it was written, which is echoed unchanged.
    pub ipoc: String,
    /// The same as a number: milliseconds, by the robot's clock.
    pub ipoc_ms: u64,
    /// Answers that the robot missed, as it counts them.
    pub delay: Option<u64>,
    /// All values by path, in order, without the number of the cycle.
    pub values: Vec<(String, String)>,
}

/// Reads a document that was cut as one.
///
/// # Errors
/// `Malformed` when its tags do not fit, or when it has no IPOC; `TooLarge` over a limit.
pub fn read(document: &str) -> Result<State, Fault> {
    let mut values = values(document)?;
    let place = values.iter().position(|(path, _)| path == "IPOC");
    let Some((_, ipoc)) = place.map(|place| values.remove(place)) else { return Err(malformed("no IPOC")) };
    let ipoc = ipoc.trim().to_owned();
    let is_number = ipoc.len() <= IPOC_DIGITS_MAX && ipoc.bytes().all(|digit| digit.is_ascii_digit());
    let ipoc_ms = ipoc.parse().ok().filter(|_| is_number).ok_or_else(|| malformed("an IPOC that is no number"))?;
    let delay = values.iter().find(|(path, _)| path == "Delay/@D").and_then(|(_, count)| count.trim().parse().ok());
    Ok(State { ipoc, ipoc_ms, delay, values })
}

/// The values of a flat document by path, those of the root's own attributes left out.
///
/// # Errors
/// As `read`.
pub fn values(document: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut values = Vec::new();
    let (root, mut rest) = tag(document.trim_start())?;
    if root.is_closed {
        return Ok(values);
    }
    loop {
        let (before, behind) = rest.split_once('<').ok_or_else(|| malformed("a document without an end"))?;
        if !before.trim().is_empty() {
            return Err(malformed("characters between elements"));
        }
        if let Some(closing) = behind.strip_prefix('/') {
            let is_end = closing.strip_prefix(root.name).is_some_and(|end| end.trim() == ">");
            return if is_end { Ok(values) } else { Err(malformed("a closing tag that does not fit")) };
        }
        let at = rest.len() - behind.len() - 1;
        let (element, behind) = tag(rest.get(at..).unwrap_or_default())?;
        for (name, value) in &element.attributes {
            push(&mut values, format!("{}/@{name}", element.name), value)?;
        }
        rest = behind;
        if element.is_closed {
            continue;
        }
        let (text, behind) = rest.split_once("</").ok_or_else(|| malformed("an element without an end"))?;
        if text.contains('<') {
            return Err(malformed("an element within an element"));
        }
        let behind = behind.strip_prefix(element.name).map(str::trim_start).and_then(|end| end.strip_prefix('>'));
        rest = behind.ok_or_else(|| malformed("a closing tag that does not fit"))?;
        if !text.trim().is_empty() || element.attributes.is_empty() {
            push(&mut values, element.name.to_owned(), text.trim())?;
        }
    }
}

fn push(values: &mut Vec<(String, String)>, path: String, value: &str) -> Result<(), Fault> {
    if values.len() == VALUES_MAX {
        return Err(Fault::new(FaultKind::TooLarge, format!("over {VALUES_MAX} values")));
    }
    values.push((path, unescape(value).into_owned()));
    Ok(())
}

/// A tag that opens an element.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    is_closed: bool,
}

/// The tag at the beginning of `text`, and what stands behind it.
fn tag(text: &str) -> Result<(Tag<'_>, &str), Fault> {
    let inside = text.strip_prefix('<').ok_or_else(|| malformed("no tag"))?;
    let (name, mut rest) = name(inside)?;
    let mut tag = Tag { name, attributes: Vec::new(), is_closed: false };
    loop {
        rest = rest.trim_ascii_start();
        if let Some(behind) = rest.strip_prefix("/>") {
            tag.is_closed = true;
            return Ok((tag, behind));
        }
        if let Some(behind) = rest.strip_prefix('>') {
            return Ok((tag, behind));
        }
        let (key, behind) = self::name(rest)?;
        let behind = behind.trim_ascii_start().strip_prefix('=').map(str::trim_ascii_start);
        let quoted = behind.and_then(|behind| {
            let quote = behind.chars().next().filter(|sign| matches!(sign, '"' | '\''))?;
            behind.get(1..)?.split_once(quote)
        });
        let (value, behind) = quoted.ok_or_else(|| malformed("an attribute without a value"))?;
        if value.contains('<') || tag.attributes.len() == VALUES_MAX {
            return Err(malformed("an attribute that is none"));
        }
        tag.attributes.push((key, value));
        rest = behind;
    }
}

fn name(text: &str) -> Result<(&str, &str), Fault> {
    let end = text.find(|sign: char| !is_name_part(sign)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if is_name(name) { Ok((name, rest)) } else { Err(malformed("a tag or attribute without a name")) }
}

fn is_name_part(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.')
}

/// Whether `text` can be the name of an element or attribute.
fn is_name(text: &str) -> bool {
    // Robots number what they send: <Out 01="1"/>.
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|sign: char| sign.is_ascii_alphanumeric() || sign == '_')
        && text.chars().all(is_name_part)
}

/// Whether `text` is a path: `RKorr/@X` or `DiO`.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let (element, attribute) = text.split_once("/@").map_or((text, None), |(element, name)| (element, Some(name)));
    is_name(element) && attribute.is_none_or(is_name)
}

/// Writes a flat document. Attributes of one element stand together, in the order in which they first come.
#[must_use]
pub fn write(root: &str, kind: (&str, &str), values: &[(&str, &str)]) -> String {
    let mut elements: Vec<(&str, String, &str)> = Vec::new();
    for (path, value) in values {
        let (name, attribute) = path.split_once("/@").map_or((*path, None), |(name, key)| (name, Some(key)));
        let place = elements.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
            elements.push((name, String::new(), ""));
            elements.len() - 1
        });
        let Some((_, attributes, text)) = elements.get_mut(place) else { continue };
        match attribute {
            Some(key) => {
                let _ = write!(attributes, " {key}=\"{}\"", escape(value));
            }
            None => *text = value,
        }
    }
    let mut out = format!("<{root} {}=\"{}\">", kind.0, escape(kind.1));
    for (name, attributes, text) in elements {
        let _ = match (attributes.is_empty(), text) {
            (false, "") => write!(out, "<{name}{attributes}/>"),
            (_, text) => write!(out, "<{name}{attributes}>{}</{name}>", escape(text)),
        };
    }
    let _ = write!(out, "</{root}>");
    out
}

/// `text` with what has a meaning in XML as references.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn malformed(reason: &'static str) -> Fault {
    Fault::new(FaultKind::Malformed, reason)
}

#[cfg(test)]
mod tests {
    use super::{VALUES_MAX, is_path, read, values, write};

    fn check(document: &str, expected: Result<&str, &str>) {
        let shown = values(document)
            .map(|values| values.iter().map(|(path, value)| format!("{path}={value}")).collect::<Vec<_>>().join(" "));
        match (shown, expected) {
            (Ok(shown), expected) => assert_eq!(Ok(shown.as_str()), expected, "{document}"),
            (Err(fault), expected) => assert!(expected.is_err_and(|part| fault.reason.contains(part)), "{fault}"),
        }
    }

    #[test]
    fn a_document_is_its_values_by_path() {
        check("<Rob Type=\"KUKA\"><RIst X=\"1.5\" Y='2'/><IPOC>7</IPOC></Rob>", Ok("RIst/@X=1.5 RIst/@Y=2 IPOC=7"));
        check("<Rob>\r\n <EStr>a&amp;b</EStr> <Tech C1=\"1\"></Tech><Mode/></Rob>", Ok("EStr=a&b Tech/@C1=1"));
        check("<Rob/>", Ok(""));
        check("<Rob><A><B/></A></Rob>", Err("within"));
        check("<Rob><A>1</B></Rob>", Err("does not fit"));
        check("<Rob><A>1</A></Sen>", Err("does not fit"));
        check("<Rob><A x></A></Rob>", Err("without a value"));
        check("<Rob><!DOCTYPE a></Rob>", Err("without a name"));
        check("<Rob>x<A/></Rob>", Err("between"));
        check("<Rob><A/>", Err("without an end"));
        let many = "<A x=\"1\"/>".repeat(VALUES_MAX);
        assert!(values(&format!("<Rob>{many}</Rob>")).is_ok());
        check(&format!("<Rob>{many}<B>1</B></Rob>"), Err("over"));
    }

    #[test]
    fn a_cycle_has_a_number_that_is_kept_as_it_was_written() {
        let state = read("<Rob><Delay D=\"3\"/><IPOC> 0042 </IPOC></Rob>").expect("a state");
        assert_eq!((state.ipoc.as_str(), state.ipoc_ms, state.delay), ("0042", 42, Some(3)));
        for wrong in ["", "<IPOC></IPOC>", "<IPOC>-4</IPOC>", "<IPOC>+4</IPOC>", "<IPOC>99999999999999999999</IPOC>"] {
            assert!(read(&format!("<Rob>{wrong}</Rob>")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let said = [("RKorr/@X", "0.1"), ("EStr", "<&\""), ("RKorr/@Y", "0"), ("IPOC", "4")];
        let document = write("Sen", ("Type", "ImFree"), &said);
        assert!(document.starts_with("<Sen Type=\"ImFree\"><RKorr X=\"0.1\" Y=\"0\"/><EStr>"), "{document}");
        check(&document, Ok("RKorr/@X=0.1 RKorr/@Y=0 EStr=<&\" IPOC=4"));
    }

    #[test]
    fn paths_are_a_name_and_an_attribute_at_most() {
        assert!(["RKorr/@X", "DiO", "Out/@01"].into_iter().all(is_path));
        assert!(["", "/@X", "RKorr/@", "A/B", "A B", "-1"].into_iter().all(|path| !is_path(path)));
    }
}
