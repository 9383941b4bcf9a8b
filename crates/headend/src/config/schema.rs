//! Every key of the configuration: what it means, what it may be, and what it is when nobody says.

/// Where the API's and the store's files are when nobody says.
pub const DATA_DIR_DEFAULT: &str = "/var/lib/loggerhead";
/// Where the console is served when nobody says: this host only.
pub(super) const WEB_ADDRESS_DEFAULT: &str = "127.0.0.1:8080";
/// How long stopping may take, in seconds: below the 90 s after which systemd kills.
const STOP_S_DEFAULT: u64 = 20;
/// How long a command waits for its device, in seconds: it was meant for about now.
const COMMAND_S_DEFAULT: u64 = 3_600;
/// A week, in seconds: whoever asks for something then has long forgotten what it was for.
const COMMAND_S_MAX: u64 = 604_800;
/// Days for which raw frames are kept.
const FRAMES_DAYS_DEFAULT: u64 = 30;
/// A hundred years, in days: whoever wants more wants for ever.
const DAYS_MAX: u64 = 36_500;
/// Numbers of the store have 32 bits.
const NUMBERS_MAX: u64 = 4_000_000_000;
/// Connections of one listener; a connection of an idle device costs about 4 KiB.
const CONNECTIONS_DEFAULT: u64 = 20_000;
/// More sockets than one process may have anywhere.
const CONNECTIONS_LIMIT: u64 = 1_000_000;
/// Connections from one address: whole cities stand behind one address of a mobile network.
const CONNECTIONS_PER_ADDRESS_DEFAULT: u64 = 1_024;
/// Connections of one device that opens a new one for every message.
const CONNECTIONS_PER_DEVICE_DEFAULT: u64 = 4;
const WAIT_S_MAX: u64 = 3_600;
/// Connections that may wait to be accepted: all devices of a middle-sized site come back at once after an outage.
const BACKLOG_DEFAULT: u64 = 1_024;
/// No kernel is set to more.
const BACKLOG_MAX: u64 = 65_535;
/// A dead peer is noticed within two minutes, even by a session without a heartbeat. The kernel's own two hours are useless.
const KEEPALIVE_IDLE_S_DEFAULT: u64 = 60;
const KEEPALIVE_INTERVAL_S_DEFAULT: u64 = 15;
const KEEPALIVE_PROBES_DEFAULT: u64 = 4;
/// What Linux takes.
const KEEPALIVE_S_MAX: u64 = 32_767;
const KEEPALIVE_PROBES_MAX: u64 = 127;
/// Some seconds of a mobile network without reception are outlived; a peer that is gone is not waited for.
const USER_TIMEOUT_S_DEFAULT: u64 = 60;
/// The slowest mobile networks take some seconds.
const WRITE_S_DEFAULT: u64 = 30;
/// Nothing else says that a peer over UDP is gone.
const DATAGRAM_SILENCE_S_DEFAULT: u64 = 300;
/// As long as a device may sleep between two datagrams: each conversation that stands takes memory.
const DATAGRAM_SILENCE_S_MAX: u64 = 86_400;
/// Who may connect to a socket file: owner and group.
const UNIX_MODE_DEFAULT: &str = "0660";
/// More for one connection takes it from the others.
const BUFFER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// MiB of files of one device: months of pictures, and not the whole disk.
pub(super) const FILES_DEVICE_MB_DEFAULT: u64 = 10_240;
/// MiB of all files.
pub(super) const FILES_TOTAL_MB_DEFAULT: u64 = 102_400;
/// An exbibyte, in MiB.
const FILE_MB_MAX: u64 = 1 << 40;
/// A line that is down over a day comes back.
pub(super) const FILES_PARTIAL_MINUTES_DEFAULT: u64 = 24 * 60;
/// A year, in minutes.
const FILES_PARTIAL_MINUTES_MAX: u64 = 366 * 24 * 60;

