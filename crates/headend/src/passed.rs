//! Sockets that the service manager has opened and passed on, as systemd does: they outlive this process, so that nobody who
//! connects during a restart is refused.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket, UnixListener};

/// A socket that was passed on.
pub(crate) enum Passed {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// With its file, or `@` and its name.
    Unix(UnixListener, PathBuf),
}

/// All sockets of that name (`FileDescriptorName=` of the unit), or the one of that number. They stay open when what is given here
/// is dropped, and can be asked for again.
///
/// # Errors
/// `NotFound` when none was passed; `Unsupported` for what is no socket that listens.
pub(crate) fn passed(which: &str) -> io::Result<Vec<Passed>> {
    let number: Option<RawFd> = which.parse().ok();
    let wanted = sd_notify::listen_fds_with_names()?
        .filter(|(passed, name)| number.map_or_else(|| name == which, |number| number == *passed));
    let sockets = wanted.map(|(passed, _)| open(passed)).collect::<io::Result<Vec<_>>>()?;
    if sockets.is_empty() {
        let reason = format!("the service manager has passed no socket {which} (LISTEN_FDS, LISTEN_FDNAMES)");
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    Ok(sockets)
}

fn open(passed: RawFd) -> io::Result<Passed> {
    let socket = Socket::from(own(passed)?);
    socket.set_nonblocking(true)?;
    let listens = || socket.is_listener();
    match (socket.domain()?, socket.r#type()?) {
        (Domain::IPV4 | Domain::IPV6, Type::STREAM) if listens()? => {
            TcpListener::from_std(socket.into()).map(Passed::Tcp)
        }
        (Domain::IPV4 | Domain::IPV6, Type::DGRAM) => UdpSocket::from_std(socket.into()).map(Passed::Udp),
        (Domain::UNIX, Type::STREAM) if listens()? => {
            let address = socket.local_addr()?;
            let file = address.as_pathname().map(PathBuf::from);
            let name = || address.as_abstract_namespace().map(|name| format!("@{}", name.escape_ascii()).into());
            let path = file.or_else(name).unwrap_or_default();
            UnixListener::from_std(socket.into()).map(|listener| Passed::Unix(listener, path))
        }
        (domain, kind) => {
            let reason = format!("socket {passed} is of {domain:?} and {kind:?}, or does not listen");
            Err(io::Error::new(io::ErrorKind::Unsupported, reason))
        }
    }
}

/// A number of our own for a socket that stays open.
#[expect(unsafe_code, reason = "a number says nothing of who owns it")]
fn own(passed: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the service manager opened it for this process, as LISTEN_PID says, and nothing here ever closes it.
    unsafe { BorrowedFd::borrow_raw(passed) }.try_clone_to_owned()
}
