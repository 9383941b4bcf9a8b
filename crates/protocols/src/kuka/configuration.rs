//! The robot's own configuration of EthernetKRL, the file that its programmer has: what the robot sends, and what it takes.
//!
//! `ETHERNETKRL/SEND` names what the robot sends and we receive; `RECEIVE` is the other way. Source: \[1\] §5.

use super::frame::{Cut, Cutter, Framing, RAW_BYTES_MAX};
use super::message::{Document, Element, is_path, read};

/// Where the elements of the two halves stand.
const SEND_XML: &str = "ETHERNETKRL/SEND/XML/ELEMENT";
const SEND_RAW: &str = "ETHERNETKRL/SEND/RAW/ELEMENT";
const RECEIVE_XML: &str = "ETHERNETKRL/RECEIVE/XML/ELEMENT";
/// What a value of the type FRAME consists of.
const FRAME_PARTS: [&str; 6] = ["X", "Y", "Z", "A", "B", "C"];

/// What a robot sends and takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    /// How its frames are told apart.
    pub(super) framing: Framing,
    /// The paths of what it sends; for a raw element its name alone.
    pub(super) sent: Vec<String>,
    /// The paths of what it takes.
    pub(super) taken: Vec<String>,
}

impl Configuration {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut cutter = Cutter::new(Framing::default());
        cutter.push(text.as_bytes());
        let document = match cutter.cut() {
            Some(Cut::Frame(document)) => read(&document).map_err(|fault| fault.to_string())?,
            Some(Cut::Fault(fault)) => return Err(fault.to_string()),
            None => return Err("the document has no end".to_owned()),
        };
        match document.elements.first() {
            Some(root) if root.path == "ETHERNETKRL" => {}
            root => return Err(format!("begins with <{}>, not <ETHERNETKRL>", root.map_or("", |root| &root.path))),
        }
        check_connection(&document)?;
        let taken = paths(&document, RECEIVE_XML)?;
        let sent = paths(&document, SEND_XML)?;
        let mut raw = elements(&document, SEND_RAW);
        match (raw.next(), raw.next()) {
            (None, _) if sent.is_empty() => Err("SEND names no element: the robot sends nothing".to_owned()),
            (None, _) => {
                let mut roots: Vec<String> = sent.iter().map(|path| root_of(path).to_owned()).collect();
                roots.sort();
                roots.dedup();
                Ok(Self { framing: Framing::Documents { roots }, sent, taken })
            }
            (Some(element), None) if sent.is_empty() => {
                Ok(Self { framing: raw_framing(element)?, sent: vec![tag(element)?.to_owned()], taken })
            }
            (Some(_), _) => Err("SEND holds either XML or one RAW element".to_owned()),
        }
    }

    /// Whether the robot sends a value of this path: the path itself, or a part of a FRAME.
    pub(super) fn sends(&self, path: &str) -> bool {
        let is_part = |tag: &String| {
            let part = path.strip_prefix(tag.as_str()).and_then(|rest| rest.strip_prefix("/@"));
            part.is_some_and(|part| FRAME_PARTS.contains(&part))
        };
        self.sent.iter().any(|tag| tag == path || is_part(tag))
    }

    /// Whether the robot takes a value of this path.
    pub(super) fn takes(&self, path: &str) -> bool {
        self.taken.iter().any(|tag| tag == path)
    }
}

/// The root element of a path.
fn root_of(path: &str) -> &str {
    path.split_once('/').map_or(path, |(root, _)| root)
}

/// Whether it calls or is called, and over what, is its listener's matter.
fn check_connection(document: &Document) -> Result<(), String> {
    match document.value("ETHERNETKRL/CONFIGURATION/INTERNAL/PROTOCOL").map(str::trim) {
        None | Some("TCP" | "UDP") => Ok(()),
        Some(other) => Err(format!("INTERNAL/PROTOCOL is {other}: only TCP and UDP are taken")),
    }
}

fn elements<'a>(document: &'a Document, path: &'a str) -> impl Iterator<Item = &'a Element> {
    document.elements.iter().filter(move |element| element.path == path)
}

fn attribute<'a>(element: &'a Element, name: &str) -> Option<&'a str> {
    element.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn tag(element: &Element) -> Result<&str, String> {
    let tag = attribute(element, "Tag").ok_or("an ELEMENT without a Tag")?;
    if is_path(tag) { Ok(tag) } else { Err(format!("Tag {tag:?} is no path such as Robot/ActPos/@X")) }
}

fn paths(document: &Document, half: &str) -> Result<Vec<String>, String> {
    elements(document, half).map(|element| tag(element).map(str::to_owned)).collect()
}

