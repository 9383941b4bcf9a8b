//! Turns the tree of a configuration into its types, and finds everything that is wrong with it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use loggerhead_model::{DeviceId, Identity, Site};
use loggerhead_protocols::relay::upstream::Upstream;
use loggerhead_protocols::{ALL, DeviceSettings, Protocol, Transport, hint};
use loggerhead_store::{FrameKeeping, Limits, Login, Retention, Secret};

use super::document::{Node, Value};
use super::own;
use super::problem::{Gravity, Place};
use super::schema::{self, DATA_DIR_DEFAULT, Keys};
use super::secret::{self, parse_secret};
use super::section::{Findings, Section};
use super::sockets::{socket_files, sockets};
use super::types::{Address, Config, DataPorts, Device, Enroll, Files, Listener, Log, LogFormat, Tls, Web, WebSocket};
use crate::outgoing::upstream_named;
use crate::tls::Clients;

/// Longest name of a listener.
const NAME_BYTES_MAX: usize = 64;
/// Longest path of a socket: what the system takes, less the end of a text and the sign of one that is being made.
const SOCKET_PATH_BYTES_MAX: usize = 106;

/// Reads the whole tree.
pub(super) fn config(tree: &Node, findings: &Findings) -> Config {
    let empty = Node::table(Place::Default);
    let root = Section::new(findings, tree, String::new(), schema::ROOT, false);
    let devices = devices(&root);
    let listeners = listeners(&root, &devices);
    let store = root.below("store", &empty);
    let retention = store.below("retention", &empty);
    let days = |name| match retention.count(name) {
        0 => None,
        days => Some(Duration::from_hours(24 * days)),
    };
    let log = root.below("log", &empty);
    let config = Config {
        data_dir: root.file("data_dir").unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT)),
        stop_within: Duration::from_secs(root.count("stop_s")),
        command_within: Duration::from_secs(root.count("command_s")),
        log: Log {
            format: if log.word("format") == "json" { LogFormat::Json } else { LogFormat::Text },
            level: log.text("level").unwrap_or_default(),
        },
        frames: if store.flag("frames") { FrameKeeping::Keep } else { FrameKeeping::Drop },
        retention: Retention {
            frames: days("frames_days"),
            events: days("events_days"),
            readings: days("readings_days"),
        },
        limits: limits(&store.below("limits", &empty)),
        files: files(&root.below("files", &empty)),
        web: web(&root.below("web", &empty)),
        listeners: listeners.into_iter().map(|(listener, _)| listener).collect(),
        devices: devices.into_iter().map(|(device, _)| device).collect(),
    };
    check_proofs(&config, &root);
    config
}

fn limits(section: &Section<'_>) -> Limits {
    let count = |name| u32::try_from(section.count(name)).unwrap_or(u32::MAX);
    Limits {
        devices: count("devices"),
        channels_per_device: count("channels_per_device"),
        channels: count("channels"),
        tags_per_device: count("tags_per_device"),
        tags: count("tags"),
    }
}

fn files(section: &Section<'_>) -> Files {
    let bytes = |name| section.count(name).saturating_mul(1024 * 1024);
    Files {
        device_bytes_max: bytes("device_mb"),
        total_bytes_max: bytes("total_mb"),
        partial_keep: Duration::from_mins(section.count("partial_minutes")),
    }
}

fn web(section: &Section<'_>) -> Web {
    let empty = Node::table(Place::Default);
    let addresses = web_addresses(section);
    let behind_proxy = section.flag("behind_proxy");
    let token_file = section.file("token_file");
    if let Some(path) = &token_file {
        check_token_file(section, path);
    }
    let tls_wanted = section.node.entry("tls").is_some();
    let tls = if tls_wanted { tls(&section.below("tls", &empty)) } else { None };
    let exposed = addresses.iter().find(|address| !address.ip().is_loopback());
    if let Some(address) = exposed.filter(|_| !tls_wanted && !behind_proxy) {
        let text = format!(
            "{address} can be reached from other hosts, and passwords would pass in clear: set web.tls.certificate and \
             web.tls.key, or web.behind_proxy = true where a proxy in front of it has TLS, or write 127.0.0.1:{}",
            address.port()
        );
        section.error("address", text);
    }
    Web { addresses, behind_proxy, token_file, tls }
}

