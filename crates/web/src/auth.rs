//! Who may ask: anybody on the private socket, whoever has the token over TCP.
//!
//! Wrong tokens are counted by address. An address with too many is refused unheard for a while, so that a token cannot
//! be found by trying, and the table of such addresses is bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Shortest token: 16 characters of the usual alphabets are beyond what can be tried over a network.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Longest token: far more than any generator makes, and it has to fit a header.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// Wrong tokens that an address may send at once.
pub const FAILURES_MAX: u32 = 10;
/// How long it takes until one wrong token is forgotten.
pub const FAILURE_FORGOTTEN_AFTER: Duration = Duration::from_secs(6);
/// Addresses whose wrong tokens are counted at a time; beyond it the ones closest to being forgotten are.
pub const ADDRESSES_MAX: usize = 4096;

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
    fn fits(&self, sent: &[u8]) -> bool {
        self.0.as_slice().ct_eq(sent).into()
    }

    /// The header's value that proves it.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", String::from_utf8_lossy(&self.0))
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The private socket: whoever may open it, may ask.
    Socket,
    /// A TCP connection from this address.
    Tcp(IpAddr),
}

/// Wrong tokens by address.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

/// As a bucket that fills by one with every failure and empties by one every `FAILURE_FORGOTTEN_AFTER`.
#[derive(Clone, Copy)]
struct Failures {
    empty_at: Instant,
}

impl Throttle {
    /// How long this address is refused unheard; none when it is heard.
    pub(crate) fn refused_for(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = failures.get(&network(address))?.empty_at.checked_duration_since(now)?;
        left.checked_sub(FAILURE_FORGOTTEN_AFTER * (FAILURES_MAX - 1)).filter(|wait| !wait.is_zero())
    }

    /// Counts a wrong token.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(&address) {
            failures.retain(|_, failures| failures.empty_at > now);
            if failures.len() >= ADDRESSES_MAX
                && let Some(first) = failures.iter().min_by_key(|(_, failures)| failures.empty_at).map(|(key, _)| *key)
            {
                failures.remove(&first);
            }
        }
        let entry = failures.entry(address).or_insert(Failures { empty_at: now });
        entry.empty_at = entry.empty_at.max(now) + FAILURE_FORGOTTEN_AFTER;
    }
}

/// The address that failures are counted under: one host commonly owns a whole IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Lets a request through, or answers why not.
pub(crate) async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    // A request without a caller did not come through a listener of this crate; it is treated like the least trusted.
    let caller = request.extensions().get::<Caller>().copied();
    match caller {
        Some(Caller::Socket) => {}
        Some(Caller::Tcp(address)) => check(&api, address, request.headers(), Instant::now())?,
        None => return Err(Problem::new(ProblemKind::Unauthorized, "the request came from nowhere")),
    }
    Ok(next.run(request).await)
}

/// Checks the token of a request from `address`.
fn check(api: &Api, address: IpAddr, headers: &HeaderMap, now: Instant) -> Result<(), Problem> {
    if let Some(wait) = api.throttle().refused_for(address, now) {
        api.figures().throttled.count();
        let seconds = wait.as_secs() + 1;
        let detail = format!("{FAILURES_MAX} wrong tokens from {address}; heard again in {seconds} s");
        return Err(Problem::new(ProblemKind::Throttled, detail).retry_after(seconds));
    }
    let sent = headers.get(header::AUTHORIZATION).map(|value| bearer(value.as_bytes()));
    match (sent, api.token()) {
        (Some(Some(sent)), Some(token)) if token.fits(sent) => Ok(()),
        (Some(_), _) => {
            api.throttle().failed(address, now);
            api.figures().wrong_tokens.count();
            tracing::warn!(%address, "wrong API token");
            Err(Problem::new(ProblemKind::Unauthorized, "the token is wrong"))
        }
        // Nothing was tried, so nothing is counted against the address.
        (None, _) => Err(Problem::new(ProblemKind::Unauthorized, "no token was sent")),
    }
}

/// The token in an `Authorization` header.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::{ADDRESSES_MAX, FAILURE_FORGOTTEN_AFTER, FAILURES_MAX, Throttle, Token, TokenError, bearer};

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_is_refused_after_its_failures_and_heard_again_later() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let (bad, neighbour, other) = (address("2001:db8::1"), address("2001:db8::2"), address("192.0.2.1"));
        for _ in 0..FAILURES_MAX - 1 {
            throttle.failed(bad, now);
        }
        assert_eq!(throttle.refused_for(bad, now), None, "one failure is left");
        throttle.failed(bad, now);
        assert_eq!(throttle.refused_for(bad, now), Some(FAILURE_FORGOTTEN_AFTER));
        assert!(throttle.refused_for(neighbour, now).is_some(), "the same /64");
        assert_eq!(throttle.refused_for(other, now), None);
        assert_eq!(throttle.refused_for(bad, now + FAILURE_FORGOTTEN_AFTER), None);
    }

    #[test]
    fn the_table_of_failures_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..u32::try_from(ADDRESSES_MAX).expect("small") + 100 {
            throttle.failed(IpAddr::from(number.to_be_bytes()), now + Duration::from_micros(u64::from(number)));
        }
        assert!(throttle.0.lock().expect("not poisoned").len() <= ADDRESSES_MAX);
    }

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

    #[test]
    fn the_scheme_has_any_case() {
        assert_eq!(bearer(b"bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bea"), None);
    }
}