/// What a key may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// A path.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Yes or no.
    Flag,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// One text or a list of them.
    Texts,
    /// One secret: `text:`, `hex:` or `file:`.
    Secret,
    /// A list of secrets.
    Secrets,
    /// A table with these keys.
    Table(Keys),
    /// Any number of tables with these keys and the own settings of a protocol under its name.
    Tables(Keys),
}

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would be written; none where there is no default.
    pub(super) default: Option<Default>,
    /// As it might be written.
    pub(super) example: &'static str,
    pub(super) meaning: &'static str,
}

/// What a key is when nobody says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Default {
    Text(&'static str),
    Flag(bool),
    Count(u64),
}

/// The keys of one table.
pub(super) type Keys = &'static [Key];

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<Default>,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default, example, meaning }
}

const fn table(name: &'static str, keys: Keys, meaning: &'static str) -> Key {
    key(name, Kind::Table(keys), None, "", meaning)
}

const fn count(name: &'static str, min: u64, max: u64, default: u64, meaning: &'static str) -> Key {
    key(name, Kind::Count(min, max), Some(Default::Count(default)), "", meaning)
}

pub(super) const ROOT: Keys = &[
    key(
        "data_dir",
        Kind::Path,
        Some(Default::Text(DATA_DIR_DEFAULT)),
        "",
        "where everything is kept; private to the server's user",
    ),
    count("stop_s", 1, WAIT_S_MAX, STOP_S_DEFAULT, "seconds in which the server stops when it is asked to"),
    count(
        "command_s",
        1,
        COMMAND_S_MAX,
        COMMAND_S_DEFAULT,
        "seconds after which a command expires whose device did not come",
    ),
    table("log", LOG, "what is logged, on standard error"),
    table("store", STORE, "what is kept"),
    table("files", FILES, "how much of the files that devices send is kept, in files/ in data_dir"),
    table(
        "web",
        WEB,
        "the console and the API for people; programs of this user also have the socket api.sock in data_dir",
    ),
    key("listener", Kind::Tables(LISTENER), None, "", "what devices connect to; any number of them"),
    key(
        "device",
        Kind::Tables(DEVICE),
        None,
        "",
        "a device that may log in; any number of them, also in conf.d/*.toml beside this file",
    ),
];

pub(super) const LOG: Keys = &[
    key("format", Kind::Word(&["text", "json"]), Some(Default::Text("text")), "", "text for people, json for machines"),
    key(
        "level",
        Kind::Text,
        Some(Default::Text("info")),
        "",
        "error, warn, info, debug, trace; also by part: info,loggerhead_headend=debug",
    ),
];

pub(super) const STORE: Keys = &[
    key(
        "frames",
        Kind::Flag,
        Some(Default::Flag(true)),
        "",
        "keep the raw frame of every packet, so that history can be decoded again",
    ),
    table("retention", RETENTION, "days for which things are kept; 0: for ever"),
    table(
        "limits",
        LIMITS,
        "names and words that devices may bring; a packet that needs more is neither stored nor acknowledged",
    ),
];

pub(super) const LIMITS: Keys = &[
    count("devices", 1, NUMBERS_MAX, loggerhead_store::DEVICES_DEFAULT as u64, "devices that ever sent something"),
    count(
        "channels_per_device",
        1,
        NUMBERS_MAX,
        loggerhead_store::CHANNELS_PER_DEVICE_DEFAULT as u64,
        "channels (meter and function) of one device, and as many meters",
    ),
    count("channels", 1, NUMBERS_MAX, loggerhead_store::CHANNELS_DEFAULT as u64, "channels in all"),
    count(
        "tags_per_device",
        1,
        NUMBERS_MAX,
        loggerhead_store::TAGS_PER_DEVICE_DEFAULT as u64,
        "different tags (coding, code, quality and attributes of a reading) that one device brings",
    ),
    count("tags", 1, NUMBERS_MAX, loggerhead_store::TAGS_DEFAULT as u64, "different tags in all"),
];

