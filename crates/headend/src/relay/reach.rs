//! Reaching somebody: a name is resolved once, each address is shown to the rules, and what they allow is what is
//! connected to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use loggerhead_protocols::relay::{Destination, Host, Manner, Place, Reach, Route, Unreached, bare};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::datagrams::Association;
use super::{Grant, Owner, Reached, Relays, Way};
use crate::config::Sockets;
use crate::core::Core;
use crate::outgoing::{through, why};
use crate::socket::tune;

/// Addresses of one name that are looked at: more than anybody has who wants to be reached.
const ADDRESSES_MAX: usize = 16;

/// Between whom somebody is reached.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// By which the peer reaches us; none on a Unix socket.
    pub(super) own: Option<IpAddr>,
    /// Of the peer.
    pub(super) peer: Option<IpAddr>,
}

/// Reaches who is wanted, as the rules allow.
///
/// # Errors
/// Why nobody was reached.
pub(super) async fn reach(
    core: Arc<Core>,
    owner: Owner,
    wanted: Reach,
    ends: Ends,
    options: Sockets,
) -> Result<Reached, Unreached> {
    let grant = Grant::take(&core, owner, wanted.limits.at_once_max).ok_or(Unreached::Full)?;
    match wanted.manner {
        Manner::Connect => {}
        Manner::Await(within) => return listen(&core, wanted, within, ends, options, grant).await,
        Manner::Datagrams(packing) => {
            let (own, peer) = ends.own.zip(ends.peer).ok_or(Unreached::Failed)?;
            let association = Association::open(wanted, packing, own, peer).await.map_err(|error| why(&error))?;
            let own = association.inside.local_addr().map_err(|error| why(&error))?;
            return Ok(Reached { way: Way::Datagrams(Box::new(association)), address: own, own, grant });
        }
    }
    let reaching = async {
        let addresses = resolve(&core.relays, &wanted.to).await?;
        connect(&wanted, &addresses).await
    };
    let (stream, address) = timeout(wanted.limits.reach, reaching).await.unwrap_or(Err(Unreached::TimedOut))?;
    let told = || {
        tune(&stream, &options)?;
        stream.local_addr()
    };
    let own = told().map_err(|error: io::Error| why(&error))?;
    Ok(Reached { way: Way::Stream(stream), address, own, grant })
}

/// Waits at an address by which who is wanted can reach us; nobody else is let in.
async fn listen(
    core: &Core,
    wanted: Reach,
    within: Duration,
    ends: Ends,
    options: Sockets,
    grant: Grant,
) -> Result<Reached, Unreached> {
    let found = timeout(wanted.limits.reach, resolve(&core.relays, &wanted.to)).await;
    let mut addresses = allowed(&wanted, &found.unwrap_or(Err(Unreached::TimedOut))?);
    // Nobody comes here by a proxy of others.
    addresses.retain(|(_, route)| route.upstream.is_none());
    let (address, route) = addresses.first().ok_or(Unreached::Forbidden)?;
    let listening = async {
        let own = route.outgoing.or_else(|| towards(*address)).or(ends.own).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let listener = TcpListener::bind(SocketAddr::new(own, 0)).await?;
        Ok((listener.local_addr()?, listener))
    };
    let (own, listener) = listening.await.map_err(|error: io::Error| why(&error))?;
    let from = addresses.iter().map(|(address, _)| address.ip()).collect();
    Ok(Reached { address: *address, own, way: Way::Door(Box::new(Door { listener, from, within, options })), grant })
}

/// Which of our addresses packets to `address` come from.
fn towards(address: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    // Nothing is sent by this: the system only looks for the way.
    socket.connect(SocketAddr::new(address.ip(), 9)).ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}

/// A door for one connection.
pub(super) struct Door {
    listener: TcpListener,
    from: Vec<IpAddr>,
    within: Duration,
    options: Sockets,
}

/// Waits for who is to come.
///
/// # Errors
/// `TimedOut` when nobody did.
pub(super) async fn arrival(door: Door, grant: Grant) -> Result<Reached, Unreached> {
    let coming = async {
        loop {
            let (stream, from) = door.listener.accept().await.map_err(|error| why(&error))?;
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            if door.from.contains(&from.ip()) && tune(&stream, &door.options).is_ok() {
                return Ok(Reached { way: Way::Stream(stream), address: from, own: from, grant });
            }
        }
    };
    timeout(door.within, coming).await.unwrap_or(Err(Unreached::TimedOut))
}

/// The addresses of who is wanted.
pub(super) async fn resolve(relays: &Relays, to: &Destination) -> Result<Vec<SocketAddr>, Unreached> {
    let name = match &to.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, to.port)]),
        Host::Name(name) => name,
    };
    let _lookup = relays.lookups.acquire().await.map_err(|_| Unreached::Failed)?;
    let found = tokio::net::lookup_host((&**name, to.port)).await.map_err(|_| Unreached::Unresolved)?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

