//! The configuration: TOML files, environment and command line, merged, checked and explained.

mod types;

pub use self::types::{API_SOCKET, Address, Api, Config, Device, Enroll, Listener, Log, LogFormat, Tls};