fn web_addresses(section: &Section<'_>) -> Vec<SocketAddr> {
    let right = "127.0.0.1:8080, [::1]:8080 or off";
    let mut written = section.list("address", right);
    if section.node.entry("address").is_none() {
        written.push((schema::WEB_ADDRESS_DEFAULT.to_owned(), Place::Default));
    }
    let mut addresses = Vec::with_capacity(written.len());
    for (text, place) in written.iter().filter(|(text, _)| !text.is_empty() && text != "off") {
        if let Ok(address) = text.parse() {
            addresses.push(address);
        } else {
            let text = format!("{text:?} is no address: write {right}");
            section.error_at(place, "address", text);
        }
    }
    let shown: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let shown = format!("[{}]", shown.join(", "));
    section.findings.settle(format!("{}address", section.path), shown, section.place("address"));
    addresses
}

fn check_token_file(section: &Section<'_>, path: &Path) {
    match std::fs::metadata(path) {
        Ok(about) if secret::is_open(&about) => {
            let text = format!("everybody on this machine may read {0}: chmod 600 {0}", path.display());
            section.error("token_file", text);
        }
        Ok(_) => {}
        Err(error) => section.error("token_file", format!("{}: {error}", path.display())),
    }
}

/// The tables of a list of tables, each with its path.
fn tables<'a>(root: &Section<'a>, list: &str, keys: Keys, name_keys: &[&str]) -> Vec<Section<'a>> {
    let Some(node) = root.node.entry(list) else { return Vec::new() };
    let Value::List(tables) = &node.value else {
        root.error(list, format!("is {}; it takes tables: [[{list}]]", node.value.type_words()));
        return Vec::new();
    };
    let name = |index: usize, table: &Node| {
        let named = name_keys.iter().find_map(|key| table.entry(key)?.value.text());
        let named = named.map(|text| format!("{list}.{text}."));
        named.unwrap_or_else(|| format!("{list}[{index}]."))
    };
    tables
        .iter()
        .enumerate()
        .filter(|(_, table)| {
            let is_table = matches!(table.value, Value::Table(_));
            if !is_table {
                let text = format!("is {}; it takes tables: [[{list}]]", table.value.type_words());
                root.findings.add(Gravity::Error, &table.place, list, text);
            }
            is_table
        })
        .map(|(index, table)| Section::new(root.findings, table, name(index, table), keys, true))
        .collect()
}

