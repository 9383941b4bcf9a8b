//! Opening sockets and setting their options: the one place that knows them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// Connections that wait to be accepted. The kernel caps it at `somaxconn`.
const BACKLOG: i32 = 1024;
/// A silent connection is probed after this long, this often, and dropped after this many probes: a dead peer is noticed
/// within two minutes even by a session without a heartbeat. The kernel's own two hours are useless.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// What we sent must be acknowledged by the peer's kernel within this, or the connection is dead.
const USER_TIMEOUT: Duration = Duration::from_mins(1);
/// Who may connect to a socket file, unless the configuration says otherwise: owner and group.
pub(crate) const UNIX_MODE_DEFAULT: u32 = 0o660;

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
pub(crate) fn listen_tcp(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Old connections in TIME_WAIT must not keep a restarted head-end from its port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::OwnOnly)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets what every accepted TCP connection has.
///
/// # Errors
/// What the system says; mostly that the peer is gone already.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    // Small answers go out at once, one write each: many devices read exactly one frame at a time.
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// A socket file that is ours; removed when it is dropped, if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Opens a listening Unix socket: under another name first, so that nobody connects before its mode is set, and so that
/// the name always leads to a socket that listens.
///
/// # Errors
/// `AddrInUse` when another process listens there, `AlreadyExists` when the path is something else than a socket, and
/// what the system says.
pub(crate) fn listen_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push("~");
    let temporary = PathBuf::from(temporary);
    remove_stale(path)?;
    remove_stale(&temporary)?;
    let listener = UnixListener::bind(&temporary)?;
    let placed = || {
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
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
    use std::os::unix::fs::PermissionsExt;

    use super::listen_unix;

    #[tokio::test]
    async fn a_live_socket_is_never_stolen_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let (listener, file) = listen_unix(&path, 0o600).expect("a socket");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(listen_unix(&path, 0o600).expect_err("it is live").kind(), std::io::ErrorKind::AddrInUse);
        // As after a crash: the file stays, nobody listens.
        drop(listener);
        std::mem::forget(file);
        let (_listener, file) = listen_unix(&path, 0o600).expect("stale, so it is replaced");
        drop(file);
        assert!(!path.exists(), "ours, so it is removed");
    }

    #[tokio::test]
    async fn only_our_own_socket_file_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.sock");
        let (_listener, file) = listen_unix(&path, 0o600).expect("a socket");
        std::fs::remove_file(&path).expect("somebody removes it");
        std::fs::write(&path, "and puts something else there").expect("written");
        drop(file);
        assert!(path.exists());
        let error = listen_unix(&path, 0o600).expect_err("it is no socket");
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    }
}
