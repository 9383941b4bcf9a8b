//! Opening sockets and setting their options: the one place that knows them.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener};

use crate::config::{Keepalive, SocketFiles, Sockets};

/// Which families an IPv6 socket takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// Only IPv6, whatever the system's default is.
    OwnOnly,
    /// IPv4 as well, as mapped addresses.
    Both,
}

/// Opens a listening TCP socket.
///
/// # Errors
/// What the system says.
pub(crate) fn listen_tcp(address: SocketAddr, families: Families, options: &Sockets) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Old connections in TIME_WAIT must not keep a restarted head-end from its port.
    socket.set_reuse_address(true)?;
    // Before a connection is there: how much may be on the way is agreed on at its beginning.
    prepare(&socket, address, families, options)?;
    socket.bind(&address.into())?;
    if let Some(wait) = options.defer_accept {
        set_tcp(&socket, libc::TCP_DEFER_ACCEPT, i32::try_from(wait.as_secs()).unwrap_or(i32::MAX))?;
    }
    if let Some(waiting) = options.fast_open {
        set_tcp(&socket, libc::TCP_FASTOPEN, waiting)?;
    }
    socket.listen(options.backlog)?;
    TcpListener::from_std(socket.into())
}

/// Opens a UDP socket. The address of a group is joined; what is sent to the host at the same port comes as well.
///
/// # Errors
/// What the system says.
pub(crate) fn bind_udp(address: SocketAddr, families: Families, options: &Sockets) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, address, families, options)?;
    if !address.ip().is_multicast() {
        socket.bind(&address.into())?;
        return UdpSocket::from_std(socket.into());
    }
    // Several programs of a host may be in one group.
    socket.set_reuse_address(true)?;
    let interface = match &options.interface {
        Some(name) => nix::net::if_::if_nametoindex(name.as_str())?,
        None => 0,
    };
    // Answers cannot come from the address of a group, so that is not what the socket has.
    match address.ip() {
        IpAddr::V4(group) => {
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())).into())?;
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))?;
        }
        IpAddr::V6(group) => {
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())).into())?;
            socket.join_multicast_v6(&group, interface)?;
        }
    }
    UdpSocket::from_std(socket.into())
}

/// Sets what a socket of either kind has before it is bound.
fn prepare(socket: &Socket, address: SocketAddr, families: Families, options: &Sockets) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::OwnOnly)?;
    }
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let Some(interface) = &options.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if let Some(class) = options.type_of_service {
        if address.is_ipv6() {
            socket.set_tclass_v6(class)?;
        }
        if address.is_ipv4() || families == Families::Both {
            socket.set_tos_v4(class)?;
        }
    }
    set_buffers(socket, options)
}

