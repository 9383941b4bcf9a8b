//! The machine token: one secret in a file, for programs of the operator. It may do everything.

use std::path::{Path, PathBuf};
use std::{fs, io};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Shortest token: 16 characters of the usual alphabets are beyond what can be tried over a network.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Longest token: far more than any generator makes, and it has to fit a header.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// The secret that opens the API over TCP. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Token(Zeroizing<Vec<u8>>);

/// A token that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file could not be read.
    #[error("cannot read the token file {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Other users can read the file.
    #[error("the token file {path} is readable by others (mode {mode:o}): chmod 600 it", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a usable token.
    #[error(
        "a token of {length} bytes: it has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable ASCII characters without blanks"
    )]
    Unusable {
        /// How long it is.
        length: usize,
    },
}

impl Token {
    /// Takes a token.
    ///
    /// # Errors
    /// `Unusable` when it is too short, too long, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let sized = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len());
        if !sized || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unusable { length: text.len() });
        }
        Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// Reads a token from a file that only its owner and group can read; blanks around it do not count.
    ///
    /// # Errors
    /// `File` when it cannot be read, `Open` when everybody can read it, `Unusable` when it holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        use std::os::unix::fs::PermissionsExt;

        let failed = |source| TokenError::File { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(TokenError::Open { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        Self::new(text.trim())
    }

    /// Whether the peer sent this token. Takes the same time whichever byte is wrong.
    pub(super) fn fits(&self, sent: &[u8]) -> bool {
        self.0.as_slice().ct_eq(sent).into()
    }

    /// The header's value that proves it.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{Token, TokenError};

    #[test]
    fn a_token_is_read_from_a_private_file_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        assert!(matches!(Token::read(&path), Err(TokenError::File { .. })));
        fs::write(&path, "0123456789abcdef\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("changed");
        assert!(matches!(Token::read(&path), Err(TokenError::Open { mode: 0o604, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        let token = Token::read(&path).expect("a token");
        assert!(token.fits(b"0123456789abcdef"));
        assert!(!token.fits(b"0123456789abcdeF") && !token.fits(b"0123456789abcdef0") && !token.fits(b""));
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_sent_is_refused() {
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcdéf"] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
    }
}
