//! Passwords: argon2id, on threads that may block, few at a time.

use std::sync::{Arc, LazyLock};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use loggerhead_store::Secret;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::secret::OneSecret;
use crate::problem::{Problem, ProblemKind};
use crate::state::RETRY_AFTER_S;

/// Memory of one hash: what OWASP names for argon2id with two passes. Guessing needs as much for every try.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory: with the above about 20 ms of one core.
const PASSES: u32 = 2;
/// One lane: a head-end has devices to serve on its other cores.
const LANES: u32 = 1;
/// Hashes that are made at a time: sign-ins take at most this many cores and 38 MiB from the devices.
const HASHES_MAX: usize = 2;
/// Sign-ins that wait for their turn, those that have it included; a flood is answered instead of queued.
const WAITING_MAX: usize = 32;
/// Shortest password that is taken.
pub const PASSWORD_BYTES_MIN: usize = 10;
/// Longest password that is taken: beyond it only the time of hashing grows.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// What an unknown account is compared with, so that the answer takes as long as for a known one.
static NOBODY: LazyLock<Secret> = LazyLock::new(|| hashed(OneSecret::new("").expose()));

/// A password as somebody wrote it. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes what somebody wrote.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for whoever sends it on to the server.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it can be a password; says the rule and never the password.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self) -> Result<(), String> {
        if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&self.0.len()) {
            return Ok(());
        }
        Err(format!("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes, this one {}", self.0.len()))
    }

    /// What is kept of it. Blocks for some tens of milliseconds.
    #[must_use]
    pub fn hashed(&self) -> Secret {
        hashed(&self.0)
    }
}

impl std::fmt::Debug for Password {
    /// Not the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password(..)")
    }
}

impl<'de> serde::Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl serde::Serialize for Password {
    /// For the one body that takes it to the server.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants above are within its limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hashed(password: &str) -> Secret {
    let hash = argon2().hash_password(password.as_bytes()).expect("a text of bounded length can be hashed");
    Secret::new(hash.to_string().into_bytes())
}

fn fits(kept: &Secret, password: &str) -> bool {
    let Ok(text) = std::str::from_utf8(kept.expose()) else { return false };
    // Its parameters stand in it, so what was hashed with others still opens.
    PasswordVerifier::<str>::verify_password(&argon2(), password.as_bytes(), text).is_ok()
}

/// Hashes passwords, few at a time.
pub(crate) struct Hasher {
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { hashing: Arc::new(Semaphore::new(HASHES_MAX)), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl Hasher {
    /// What is kept of a password.
    ///
    /// # Errors
    /// `BadRequest` when it cannot be one, `Busy` when too many wait.
    pub(crate) async fn hash(&self, password: Password) -> Result<Secret, Problem> {
        password.check().map_err(|rule| Problem::new(ProblemKind::BadRequest, rule))?;
        self.run(move || password.hashed()).await
    }

    /// Whether a password is the one that was kept. Without one it costs the same, and is wrong.
    ///
    /// # Errors
    /// `Busy` when too many wait.
    pub(super) async fn verify(&self, kept: Option<Secret>, password: Password) -> Result<bool, Problem> {
        self.run(move || {
            let known = kept.is_some();
            fits(&kept.unwrap_or_else(|| NOBODY.clone()), password.expose()) && known
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy = || Problem::new(ProblemKind::Busy, format!("{WAITING_MAX} sign-ins wait already"));
        let _waiting = self.waiting.try_acquire().map_err(|_| busy().retry_after(RETRY_AFTER_S))?;
        let place = Arc::clone(&self.hashing).acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.map_err(|_| Problem::new(ProblemKind::Busy, "the server is stopping"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Hasher, Password};

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_fits_and_none_fits_nobody() {
        let hasher = Hasher::default();
        let kept = hasher.hash(password("correct horse")).await.expect("a password");
        assert!(kept.expose().starts_with(b"$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hasher.verify(Some(kept.clone()), password("correct horse")).await.expect("an answer"));
        assert!(!hasher.verify(Some(kept), password("correct hors")).await.expect("an answer"));
        assert!(!hasher.verify(None, password("correct horse")).await.expect("an answer"));
    }

    #[test]
    fn a_password_has_a_length_and_is_never_printed() {
        assert!(password("123456789").check().is_err() && password(&"x".repeat(1025)).check().is_err());
        assert!(password("1234567890").check().is_ok());
        assert!(!format!("{:?}", password("geheimgeheim")).contains("geheim"));
    }
}