fn protocol(section: &Section<'_>) -> Option<&'static Protocol> {
    let name = section.text("protocol").unwrap_or_default();
    let protocol = loggerhead_protocols::find(&name);
    if protocol.is_none() {
        let hint = hint(&name, ALL.iter().map(|protocol| protocol.name));
        section.error("protocol", format!("there is no protocol {name:?}{hint}"));
    }
    protocol
}

fn devices<'a>(root: &Section<'a>) -> Vec<(Device, Section<'a>)> {
    let mut found: Vec<(Device, Section<'a>)> = Vec::new();
    let mut ids = HashMap::new();
    let mut identities = HashMap::new();
    for section in tables(root, "device", schema::DEVICE, &["id", "identity"]) {
        let Some(device) = device(&section) else { continue };
        let place = section.node.place.clone();
        if let Some(before) = ids.insert(device.id.clone(), place.clone()) {
            section.error("id", format!("{} is the device at {before} already", device.id));
        }
        if let Some(before) = identities.insert((device.protocol.clone(), device.identity.clone()), place) {
            section.error("identity", format!("{} is the device at {before} already", device.identity));
        }
        found.push((device, section));
    }
    found
}

fn device(section: &Section<'_>) -> Option<Device> {
    let protocol = protocol(section);
    let login = match section.word("login").as_str() {
        "cipher" => Login::Cipher,
        "name" => Login::Name,
        "certificate" => Login::Certificate,
        _ => Login::Secret,
    };
    let secret = device_secret(section);
    let Some(identity) = section.text("identity") else {
        section.error("identity", "is missing: the device's name for itself");
        return None;
    };
    let identity = Identity::new(&identity).map_err(|error| section.error("identity", error.to_string())).ok()?;
    let id = match section.text("id") {
        Some(id) => DeviceId::new(&id).map_err(|error| section.error("id", error.to_string())).ok()?,
        None => DeviceId::from_identity(&identity),
    };
    let site = section.text("site").map(|site| Site::new(&site)).transpose();
    let site = site.map_err(|error| section.error("site", error.to_string())).ok()?;
    let protocol = protocol?;
    let settings = own::settings(section, protocol, protocol.check_device);
    Some(Device { id, protocol: protocol.name.to_owned(), identity, secret, login, site, settings })
}

fn device_secret(section: &Section<'_>) -> Option<Secret> {
    let written = section.secret_text("secret");
    let file = section.file("secret_file");
    let (key, text) = match (written, file) {
        (Some(_), Some(_)) => {
            section.error("secret_file", "either secret or secret_file");
            return None;
        }
        (Some(text), None) => ("secret", zeroize::Zeroizing::new(text.to_owned())),
        (None, Some(path)) => match secret::read_file(&path) {
            Ok((text, open)) => {
                if open {
                    let path = path.display();
                    section.warn("secret_file", format!("everybody on this machine may read {path}: chmod 600 {path}"));
                }
                ("secret_file", text)
            }
            Err(error) => {
                section.error("secret_file", format!("{}: {error}", path.display()));
                return None;
            }
        },
        (None, None) => return None,
    };
    parse_secret(&text).map_err(|error| section.error(key, error)).ok()
}

fn listeners<'a>(root: &Section<'a>, devices: &[(Device, Section<'a>)]) -> Vec<(Listener, Section<'a>)> {
    let mut found: Vec<(Listener, Section<'a>)> = Vec::new();
    let mut names = HashMap::new();
    let mut bound = HashSet::new();
    for section in tables(root, "listener", schema::LISTENER, &["name", "protocol"]) {
        let Some(listener) = listener(&section, devices) else { continue };
        if let Some(before) = names.insert(listener.name.clone(), section.node.place.clone()) {
            section.error("name", format!("{:?} is the listener at {before} already", listener.name));
        }
        for address in &listener.addresses {
            let any_port = matches!(address, Address::Tcp(address) | Address::Udp(address) if address.port() == 0);
            if !any_port && !bound.insert(address.to_string()) {
                section.error("address", format!("{address} is taken by another listener"));
            }
        }
        found.push((listener, section));
    }
    found
}

fn listener(section: &Section<'_>, devices: &[(Device, Section<'_>)]) -> Option<Listener> {
    let empty = Node::table(Place::Default);
    let protocol = protocol(section);
    let name = section.text("name").or_else(|| protocol.map(|protocol| protocol.name.to_owned())).unwrap_or_default();
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.chars().any(|sign| sign.is_control() || sign.is_whitespace())
    {
        section.error("name", format!("a name is 1 to {NAME_BYTES_MAX} bytes without blanks"));
    }
    let enroll = match section.word("enroll").as_str() {
        "pending" => Enroll::Pending,
        "accept" => Enroll::Accept,
        _ => Enroll::Refuse,
    };
    let bounded = |name| usize::try_from(section.count(name)).unwrap_or(usize::MAX);
    let protocol = protocol?;
    let listener = Listener {
        name,
        protocol: protocol.name.to_owned(),
        addresses: addresses(section, protocol),
        v6_only: section.flag("v6_only"),
        sockets: sockets(section),
        socket_files: socket_files(section),
        enroll,
        secrets: secrets(section),
        proxies: proxies(section),
        call_through: call_through(section),
        connections_max: bounded("connections_max"),
        connections_per_address_max: bounded("connections_per_address_max"),
        connections_per_device_max: bounded("connections_per_device_max"),
        connects_per_s_max: u32::try_from(section.count("connects_per_s_max")).unwrap_or(u32::MAX),
        data_ports: data_ports(section),
        first_frame: Duration::from_secs(section.count_or("first_frame_s", protocol.limits.first_frame.as_secs())),
        login: Duration::from_secs(section.count_or("login_s", protocol.limits.login.as_secs())),
        tls: section.node.entry("tls").and_then(|_| listener_tls(&section.below("tls", &empty))),
        websocket: section.node.entry("websocket").map(|_| websocket(&section.below("websocket", &empty))),
        settings: toml::Table::new(),
    };
    let settings = own::settings(section, protocol, |settings| {
        let mut theirs = devices
            .iter()
            .filter(|(device, _)| device.protocol == protocol.name)
            .map(|(device, _)| DeviceSettings { id: &device.id, identity: &device.identity, table: &device.settings });
        (protocol.acceptor)(settings, &mut theirs).map(|_| ())
    });
    Some(Listener { settings, ..listener })
}

/// The proxy through which peers are called. Its text is never shown, for a password stands in it.
fn call_through(section: &Section<'_>) -> Option<Upstream> {
    let text = section.secret_text("call_through")?;
    upstream_named(text).map_err(|error| section.error("call_through", error.to_string())).ok()
}

fn proxies(section: &Section<'_>) -> Vec<IpAddr> {
    let right = "10.0.0.5 or 2001:db8::5";
    let mut proxies = Vec::new();
    for (text, place) in section.list("proxies", right) {
        if let Ok(address) = text.parse() {
            proxies.push(address);
        } else {
            let text = format!("{text:?} is no address of a proxy: write {right}, without a port");
            section.error_at(&place, "proxies", text);
        }
    }
    proxies
}

fn websocket(section: &Section<'_>) -> WebSocket {
    let right = "https://panel.example";
    let origins = section.list("origins", right);
    for (origin, place) in &origins {
        let has_host = origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
        if !has_host {
            let text = format!("{origin:?} is no origin: write {right}, with :PORT where it is not the usual one");
            section.error_at(place, "origins", text);
        }
    }
    WebSocket { origins: origins.into_iter().map(|(origin, _)| origin).collect() }
}

fn data_ports(section: &Section<'_>) -> Option<DataPorts> {
    let text = section.text("data_ports")?;
    let ports = DataPorts::parse(&text);
    if ports.is_none() {
        let max = DataPorts::COUNT_MAX;
        section.error("data_ports", format!("{text:?} is no range: write 20000-20099, {max} ports at most, or 0"));
    }
    ports
}

fn addresses(section: &Section<'_>, protocol: &Protocol) -> Vec<Address> {
    let right = match protocol.transport {
        Transport::Streams => {
            "127.0.0.1:36829, [::1]:36829, localhost:36829, unix:/path, unix:@name, fd:NAME or call:192.0.2.7:7000"
        }
        Transport::Either => {
            "127.0.0.1:2020, [::1]:2020, localhost:2020, udp:127.0.0.1:2020, unix:/path, unix:@name, fd:NAME or \
             call:192.0.2.7:7000"
        }
        Transport::Datagrams => "udp:127.0.0.1:49152, udp:[::1]:49152 or fd:NAME",
        Transport::Called => "call:192.0.2.7:7000",
    };
    let everywhere = SocketAddr::from(([0, 0, 0, 0], protocol.port));
    let usual = match protocol.transport {
        Transport::Streams | Transport::Either => Some(Address::Tcp(everywhere)),
        Transport::Datagrams => Some(Address::Udp(everywhere)),
        // Nobody can be called whose address is not known.
        Transport::Called => None,
    };
    if let Some(address) = usual.filter(|_| section.node.entry("address").is_none()) {
        section.findings.settle(format!("{}address", section.path), format!("[\"{address}\"]"), &Place::Default);
        return vec![address];
    }
    let written = section.list("address", right);
    let mut addresses = Vec::with_capacity(written.len());
    for (text, place) in &written {
        let mut found: Vec<_> = match text.split_once(':') {
            Some(("unix", path)) => is_socket_path(path).then(|| Address::Unix(path.into())).into_iter().collect(),
            Some((kind @ ("udp" | "call"), _)) if section.node.entry("tls").is_some() => {
                section.error_at(place, "address", format!("{kind} has no TLS"));
                continue;
            }
            Some((kind @ ("udp" | "call"), _)) if section.node.entry("websocket").is_some() => {
                section.error_at(place, "address", format!("{kind} has no WebSocket"));
                continue;
            }
            Some(("call", rest)) if rest.starts_with("udp:") && !protocol.transport.takes_datagrams() => Vec::new(),
            Some(("call", rest)) if rest.starts_with("udp:") && section.node.entry("call_through").is_some() => {
                section.error_at(place, "address", "nobody is called over UDP through a proxy".to_owned());
                continue;
            }
            Some(("call", rest)) => is_peer(rest.strip_prefix("udp:").unwrap_or(rest))
                .then(|| Address::Call(rest.to_owned()))
                .into_iter()
                .collect(),
            Some(("fd", which)) => (!which.is_empty()).then(|| Address::Passed(which.to_owned())).into_iter().collect(),
            Some(("udp", rest)) => own_addresses(rest).into_iter().map(Address::Udp).collect(),
            _ => own_addresses(text).into_iter().map(Address::Tcp).collect(),
        };
        found.retain(|address| match address {
            Address::Udp(_) => protocol.transport.takes_datagrams(),
            Address::Tcp(_) | Address::Unix(_) => protocol.transport.takes_streams(),
            Address::Passed(_) => protocol.transport.takes_streams() || protocol.transport.takes_datagrams(),
            Address::Call(_) => protocol.transport.takes_calls(),
        });
        if found.is_empty() {
            let text = format!("{text:?} is no address: write {right}");
            section.error_at(place, "address", text);
        }
        addresses.append(&mut found);
    }
    if written.is_empty() {
        section.error("address", format!("a listener needs an address: {right}"));
    }
    let shown: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    section.findings.settle(
        format!("{}address", section.path),
        format!("[{}]", shown.join(", ")),
        section.place("address"),
    );
    addresses
}

/// What is listened on by an address and a port, or by a name, which is looked up once, and a port.
fn own_addresses(text: &str) -> Vec<SocketAddr> {
    let is_name = text.starts_with(|first: char| first.is_ascii_alphabetic());
    match text.parse() {
        Ok(address) => vec![address],
        Err(_) if is_name => text.to_socket_addrs().map(Iterator::collect).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// Whether the system can have a socket there: its paths are short.
fn is_socket_path(path: &str) -> bool {
    !matches!(path, "" | "@") && path.len() <= SOCKET_PATH_BYTES_MAX
}

/// Whether `text` is `HOST:PORT` or `[IPV6]:PORT`.
fn is_peer(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = !host.is_empty() && !host.contains(|sign: char| sign.is_whitespace() || sign == '/');
    let is_one = host.starts_with('[') == host.contains(':');
    is_host && is_one && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn secrets(section: &Section<'_>) -> Vec<Secret> {
    let written = section.list("secrets", "text:..., hex:... or file:/path");
    if !written.is_empty() {
        let shown = format!("({} secrets)", written.len());
        section.findings.settle(format!("{}secrets", section.path), shown, section.place("secrets"));
    }
    let mut secrets = Vec::with_capacity(written.len());
    for (index, (text, place)) in written.iter().enumerate() {
        match parse_secret(text) {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                section.error_at(place, &format!("secrets[{index}]"), error);
            }
        }
    }
    secrets
}

fn tls(section: &Section<'_>) -> Option<Tls> {
    let file = |name| {
        let Some(path) = section.file(name) else {
            section.error(name, "is missing: the path of a PEM file");
            return None;
        };
        match std::fs::File::open(&path) {
            Ok(_) => Some(path),
            Err(error) => {
                section.error(name, format!("{}: {error}", path.display()));
                None
            }
        }
    };
    let (certificate, key) = (file("certificate"), file("key"));
    Some(Tls { certificate: certificate?, key: key?, clients: None })
}

/// The same for a listener, which may ask its peers for certificates.
fn listener_tls(section: &Section<'_>) -> Option<Tls> {
    let required = section.word("client_certificate") == "required";
    let readable = |name| {
        let path = section.file(name)?;
        if let Err(error) = std::fs::File::open(&path) {
            section.error(name, error.to_string());
        }
        Some(path)
    };
    let revoked = readable("client_crl");
    if revoked.is_some() && section.file("client_ca").is_none() {
        section.error("client_crl", "takes client_ca: without it nobody is asked for a certificate");
    }
    let clients = readable("client_ca").map(|authorities| Clients { authorities, revoked, required });
    tls(section).map(|tls| Tls { clients, ..tls })
}

/// Notes what can be but hardly is what was meant: somebody who can never log in.
fn check_proofs(config: &Config, root: &Section<'_>) {
    for listener in &config.listeners {
        let asks = listener.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
        if listener.enroll != Enroll::Refuse && listener.secrets.is_empty() && !asks {
            let text =
                format!("listener {} enrolls devices that prove one of its secrets, but has none", listener.name);
            root.warn("listener", text);
        }
    }
    for device in &config.devices {
        let mut doors = config.listeners.iter().filter(|listener| listener.protocol == device.protocol).peekable();
        if doors.peek().is_none() {
            root.warn("device", format!("device {}: no listener speaks {}", device.id, device.protocol));
        } else if device.secret.is_none() && device.login == Login::Secret && doors.all(|door| door.secrets.is_empty())
        {
            let text = format!("device {} has no secret, and no listener has one: it can never log in", device.id);
            root.warn("device", text);
        }
    }
}
