//! A head-end that is killed in the middle of files.

use crate::support::HeadEnd;

use super::{FILES, Sender, address, content, kept, names};

/// Bytes of a file: more than the buffers of everybody between sender and disk.
const FILE_BYTES: usize = 24 * 1024 * 1024;

fn head(name: &str, keys: &str) -> String {
    format!("{{\"filename\": \"{name}\", \"filesize\": {FILE_BYTES}{keys}}}")
}

#[test]
fn files_that_were_acknowledged_are_whole_and_parts_go_on_or_are_gone_after_kills() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let bytes = content(FILE_BYTES);
    let resuming = ", \"id\": \"x\", \"resume\": true";
    let mut here = 0;
    for round in 0..3 {
        let head_end = HeadEnd::start(directory.path(), FILES);
        let address = address(&head_end, "plain");
        let mut whole = Sender::to(&address);
        whole.head(&head(&format!("whole-{round}"), ", \"reply\": true"));
        whole.send(&bytes);
        assert_eq!(whole.told()["status"], "ok");
        // A part with an id, that goes further in every round, and one without.
        let mut part = Sender::to(&address);
        part.head(&head("part", resuming));
        let offset = usize::try_from(part.told()["offset"].as_u64().expect("a number")).expect("small");
        assert!(offset >= here, "{offset} of {here} bytes are left in round {round}");
        part.send(&bytes[offset..FILE_BYTES / 4 * (round + 1)]);
        let mut gone = Sender::to(&address);
        gone.head(&head("gone", ""));
        gone.send(&bytes[..FILE_BYTES / 2]);
        // What was handed to the disk before the kill is there after it: as much as buffers do not hold.
        let incoming = head_end.data().join("files/incoming");
        let wanted = (FILE_BYTES / 4 * (round + 1)).saturating_sub(4 * 1024 * 1024) as u64;
        let largest = || {
            let lengths = names(&incoming).into_iter().filter_map(|name| incoming.join(name).metadata().ok());
            lengths.map(|about| about.len()).max().unwrap_or(0)
        };
        while largest() < wanted {
            std::thread::yield_now();
        }
        here = offset;
        head_end.kill();
    }
    let mut head_end = HeadEnd::start(directory.path(), FILES);
    let incoming = head_end.data().join("files/incoming");
    assert_eq!(names(&incoming).len(), 1, "only the part that somebody may go on with is left");
    let mut part = Sender::to(&address(&head_end, "plain"));
    part.head(&head("part", resuming));
    let offset = usize::try_from(part.told()["offset"].as_u64().expect("a number")).expect("small");
    part.send(&bytes[offset..]);
    let told = part.told();
    assert_eq!((told["status"].as_str(), told["name"].as_str()), (Some("ok"), Some("part")));
    head_end.wait_for(&format!("file part of {FILE_BYTES} bytes kept"));
    let kept = kept(&head_end.data());
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|file| *file == bytes), "every file is whole");
    assert!(head_end.stop().success());
}

#[test]
fn a_newer_connection_goes_on_with_a_file_whose_sender_is_dead() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    let head = "{\"filename\": \"a\", \"filesize\": 6, \"id\": \"x\", \"resume\": true}";
    let mut dead = Sender::to(&address);
    dead.head(head);
    assert_eq!(dead.told()["offset"], 0);
    dead.send(b"abc");
    // It does not hang up, as a device whose network is gone does not.
    let mut alive = Sender::to(&address);
    alive.head(head);
    let offset = alive.told()["offset"].as_u64().expect("a number");
    assert!(offset == 3 || offset == 0, "{offset}");
    alive.send(&b"abcdef"[usize::try_from(offset).expect("small")..]);
    assert_eq!(alive.told()["status"], "ok");
    // Whatever the other one says now goes nowhere.
    dead.send(b"xyz");
    let said = dead.rest();
    assert!(said.contains("taken-over") || said.contains("failed"), "{said}");
    assert_eq!(kept(&head_end.data()), [b"abcdef"]);
    assert!(head_end.stop().success());
}
