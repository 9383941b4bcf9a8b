//! A file that a device sends: its name, and what is known of it.

use std::fmt;
use std::sync::Arc;

use crate::{DeviceId, NameError, Timestamp};

/// Longest name of a file: what file systems take.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// Names that Windows keeps for devices, whatever stands behind a dot.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The name of a file, without any directory: 1 to `FILE_NAME_BYTES_MAX` bytes, neither `.` nor `..`, without separators,
/// control characters and characters that turn the direction of a text. It is shown and offered to whoever downloads the
/// file; no file on our disk is ever called so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// The name at the end of what a sender calls a file: behind every `/` and `\`, and behind the letter of a drive.
    ///
    /// # Errors
    /// `NameError` when nothing is left, when it is too long, or when it holds a character that cannot stand in a name.
    pub fn of_sender(text: &str) -> Result<Self, NameError> {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = match last.split_once(':') {
            Some((drive, rest))
                if drive.len() == 1 && drive.starts_with(|letter: char| letter.is_ascii_alphabetic()) =>
            {
                rest
            }
            Some(_) | None => last,
        };
        let length = name.len();
        if matches!(name.trim(), "" | "." | "..") {
            return Err(NameError::Empty);
        }
        if length > FILE_NAME_BYTES_MAX {
            return Err(NameError::TooLong { length, max: FILE_NAME_BYTES_MAX });
        }
        match name.chars().find(|&character| is_barred(character)) {
            Some(character) => Err(NameError::Character { character }),
            None => Ok(Self(Arc::from(name))),
        }
    }

    /// Whether every system can have a file of this name.
    #[must_use]
    pub fn is_portable(&self) -> bool {
        let stem = self.0.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
        let is_reserved = RESERVED.contains(&stem.as_str());
        let has_barred = self.0.contains(['<', '>', ':', '"', '|', '?', '*']);
        !is_reserved && !has_barred && !self.0.ends_with(['.', ' '])
    }

    /// The same name with a number before its last dot: `1 (2).jpg`. Cut to length.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let (stem, end) = match self.0.rfind('.') {
            Some(place) if place > 0 && self.0.len() - place <= 16 => self.0.split_at(place),
            Some(_) | None => (&*self.0, ""),
        };
        let addition = format!(" ({number})");
        let mut kept = FILE_NAME_BYTES_MAX.saturating_sub(addition.len() + end.len()).min(stem.len());
        while !stem.is_char_boundary(kept) {
            kept -= 1;
        }
        Self(format!("{}{addition}{end}", stem.get(..kept).unwrap_or_default()).into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Control characters, and those that make a name read as another one.
fn is_barred(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// SHA-256 of the bytes of a file.
pub type Sha256 = [u8; 32];

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// A part of it is here; its sender can go on.
    Partial,
    /// It is whole and verified.
    Complete,
}

impl FileState {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Complete => "complete",
        }
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// Our number for it, never given to another one while it is known.
    pub number: u64,
    /// Whose it is.
    pub device: DeviceId,
    /// What its sender calls it, made safe.
    pub name: FileName,
    /// By which name the sender finds it again to go on.
    pub key: Option<String>,
    /// What the sender says of it besides, in the words of its protocol: told back to it as it is.
    pub metadata: Option<String>,
    /// Bytes of the whole file.
    pub size: u64,
    /// Of the whole file: what the sender says while it is partial, what it is when it is complete.
    pub sha256: Option<Sha256>,
    /// How far it is.
    pub state: FileState,
    /// When it began; our clock.
    pub begun_at: Timestamp,
    /// When it became complete, or when its sender was last there; our clock.
    pub changed_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::FileName;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(FileName::of_sender(text).ok().as_ref().map(FileName::as_str), expected, "{text:?}");
    }

    #[test]
    fn only_the_last_part_of_a_path_is_a_name() {
        check("1.jpg", Some("1.jpg"));
        check("../../etc/passwd", Some("passwd"));
        check("/etc/cron.d/x", Some("x"));
        check("C:\\Windows\\win.ini", Some("win.ini"));
        check("D:.jpg", Some(".jpg"));
        check("\u{4f60}.txt", Some("\u{4f60}.txt"));
        for bad in ["", ".", "..", "a/..", "a/", "C:", "..\\..", "a\0b", "a\nb", "\u{202e}gpj.exe", " ", " . "] {
            check(bad, None);
        }
        check(&"x".repeat(255), Some(&"x".repeat(255)));
        check(&"x".repeat(256), None);
    }

    #[test]
    fn a_name_that_windows_keeps_is_not_portable() {
        let portable = |text: &str| FileName::of_sender(text).expect("a name").is_portable();
        assert!(portable("1.jpg") && portable("console.txt"));
        for bad in ["NUL", "con.txt", "COM1.log", "a?b", "a.", "lpt1 .x"] {
            assert!(!portable(bad), "{bad}");
        }
    }

    #[test]
    fn a_number_stands_before_the_end_and_the_name_stays_short() {
        let numbered = |text: &str, number| FileName::of_sender(text).expect("a name").numbered(number).to_string();
        assert_eq!(numbered("1.jpg", 2), "1 (2).jpg");
        assert_eq!(numbered(".profile", 3), ".profile (3)");
        let long = numbered(&format!("{}.csv", "\u{4f60}".repeat(83)), 10);
        assert!(long.len() <= 255 && long.ends_with(" (10).csv"), "{long}");
    }
}
