//! A disk that takes nothing more: what a head-end says, and what it does when there is room again.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    Api, HeadEnd, LOGGERS, Simulation, assert_same, exported, exported_by, journalled, loggerhead, metric, prlimit, run,
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
