//! UDP: each peer of a socket has a conversation of its own, like a connection, which ends by its silence. A peer that speaks
//! to two addresses of ours has two: it may not know that both are one head-end.
//!
//! A datagram is one read, and one write is one datagram. What finds no room is dropped, as on any network, and counted.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use nix::libc;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, ReceiveTimestampns};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

use crate::metrics::ProtocolCounters;

/// Datagrams that wait for one conversation: a burst of a few lines, while the store is busy.
const WAITING_MAX: usize = 32;
/// How often peers that are gone are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// A UDP socket with its peers.
pub(crate) struct Datagrams {
    socket: Arc<UdpSocket>,
    counters: Arc<ProtocolCounters>,
    peers: HashMap<Path, Peer>,
    swept_at: Instant,
    buffer: Box<[u8]>,
}

/// Between whom datagrams go.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Path {
    peer: SocketAddr,
    /// The address of ours that is spoken to, and answers; none where the socket has but one.
    own: Option<IpAddr>,
}

/// A datagram that came.
struct Came {
    count: usize,
    path: Path,
    /// When the system had it.
    at: Option<SystemTime>,
    is_cut: bool,
}

/// A datagram of one peer.
struct Datagram {
    bytes: Bytes,
    /// When the system had it, however long it waited for us.
    at: Option<SystemTime>,
}

struct Peer {
    inbox: Sender<Datagram>,
    heard_at: Instant,
}

impl Datagrams {
    /// Answers from a socket that has every address of the host come from the one that was asked.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(socket: UdpSocket, counters: Arc<ProtocolCounters>) -> io::Result<Self> {
        match socket.local_addr()?.ip() {
            IpAddr::V4(own) if own.is_unspecified() => setsockopt(&socket, Ipv4PacketInfo, &true)?,
            IpAddr::V6(own) if own.is_unspecified() => setsockopt(&socket, Ipv6RecvPacketInfo, &true)?,
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        Ok(Self {
            socket: Arc::new(socket),
            counters,
            peers: HashMap::new(),
            swept_at: Instant::now(),
            buffer: vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice(),
        })
    }

    /// Hands datagrams to their conversations until one comes from a peer that has none; its conversation. There are
    /// places for `peers_max`, and who is silent for `silence` is gone.
    ///
    /// # Errors
    /// What the system says. Nothing is lost when this is dropped while it waits.
    pub(crate) async fn accept(
        &mut self,
        peers_max: usize,
        silence: Duration,
    ) -> io::Result<(Conversation, SocketAddr)> {
        loop {
            let sweep_at = self.swept_at + SWEEP_EVERY;
            if Instant::now() >= sweep_at {
                self.sweep(silence);
                continue;
            }
            let receiving = self.socket.async_io(Interest::READABLE, || receive(&self.socket, &mut self.buffer));
            let Ok(received) = timeout_at(sweep_at, receiving).await else { continue };
            let Came { count, path, at, is_cut } = received?;
            if is_cut {
                self.counters.datagrams_dropped.one_more();
                continue;
            }
            // An empty one says nothing, and would look like the end of a stream.
            let bytes = Bytes::copy_from_slice(self.buffer.get(..count).unwrap_or_default());
            if !bytes.is_empty()
                && let Some(conversation) = self.hand_over(path, Datagram { bytes, at }, peers_max)
            {
                return Ok((conversation, path.peer));
            }
        }
    }

    fn hand_over(&mut self, path: Path, datagram: Datagram, peers_max: usize) -> Option<Conversation> {
        let now = Instant::now();
        let Datagram { bytes, at } = match self.peers.get_mut(&path) {
            None => datagram,
            Some(peer) => {
                peer.heard_at = now;
                match peer.inbox.try_send(datagram) {
                    Ok(()) => return None,
                    Err(TrySendError::Full(_)) => {
                        self.counters.datagrams_dropped.one_more();
                        return None;
                    }
                    // Its conversation is over: this begins another one.
                    Err(TrySendError::Closed(datagram)) => datagram,
                }
            }
        };
        if self.peers.len() >= peers_max && !self.peers.contains_key(&path) {
            self.counters.datagrams_dropped.one_more();
            return None;
        }
        let (inbox, waiting) = channel(WAITING_MAX);
        self.peers.insert(path, Peer { inbox, heard_at: now });
        let socket = Arc::clone(&self.socket);
        let counters = Arc::clone(&self.counters);
        let (inbox, rest, unanswered) = (waiting, bytes, at);
        Some(Conversation { socket, counters, path, inbox, rest, unanswered, is_over: false })
    }

    /// Forgets peers whose conversation is over, and ends that of those who are silent.
    fn sweep(&mut self, silence: Duration) {
        let now = Instant::now();
        self.swept_at = now;
        self.peers.retain(|_, peer| !peer.inbox.is_closed() && now < peer.heard_at + silence);
    }
}

