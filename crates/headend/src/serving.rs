//! The listeners that run: opening, changing and closing them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::Identity;
use loggerhead_protocols::{Acceptor, CloseReason, DeviceSettings, Limits, OpenSession, Protocol, find};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::config;
use crate::core::Core;
use crate::data_doors::DataDoors;
use crate::datagrams::Datagrams;
use crate::door::{self, Door};
use crate::error::StartError;
use crate::identity::{Admittance, Enroll};
use crate::listener::{Listener, Settings};
use crate::passed::{Passed, passed};
use crate::prompt::Prompt;
use crate::socket::{Families, bind_udp, listen_tcp, listen_unix};
use crate::status::{BoundAddress, ListenerStatus, ReloadReport};
use crate::tls::{Certificate, FileError, Files};
use crate::websocket::WebSocket;

/// Sessions of a listener that the configuration does not have any more get this long to end.
const RECONFIGURE_WITHIN: Duration = Duration::from_secs(10);

/// The listeners that run.
#[derive(Default)]
pub(crate) struct Serving {
    running: Vec<Running>,
}

/// One of them.
struct Running {
    config: config::Listener,
    listener: Arc<Listener>,
    addresses: Vec<BoundAddress>,
    certificate: Option<Arc<Certificate>>,
    stop: CancellationToken,
    doors: JoinSet<()>,
    /// The thread that serves it, where its peers cannot wait.
    prompt: Option<Prompt>,
}

impl Serving {
    /// Opens all of them, or none.
    ///
    /// # Errors
    /// `StartError` names the listener and what is wrong with it.
    pub(crate) fn open(core: &Arc<Core>, listeners: &[config::Listener]) -> Result<Self, StartError> {
        let running = listeners.iter().map(|config| Running::open(core, config)).collect::<Result<_, _>>()?;
        Ok(Self { running })
    }

    /// Whether these listeners could be, as far as that shows without opening sockets.
    ///
    /// # Errors
    /// `StartError` names the listener and what is wrong with it.
    pub(crate) fn check(core: &Core, listeners: &[config::Listener]) -> Result<(), StartError> {
        for config in listeners {
            acceptor(core, known(config)?, config)?;
            certificate(config)?;
        }
        Ok(())
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<(String, BoundAddress)> {
        let each = |running: &Running| {
            let name = running.config.name.clone();
            running.addresses.iter().cloned().map(move |address| (name.clone(), address)).collect::<Vec<_>>()
        };
        self.running.iter().flat_map(each).collect()
    }

    /// What each of them lets in.
    pub(crate) fn listeners(&self) -> Vec<ListenerStatus> {
        self.running.iter().map(Running::status).collect()
    }

    /// Where somebody whom the console has signed in can be: the first listener that takes people, and what makes the
    /// session there.
    pub(crate) fn place_for(&self, person: &Identity) -> Option<(Arc<Listener>, OpenSession)> {
        self.running.iter().find_map(|running| {
            let open = running.listener.acceptor().for_person(person.clone())?;
            Some((Arc::clone(&running.listener), open))
        })
    }

    /// Whether any listener takes people.
    pub(crate) fn takes_people(&self) -> bool {
        self.running.iter().any(|running| running.listener.acceptor().takes_people())
    }

    /// The certificates in use.
    pub(crate) fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.running.iter().filter_map(|running| running.certificate.clone()).collect()
    }

    /// Makes every acceptor of a protocol anew, with the devices as they are now.
    ///
    /// # Errors
    /// `Settings` when the protocol does not accept them; then the acceptors stay as they were.
    pub(crate) fn rebuild(&self, core: &Core, protocol: &str) -> Result<(), StartError> {
        for running in self.running.iter().filter(|running| running.listener.protocol == protocol) {
            running.listener.set_acceptor(acceptor(core, known(&running.config)?, &running.config)?);
        }
        Ok(())
    }

