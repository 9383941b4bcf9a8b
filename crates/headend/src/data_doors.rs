//! Doors for single connections of peers that are in, each on a port of its own, as some protocols want them.
//!
//! A door takes one connection from the address of the peer that asked for it, and is closed then, or when its time is
//! over. Its port is taken until that connection ends, so the ports are also the limit of such connections.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_protocols::{DataDoor, OpenSession};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Address, DataPorts};
use crate::connection::serve_by;
use crate::core::Core;
use crate::guest::Peer;
use crate::listener::Listener;
use crate::socket::{Families, listen_tcp, tune};

/// A door stays open for at most this long, whatever a protocol asks.
const OPEN_MAX: Duration = Duration::from_mins(5);

/// The doors of one listener.
pub(crate) struct DataDoors {
    ports: Option<DataPorts>,
    /// Where the listener itself listens.
    addresses: Vec<IpAddr>,
    tls: Option<TlsAcceptor>,
    /// Each has its socket or its connection.
    taken: Mutex<BTreeSet<u16>>,
    running: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

impl DataDoors {
    /// Those that a configuration allows.
    pub(crate) fn new(config: &config::Listener, tls: Option<TlsAcceptor>) -> Self {
        let address = |address: &Address| match address {
            Address::Tcp(address) => Some(address.ip()),
            Address::Udp(_) | Address::Unix(_) | Address::Passed(_) | Address::Call(_) => None,
        };
        Self { addresses: config.addresses.iter().filter_map(address).collect(), tls, ..Self::of(config.data_ports) }
    }

    fn of(ports: Option<DataPorts>) -> Self {
        Self {
            ports,
            addresses: Vec::new(),
            tls: None,
            taken: Mutex::default(),
            running: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    /// None at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::of(None)
    }

    /// Opens no more, and closes those by which nobody has come.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Waits until nobody who came by one of them is left.
    pub(crate) async fn ended(&self) {
        let mut running = std::mem::take(&mut *self.running());
        while running.join_next().await.is_some() {}
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.taken.lock().expect("nothing panics while it holds the ports")
    }

    fn running(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.running.lock().expect("nothing panics while it holds the tasks")
    }

    /// Where a peer of this address reaches us.
    fn address_for(&self, peer: IpAddr) -> Option<IpAddr> {
        let own = self.addresses.iter().find(|address| address.is_ipv4() == peer.is_ipv4());
        own.or_else(|| self.addresses.iter().find(|address| address.is_ipv6() && address.is_unspecified())).copied()
    }

    /// Listens on a port that is free; none where all are taken.
    fn listen(&self, listener: &Listener, peer: IpAddr) -> Option<(TcpListener, u16)> {
        let (ports, address) = (self.ports?, self.address_for(peer)?);
        let sockets = listener.settings().sockets.clone();
        let mut taken = self.taken();
        if self.stop.is_cancelled() || taken.len() >= usize::from(ports.count) {
            return None;
        }
        let last = ports.first.saturating_add(ports.count - 1);
        let candidates = if ports.first == 0 { 0..=0 } else { ports.first..=last };
        for port in candidates.filter(|port| !taken.contains(port)) {
            let opened = listen_tcp(SocketAddr::new(address, port), Families::Both, &sockets);
            match opened.and_then(|door| door.local_addr().map(|address| (door, address.port()))) {
                Ok((door, port)) => {
                    taken.insert(port);
                    return Some((door, port));
                }
                Err(error) => tracing::warn!(listener = listener.name, port, %error, "a data port cannot be used"),
            }
        }
        None
    }
}

/// A port that is given back when it is dropped.
struct Grant {
    listener: Arc<Listener>,
    port: u16,
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.listener.data_doors.taken().remove(&self.port);
    }
}

/// Opens a door for one more connection of `peer`; its port, unless all are taken.
pub(crate) fn open(core: &Arc<Core>, listener: &Arc<Listener>, peer: &Peer, wanted: DataDoor) -> Option<u16> {
    let address = peer.address?;
    let (door, port) = listener.data_doors.listen(listener, address)?;
    let (grant, within) = (Grant { listener: Arc::clone(listener), port }, wanted.within.min(OPEN_MAX));
    let core = Arc::clone(core);
    let mut running = listener.data_doors.running();
    while running.try_join_next().is_some() {}
    running.spawn(async move {
        let listener = Arc::clone(&grant.listener);
        let came = tokio::select! {
            () = listener.data_doors.stop.cancelled() => None,
            came = tokio::time::timeout(within, accept(&listener, &door, address)) => came.ok(),
        };
        drop(door);
        if let Some((stream, peer)) = came {
            enter(core, &listener, peer, stream, wanted.open).await;
        }
        drop(grant);
    });
    Some(port)
}

/// The first connection from this address. Others are closed, and the door stays open.
async fn accept(listener: &Listener, door: &TcpListener, address: IpAddr) -> (TcpStream, Peer) {
    loop {
        let Ok((stream, from)) = door.accept().await else {
            // What is short may be there again soon; trying at once would use a whole core.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        if from.ip() == address && tune(&stream, &listener.settings().sockets).is_ok() {
            return (stream, Peer { text: from.to_string().into(), address: Some(address), certified: None });
        }
        tracing::info!(listener = listener.name, peer = %from, "a data door was tried from another address");
    }
}

async fn enter(core: Arc<Core>, listener: &Arc<Listener>, peer: Peer, stream: TcpStream, open: OpenSession) {
    let pass = match listener.admit(peer.address) {
        Ok(pass) => pass,
        Err(limit) => {
            listener.counters.limited(limit);
            return;
        }
    };
    let Some(tls) = &listener.data_doors.tls else {
        return serve_by(core, pass, peer, stream, open).await;
    };
    let within = listener.settings().limits.first_frame;
    match tokio::time::timeout(within, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let peer = peer.certified_by(stream.get_ref().1);
            serve_by(core, pass, peer, Box::new(stream), open).await;
        }
        Ok(Err(_)) | Err(_) => listener.counters.handshakes_failed.one_more(),
    }
}
