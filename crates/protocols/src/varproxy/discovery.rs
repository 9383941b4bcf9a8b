//! How proxies are found: a question to everybody, and a line of text from each robot, `KUKA|MODEL|SERIAL`. Source: \[2\].

/// Who looks for proxies sends this to each host, or to all of a network.
pub const QUESTION: &[u8] = b"WHEREAREYOU?";
/// The UDP port on which proxies wait for it.
pub const PORT: u16 = 6999;
/// The UDP port of the sender at which the answer is expected, wherever the question came from. Where a C3 Bridge is asked on
/// this port of its own, it answers to where the question came from.
pub const ANSWER_PORT: u16 = 7000;
/// Longest answer that is looked at: a few names.
pub const ANSWER_BYTES_MAX: usize = 512;
/// What every answer begins with.
const MAKER: &str = "KUKA";

/// A robot that answered. What it does not tell is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What kind of robot it is.
    pub model: String,
    /// Its number.
    pub serial: String,
    /// Whatever its proxy tells of itself behind these, as it came.
    pub more: String,
}

impl Found {
    /// Reads an answer; none where it is no answer of a proxy.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let datagram = datagram.get(..ANSWER_BYTES_MAX.min(datagram.len()))?;
        // One byte a character, as the names of variables have it.
        let text: String = datagram.iter().copied().map(char::from).filter(|sign| !sign.is_control()).collect();
        let mut parts = text.splitn(4, '|').map(|part| part.trim().to_owned());
        if parts.next()? != MAKER {
            return None;
        }
        let (model, serial) = (parts.next()?, parts.next()?);
        Some(Self { model, serial, more: parts.next().unwrap_or_default() })
    }

    /// The answer that says this.
    #[must_use]
    pub fn write(&self) -> String {
        let Self { model, serial, more } = self;
        let rest = if more.is_empty() { String::new() } else { format!("|{more}") };
        format!("{MAKER}|{model}|{serial}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWER_BYTES_MAX, Found};

    fn check(answer: &str, expected: Option<(&str, &str, &str)>) {
        let found = Found::read(answer.as_bytes());
        let parts =
            found.as_ref().map(|Found { model, serial, more }| (model.as_str(), serial.as_str(), more.as_str()));
        assert_eq!(parts, expected, "{answer}");
        if let Some(found) = found {
            assert_eq!(Found::read(found.write().as_bytes()), Some(found), "written and read again");
        }
    }

    #[test]
    fn an_answer_names_model_and_number_or_neither() {
        check("KUKA|KR6R900 SIXX|000000", Some(("KR6R900 SIXX", "000000", "")));
        check("KUKA||", Some(("", "", "")));
        check("KUKA|KR6|1|C3|1.5\r\n", Some(("KR6", "1", "C3|1.5")));
        for wrong in ["", "KUKA", "KUKA|KR6", "ABB|1|2", "WHEREAREYOU?"] {
            check(wrong, None);
        }
        check(&format!("KUKA|{}|1", "x".repeat(ANSWER_BYTES_MAX)), None);
    }
}