/// Those of the addresses that the rules allow, with the way to each.
fn allowed(wanted: &Reach, addresses: &[SocketAddr]) -> Vec<(SocketAddr, Route)> {
    let canonical = addresses.iter().map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    let allowed = canonical.filter_map(|address| {
        let place = Place { address, is_own: is_own(address) };
        (wanted.permit)(&wanted.to.host, place).map(|route| (address, route))
    });
    allowed.collect()
}

/// Connects to the first of the addresses that the rules allow and that answers. An address that they do not allow is not
/// connected to, whatever the others are.
async fn connect(wanted: &Reach, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Unreached> {
    let allowed = allowed(wanted, addresses);
    let mut failed = if addresses.is_empty() { Unreached::Unresolved } else { Unreached::Forbidden };
    // One that never answers leaves time for the next.
    let count = u32::try_from(allowed.len()).unwrap_or(u32::MAX).max(1);
    let each: Duration = wanted.limits.reach / count;
    for (address, route) in allowed {
        match timeout(each, dial(address, &route)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(why)) => failed = why,
            Err(_) => failed = Unreached::TimedOut,
        }
    }
    Err(failed)
}

/// Connects to an address, by a proxy of others where the route says so: the proxy is asked for the address that the rules were
/// shown, and never for a name.
async fn dial(address: SocketAddr, route: &Route) -> Result<TcpStream, Unreached> {
    match &route.upstream {
        Some(upstream) => through(upstream, &address.into()).await,
        None => dial_straight(address, route).await.map_err(|error| why(&error)),
    }
}

async fn dial_straight(address: SocketAddr, route: &Route) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(outgoing) = route.outgoing {
        socket.bind(SocketAddr::new(outgoing, 0))?;
    }
    socket.connect(address).await
}

/// Whether an address is one of this machine, or leads to one: only then can a socket have it. Loopback addresses need no socket
/// to be known by.
pub(super) fn is_own(address: SocketAddr) -> bool {
    let is_own = |address: IpAddr| address.is_loopback() || UdpSocket::bind(SocketAddr::new(address, 0)).is_ok();
    let led_to = bare(address.ip());
    is_own(address.ip()) || (led_to != address.ip() && is_own(led_to))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use loggerhead_protocols::relay::{Destination, Host, Manner, Permit, Place, Reach, RelayLimits, Route, Unreached};
    use tokio::net::TcpListener;

    use super::{connect, is_own, resolve};
    use crate::relay::Relays;

    fn wanted(permit: Permit) -> Reach {
        let limits = RelayLimits { reach: Duration::from_mins(1), idle: Duration::from_mins(1), at_once_max: 1 };
        Reach {
            to: Destination { host: Host::Name("a.example".into()), port: 80 },
            manner: Manner::Connect,
            permit,
            limits,
        }
    }

    #[tokio::test]
    async fn what_the_rules_were_shown_is_what_is_connected_to() {
        let (good, bad) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let (good, bad) = (good.expect("a free port"), bad.expect("a free port"));
        let address = |door: &TcpListener| door.local_addr().expect("it is bound");
        let allowed = address(&good);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let wanted = wanted(Arc::new(move |_: &Host, place: Place| {
            seen.lock().expect("nobody panics").push(place);
            (place.address == allowed).then(Route::default)
        }));
        let mapped = SocketAddr::new(format!("::ffff:{}", allowed.ip()).parse().expect("an address"), allowed.port());
        let (stream, told) = connect(&wanted, &[address(&bad), mapped]).await.expect("one is allowed");
        assert_eq!(told, allowed);
        assert_eq!(stream.peer_addr().expect("it is connected"), allowed, "as IPv4, as it was shown");
        let place = |address| Place { address, is_own: true };
        assert_eq!(*shown.lock().expect("nobody panics"), [place(address(&bad)), place(allowed)]);
        assert_eq!(connect(&wanted, &[address(&bad)]).await.err(), Some(Unreached::Forbidden));
        assert_eq!(connect(&wanted, &[]).await.err(), Some(Unreached::Unresolved));
    }

    #[tokio::test]
    async fn an_address_in_the_form_of_a_number_is_shown_to_the_rules_as_what_it_is() {
        for name in ["2130706433", "0x7f.1", "127.1", "localhost"] {
            let to = Destination { host: Host::Name(name.into()), port: 80 };
            let found = resolve(&Relays::default(), &to).await.expect("the system knows it");
            assert!(found.iter().all(|address| address.ip().is_loopback()), "{name}: {found:?}");
        }
    }

    #[test]
    fn own_addresses_are_known() {
        for own in ["127.0.0.1:80", "[::1]:80", "[64:ff9b::127.0.0.1]:80", "[2002:7f00:1::]:80"] {
            assert!(is_own(own.parse().expect("an address")), "{own}");
        }
        for other in ["198.51.100.77:80", "[64:ff9b::198.51.100.77]:80"] {
            assert!(!is_own(other.parse().expect("an address")), "{other}");
        }
    }
}