/// One peer's datagrams, in both directions.
pub(crate) struct Conversation {
    socket: Arc<UdpSocket>,
    counters: Arc<ProtocolCounters>,
    path: Path,
    inbox: Receiver<Datagram>,
    /// The datagram that is being read.
    rest: Bytes,
    /// When the last datagram came, until something is sent.
    unanswered: Option<SystemTime>,
    /// We have said our last.
    is_over: bool,
}

impl AsyncRead for Conversation {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        if self.rest.is_empty()
            && let Some(next) = ready!(self.inbox.poll_recv(context))
        {
            (self.rest, self.unanswered) = (next.bytes, next.at);
        }
        let count = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Conversation {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // All conversations share the socket, which wakes one task only, so nobody waits for room in it.
        let sent = match self.path.own {
            Some(own) => self.socket.try_io(Interest::WRITABLE, || send(&self.socket, bytes, self.path.peer, own)),
            None => self.socket.try_send_to(bytes, self.path.peer),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.counters.datagrams_dropped.one_more();
                Poll::Ready(Ok(bytes.len()))
            }
            sent => {
                // A clock that was set back in between says nothing.
                if let Some(took) = self.unanswered.take().and_then(|came_at| came_at.elapsed().ok()) {
                    self.counters.answers.record(took);
                }
                Poll::Ready(sent)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over = true;
        Poll::Ready(Ok(()))
    }
}

/// A peer that is called: it has a socket of its own, and one read is one datagram.
pub(crate) struct Called {
    socket: UdpSocket,
    /// We have said our last.
    is_over: bool,
}

impl Called {
    /// `socket` is connected to the peer.
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self { socket, is_over: false }
    }
}

impl AsyncRead for Called {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while !self.is_over && into.filled().is_empty() {
            // An empty one says nothing, and would look like the end of a stream.
            ready!(self.socket.poll_recv(context, into))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Called {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Nobody else waits for room in this socket.
        self.socket.poll_send(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over = true;
        Poll::Ready(Ok(()))
    }
}

/// Receives a datagram that is there.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has many more, of which none was asked for")]
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Came> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::timespec);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let is_cut = received.flags.contains(MsgFlags::MSG_TRUNC);
    let address = |message| match message {
        ControlMessageOwned::Ipv4PacketInfo(about) => {
            Some(IpAddr::V4(u32::from_be(about.ipi_spec_dst.s_addr).into())).filter(|own| !own.is_unspecified())
        }
        ControlMessageOwned::Ipv6PacketInfo(about) => {
            Some(IpAddr::V6(about.ipi6_addr.s6_addr.into())).filter(|own| !own.is_multicast())
        }
        _ => None,
    };
    let own = received.cmsgs()?.find_map(address);
    let at = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(at) => Some(SystemTime::UNIX_EPOCH + Duration::from(at)),
        _ => None,
    });
    let peer = received.address.as_ref().and_then(address_of).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Came { count: received.bytes, path: Path { peer, own }, at, is_cut })
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let four = storage.as_sockaddr_in().map(|four| SocketAddr::V4((*four).into()));
    four.or_else(|| storage.as_sockaddr_in6().map(|six| SocketAddr::V6((*six).into())))
}