pub(super) const RETENTION: Keys = &[
    count("frames_days", 0, DAYS_MAX, FRAMES_DAYS_DEFAULT, "raw frames"),
    count("events_days", 0, DAYS_MAX, 0, "events: logins, refusals, faults"),
    count("readings_days", 0, DAYS_MAX, 0, "readings"),
];

pub(super) const FILES: Keys = &[
    count("device_mb", 1, FILE_MB_MAX, FILES_DEVICE_MB_DEFAULT, "MiB that the files of one device may take"),
    count("total_mb", 1, FILE_MB_MAX, FILES_TOTAL_MB_DEFAULT, "MiB that all files may take"),
    count(
        "partial_minutes",
        1,
        FILES_PARTIAL_MINUTES_MAX,
        FILES_PARTIAL_MINUTES_DEFAULT,
        "minutes for which the part of a file is kept that nobody goes on with",
    ),
];

pub(super) const WEB: Keys = &[
    key(
        "address",
        Kind::Texts,
        Some(Default::Text(WEB_ADDRESS_DEFAULT)),
        "",
        "where it is served, one address or a list; \"off\": nowhere. Beyond this host it takes TLS or behind_proxy",
    ),
    key(
        "behind_proxy",
        Kind::Flag,
        Some(Default::Flag(false)),
        "",
        "a proxy in front of it has TLS and says in X-Forwarded-For who asks; only the proxy may reach the address",
    ),
    key(
        "token_file",
        Kind::Path,
        None,
        "\"/etc/loggerhead/api-token\"",
        "a token for programs that may do everything: 16 characters or more, readable by the server's user alone",
    ),
    table("tls", TLS, "TLS on every address of the console; both files are read again when they change"),
];

pub(super) const LISTENER: Keys = &[
    key("name", Kind::Text, None, "\"loggers\"", "its name in logs and metrics; default: the protocol's"),
    key("protocol", Kind::Text, Some(Default::Text("logger")), "", "what is spoken there"),
    key(
        "address",
        Kind::Texts,
        None,
        "[\"0.0.0.0:36829\", \"[::]:36829\", \"unix:/run/loggerhead/loggers.sock\"]",
        "where it listens; unix:@NAME: a name instead of a file; fd:NAME: what the service manager opened; udp:... where the protocol takes datagrams; call:HOST:PORT connects there instead; default: the protocol's port on every IPv4 address",
    ),
    key(
        "v6_only",
        Kind::Flag,
        Some(Default::Flag(true)),
        "",
        "IPv6 addresses take no IPv4 devices; false: [::] takes both",
    ),
    key(
        "enroll",
        Kind::Word(&["refuse", "pending", "accept"]),
        Some(Default::Text("refuse")),
        "",
        "an unknown device that proves one of `secrets` is refused, waits for `loggerhead device accept`, or is let in",
    ),
    key(
        "secrets",
        Kind::Secrets,
        None,
        "[\"text:IJKLMNOPQRSTUVWX\"]",
        "what unknown devices, and devices without a secret of their own, may prove: text:..., hex:... or file:/path",
    ),
    key(
        "proxies",
        Kind::Texts,
        None,
        "[\"10.0.0.5\"]",
        "proxies in front of it: connections from these addresses begin with a PROXY header that says who connected there",
    ),
    key(
        "call_through",
        Kind::Secret,
        None,
        "\"socks5://user:password@10.0.0.9:1080\"",
        "the proxy through which call:HOST:PORT connects: socks5:// or http://; environment: the one in ALL_PROXY",
    ),
    count("connections_max", 1, CONNECTIONS_LIMIT, CONNECTIONS_DEFAULT, "connections at once"),
    count(
        "connections_per_address_max",
        1,
        CONNECTIONS_LIMIT,
        CONNECTIONS_PER_ADDRESS_DEFAULT,
        "connections at once from one address",
    ),
    count(
        "connections_per_device_max",
        1,
        CONNECTIONS_LIMIT,
        CONNECTIONS_PER_DEVICE_DEFAULT,
        "connections at once of a device that opens one for every message",
    ),
    count(
        "connects_per_s_max",
        0,
        1_000_000,
        0,
        "connections accepted in a second at each address, the others wait; 0: as many as come",
    ),
    key(
        "data_ports",
        Kind::Text,
        None,
        "\"20000-20099\"",
        "ports for single connections of peers that are in, where the protocol has such; 0: whatever is free; default: none",
    ),
    key(
        "first_frame_s",
        Kind::Count(1, WAIT_S_MAX),
        None,
        "5",
        "seconds from the connection to the first whole frame; default: 5, more where people type",
    ),
    key(
        "login_s",
        Kind::Count(1, WAIT_S_MAX),
        None,
        "10",
        "seconds from the connection to the login; default: 10, more where people type",
    ),
    table("tls", LISTENER_TLS, "TLS on every address of this listener; the files are read again when they change"),
    table("socket", SOCKET, "how the TCP sockets of this listener behave"),
    table("unix", UNIX, "who may connect to the socket files of this listener"),
    table("websocket", WEBSOCKET, "the protocol goes over WebSocket, with its name as the subprotocol"),
];

