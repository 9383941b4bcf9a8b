//! AES-128 in CBC mode, without a padding of its own: what stands behind the text is the reader's to drop and the
//! writer's to choose. Source: \[1\] annex 4; habits of padding: \[2\], \[3\].

use std::fmt;

use aes::Aes128;
use aes::cipher::{Array, Block, BlockCipherDecrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use bytes::BufMut;
use bytes::BytesMut;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::compress;
use super::text;
use crate::wire::hex;
use crate::{Fault, FaultKind, SettingsError};

/// Bytes in a block, in a key and in an initialisation vector.
pub const BLOCK_BYTES: usize = 16;

/// A key with its initialisation vector, expanded once. Share it in an `Arc`.
pub struct Key {
    cipher: Aes128,
    secret: Zeroizing<[u8; BLOCK_BYTES]>,
    iv: Zeroizing<[u8; BLOCK_BYTES]>,
}

/// What the first block of a body says about the key that it was deciphered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It begins as XML does.
    Xml,
    /// It begins as a compressed body does.
    Compressed,
    /// It begins as neither: most likely the key is another one.
    Nonsense,
}

impl Look {
    /// What `body` begins as. The bytes of QuickLZ and zlib are looked at up to where a wrong key would show.
    #[must_use]
    pub fn at(body: &[u8]) -> Self {
        let text = text::trim_start(body);
        if text.starts_with(b"<") && text::looks_like_root(text) {
            Self::Xml
        } else if compress::looks_compressed(body) {
            Self::Compressed
        } else {
            Self::Nonsense
        }
    }
}

/// What fills the last block of a body that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Zero bytes; none when the text fills its blocks.
    Zero,
    /// ASCII `0`; none when the text fills its blocks.
    Digit,
    /// Blanks; none when the text fills its blocks.
    Space,
    /// PKCS#7: 1 to 16 bytes, each of which says how many there are.
    Pkcs7,
}

impl Padding {
    /// Every padding.
    pub const ALL: [Self; 4] = [Self::Zero, Self::Digit, Self::Space, Self::Pkcs7];

    /// The word for it in settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Digit => "0",
            Self::Space => "space",
            Self::Pkcs7 => "pkcs7",
        }
    }

    /// The padding of that word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|padding| padding.word() == word)
    }

    /// Fills the last block of what stands in `out` from `start` on.
    pub(super) fn fill(self, out: &mut BytesMut, start: usize) {
        let over = (out.len() - start) % BLOCK_BYTES;
        let (byte, count) = match (self, over) {
            (Self::Pkcs7, over) => {
                let count = BLOCK_BYTES - over;
                (u8::try_from(count).unwrap_or(0), count)
            }
            (_, 0) => return,
            (Self::Zero, over) => (0, BLOCK_BYTES - over),
            (Self::Digit, over) => (b'0', BLOCK_BYTES - over),
            (Self::Space, over) => (b' ', BLOCK_BYTES - over),
        };
        out.put_bytes(byte, count);
    }
}

impl Key {
    /// A key and its initialisation vector, both of 16 bytes.
    #[must_use]
    pub fn new(key: [u8; BLOCK_BYTES], iv: [u8; BLOCK_BYTES]) -> Self {
        Self { cipher: Aes128::new(&Array(key)), secret: Zeroizing::new(key), iv: Zeroizing::new(iv) }
    }

    /// From byte strings of any length.
    ///
    /// # Errors
    /// `SettingsError` when one is not of 16 bytes.
    pub fn from_slices(key: &[u8], iv: &[u8]) -> Result<Self, SettingsError> {
        let sized = |name: &str, bytes: &[u8]| {
            <[u8; BLOCK_BYTES]>::try_from(bytes).map_err(|_| SettingsError {
                key: name.to_owned(),
                reason: format!("{} bytes, 16 needed: write text:<16 characters> or hex:<32 digits>", bytes.len()),
            })
        };
        Ok(Self::new(sized("key", key)?, sized("iv", iv)?))
    }

    /// From settings: `text:` with 16 characters or `hex:` with 32 digits each; without `iv` the key serves as both.
    ///
    /// # Errors
    /// `SettingsError` naming `key` or `iv` when one is written otherwise.
    pub fn from_settings(key: &str, iv: Option<&str>) -> Result<Self, SettingsError> {
        let key_bytes = secret_bytes(key).map_err(|reason| SettingsError { key: "key".to_owned(), reason })?;
        let iv_bytes = iv.map(secret_bytes).transpose();
        let iv_bytes = iv_bytes.map_err(|reason| SettingsError { key: "iv".to_owned(), reason })?;
        Self::from_slices(&key_bytes, iv_bytes.as_deref().unwrap_or(&key_bytes))
    }

