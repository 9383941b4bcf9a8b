//! Secrets as they are written: `text:...`, `hex:...`, or `file:...` for a file that holds either or the bare text.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use loggerhead_store::Secret;
use zeroize::Zeroizing;

/// Longest file that a value may be taken from: a secret, or what a device brings of its own, such as the configuration of
/// an interface. A file that is longer is not meant to be one.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret as it is written. Its file was put in its place before.
///
/// # Errors
/// What would be right; never the secret.
pub fn parse_secret(written: &str) -> Result<Secret, String> {
    let bytes = if let Some(text) = written.strip_prefix("text:") {
        text.as_bytes().to_vec()
    } else if let Some(digits) = written.strip_prefix("hex:") {
        hex(digits).ok_or("hex: takes pairs of hex digits")?
    } else {
        return Err("write a secret as text:..., hex:... or file:/path".to_owned());
    };
    if bytes.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    Ok(Secret::new(bytes))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        digits.chars().filter(|sign| !sign.is_whitespace()).map(|sign| sign.to_digit(16)).collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high << 4 | low).ok(),
            _ => None,
        })
        .collect()
}

/// What a secret's file holds, written as in a configuration, and whether others than its owner may read it.
///
/// # Errors
/// What the system says.
pub(super) fn read_file(path: &Path) -> io::Result<(Zeroizing<String>, bool)> {
    let about = std::fs::metadata(path)?;
    check_length(&about)?;
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    let line = text.trim_end_matches(['\r', '\n']);
    let written =
        if line.starts_with("text:") || line.starts_with("hex:") { line.to_owned() } else { format!("text:{line}") };
    Ok((Zeroizing::new(written), is_open(&about)))
}

/// What a file holds that is no secret, written as a text of the configuration: UTF-8, UTF-16 with its mark, or else ISO 8859-1.
///
/// # Errors
/// What the system says.
pub(super) fn read_document(path: &Path) -> io::Result<String> {
    check_length(&std::fs::metadata(path)?)?;
    let bytes = std::fs::read(path)?;
    let units = |unit: fn([u8; 2]) -> u16, bytes: &[u8]| -> Vec<u16> {
        bytes.as_chunks().0.iter().map(|&pair| unit(pair)).collect()
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => String::from_utf16_lossy(&units(u16::from_le_bytes, rest)),
        [0xfe, 0xff, rest @ ..] => String::from_utf16_lossy(&units(u16::from_be_bytes, rest)),
        bytes => str::from_utf8(bytes).map_or_else(
            |_| bytes.iter().copied().map(char::from).collect(),
            |text| text.trim_start_matches('\u{feff}').to_owned(),
        ),
    };
    Ok(format!("text:{text}"))
}

fn check_length(about: &std::fs::Metadata) -> io::Result<()> {
    if about.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{} bytes is over {FILE_BYTES_MAX}", about.len())));
    }
    Ok(())
}

/// Whether everybody may read a file.
pub(super) fn is_open(about: &std::fs::Metadata) -> bool {
    about.permissions().mode() & 0o004 != 0
}

#[cfg(test)]
mod tests {
    use super::{parse_secret, read_document, read_file};

    #[test]
    fn a_secret_is_text_or_hex_and_never_guessed() {
        assert_eq!(parse_secret("text:529f").expect("a secret").expose(), b"529f");
        assert_eq!(parse_secret("hex:52 9F").expect("a secret").expose(), [0x52, 0x9f]);
        for bad in ["529f", "hex:5", "hex:xy", "text:", "hex:"] {
            let text = parse_secret(bad).expect_err("not a secret");
            assert!(!text.contains("529f"), "{text}");
        }
    }

    #[test]
    fn a_file_holds_a_secret_with_or_without_its_word() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        for (content, expected) in [("abc\n", "text:abc"), ("hex:00ff\r\n", "hex:00ff")] {
            std::fs::write(&path, content).expect("a file");
            assert_eq!(read_file(&path).expect("a secret").0.as_str(), expected);
        }
    }

    #[test]
    fn a_document_is_read_in_the_encoding_that_it_is_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("robot.xml");
        let wide = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
            [mark, &"<ö/>".encode_utf16().flat_map(unit).collect::<Vec<_>>()].concat()
        };
        let (low, high) = (wide(&[0xff, 0xfe], u16::to_le_bytes), wide(&[0xfe, 0xff], u16::to_be_bytes));
        for content in ["<ö/>".as_bytes(), "\u{feff}<ö/>".as_bytes(), b"<\xf6/>", &low, &high] {
            std::fs::write(&path, content).expect("a file");
            assert_eq!(read_document(&path).expect("a document"), "text:<ö/>", "{content:?}");
        }
    }
}
