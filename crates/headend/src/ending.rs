//! How a connection ends: why, and the close that lets the last answer arrive.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use loggerhead_protocols::{CloseReason, Fault};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::connection::Stream;
use crate::presence::Manner;
use crate::scratch;

/// After our last byte: time for the peer to take it and to close, so that no reset overtakes it. A device on a mobile
/// network answers within one; more would let peers that never close hold their places.
const LINGER_WITHIN: Duration = Duration::from_secs(2);
/// What a peer may still send in that time: what was on its way, and not another backlog.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The session closed it.
    Closed(CloseReason),
    /// The peer broke the rules.
    Fault(Fault),
    /// The connection broke.
    Lost(io::Error),
    /// The session was told to close, or to finish, and did not in time.
    Overdue(CloseReason),
}

impl Ending {
    /// In words, for operators.
    pub(crate) fn because(&self) -> String {
        match self {
            Self::Closed(reason) | Self::Overdue(reason) => reason.to_string(),
            Self::Fault(fault) => fault.to_string(),
            Self::Lost(error) => format!("the connection broke: {}", error.kind()),
        }
    }

    /// What it says of a device that connects for every message.
    pub(crate) fn manner(&self) -> Manner {
        match self {
            Self::Closed(CloseReason::PeerDone) | Self::Overdue(CloseReason::PeerDone) => Manner::Good,
            Self::Closed(_) | Self::Overdue(_) | Self::Fault(_) | Self::Lost(_) => Manner::Bad,
        }
    }
}

/// Closes so that the last answer arrives, within a bound. A stream that broke is only dropped.
pub(crate) async fn close<S: Stream>(stream: &mut S, ending: &Ending) {
    if !matches!(ending, Ending::Lost(_)) {
        // Errors here change nothing: the conversation is over.
        let _closed = timeout(LINGER_WITHIN, linger(stream)).await;
    }
}

/// Ends our side, then takes what the peer still sends until it ends its own: closing a socket with unread bytes sends
/// a reset, which can overtake the last answer.
async fn linger<S: Stream>(stream: &mut S) -> io::Result<()> {
    stream.flush().await?;
    stream.shutdown().await?;
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        match poll_fn(|context| scratch::poll_read(stream, context, <[u8]>::len)).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}