    /// Deciphers whole blocks in place.
    ///
    /// # Errors
    /// `Malformed` when `body` is empty or ends within a block; nothing is changed then.
    pub fn decipher(&self, body: &mut [u8]) -> Result<(), Fault> {
        let length = body.len();
        let (blocks, rest) = Block::<Aes128>::slice_as_chunks_mut(body);
        if !rest.is_empty() || blocks.is_empty() {
            return Err(not_blocks(length));
        }
        cbc::Decryptor::inner_iv_slice_init(&self.cipher, &*self.iv)
            .map_err(|_| not_blocks(length))?
            .decrypt_blocks(blocks);
        Ok(())
    }

    /// Enciphers whole blocks in place.
    ///
    /// # Errors
    /// `Malformed` when `body` is empty or ends within a block; nothing is changed then.
    pub fn encipher(&self, body: &mut [u8]) -> Result<(), Fault> {
        let length = body.len();
        let (blocks, rest) = Block::<Aes128>::slice_as_chunks_mut(body);
        if !rest.is_empty() || blocks.is_empty() {
            return Err(not_blocks(length));
        }
        cbc::Encryptor::inner_iv_slice_init(&self.cipher, &*self.iv)
            .map_err(|_| not_blocks(length))?
            .encrypt_blocks(blocks);
        Ok(())
    }

    /// What `body` begins as when this is its key: only the first block is deciphered, and `body` is left as it is.
    #[must_use]
    pub fn look(&self, body: &[u8]) -> Look {
        let Some(first) = body.first_chunk::<BLOCK_BYTES>() else { return Look::Nonsense };
        let mut block = Array(*first);
        self.cipher.decrypt_block(&mut block);
        let mut plain = block.0;
        for (byte, iv) in plain.iter_mut().zip(self.iv.iter()) {
            *byte ^= iv;
        }
        Look::at(&plain)
    }
}

impl PartialEq for Key {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.secret.ct_eq(&*other.secret) & self.iv.ct_eq(&*other.iv))
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    /// That there is one, never which.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

/// The bytes of a secret as settings write it: `text:` and its characters, or `hex:` and two digits for each byte. Nothing is
/// guessed: sixteen hex digits may well be a text.
///
/// # Errors
/// A sentence without the secret when the text has neither form.
pub fn secret_bytes(written: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    if let Some(text) = written.strip_prefix("text:") {
        return Ok(Zeroizing::new(text.as_bytes().to_vec()));
    }
    let Some(digits) = written.strip_prefix("hex:") else {
        return Err("written without `text:` or `hex:` in front".to_owned());
    };
    hex(digits).map(Zeroizing::new).ok_or_else(|| "`hex:` wants an even number of hex digits".to_owned())
}

fn not_blocks(length: usize) -> Fault {
    Fault::new(FaultKind::Malformed, format!("cipher of {length} bytes is not made of whole blocks of 16"))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Key, Look, Padding, secret_bytes};

    #[test]
    fn what_is_enciphered_is_deciphered() {
        let key =
            Key::from_settings("text:0000000000123456", Some("hex:0102030405060708090a0b0c0d0e0f10")).expect("a key");
        for padding in Padding::ALL {
            for length in 1..40 {
                let plain = format!("<root>{}", "x".repeat(length));
                let mut body = BytesMut::from(plain.as_bytes());
                padding.fill(&mut body, 0);
                key.encipher(&mut body).expect("whole blocks");
                assert_eq!(key.look(&body), Look::Xml);
                key.decipher(&mut body).expect("whole blocks");
                assert_eq!(body.get(..plain.len()), Some(plain.as_bytes()));
            }
        }
    }

    #[test]
    fn a_wrong_key_shows_in_the_first_block() {
        let right = Key::new([1; 16], [2; 16]);
        let mut body = *b"<?xml version=\"1.0\"?><root></root>              ";
        right.encipher(&mut body).expect("whole blocks");
        assert_eq!(right.look(&body), Look::Xml);
        assert_eq!(Key::new([3; 16], [2; 16]).look(&body), Look::Nonsense);
        assert_eq!(Key::new([1; 16], [3; 16]).look(&body), Look::Nonsense);
        assert_ne!(right, Key::new([1; 16], [3; 16]));
    }

    #[test]
    fn a_part_of_a_block_is_refused() {
        let key = Key::new([1; 16], [1; 16]);
        for length in [0, 1, 15, 17] {
            assert!(key.decipher(&mut vec![0; length]).is_err());
            assert!(key.encipher(&mut vec![0; length]).is_err());
        }
    }

    #[test]
    fn a_secret_is_never_guessed() {
        assert_eq!(secret_bytes("text:529f3d2bf15d4d5d").expect("text").len(), 16);
        assert_eq!(secret_bytes("hex:529f3d2bf15d4d5d").expect("hex").len(), 8);
        for bad in ["529f3d2bf15d4d5d", "hex:1", "hex:xx", "Text:a"] {
            assert!(secret_bytes(bad).is_err(), "{bad}");
        }
    }
}