/// Bytes of a fixed number, or up to an end.
fn raw_framing(element: &Element) -> Result<Framing, String> {
    let size = match attribute(element, "Size") {
        Some(size) => {
            let size = size.trim().parse().ok().filter(|size| (1..=RAW_BYTES_MAX).contains(size));
            Some(size.ok_or_else(|| format!("Size takes 1 to {RAW_BYTES_MAX}"))?)
        }
        None => None,
    };
    match (attribute(element, "EOS"), size) {
        (Some(ends), size) => Ok(Framing::Closed { ends: ends_of(ends)?, bytes_max: size.unwrap_or(RAW_BYTES_MAX) }),
        (None, Some(size)) => Ok(Framing::Fixed(size)),
        (None, None) => Err("a RAW element needs a Size, or an EOS such as 13,10".to_owned()),
    }
}

/// `13,10|65` is CR LF or the letter A.
fn ends_of(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let end = |text: &str| text.split(',').map(|byte| byte.trim().parse().ok()).collect::<Option<Vec<u8>>>();
    let ends = text.split('|').map(end).collect::<Option<Vec<_>>>();
    ends.ok_or_else(|| format!("EOS {text:?} is not made of bytes such as 13,10|65"))
}

#[cfg(test)]
mod tests {
    use super::{Configuration, Framing};

    fn check(send: &str, expected: &Result<Framing, &str>) {
        let text = format!("<ETHERNETKRL><SEND>{send}</SEND></ETHERNETKRL>");
        let parsed = Configuration::parse(&text);
        let framing = parsed.as_ref().map(|parsed| parsed.framing.clone()).map_err(String::as_str);
        assert_eq!(&framing, expected, "{send}");
    }

    #[test]
    fn a_robots_own_file_says_what_it_sends_and_takes() {
        let text = include_str!("vectors/configuration.txt");
        let configuration = Configuration::parse(text).expect("the robot's own file");
        assert_eq!(configuration.framing, Framing::Documents { roots: vec!["Robot".to_owned()] });
        for path in ["Robot/AxisAct/@A1", "Robot/Frame/@X", "Robot/Status", "Robot/Sequence"] {
            assert!(configuration.sends(path), "{path}");
        }
        for path in ["Robot", "Robot/AxisAct", "Robot/Frame/@S", "Server/Stored"] {
            assert!(!configuration.sends(path), "{path}");
        }
        assert!(configuration.takes("Server/Stored"));
    }

    #[test]
    fn raw_elements_have_a_size_or_an_end() {
        check("<RAW><ELEMENT Tag='B' Type='BYTE' Size='10'/></RAW>", &Ok(Framing::Fixed(10)));
        let ends = vec![vec![13, 10], vec![65]];
        check(
            "<RAW><ELEMENT Tag='S' Type='STREAM' EOS='13,10|65'/></RAW>",
            &Ok(Framing::Closed { ends, bytes_max: 3_600 }),
        );
        check(
            "<RAW><ELEMENT Tag='S' Type='STREAM' EOS='13,x'/></RAW>",
            &Err("EOS \"13,x\" is not made of bytes such as 13,10|65"),
        );
        check("<RAW><ELEMENT Tag='B' Size='3601'/></RAW>", &Err("Size takes 1 to 3600"));
        check("<RAW><ELEMENT Tag='B'/></RAW>", &Err("a RAW element needs a Size, or an EOS such as 13,10"));
        let both = "<RAW><ELEMENT Tag='B' Size='1'/></RAW><XML><ELEMENT Tag='A'/></XML>";
        check(both, &Err("SEND holds either XML or one RAW element"));
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        check("", &Err("SEND names no element: the robot sends nothing"));
        check("<XML><ELEMENT/></XML>", &Err("an ELEMENT without a Tag"));
        check("<XML><ELEMENT Tag='a b'/></XML>", &Err("Tag \"a b\" is no path such as Robot/ActPos/@X"));
        let connection = |inside: &str| {
            let text = format!("<ETHERNETKRL><CONFIGURATION>{inside}</CONFIGURATION></ETHERNETKRL>");
            Configuration::parse(&text).expect_err(inside)
        };
        assert!(connection("<INTERNAL><PROTOCOL>HTTP</PROTOCOL></INTERNAL>").contains("only TCP and UDP"));
        assert!(Configuration::parse("<ROOT/>").expect_err("a file of another kind").contains("<ROOT>"));
        assert!(Configuration::parse("<ETHERNETKRL>").is_err());
    }
}
