//! The private Unix socket: only its owner can open it, and only a dead one is replaced.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::{fs, io};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use crate::ServeError;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Removes the socket's file when it is dropped, unless somebody else put theirs there meanwhile.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the API socket could not be removed");
        }
    }
}

/// Listens on `path` for this user alone.
///
/// # Errors
/// `InUse` when a server answers there, `NotASocket` when something else stands there, `Listen` when the system refuses.
pub(crate) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), ServeError> {
    let failed = |source| ServeError::Listen { address: format!("unix:{}", path.display()), source };
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    // Nobody can connect before `listen`, so there is no moment at which the socket is open to others.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
    let listener = UnixListener::from_std(StdListener::from(socket)).map_err(failed)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// Removes what a server that is gone left at `path`.
fn clear(path: &Path) -> Result<(), ServeError> {
    let failed = |source| ServeError::Listen { address: format!("unix:{}", path.display()), source };
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) => file,
    };
    if !file.file_type().is_socket() {
        return Err(ServeError::NotASocket { path: path.to_owned() });
    }
    match StdStream::connect(path) {
        Ok(_) => Err(ServeError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::listen;
    use crate::ServeError;

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_its_server() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("api.sock");
        let (listener, file) = listen(&path).expect("listening");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(listen(&path), Err(ServeError::InUse { .. })), "a live socket is not replaced");
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_another_file_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("api.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "a socket file outlives its listener");
        let (listener, file) = listen(&path).expect("replaced");
        drop((listener, file));
        fs::write(&path, "precious").expect("written");
        assert!(matches!(listen(&path), Err(ServeError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
    }
}