pub(super) const SOCKET: Keys = &[
    count(
        "backlog",
        1,
        BACKLOG_MAX,
        BACKLOG_DEFAULT,
        "connections that may wait to be accepted; net.core.somaxconn caps it",
    ),
    count(
        "keepalive_idle_s",
        0,
        KEEPALIVE_S_MAX,
        KEEPALIVE_IDLE_S_DEFAULT,
        "seconds of silence after which the kernel asks whether the peer is there; 0: never",
    ),
    count(
        "keepalive_interval_s",
        1,
        KEEPALIVE_S_MAX,
        KEEPALIVE_INTERVAL_S_DEFAULT,
        "seconds from one such question to the next",
    ),
    count(
        "keepalive_probes",
        1,
        KEEPALIVE_PROBES_MAX,
        KEEPALIVE_PROBES_DEFAULT,
        "questions without an answer after which the connection is dropped",
    ),
    count(
        "user_timeout_s",
        0,
        WAIT_S_MAX,
        USER_TIMEOUT_S_DEFAULT,
        "seconds for which what we sent may stay without the acknowledgement of the peer's kernel; 0: as long as the system waits",
    ),
    count(
        "write_s",
        1,
        WAIT_S_MAX,
        WRITE_S_DEFAULT,
        "seconds in which an answer has to be taken; who does not is gone",
    ),
    count(
        "datagram_silence_s",
        1,
        DATAGRAM_SILENCE_S_MAX,
        DATAGRAM_SILENCE_S_DEFAULT,
        "seconds of silence after which the conversation with an address is over that sends datagrams",
    ),
    key("nodelay", Kind::Flag, Some(Default::Flag(true)), "", "answers go out at once, and do not wait for more"),
    count(
        "receive_buffer_bytes",
        0,
        BUFFER_BYTES_MAX,
        0,
        "bytes that the kernel receives ahead for a connection; 0: as it finds right",
    ),
    count(
        "send_buffer_bytes",
        0,
        BUFFER_BYTES_MAX,
        0,
        "bytes that the kernel takes to send for a connection; 0: as it finds right",
    ),
    key(
        "reuse_port",
        Kind::Flag,
        Some(Default::Flag(false)),
        "",
        "other processes of this user may listen on the same port, as during a change to another version",
    ),
    key(
        "half_open",
        Kind::Flag,
        Some(Default::Flag(true)),
        "",
        "who ends its side is answered to the end; false: it is gone, with what was not answered",
    ),
    key("interface", Kind::Text, None, "\"eth0\"", "packets come and go by this network interface alone"),
    count("type_of_service", 0, 255, 0, "the type of service, or traffic class, of what is sent; 184: at once"),
    count(
        "defer_accept_s",
        0,
        WAIT_S_MAX,
        0,
        "a connection is accepted when its first bytes are there, or after about so many seconds; 0: at once",
    ),
    count(
        "fast_open",
        0,
        BACKLOG_MAX,
        0,
        "connections at once that may bring bytes with their first packet (TCP Fast Open); 0: none",
    ),
];

