//! Opening sockets and setting their options: the one place that knows them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
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
    socket.set_nonblocking(true)?;
    // Old connections in TIME_WAIT must not keep a restarted head-end from its port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::OwnOnly)?;
    }
    // Before a connection is there: how much may be on the way is agreed on at its beginning.
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    TcpListener::from_std(socket.into())
}

/// Opens a UDP socket.
///
/// # Errors
/// What the system says.
pub(crate) fn bind_udp(address: SocketAddr, families: Families, options: &Sockets) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::OwnOnly)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
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

/// A socket file that is ours; removed when it is dropped, if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Opens a listening Unix socket: under another name first, so that nobody connects before its mode and owner are set, and so that
/// the name always leads to a socket that listens.
///
/// # Errors
/// `AddrInUse` when another process listens there, `AlreadyExists` when the path is something else than a socket, and
/// what the system says.
pub(crate) fn listen_unix(path: &Path, files: SocketFiles) -> io::Result<(UnixListener, SocketFile)> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push("~");
    let temporary = PathBuf::from(temporary);
    remove_stale(path)?;
    remove_stale(&temporary)?;
    let listener = UnixListener::bind(&temporary)?;
    let placed = || {
        std::os::unix::fs::chown(&temporary, files.owner, files.group)?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(files.mode))?;
        std::fs::rename(&temporary, path)?;
        std::fs::symlink_metadata(path)
    };
    match placed() {
        Ok(metadata) => {
            let file = SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
            Ok((listener, file))
        }
        Err(error) => {
            // The error that matters is the first one.
            let _removed = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
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
    use tokio::net::TcpStream;

    use super::{Families, listen_tcp, listen_unix, tune};
    use crate::config::{Keepalive, SocketFiles, Sockets};

    const PRIVATE: SocketFiles = SocketFiles { mode: 0o600, owner: None, group: None };

    #[tokio::test]
    async fn a_live_socket_is_never_stolen_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let (listener, file) = listen_unix(&path, PRIVATE).expect("a socket");
        let about = std::fs::metadata(&path).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert_eq!(listen_unix(&path, PRIVATE).expect_err("it is live").kind(), std::io::ErrorKind::AddrInUse);
        // As after a crash: the file stays, nobody listens.
        drop(listener);
        std::mem::forget(file);
        let owned = SocketFiles { owner: Some(about.uid()), group: Some(about.gid()), mode: 0o666 };
        let (_listener, file) = listen_unix(&path, owned).expect("stale, so it is replaced");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o666);
        drop(file);
        assert!(!path.exists(), "ours, so it is removed");
    }

    #[tokio::test]
    async fn only_our_own_socket_file_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let (_listener, file) = listen_unix(&path, PRIVATE).expect("a socket");
        std::fs::remove_file(&path).expect("somebody removes it");
        std::fs::write(&path, "and puts something else there").expect("written");
        drop(file);
        assert!(path.exists());
        let error = listen_unix(&path, PRIVATE).expect_err("it is no socket");
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
            nodelay: true,
            receive_buffer: Some(16 * 1024),
            send_buffer: Some(32 * 1024),
        };
        check(options).await;
        let none = Sockets { keepalive: None, user_timeout: None, nodelay: false, ..options };
        check(Sockets { receive_buffer: None, send_buffer: None, ..none }).await;
    }
}
