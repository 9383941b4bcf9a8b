//! What an acknowledgement is worth: the head-end is killed again and again in the middle of its work.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{HeadEnd, LOGGERS, Simulation, assert_same, exported, journalled, run, seed};

/// How often the head-end is killed.
const KILLS: u32 = 50;
/// Kills come within so many acknowledged readings after a start: in recovery, in the first commits, in full work.
const READINGS_BETWEEN_KILLS_MAX: usize = 1500;
/// One in so many kills comes before the head-end is ready.
const KILLS_PER_EARLY_ONE: u32 = 5;

#[test]
#[expect(clippy::print_stdout, reason = "what a long test has shown")]
fn no_acknowledged_reading_is_lost_or_doubled_by_kills() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);

    let directory = tempfile::tempdir().expect("a directory for this test");
    let socket = directory.path().join("loggers.sock");
    let socket = format!("unix:{}", socket.display());
    let configuration = LOGGERS.replace("127.0.0.1:0", &socket);
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let loggers = ["--loggers", "10", "--dialect", "all", "--meters", "4", "--functions", "3", "--window", "4"];
    let pace = ["--seconds", "3600", "--rate", "400", "--backlog", "50", "--reconnect-ms", "20"];
    let patience = ["--patience", "60", "--seed", &seed.to_string()];
    let mut simulation = Simulation::start(&socket, &[&loggers[..], &pace[..], &patience[..]].concat());

    for kill in 0..KILLS {
        if kill % KILLS_PER_EARLY_ONE != 0 {
            simulation.wait_acknowledged(random.random_range(0..READINGS_BETWEEN_KILLS_MAX));
        }
        head_end.kill();
        head_end = HeadEnd::spawn(directory.path(), &configuration);
        if kill % KILLS_PER_EARLY_ONE != 0 {
            head_end.wait_ready();
        }
    }
    simulation.wait_acknowledged(1);
    let (result, journal) = simulation.finish();
    let data = head_end.data();
    assert!(head_end.stop().success());

    let (acknowledged, stored) = (journalled(&journal), exported(&data));
    println!("{} readings acknowledged over {KILLS} kills: {result}", acknowledged.len());
    assert!(acknowledged.len() > 1000, "too few readings to show anything: {result}");
    assert_same(&stored, &acknowledged);
    run(&["verify", "--data", data.to_str().expect("a path of this test")]);
}