pub(super) const UNIX: Keys = &[
    key(
        "mode",
        Kind::Text,
        Some(Default::Text(UNIX_MODE_DEFAULT)),
        "",
        "permission bits, octal; to connect takes the right to write",
    ),
    key(
        "owner",
        Kind::Text,
        None,
        "\"loggerhead\"",
        "the user who owns them, by name or number; default: the server's",
    ),
    key("group", Kind::Text, None, "\"meters\"", "the group who owns them, by name or number; default: the server's"),
];

pub(super) const WEBSOCKET: Keys = &[key(
    "origins",
    Kind::Texts,
    None,
    "[\"https://panel.example\"]",
    "origins of web pages that may connect, besides pages of the host itself",
)];

pub(super) const TLS: Keys = &[CERTIFICATE, PRIVATE_KEY];

const CERTIFICATE: Key =
    key("certificate", Kind::Path, None, "\"/etc/loggerhead/cert.pem\"", "the certificate chain, PEM");
const PRIVATE_KEY: Key = key("key", Kind::Path, None, "\"/etc/loggerhead/key.pem\"", "the private key, PEM");

pub(super) const LISTENER_TLS: Keys = &[
    CERTIFICATE,
    PRIVATE_KEY,
    key(
        "client_ca",
        Kind::Path,
        None,
        "\"/etc/loggerhead/devices-ca.pem\"",
        "who signs certificates of devices, PEM; default: devices are not asked for one",
    ),
    key(
        "client_crl",
        Kind::Path,
        None,
        "\"/etc/loggerhead/devices-crl.pem\"",
        "which certificates they revoked, PEM, with a list of each authority; default: none",
    ),
    key(
        "client_certificate",
        Kind::Word(&["required", "optional"]),
        Some(Default::Text("required")),
        "",
        "optional: also those come in that show no certificate, and prove themselves otherwise",
    ),
];

pub(super) const DEVICE: Keys = &[
    key("id", Kind::Text, None, "\"tower-1\"", "our name for it; default: made from the identity"),
    key("protocol", Kind::Text, Some(Default::Text("logger")), "", "what it speaks"),
    key("identity", Kind::Text, None, "\"330302D110/01\"", "its name for itself; for loggers building/gateway"),
    key(
        "secret",
        Kind::Secret,
        None,
        "\"text:IJKLMNOPQRSTUVWX\"",
        "with what it proves who it is; default: the secrets of its listener",
    ),
    key(
        "secret_file",
        Kind::Path,
        None,
        "\"/etc/loggerhead/tower-1.secret\"",
        "a file that holds the secret, instead of `secret`",
    ),
    key(
        "login",
        Kind::Word(&["secret", "cipher", "name", "certificate"]),
        Some(Default::Text("secret")),
        "",
        "cipher: knowing its own cipher key is proof enough; name: it need prove nothing, for protocols without a proof; \
         certificate: one in its name, and nothing else",
    ),
    key(
        "site",
        Kind::Text,
        None,
        "\"north tower\"",
        "the place it belongs to, to find and to count devices by; default: what stands before the first / of its identity",
    ),
];

/// The key of that name.
pub(super) fn find(keys: Keys, name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

/// Every word that may stand in the table.
pub(super) fn words(keys: Keys) -> impl Iterator<Item = &'static str> {
    keys.iter().map(|key| key.name)
}
