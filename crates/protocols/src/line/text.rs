//! Texts as a terminal may have them, in the encoding of a listener.

use std::borrow::Cow;

pub use crate::encoding::Encoding;

/// Whether control characters of a peer's text reach other peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Controls {
    /// As `?`: a terminal obeys them.
    #[default]
    Replace,
    /// As they came.
    Keep,
}

impl Controls {
    /// The text as it may be sent to a terminal.
    #[must_use]
    pub fn tame(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Replace if text.contains(char::is_control) => text.replace(char::is_control, "?").into(),
            Self::Replace | Self::Keep => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Controls;

    #[test]
    fn a_terminal_is_sent_no_control_characters() {
        assert_eq!(Controls::Replace.tame("a\u{1b}[2Jb\u{9b}\nc"), "a?[2Jb??c");
        assert_eq!(Controls::Keep.tame("a\u{1b}b"), "a\u{1b}b");
    }
}
