//! A disk that takes nothing more: what a head-end says, and what it does when there is room again.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    Api, HeadEnd, LOGGERS, Signal, Simulation, assert_same, exported, exported_by, journalled, loggerhead, metric,
    prlimit, run, signal, simulate,
};

/// Devices that send all the time and keep what is not acknowledged.
const LOAD: &str = "--loggers 6 --dialect all --meters 2 --rate 200 --window 4 --seconds 3600 --reconnect-ms 20";

/// A listener on a socket of this test.
fn configuration(directory: &Path) -> (String, String) {
    let socket = format!("unix:{}", directory.join("loggers.sock").display());
    (LOGGERS.replace("127.0.0.1:0", &socket), socket)
}

/// Checks that a head-end acknowledges nothing and says so.
fn check_unwell(head_end: &mut HeadEnd, api: &Api, simulation: &mut Simulation) {
    head_end.wait_for("not ready");
    let ready = api.get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("store"), "the reason is named: {ready:?}");
    assert_eq!(api.get("/healthz").status, 200, "the process itself is well");
    let metrics = api.get("/metrics").body;
    assert_eq!(metric(&metrics, "loggerhead_store_up"), 0);
    // What was acknowledged in time has arrived by then; nothing more may come.
    simulation.take_acknowledged();
    let not_stored = || metric(&api.get("/metrics").body, "loggerhead_packets_not_stored_total");
    let before = not_stored();
    while not_stored() == before {
        std::thread::yield_now();
    }
    assert_eq!(simulation.take_acknowledged(), 0, "nothing is acknowledged that is not on disk");
}

/// Checks that it went on by itself.
fn check_well(head_end: &mut HeadEnd, api: &Api, simulation: &mut Simulation) {
    simulation.wait_acknowledged(2_000);
    head_end.wait_for("ready again");
    assert_eq!(api.get("/readyz").status, 200);
    assert_eq!(metric(&api.get("/metrics").body, "loggerhead_store_up"), 1);
}

#[test]
fn writes_that_fail_are_told_and_outlived() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (configuration, socket) = configuration(directory.path());
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let (api, data) = (Api::Unix(head_end.data()), head_end.data());
    let mut simulation = Simulation::start(&socket, &LOAD.split(' ').collect::<Vec<_>>());
    simulation.wait_acknowledged(500);
    prlimit(head_end.id(), "--fsize=0:unlimited");
    check_unwell(&mut head_end, &api, &mut simulation);
    prlimit(head_end.id(), "--fsize=unlimited:unlimited");
    check_well(&mut head_end, &api, &mut simulation);
    let (_, journal) = simulation.finish();
    assert!(head_end.stop().success());
    assert_same(&exported(&data), &journalled(&journal));
    run(&["verify", "--data", data.to_str().expect("a path of this test")]);
}

#[test]
#[expect(clippy::print_stdout, reason = "says that it could not run")]
fn a_disk_without_room_is_told_and_outlived() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (configuration, socket) = configuration(directory.path());
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("a directory of this test");
    let Some(command) = on_a_small_disk(&data) else {
        println!("not run: this user may not mount a small file system; the other test of this file stands for it");
        return;
    };
    let mut head_end = HeadEnd::spawn_by(command, directory.path(), &configuration);
    head_end.wait_ready();
    // The small file system is there for that process alone; others see it through that process.
    let seen = PathBuf::from(format!("/proc/{}/root{}", head_end.id(), data.display()));
    let api = Api::Unix(seen.clone());
    let mut simulation = Simulation::start(&socket, &LOAD.split(' ').collect::<Vec<_>>());
    simulation.wait_acknowledged(500);
    let ballast = seen.join("ballast");
    fill(&ballast);
    check_unwell(&mut head_end, &api, &mut simulation);
    std::fs::remove_file(&ballast).expect("it was written");
    check_well(&mut head_end, &api, &mut simulation);
    let (_, journal) = simulation.finish();
    let mut beside = Command::new("nsenter");
    beside.args(["--user", "--mount", "--preserve-credentials", "--target", &head_end.id().to_string()]);
    beside.arg(loggerhead().get_program());
    assert_same(&exported_by(beside, &data), &journalled(&journal));
    assert!(head_end.stop().success());
}