    /// Goes over to a new configuration. Listeners of the same name and sockets keep their connections; one that cannot be
    /// opened stays as it was before.
    ///
    /// # Errors
    /// `StartError` names the first listener that cannot be; all others are as they are to be.
    pub(crate) async fn reload(
        &mut self,
        core: &Arc<Core>,
        listeners: &[config::Listener],
        report: &mut ReloadReport,
    ) -> Result<(), StartError> {
        let stays = |running: &Running| listeners.iter().any(|config| running.is_same_door(config));
        let (kept, closed): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running).into_iter().partition(stays);
        self.running = kept;
        let mut before = Vec::with_capacity(closed.len());
        for running in closed {
            report.listeners_closed.push(running.config.name.clone());
            before.push(running.config.clone());
            running.close(CloseReason::Reconfigured, RECONFIGURE_WITHIN).await;
        }
        let mut failed = None;
        for config in listeners {
            let Some(running) = self.running.iter_mut().find(|running| running.is_same_door(config)) else {
                match Running::open(core, config) {
                    Ok(running) => {
                        self.running.push(running);
                        report.listeners_opened.push(config.name.clone());
                    }
                    Err(error) => {
                        self.reopen(core, before.iter().find(|before| before.name == config.name));
                        failed = failed.or(Some(error));
                    }
                }
                continue;
            };
            let protocol = known(config)?;
            running.listener.set(settings(config, protocol));
            running.listener.set_acceptor(acceptor(core, protocol, config)?);
            if running.config != *config {
                report.listeners_changed.push(config.name.clone());
                running.config = config.clone();
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Opens a listener again as it was: its devices are better served by that than by none.
    fn reopen(&mut self, core: &Arc<Core>, before: Option<&config::Listener>) {
        match before.map(|before| Running::open(core, before)) {
            Some(Ok(running)) => self.running.push(running),
            Some(Err(error)) => tracing::error!(%error, "it cannot be opened again as it was either"),
            None => {}
        }
    }

    /// Closes all sockets, tells all sessions to end, and waits for them until `within` is over.
    pub(crate) async fn close(&mut self, within: Duration) {
        let mut ends = JoinSet::new();
        for running in std::mem::take(&mut self.running) {
            ends.spawn(running.close(CloseReason::Stopping, within));
        }
        while ends.join_next().await.is_some() {}
    }
}

impl Running {
    fn open(core: &Arc<Core>, config: &config::Listener) -> Result<Self, StartError> {
        let protocol = known(config)?;
        let counters = core.counters.protocol(protocol.name);
        let acceptor = acceptor(core, protocol, config)?;
        let prompt = acceptor.answers_in_cycles().then(|| Prompt::start(&config.name)).transpose();
        let prompt = prompt.map_err(|source| StartError::Thread { listener: config.name.clone(), source })?;
        let certificate = certificate(config)?;
        let tls =
            certificate.as_ref().map(Certificate::acceptor).transpose().map_err(|error| tls_error(config, error))?;
        let data_doors = DataDoors::new(config, tls.clone());
        let settings = settings(config, protocol);
        let listener = Listener::new(config.name.clone(), protocol.name, counters, settings, acceptor, data_doors);
        let mut opened = Vec::new();
        {
            // Sockets belong to the thread that serves them.
            let _there = prompt.as_ref().map(|prompt| prompt.handle().enter());
            for address in &config.addresses {
                opened.extend(open_doors(&listener, config, protocol, address)?);
            }
        }
        let mut running = Self {
            config: config.clone(),
            listener,
            addresses: Vec::new(),
            certificate,
            stop: CancellationToken::new(),
            doors: JoinSet::new(),
            prompt,
        };
        for (door, address) in opened {
            let doing = if matches!(door, Door::Call(_)) { "calling" } else { "listening" };
            tracing::info!(listener = config.name, protocol = protocol.name, %address, "{doing}");
            running.addresses.push(address);
            running.keep(core, door, tls.clone());
        }
        Ok(running)
    }

    fn keep(&mut self, core: &Arc<Core>, door: Door, tls: Option<TlsAcceptor>) {
        let (core, listener, stop) = (Arc::clone(core), Arc::clone(&self.listener), self.stop.clone());
        let kept = door::keep(core, listener, door, tls, stop);
        match &self.prompt {
            Some(prompt) => self.doors.spawn_on(kept, prompt.handle()),
            None => self.doors.spawn(kept),
        };
    }

    /// Whether this configuration can be had without opening sockets anew.
    fn is_same_door(&self, config: &config::Listener) -> bool {
        let mine = &self.config;
        mine.name == config.name
            && mine.protocol == config.protocol
            && mine.addresses == config.addresses
            && mine.v6_only == config.v6_only
            && at_opening(&mine.sockets) == at_opening(&config.sockets)
            && mine.socket_files == config.socket_files
            && mine.tls == config.tls
            && mine.data_ports == config.data_ports
            && mine.call_through == config.call_through
    }

    fn status(&self) -> ListenerStatus {
        ListenerStatus {
            name: self.config.name.clone(),
            protocol: self.config.protocol.clone(),
            addresses: self.addresses.clone(),
            enroll: self.config.enroll,
            has_tls: self.config.tls.is_some(),
            connections: self.listener.open(),
            connections_max: self.config.connections_max,
            connections_per_address_max: self.config.connections_per_address_max,
            first_frame: self.config.first_frame,
            login: self.config.login,
        }
    }

    /// Closes its sockets, tells its sessions to end, and waits for them until `within` is over.
    async fn close(mut self, reason: CloseReason, within: Duration) {
        self.stop.cancel();
        self.listener.data_doors.close();
        self.listener.close(&reason);
        let ended = async {
            while self.doors.join_next().await.is_some() {}
            self.listener.data_doors.ended().await;
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!(listener = self.config.name, left = self.listener.open(), "connections were cut off");
        }
    }
}

/// What is set when a socket is opened; the rest is set on each accepted connection.
fn at_opening(options: &config::Sockets) -> config::Sockets {
    let usual = config::Sockets::default();
    let (keepalive, user_timeout, nodelay) = (usual.keepalive, usual.user_timeout, usual.nodelay);
    let (half_open, write, datagram_silence) = (usual.half_open, usual.write, usual.datagram_silence);
    config::Sockets { keepalive, user_timeout, write, datagram_silence, nodelay, half_open, ..options.clone() }
}

fn known(config: &config::Listener) -> Result<&'static Protocol, StartError> {
    let unknown =
        || StartError::Protocol { owner: format!("listener {}", config.name), protocol: config.protocol.clone() };
    find(&config.protocol).ok_or_else(unknown)
}

/// The protocol's side of a listener, with the settings of every device that speaks it.
fn acceptor(
    core: &Core,
    protocol: &'static Protocol,
    config: &config::Listener,
) -> Result<Box<dyn Acceptor>, StartError> {
    let devices: Vec<_> = core.identities.directory.all();
    let speaking = devices.iter().filter(|device| device.protocol == protocol.name);
    let settings: Vec<_> = speaking.map(|device| (device, device.rules().settings.table())).collect();
    let mut rows =
        settings.iter().map(|(device, table)| DeviceSettings { id: &device.id, identity: &device.identity, table });
    let acceptor = core
        .acceptor(protocol, &config.settings, &mut rows)
        .map_err(|source| StartError::Settings { owner: format!("listener {}", config.name), source })?;
    Ok(match &config.websocket {
        Some(websocket) => Box::new(WebSocket::around(acceptor, protocol.name, websocket.origins.clone())),
        None => acceptor,
    })
}

fn settings(config: &config::Listener, protocol: &'static Protocol) -> Settings {
    Settings {
        admittance: Admittance {
            protocol: protocol.name,
            enroll: match config.enroll {
                config::Enroll::Refuse => Enroll::Refuse,
                config::Enroll::Pending => Enroll::Pending,
                config::Enroll::Accept => Enroll::Accept,
            },
            secrets: config.secrets.clone(),
        },
        sockets: config.sockets.clone(),
        proxies: config.proxies.clone(),
        limits: Limits { first_frame: config.first_frame, login: config.login },
        connections_max: config.connections_max,
        connections_per_address_max: config.connections_per_address_max,
        connections_per_device_max: config.connections_per_device_max,
        connects_per_s_max: config.connects_per_s_max,
    }
}

fn certificate(config: &config::Listener) -> Result<Option<Arc<Certificate>>, StartError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let files = Files { certificate: tls.certificate.clone(), key: tls.key.clone(), clients: tls.clients.clone() };
    Certificate::load(files).map(Some).map_err(|error| tls_error(config, error))
}