fn set_buffers(socket: &Socket, options: &Sockets) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// Sets an option of TCP for which no library has a name.
#[expect(unsafe_code, reason = "there is no other way to the options of Linux alone")]
fn set_tcp(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    let place = (&raw const value).cast();
    // SAFETY: the kernel reads `length` bytes of `value`, which lives for longer than the call.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, option, place, length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets what every accepted TCP connection has.
///
/// # Errors
/// What the system says; mostly that the peer is gone already.
pub(crate) fn tune(stream: &TcpStream, options: &Sockets) -> io::Result<()> {
    stream.set_nodelay(options.nodelay)?;
    let socket = SockRef::from(stream);
    match &options.keepalive {
        None => socket.set_keepalive(false)?,
        Some(Keepalive { idle, interval, probes }) => {
            let keepalive = TcpKeepalive::new().with_time(*idle).with_interval(*interval).with_retries(*probes);
            socket.set_tcp_keepalive(&keepalive)?;
        }
    }
    socket.set_tcp_user_timeout(options.user_timeout)
}

/// Has a connection that nobody serves reset when it is dropped: a flood of them leaves nothing behind that the system would have to
/// remember.
pub(crate) fn reset_at_close(stream: &TcpStream) {
    // One that is gone already leaves nothing either.
    let _set = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// A socket file that is ours; removed when it is dropped, if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Opens a listening Unix socket: under another name first, so that nobody connects before its mode and owner are set, and so that
/// the name always leads to a socket that listens. A path that begins with `@` is a name and no file: whoever is in the same network
/// namespace may connect to it.
///
/// # Errors
/// `AddrInUse` when another process listens there, `AlreadyExists` when the path is something else than a socket, and
/// what the system says.
pub(crate) fn listen_unix(
    path: &Path,
    files: SocketFiles,
    options: &Sockets,
) -> io::Result<(UnixListener, Option<SocketFile>)> {
    if let [b'@', name @ ..] = path.as_os_str().as_bytes() {
        let name = [b"\0", name].concat();
        return Ok((listen_at(OsStr::from_bytes(&name).as_ref(), options)?, None));
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push("~");
    let temporary = PathBuf::from(temporary);
    remove_stale(path)?;
    remove_stale(&temporary)?;
    let listener = listen_at(&temporary, options)?;
    let placed = || {
        std::os::unix::fs::chown(&temporary, files.owner, files.group)?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(files.mode))?;
        std::fs::rename(&temporary, path)?;
        std::fs::symlink_metadata(path)
    };
    match placed() {
        Ok(metadata) => {
            let file = SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
            Ok((listener, Some(file)))
        }
        Err(error) => {
            // The error that matters is the first one.
            let _removed = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn listen_at(path: &Path, options: &Sockets) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    set_buffers(&socket, options)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(options.backlog)?;
    UnixListener::from_std(socket.into())
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove our socket file");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    use super::{Families, listen_tcp, listen_unix, tune};
    use crate::config::{Keepalive, SocketFiles, Sockets};

    const PRIVATE: SocketFiles = SocketFiles { mode: 0o600, owner: None, group: None };

    #[tokio::test]
    async fn a_live_socket_is_never_stolen_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let (listener, file) = listen_unix(&path, PRIVATE, &Sockets::default()).expect("a socket");
        let about = std::fs::metadata(&path).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert_eq!(
            listen_unix(&path, PRIVATE, &Sockets::default()).expect_err("it is live").kind(),
            std::io::ErrorKind::AddrInUse
        );
        // As after a crash: the file stays, nobody listens.
        drop(listener);
        std::mem::forget(file);
        let owned = SocketFiles { owner: Some(about.uid()), group: Some(about.gid()), mode: 0o666 };
        let (_listener, file) = listen_unix(&path, owned, &Sockets::default()).expect("stale, so it is replaced");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o666);
        drop(file);
        assert!(!path.exists(), "ours, so it is removed");
    }

    #[tokio::test]
    async fn only_our_own_socket_file_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let (_listener, file) = listen_unix(&path, PRIVATE, &Sockets::default()).expect("a socket");
        std::fs::remove_file(&path).expect("somebody removes it");
        std::fs::write(&path, "and puts something else there").expect("written");
        drop(file);
        assert!(path.exists());
        let error = listen_unix(&path, PRIVATE, &Sockets::default()).expect_err("it is no socket");
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    }

    /// Connects to a listener with these options, and looks at the accepted socket.
    async fn check(options: Sockets) {
        let listener = listen_tcp(([127, 0, 0, 1], 0).into(), Families::OwnOnly, &options).expect("a listener");
        let address = listener.local_addr().expect("it is bound");
        let (theirs, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_theirs, (ours, _)) = (theirs.expect("somebody listens"), accepted.expect("somebody connects"));
        tune(&ours, &options).expect("the peer is there");
        let socket = SockRef::from(&ours);
        assert_eq!(socket.device().expect("TCP"), options.interface.as_ref().map(|name| name.as_bytes().to_vec()));
        assert_eq!(socket.tos_v4().expect("IPv4"), options.type_of_service.unwrap_or(0));
        assert_eq!(ours.nodelay().expect("TCP"), options.nodelay);
        assert_eq!(socket.keepalive().expect("TCP"), options.keepalive.is_some());
        if let Some(keepalive) = options.keepalive {
            assert_eq!(socket.tcp_keepalive_time().expect("TCP"), keepalive.idle);
            assert_eq!(socket.tcp_keepalive_interval().expect("TCP"), keepalive.interval);
            assert_eq!(socket.tcp_keepalive_retries().expect("TCP"), keepalive.probes);
        }
        assert_eq!(socket.tcp_user_timeout().expect("TCP"), options.user_timeout);
        // Linux keeps twice the number, for what it needs itself.
        if let Some(bytes) = options.receive_buffer {
            assert_eq!(socket.recv_buffer_size().expect("TCP"), bytes * 2);
        }
        if let Some(bytes) = options.send_buffer {
            assert_eq!(socket.send_buffer_size().expect("TCP"), bytes * 2);
        }
    }

    #[tokio::test]
    async fn an_accepted_connection_has_the_options_of_its_listener() {
        let keepalive = Keepalive { idle: Duration::from_secs(7), interval: Duration::from_secs(5), probes: 3 };
        let options = Sockets {
            backlog: 5,
            keepalive: Some(keepalive),
            user_timeout: Some(Duration::from_secs(9)),
            write: Duration::from_secs(30),
            datagram_silence: Duration::from_mins(5),
            nodelay: true,
            receive_buffer: Some(16 * 1024),
            send_buffer: Some(32 * 1024),
            reuse_port: true,
            half_open: true,
            interface: Some("lo".to_owned()),
            type_of_service: Some(184),
            defer_accept: None,
            fast_open: Some(16),
        };
        check(options.clone()).await;
        let none = Sockets { keepalive: None, user_timeout: None, nodelay: false, ..options };
        let none = Sockets { receive_buffer: None, send_buffer: None, reuse_port: false, ..none };
        check(Sockets { interface: None, type_of_service: None, fast_open: None, ..none }).await;
    }

    #[tokio::test]
    async fn peers_of_both_families_get_packets_of_the_class_that_is_set() {
        let options = Sockets { type_of_service: Some(184), ..Sockets::default() };
        let any = (std::net::Ipv6Addr::UNSPECIFIED, 0).into();
        let listener = listen_tcp(any, Families::Both, &options).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let _theirs = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        let (ours, _) = listener.accept().await.expect("somebody connects");
        assert_eq!(SockRef::from(&ours).tos_v4().expect("its packets are those of IPv4"), 184);
        assert_eq!(SockRef::from(&ours).tclass_v6().expect("the socket is one of IPv6"), 184);
    }

    #[tokio::test]
    async fn a_port_is_shared_where_that_is_asked_for_and_not_otherwise() {
        let shared = Sockets { reuse_port: true, ..Sockets::default() };
        let listen = |address, options: &Sockets| listen_tcp(address, Families::OwnOnly, options);
        let first = listen(([127, 0, 0, 1], 0).into(), &shared).expect("a free port");
        let address = first.local_addr().expect("it is bound");
        let _second = listen(address, &shared).expect("it is shared");
        let error = listen(address, &Sockets::default()).expect_err("this one does not share");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_connection_without_bytes_is_kept_from_us_where_that_is_asked_for() {
        let options = Sockets { defer_accept: Some(Duration::from_hours(1)), ..Sockets::default() };
        let listener = listen_tcp(([127, 0, 0, 1], 0).into(), Families::OwnOnly, &options).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let _silent = TcpStream::connect(address).await.expect("it listens");
        let mut speaking = TcpStream::connect(address).await.expect("it listens");
        speaking.write_all(b"x").await.expect("it is connected");
        let (_, from) = listener.accept().await.expect("somebody speaks");
        assert_eq!(from, speaking.local_addr().expect("it is connected"), "and not who came first");
    }

    #[tokio::test]
    async fn a_name_that_is_no_file_is_taken_by_one_and_free_when_it_ends() {
        let name = format!("@loggerhead-test-{}", std::process::id());
        let listen = || listen_unix(name.as_ref(), PRIVATE, &Sockets::default());
        let (listener, file) = listen().expect("a free name");
        assert!(file.is_none());
        assert_eq!(listen().expect_err("it is taken").kind(), std::io::ErrorKind::AddrInUse);
        let path = format!("\0{}", name.trim_start_matches('@'));
        let (connected, accepted) = tokio::join!(tokio::net::UnixStream::connect(path), listener.accept());
        connected.expect("it listens");
        accepted.expect("somebody connects");
        drop(listener);
        listen().expect("it is free again");
    }

    #[tokio::test]
    async fn what_is_sent_to_a_group_comes_and_is_answered() {
        let group: std::net::SocketAddr = ([239, 255, 77, 1], 0).into();
        let options = Sockets { interface: Some("lo".to_owned()), ..Sockets::default() };
        let ours = super::bind_udp(group, Families::OwnOnly, &options).expect("the loopback interface takes groups");
        let port = ours.local_addr().expect("it is bound").port();
        let theirs = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let loopback = std::net::Ipv4Addr::LOCALHOST;
        SockRef::from(&theirs).set_multicast_if_v4(&loopback).expect("loopback");
        theirs.send_to(b"hello", (group.ip(), port)).await.expect("sent");
        let mut bytes = [0; 16];
        let (count, from) = ours.recv_from(&mut bytes).await.expect("it comes");
        assert_eq!((count, from), (5, theirs.local_addr().expect("it is bound")));
        ours.send_to(b"hi", from).await.expect("sent");
        assert_eq!(theirs.recv_from(&mut bytes).await.expect("the answer").0, 2);
    }
}
