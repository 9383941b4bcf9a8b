//! The side of a listener that makes a session for every connection, and needs no more.

use crate::Now;
use crate::session::{Acceptor, Opening, Session};

struct Opener<Open>(Open);

impl<Open, Opened> Acceptor for Opener<Open>
where
    Open: Fn(Now, &Opening) -> Opened + Send + Sync,
    Opened: Session + 'static,
{
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(self.0(now, &opening))
    }
}

/// A listener's side that makes its sessions so.
pub(crate) fn acceptor<Opened: Session + 'static>(
    open: impl Fn(Now, &Opening) -> Opened + Send + Sync + 'static,
) -> Box<dyn Acceptor> {
    Box::new(Opener(open))
}
