//! What the system allows this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections that must be possible without anybody raising a limit by hand.
const FILES_WANTED: u64 = 4_096;

/// Lets this process open as many files as the system allows it: every connection is one.
pub(crate) fn raise_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        if now < most {
            setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        }
        Ok(most)
    });
    match raised {
        Ok(most) if most < FILES_WANTED => {
            tracing::warn!(most, "few files may be open at once, so few devices may connect; raise `ulimit -Hn`");
        }
        Ok(most) => tracing::debug!(most, "files that may be open at once"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
