//! The checksum of a piece (tus 1.0.0, `Upload-Checksum`).

use axum::http::{HeaderMap, HeaderName};
use loggerhead_protocols::base64;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::text;
use crate::problem::{Problem, ProblemKind};

/// The sums that a client may give with a piece.
pub(super) const ALGORITHMS: &str = "sha1,sha256";

const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// A sum that a client gave, and what came so far.
pub(super) enum Sum {
    Sha1(Sha1, Vec<u8>),
    Sha256(Sha256, Vec<u8>),
}

impl Sum {
    /// What `Upload-Checksum` says; none without one.
    ///
    /// # Errors
    /// `BadRequest` for an algorithm that is not one of these, and for what is no sum.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(given) = text(headers, &CHECKSUM) else { return Ok(None) };
        let wrong =
            || Problem::new(ProblemKind::BadRequest, format!("Upload-Checksum: ALGORITHM BASE64, one of {ALGORITHMS}"));
        let (algorithm, sum) = given.split_once(' ').ok_or_else(wrong)?;
        let sum = base64::decode(sum.trim()).ok_or_else(wrong)?;
        match algorithm {
            "sha1" => Ok(Some(Self::Sha1(Sha1::new(), sum))),
            "sha256" => Ok(Some(Self::Sha256(Sha256::new(), sum))),
            _ => Err(wrong()),
        }
    }

    /// Takes in what came.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash, _) => hash.update(bytes),
            Self::Sha256(hash, _) => hash.update(bytes),
        }
    }

    /// Whether all that came is what the client meant.
    pub(super) fn fits(self) -> bool {
        match self {
            Self::Sha1(hash, sum) => hash.finalize()[..] == sum[..],
            Self::Sha256(hash, sum) => hash.finalize()[..] == sum[..],
        }
    }
}