fn tls_error(config: &config::Listener, error: FileError) -> StartError {
    StartError::Tls { listener: config.name.clone(), path: error.path, reason: error.reason }
}

/// Opens what an address says: one door, or as many as the service manager has passed.
fn open_doors(
    listener: &Listener,
    config: &config::Listener,
    protocol: &Protocol,
    address: &config::Address,
) -> Result<Vec<(Door, BoundAddress)>, StartError> {
    let families = if config.v6_only { Families::OwnOnly } else { Families::Both };
    let tcp = |listener: TcpListener| Ok((BoundAddress::Tcp(listener.local_addr()?), Door::Tcp(listener)));
    let udp = |socket: UdpSocket| {
        let address = BoundAddress::Udp(socket.local_addr()?);
        Ok((address, Door::Udp(Datagrams::new(socket, Arc::clone(&listener.counters))?)))
    };
    let unix =
        |path: &Path, listener, file| (BoundAddress::Unix(path.to_owned()), Door::Unix { listener, _file: file });
    let opened = match address {
        config::Address::Udp(address) => bind_udp(*address, families, &config.sockets).and_then(udp).map(one),
        config::Address::Tcp(address) => listen_tcp(*address, families, &config.sockets).and_then(tcp).map(one),
        config::Address::Call(to) => {
            let caller = Caller::new(to.clone(), config.call_through.clone());
            Ok(one((BoundAddress::Call(to.clone()), Door::Call(caller))))
        }
        config::Address::Unix(path) => listen_unix(path, config.socket_files, &config.sockets)
            .map(|(listener, file)| one(unix(path, listener, file))),
        config::Address::Passed(which) => passed(which).and_then(|sockets| {
            let door = |socket| match socket {
                Passed::Tcp(listener) if protocol.transport.takes_streams() => tcp(listener),
                Passed::Unix(listener, path) if protocol.transport.takes_streams() => Ok(unix(&path, listener, None)),
                Passed::Udp(socket) if protocol.transport.takes_datagrams() && config.tls.is_none() => udp(socket),
                Passed::Tcp(_) | Passed::Unix(..) => Err(not_for_it("streams")),
                Passed::Udp(_) => Err(not_for_it("datagrams")),
            };
            sockets.into_iter().map(door).collect()
        }),
    };
    let opened = opened.map_err(|source| StartError::Listen {
        listener: config.name.clone(),
        address: address.to_string(),
        source,
    })?;
    Ok(opened.into_iter().map(|(address, door)| (door, address)).collect())
}

fn one<T>(only: T) -> Vec<T> {
    vec![only]
}

fn not_for_it(kind: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the listener takes no {kind}"))
}
