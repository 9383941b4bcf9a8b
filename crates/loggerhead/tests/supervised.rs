//! What a service manager hears, over the socket that it gives.

use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::support::{HeadEnd, LOGGERS, PATIENCE, Signal, loggerhead, signal};

/// The end of the socket that the service manager has.
struct Manager {
    socket: UnixDatagram,
    heard: VecDeque<String>,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a directory of this test");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { socket, heard: VecDeque::new() }
    }

    /// Waits for an assignment with this name and gives its value; what came before it is forgotten.
    fn wait_for(&mut self, name: &str) -> String {
        loop {
            while let Some(line) = self.heard.pop_front() {
                match line.split_once('=') {
                    Some((found, value)) if found == name => return value.to_owned(),
                    Some(_) => {}
                    None => panic!("no assignment: {line:?}"),
                }
            }
            let mut text = [0; 4096];
            let length = self.socket.recv(&mut text).unwrap_or_else(|error| panic!("no {name}: {error}"));
            let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }
}

#[test]
fn a_service_manager_hears_of_start_life_reload_and_stop() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("notify.sock");
    let mut manager = Manager::listen(&path);
    let mut command = loggerhead();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut head_end = HeadEnd::spawn_by(command, directory.path(), LOGGERS);
    assert_eq!(manager.wait_for("READY"), "1");
    assert_eq!(manager.wait_for("STATUS"), "serving");
    for _ in 0..3 {
        assert_eq!(manager.wait_for("WATCHDOG"), "1");
    }
    head_end.wait_ready();

    signal(head_end.id(), Signal::SIGHUP);
    assert_eq!(manager.wait_for("RELOADING"), "1");
    assert!(manager.wait_for("MONOTONIC_USEC").parse::<u64>().is_ok());
    assert_eq!(manager.wait_for("READY"), "1");

    // A configuration that is wrong changes nothing, and the service is as ready as before.
    HeadEnd::configure(directory.path(), "listener = 7");
    signal(head_end.id(), Signal::SIGHUP);
    assert_eq!(manager.wait_for("RELOADING"), "1");
    assert_eq!(manager.wait_for("READY"), "1");
    assert_eq!(manager.wait_for("WATCHDOG"), "1");

    assert!(head_end.stop().success());
    assert_eq!(manager.wait_for("STOPPING"), "1");
}
