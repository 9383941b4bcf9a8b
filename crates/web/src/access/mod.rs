//! Who asks, what they may, and how the answer is kept from everybody else.
//!
//! Every request passes, from outside: the count of answers, the headers of safety, [`guard`] (who it is, how often it
//! tried, whether its route's row in [`policy`] lets it in; afterwards the audit log), the limits of number, time and
//! size, its handler. A handler or a page takes a [`Viewer`] and decides nothing.

mod audit;
mod book;
mod cookie;
mod enter;
mod guard;
mod headers;
mod machine;
mod password;
pub(crate) mod policy;
mod secret;
mod throttle;
mod transport;
mod viewer;

pub(crate) use audit::noted;
pub use book::{ACCOUNTS_MAX, NAME_BYTES_MAX, SESSION_IDLE_MAX, SESSION_MAX, SESSIONS_PER_ACCOUNT_MAX, TOKENS_MAX};
pub(crate) use book::{Book, Link, NewToken};
pub(crate) use cookie::clear as clear_cookie;
pub(crate) use enter::{Entered, Guest, by_link, by_password, change_password, set_up};
pub(crate) use guard::{Caller, admit};
pub(crate) use headers::{HEADERS, protect};
pub use machine::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, Token, TokenError};
pub(crate) use password::Hasher;
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, Password};
pub(crate) use secret::{OneSecret, hex};
pub(crate) use throttle::Throttle;
pub use throttle::{ADDRESSES_MAX, FAILURE_FORGOTTEN_AFTER, FAILURES_MAX};
pub use transport::Transport;
pub(crate) use viewer::Viewer;