/// Sends a datagram from that address of ours, if there is room.
///
/// # Errors
/// `WouldBlock` when there is none, and what the system says.
pub(crate) fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr, own: IpAddr) -> io::Result<usize> {
    let (socket, parts, to) = (socket.as_raw_fd(), [IoSlice::new(bytes)], SockaddrStorage::from(to));
    let sent = match own {
        IpAddr::V4(own) => {
            let ipi_spec_dst = libc::in_addr { s_addr: u32::from(own).to_be() };
            let about = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: libc::in_addr { s_addr: 0 } };
            sendmsg(socket, &parts, &[ControlMessage::Ipv4PacketInfo(&about)], MsgFlags::empty(), Some(&to))
        }
        IpAddr::V6(own) => {
            let ipi6_addr = libc::in6_addr { s6_addr: own.octets() };
            let about = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
            sendmsg(socket, &parts, &[ControlMessage::Ipv6PacketInfo(&about)], MsgFlags::empty(), Some(&to))
        }
    };
    Ok(sent?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UdpSocket;

    use super::{Conversation, Datagram, Datagrams, Path, WAITING_MAX};
    use crate::metrics::ProtocolCounters;

    const SILENCE: Duration = Duration::from_mins(5);

    async fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.expect("a free port")
    }

    /// A head-end's socket and a peer's that sends to it.
    async fn both() -> (Datagrams, UdpSocket) {
        let (ours, theirs) = (socket().await, socket().await);
        theirs.connect(ours.local_addr().expect("it is bound")).await.expect("UDP connects to anything");
        (Datagrams::new(ours, Arc::default()).expect("a socket"), theirs)
    }

    fn path_of(theirs: &UdpSocket) -> Path {
        Path { peer: theirs.local_addr().expect("it is bound"), own: None }
    }

    fn datagram(bytes: &'static str) -> Datagram {
        Datagram { bytes: bytes.into(), at: None }
    }

    async fn read(conversation: &mut Conversation) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        let count = conversation.read(&mut bytes).await.expect("it reads");
        bytes.truncate(count);
        bytes
    }

    #[tokio::test]
    async fn a_datagram_is_one_read_and_a_write_is_one_datagram() {
        let (mut datagrams, theirs) = both().await;
        for bytes in [&b""[..], b"one", b"two"] {
            theirs.send(bytes).await.expect("sent");
        }
        let (mut conversation, from) = datagrams.accept(1, SILENCE).await.expect("a peer");
        assert_eq!(from, theirs.local_addr().expect("it is bound"));
        assert_eq!(read(&mut conversation).await, b"one");
        let waits = tokio::select! {
            bytes = read(&mut conversation) => bytes,
            _ = datagrams.accept(1, SILENCE) => panic!("there is no other peer"),
        };
        assert_eq!(waits, b"two");
        conversation.write_all(b"answer").await.expect("sent");
        let mut bytes = [0; 100];
        assert_eq!(theirs.recv(&mut bytes).await.expect("it comes"), 6);
        conversation.write_all(b"more").await.expect("sent");
        assert_eq!(conversation.counters.answers.read().count, 1, "what follows an answer is none");
    }

    #[tokio::test]
    async fn an_answer_comes_from_the_address_that_was_asked() {
        for (all, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.2"), ("[::]:0", "::1")] {
            let ours = UdpSocket::bind(all).await.expect("a free port");
            let port = ours.local_addr().expect("it is bound").port();
            let mut datagrams = Datagrams::new(ours, Arc::default()).expect("a socket");
            let own = if asked == "::1" { "[::1]:0" } else { "127.0.0.1:0" };
            let theirs = UdpSocket::bind(own).await.expect("a free port");
            // One that is connected hears nobody else.
            theirs.connect((asked, port)).await.expect("UDP connects to anything");
            theirs.send(b"question").await.expect("sent");
            let (mut conversation, _) = datagrams.accept(1, SILENCE).await.expect("a peer");
            assert_eq!(read(&mut conversation).await, b"question");
            conversation.write_all(b"answer").await.expect("sent");
            let mut bytes = [0; 100];
            assert_eq!(theirs.recv(&mut bytes).await.expect("it comes"), 6, "{all} {asked}");
        }
    }

    #[tokio::test]
    async fn who_speaks_to_two_addresses_of_ours_has_two_conversations() {
        let ours = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        let port = ours.local_addr().expect("it is bound").port();
        let mut datagrams = Datagrams::new(ours, Arc::default()).expect("a socket");
        let theirs = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let mut conversations = Vec::new();
        for asked in ["127.0.0.1", "127.0.0.2"] {
            theirs.send_to(asked.as_bytes(), (asked, port)).await.expect("sent");
            conversations.push((asked, datagrams.accept(2, SILENCE).await.expect("a peer").0));
        }
        for (asked, conversation) in conversations.iter_mut().rev() {
            assert_eq!(read(conversation).await, asked.as_bytes());
            conversation.write_all(b"answer").await.expect("sent");
            let mut bytes = [0; 100];
            let (_, from) = theirs.recv_from(&mut bytes).await.expect("it comes");
            assert_eq!(from.to_string(), format!("{asked}:{port}"));
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted() {
        let (mut datagrams, theirs) = both().await;
        let counters: Arc<ProtocolCounters> = Arc::clone(&datagrams.counters);
        let from = path_of(&theirs);
        let first = datagrams.hand_over(from, datagram("first"), 1);
        for _ in 0..=WAITING_MAX {
            assert!(datagrams.hand_over(from, datagram("more"), 1).is_none());
        }
        assert_eq!(counters.datagrams_dropped.value(), 1);
        let other = Path { peer: "192.0.2.1:5".parse().expect("an address"), own: None };
        assert!(datagrams.hand_over(other, datagram("no place"), 1).is_none());
        assert_eq!(counters.datagrams_dropped.value(), 2);
        drop(first);
        assert!(datagrams.hand_over(from, datagram("again"), 1).is_some(), "its conversation was over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_silent_is_forgotten_and_its_conversation_ends() {
        let (mut datagrams, theirs) = both().await;
        let mut conversation = datagrams.hand_over(path_of(&theirs), datagram("x"), 1).expect("the first one");
        assert_eq!(read(&mut conversation).await, b"x");
        tokio::time::advance(SILENCE).await;
        datagrams.sweep(SILENCE);
        assert_eq!(read(&mut conversation).await, b"", "the end");
        assert!(datagrams.peers.is_empty());
    }
}
