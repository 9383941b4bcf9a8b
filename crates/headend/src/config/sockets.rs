//! How the sockets of a listener behave.

use std::time::Duration;

use super::document::Node;
use super::problem::Place;
use super::schema;
use super::section::{Findings, Section};

/// Longest name of a network interface. Source: netdevice(7), IFNAMSIZ.
const INTERFACE_BYTES_MAX: usize = 15;

/// Options of a listener's TCP sockets and of the connections that it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Connections that may wait to be accepted; the kernel caps it.
    pub backlog: i32,
    /// How a silent connection is probed; none: never.
    pub keepalive: Option<Keepalive>,
    /// How long what was sent may stay without the acknowledgement of the peer's kernel; none: as long as the system waits.
    pub user_timeout: Option<Duration>,
    /// How long a peer may take to take an answer.
    pub write: Duration,
    /// After how much silence the conversation of a peer over UDP is over: nothing else says that it is gone.
    pub datagram_silence: Duration,
    /// Small answers go out at once.
    pub nodelay: bool,
    /// Bytes that the kernel receives ahead; none: as the system finds right.
    pub receive_buffer: Option<usize>,
    /// Bytes that the kernel takes to send; none: as the system finds right.
    pub send_buffer: Option<usize>,
    /// Other processes may listen on the same port.
    pub reuse_port: bool,
    /// Who has ended its side is still answered.
    pub half_open: bool,
    /// The one network interface by which packets come and go; none: every one.
    pub interface: Option<String>,
    /// Type of service or traffic class of what is sent; none: as the system finds right.
    pub type_of_service: Option<u32>,
    /// How long a connection without bytes is kept from us; none: not at all.
    pub defer_accept: Option<Duration>,
    /// Connections that may bring bytes with their first packet; none: none.
    pub fast_open: Option<i32>,
}

/// How the kernel finds out that a silent peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// From one probe to the next.
    pub interval: Duration,
    /// Probes without an answer after which the connection is dropped.
    pub probes: u32,
}

/// Who may connect to the socket files of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFiles {
    /// Permission bits.
    pub mode: u32,
    /// The user who owns them; none: the server's.
    pub owner: Option<u32>,
    /// The group who owns them; none: the server's.
    pub group: Option<u32>,
}

impl Default for Sockets {
    /// As without a word in the configuration.
    fn default() -> Self {
        unsaid(sockets)
    }
}

impl Default for SocketFiles {
    /// As without a word in the configuration.
    fn default() -> Self {
        unsaid(socket_files)
    }
}

/// What is read from a listener that says nothing.
fn unsaid<T>(read: impl FnOnce(&Section<'_>) -> T) -> T {
    let (findings, nothing) = (Findings::default(), Node::table(Place::Default));
    read(&Section::new(&findings, &nothing, String::new(), schema::LISTENER, false))
}

/// Reads the table `socket` of a listener.
pub(super) fn sockets(listener: &Section<'_>) -> Sockets {
    let empty = Node::table(Place::Default);
    let section = listener.below("socket", &empty);
    let seconds = |name| Duration::from_secs(section.count(name));
    let bytes = |name| usize::try_from(section.count(name)).ok().filter(|&bytes| bytes > 0);
    let (idle, interval) = (seconds("keepalive_idle_s"), seconds("keepalive_interval_s"));
    let probes = u32::try_from(section.count("keepalive_probes")).unwrap_or(u32::MAX);
    Sockets {
        backlog: i32::try_from(section.count("backlog")).unwrap_or(i32::MAX),
        keepalive: (!idle.is_zero()).then_some(Keepalive { idle, interval, probes }),
        user_timeout: Some(seconds("user_timeout_s")).filter(|timeout| !timeout.is_zero()),
        write: seconds("write_s"),
        datagram_silence: seconds("datagram_silence_s"),
        nodelay: section.flag("nodelay"),
        receive_buffer: bytes("receive_buffer_bytes"),
        send_buffer: bytes("send_buffer_bytes"),
        reuse_port: section.flag("reuse_port"),
        half_open: section.flag("half_open"),
        interface: section.text("interface").filter(|name| is_interface(&section, name)),
        type_of_service: u32::try_from(section.count("type_of_service")).ok().filter(|&class| class > 0),
        defer_accept: Some(seconds("defer_accept_s")).filter(|wait| !wait.is_zero()),
        fast_open: i32::try_from(section.count("fast_open")).ok().filter(|&waiting| waiting > 0),
    }
}

/// Whether a network interface can have that name.
fn is_interface(section: &Section<'_>, name: &str) -> bool {
    let can_be = (1..=INTERFACE_BYTES_MAX).contains(&name.len()) && !name.contains(['/', '\0']);
    if !can_be {
        section.error("interface", format!("{name:?} is no network interface: write one such as \"eth0\""));
    }
    can_be
}

/// Reads the table `unix` of a listener.
pub(super) fn socket_files(listener: &Section<'_>) -> SocketFiles {
    let empty = Node::table(Place::Default);
    let section = listener.below("unix", &empty);
    let written = section.text("mode").unwrap_or_default();
    let mode = u32::from_str_radix(&written, 8).ok().filter(|mode| *mode <= 0o777).unwrap_or_else(|| {
        section.error("mode", format!("{written:?} is no mode: write octal digits such as \"0660\""));
        0
    });
    let owner = known(&section, "owner", |name| Ok(nix::unistd::User::from_name(name)?.map(|user| user.uid.as_raw())));
    let group =
        known(&section, "group", |name| Ok(nix::unistd::Group::from_name(name)?.map(|group| group.gid.as_raw())));
    SocketFiles { mode, owner, group }
}

/// The number of a user or a group, which may be written as well.
fn known(section: &Section<'_>, key: &str, find: impl FnOnce(&str) -> nix::Result<Option<u32>>) -> Option<u32> {
    let name = section.text(key)?;
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let text = match find(&name) {
        Ok(Some(number)) => return Some(number),
        Ok(None) => format!("this system knows no {name:?}: write a name or a number that it knows"),
        Err(error) => format!("{name:?}: {error}"),
    };
    section.error(key, text);
    None
}