/// What stands between the program and the system: as long as a file is there, no disk ever answers.
const HANG: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static int sync_later(const char *name, int file) {
    while (access(getenv("HANG_WHILE"), F_OK) == 0) usleep(10000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}
int fsync(int file) { return sync_later("fsync", file); }
int fdatasync(int file) { return sync_later("fdatasync", file); }
"#;

#[test]
fn a_disk_that_never_answers_holds_no_stop_up() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (configuration, socket) = configuration(directory.path());
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("hang.c"), HANG).expect("a directory of this test");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(file("hang.so")).arg(file("hang.c")).arg("-ldl");
    assert!(compiler.status().is_ok_and(|status| status.success()), "a C compiler, which the store is built with");
    let mut command = loggerhead();
    command.env("LD_PRELOAD", file("hang.so")).env("HANG_WHILE", file("hang"));
    let mut head_end = HeadEnd::spawn_by(command, directory.path(), &format!("stop_s = 3\n{configuration}"));
    head_end.wait_ready();
    let data = head_end.data();
    let mut simulation = Simulation::start(&socket, &LOAD.split(' ').collect::<Vec<_>>());
    simulation.wait_acknowledged(500);
    std::fs::write(file("hang"), "").expect("a directory of this test");
    signal(head_end.id(), Signal::SIGTERM);
    head_end.wait_for("the store did not close in time");
    head_end.wait_end();
    std::fs::remove_file(file("hang")).expect("it was written");
    let head_end = HeadEnd::start(directory.path(), &configuration);
    simulation.wait_acknowledged(500);
    let (_, journal) = simulation.finish();
    assert!(head_end.stop().success());
    assert_same(&exported(&data), &journalled(&journal));
}

#[test]
fn who_cannot_be_accepted_for_want_of_files_waits_and_the_others_go_on() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (configuration, socket) = configuration(directory.path());
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let path = socket.trim_start_matches("unix:");
    let mut simulation = Simulation::start(&socket, &["--rate", "50", "--seconds", "3600", "--reconnect-ms", "50"]);
    simulation.wait_acknowledged(50);
    let open = std::fs::read_dir(format!("/proc/{}/fd", head_end.id())).expect("it runs").count();
    prlimit(head_end.id(), &format!("--nofile={}:", open + 4));
    let guests: Vec<_> = (0..32).map(|_| UnixStream::connect(path).expect("the backlog has room")).collect();
    head_end.wait_for("cannot accept a connection");
    simulation.wait_acknowledged(50);
    drop(guests);
    prlimit(head_end.id(), "--nofile=512:");
    simulate(&socket, &["--first-gateway", "2", "--packets", "1"]);
    let errors = metric(&Api::Unix(head_end.data()).get("/metrics").body, "loggerhead_accept_errors_total");
    // It pauses after each: without that there would be some hundred thousand in a second.
    assert!((1..10_000).contains(&errors), "{errors}");
    simulation.finish();
    assert!(head_end.stop().success());
}

/// The program in a name space of its own with a file system of some megabytes at `directory`; none where this user may
/// not have that.
fn on_a_small_disk(directory: &Path) -> Option<Command> {
    let mount = "mount -t tmpfs -o size=64m,mode=700 none \"$0\" && exec \"$@\"";
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]).arg(directory).arg(program);
        command
    };
    let can = unshare("true").output().is_ok_and(|output| output.status.success());
    can.then(|| unshare(&loggerhead().get_program().to_string_lossy()))
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).expect("there is room for a name");
    while file.write_all(&[0; 4096]).is_ok() {}
}
