//! Datagrams between a peer and whoever the rules allow, for as long as the peer's connection stands.
//!
//! The peer's own socket takes datagrams from its address only; the others', from whom it has sent something to.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loggerhead_protocols::relay::{Destination, Host, Packing, Place, Reach};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::reach::{is_own, resolve};
use crate::core::Core;
use crate::datagrams::send;
use crate::metrics::ProtocolCounters;

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// Whom one peer may talk to: more than a program of the field has use for.
const OTHERS_MAX: usize = 1_024;
/// Names of one peer that are remembered, so that each is resolved once.
const NAMES_MAX: usize = 256;

/// The sockets of one association.
pub(super) struct Association {
    pub(super) wanted: Reach,
    pub(super) packing: Packing,
    /// Towards the peer.
    pub(super) inside: UdpSocket,
    outside_4: Option<UdpSocket>,
    outside_6: Option<UdpSocket>,
    /// Where the peer's connection comes from.
    peer: IpAddr,
    /// The port that its datagrams come from: as it said, or as its first one shows.
    port: Option<u16>,
    others: HashSet<SocketAddr>,
    names: HashMap<Box<str>, SocketAddr>,
}

/// Bytes there and back, and datagrams that went neither way.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Association {
    /// Opens the sockets: the peer's at `own`, which it reaches us by.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn open(wanted: Reach, packing: Packing, own: IpAddr, peer: IpAddr) -> io::Result<Self> {
        let inside = UdpSocket::bind(SocketAddr::new(own, 0)).await?;
        // A machine may have no IPv6, or no IPv4.
        let outside_4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok();
        let outside_6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok();
        let port = Some(wanted.to.port).filter(|port| *port != 0);
        let (others, names) = (HashSet::new(), HashMap::new());
        Ok(Self { wanted, packing, inside, outside_4, outside_6, peer, port, others, names })
    }

    /// Passes datagrams on for ever.
    pub(super) async fn run(mut self, core: Arc<Core>, counters: Arc<ProtocolCounters>, moved: Arc<Moved>) {
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
        let (mut from_4, mut from_6) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
        let mut packed = Vec::new();
        loop {
            let passed = tokio::select! {
                came = self.inside.recv_from(&mut bytes) => match came {
                    Ok((count, from)) => {
                        let up = self.up(&core, from, bytes.get(..count).unwrap_or_default()).await;
                        up.map(|count| moved.up.fetch_add(count, Ordering::Relaxed))
                    }
                    Err(_) => None,
                },
                came = receive(self.outside_4.as_ref(), &mut from_4) => {
                    let down = self.down(came, &from_4, &mut packed).await;
                    down.map(|count| moved.down.fetch_add(count, Ordering::Relaxed))
                }
                came = receive(self.outside_6.as_ref(), &mut from_6) => {
                    let down = self.down(came, &from_6, &mut packed).await;
                    down.map(|count| moved.down.fetch_add(count, Ordering::Relaxed))
                }
            };
            if passed.is_none() {
                counters.datagrams_dropped.one_more();
                moved.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends what the peer says to whom it says; `None`: it was dropped.
    async fn up(&mut self, core: &Core, from: SocketAddr, datagram: &[u8]) -> Option<u64> {
        let is_peer = from.ip().to_canonical() == self.peer && self.port.is_none_or(|port| port == from.port());
        let (to, content) = (self.packing.unpack)(datagram).filter(|_| is_peer)?;
        self.port = Some(from.port());
        let address = self.address(core, &to).await?;
        // Datagrams do not go through a proxy of others.
        let route = (self.wanted.permit)(&to.host, Place { address, is_own: is_own(address) })
            .filter(|route| route.upstream.is_none())?;
        if self.others.len() >= OTHERS_MAX && !self.others.contains(&address) {
            return None;
        }
        let socket = if address.is_ipv4() { &self.outside_4 } else { &self.outside_6 };
        let socket = socket.as_ref()?;
        let sent = match route.outgoing {
            Some(own) => socket.async_io(Interest::WRITABLE, || send(socket, content, address, own)).await,
            None => socket.send_to(content, address).await,
        };
        let sent = sent.ok()?;
        self.others.insert(address);
        Some(sent as u64)
    }

    async fn address(&mut self, core: &Core, to: &Destination) -> Option<SocketAddr> {
        let name = match &to.host {
            Host::Address(address) => return Some(SocketAddr::new(address.to_canonical(), to.port)),
            Host::Name(name) => name,
        };
        if let Some(known) = self.names.get(name) {
            return Some(SocketAddr::new(known.ip(), to.port));
        }
        let found = timeout(self.wanted.limits.reach, resolve(&core.relays, to)).await.ok()?.ok()?;
        let address = found.into_iter().next()?;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if self.names.len() < NAMES_MAX {
            self.names.insert(name.clone(), address);
        }
        Some(address)
    }

    /// Sends the peer what somebody said whom it had sent something to; `None`: it was dropped.
    async fn down(&self, came: io::Result<(usize, SocketAddr)>, bytes: &[u8], packed: &mut Vec<u8>) -> Option<u64> {
        let (count, from) = came.ok()?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let port = self.port.filter(|_| self.others.contains(&from))?;
        let content = bytes.get(..count).unwrap_or_default();
        packed.clear();
        (self.packing.pack)(from, content, packed);
        self.inside.send_to(packed, SocketAddr::new(self.peer, port)).await.ok()?;
        Some(content.len() as u64)
    }
}

/// What comes on a socket; never anything where there is none.
async fn receive(socket: Option<&UdpSocket>, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(bytes).await,
        None => std::future::pending().await,
    }
}
