//! People whom the console has signed in, at a listener that takes people.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use loggerhead_protocols::{CloseReason, OpenSession};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::serve_by;
use crate::core::Core;
use crate::guest::Peer;
use crate::listener::{Listener, Pass};

/// The right of one person to be connected; given back when it is dropped.
pub struct Seat {
    core: Arc<Core>,
    pass: Pass,
    peer: Peer,
    open: OpenSession,
}

/// Why a person has no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// No listener takes people.
    NoListener,
    /// As many are connected as may be.
    Full,
}

impl Seat {
    /// One at this listener, for a person at this address.
    ///
    /// # Errors
    /// `Full` when the listener takes no more connections.
    pub(crate) fn take(
        core: &Arc<Core>,
        listener: &Arc<Listener>,
        open: OpenSession,
        address: Option<IpAddr>,
    ) -> Result<Self, NoSeat> {
        let pass = listener.admit(address).map_err(|limit| {
            listener.counters.limited(limit);
            NoSeat::Full
        })?;
        let text = address.map_or_else(|| "console".to_owned(), |address| format!("console {address}"));
        Ok(Self { core: Arc::clone(core), pass, peer: Peer { text: text.into(), address, certified: None }, open })
    }

    /// Serves the person over a WebSocket that stands, until one side ends it, or `until` is over: then it is told so.
    pub async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        until: impl Future<Output = ()>,
    ) {
        let mailbox = Arc::clone(self.pass.mailbox());
        let mut serving = pin!(serve_by(self.core, self.pass, self.peer, stream, self.open));
        tokio::select! {
            () = &mut serving => return,
            () = until => mailbox.shutdown(CloseReason::Refused),
        }
        serving.await;
    }
}
