//! The configuration: TOML files, environment and command line, laid over each other, checked and explained.
//!
//! Every value remembers where it stands, so that whatever is wrong is named with its file and line, all of it at once.

mod document;
mod explain;
mod layers;
mod load;
mod own;
mod problem;
mod read;
mod schema;
mod secret;
mod section;
mod sockets;
mod types;

pub use self::explain::{example, explain};
pub use self::load::{FILE_DEFAULT, Loaded, Sources, load};
pub use self::problem::{Gravity, Place, Problem, Problems};
pub use self::schema::DATA_DIR_DEFAULT;
pub use self::secret::parse_secret;
pub use self::section::Setting;
pub use self::sockets::{Keepalive, SocketFiles, Sockets};
pub use self::types::{
    API_SOCKET, Address, Config, DataPorts, Device, Enroll, Files, Listener, Log, LogFormat, Tls, Web, WebSocket,
};

#[cfg(test)]
mod tests;
