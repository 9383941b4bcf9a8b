//! The peer of a connection, as the head-end calls it.

use std::net::SocketAddr;

/// The address of a peer without its port, or all of its name where it is none.
pub(crate) fn address(peer: &str) -> String {
    peer.parse::<SocketAddr>().map_or_else(|_| peer.to_owned(), |address| address.ip().to_string())
}
