//! What lies, is too much, or finds no room: nothing of it is kept, and the head-end goes on.

use std::path::Path;

use crate::support::{HeadEnd, prlimit};

use super::resuming::{curl, header, printed};
use super::{FILES, Sender, address, content, kept, names};

/// Every file below a folder, from there.
fn below(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            all.extend(below(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            all.push(name);
        }
    }
    all
}

#[test]
fn a_path_goes_nowhere_and_a_lie_about_the_size_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    for name in ["../../escape", "/tmp/loggerhead-escape", "..\\\\..\\\\escape"] {
        let mut sender = Sender::to(&address);
        sender.head(&format!("{{\"filename\": \"{name}\", \"filesize\": 1, \"reply\": true}}"));
        sender.send(b"x");
        assert!(sender.told()["name"].as_str().is_some_and(|name| !name.contains(['/', '\\', '.'])));
    }
    let escaped = below(directory.path()).into_iter().filter(|path| path.contains("escape")).count();
    assert_eq!((escaped, Path::new("/tmp/loggerhead-escape").exists()), (0, false));
    for bad in ["..", "a\\u0000", "", &"n".repeat(300)] {
        let mut sender = Sender::to(&address);
        sender.head(&format!("{{\"filename\": \"{bad}\", \"filesize\": 1}}"));
        sender.send(b"x");
        assert_eq!(sender.rest(), "");
        head_end.wait_for_kind("fault");
    }
    // More than any disk has, less than was said, and more than was said.
    let mut huge = Sender::to(&address);
    huge.head("{\"filename\": \"huge\", \"filesize\": 18446744073709551615, \"reply\": true}");
    assert_eq!(huge.told()["error"], "quota");
    let mut short = Sender::to(&address);
    short.head("{\"filename\": \"short\", \"filesize\": 1000}");
    short.send(b"x");
    drop(short);
    head_end.wait_for_kind("fault");
    let mut long = Sender::to(&address);
    long.head("{\"filename\": \"long\", \"filesize\": 1}");
    long.send(b"x and more");
    assert_eq!(long.rest(), "");
    head_end.wait_for_kind("fault");
    let data = head_end.data();
    assert!(head_end.stop().success());
    assert_eq!(kept(&data), [b"x", b"x", b"x", b"x"]);
    let head_end = HeadEnd::start(directory.path(), FILES);
    assert!(names(&data.join("files/incoming")).is_empty());
    assert!(head_end.stop().success());
}

#[test]
fn a_device_keeps_no_more_than_its_share_and_a_taken_name_is_what_the_listener_says() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = format!("{FILES}\n[files]\ndevice_mb = 1\n").replace(
        "name = \"plain\"\nprotocol = \"upload\"\naddress = [\"127.0.0.1:0\"]\n",
        "name = \"plain\"\nprotocol = \"upload\"\naddress = [\"127.0.0.1:0\"]\n[listener.upload]\ncollision = \"error\"\nreply = true\n",
    );
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let address = address(&head_end, "plain");
    let bytes = content(700_000);
    let send = |name: &str| {
        let mut sender = Sender::to(&address);
        sender.head(&format!("{{\"filename\": \"{name}\", \"filesize\": {}, \"reply\": true}}", bytes.len()));
        // Who is refused at once need not read what follows.
        let _ = std::io::Write::write_all(&mut sender.0, &bytes);
        let told = sender.told();
        (told["status"].as_str().unwrap_or_default().to_owned(), told["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(send("a"), ("ok".to_owned(), String::new()));
    assert_eq!(send("a"), ("error".to_owned(), "exists".to_owned()));
    assert_eq!(send("b"), ("error".to_owned(), "quota".to_owned()));
    assert_eq!(kept(&head_end.data()).len(), 1);
    assert!(head_end.stop().success());
}

#[test]
fn a_disk_that_takes_no_more_is_told_and_the_head_end_goes_on() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    prlimit(head_end.id(), "--fsize=8388608:unlimited");
    let bytes = content(16 * 1024 * 1024);
    let mut sender = Sender::to(&address);
    sender.head(&format!("{{\"filename\": \"a\", \"filesize\": {}, \"reply\": true}}", bytes.len()));
    let _ = std::io::Write::write_all(&mut sender.0, &bytes);
    assert_eq!(sender.told()["error"], "disk-full");
    let mut small = Sender::to(&address);
    small.head("{\"filename\": \"b\", \"filesize\": 5, \"reply\": true}");
    small.send(b"hello");
    assert_eq!(small.told()["status"], "ok");
    assert_eq!(kept(&head_end.data()), [b"hello"]);

    // A client of tus is told the same by its status, and goes on when there is room again.
    let length = format!("Upload-Length: {}", bytes.len());
    let begin = ["-i", "-X", "POST", "-H", &length, "-H", "Upload-Metadata: filename YQ=="];
    let begun = printed(curl(&head_end.data()).args(begin).arg("http://localhost/api/v1/uploads?device=here"));
    let upload = format!("http://localhost{}", header(&begun, "location").expect("an address"));
    let piece = |from: u64| {
        let path = directory.path().join("piece");
        std::fs::write(&path, &bytes[usize::try_from(from).expect("small")..]).expect("a directory of this test");
        let mut curl = curl(&head_end.data());
        curl.args(["-i", "-X", "PATCH", "-H", "Content-Type: application/offset+octet-stream", "-H", "Expect:"]);
        curl.args(["-H", &format!("Upload-Offset: {from}"), "-T"]).arg(&path).arg(&upload);
        printed(&mut curl)
    };
    let full = piece(0);
    assert!(full.contains(" 507 ") && full.contains("/api/v1/problems/disk-full"), "{full}");
    prlimit(head_end.id(), "--fsize=unlimited:unlimited");
    let here = header(&printed(curl(&head_end.data()).args(["-I", &upload])), "upload-offset").expect("an offset");
    let here: u64 = here.parse().expect("a number");
    assert!(here <= 8_388_608, "{here}");
    let done = piece(here);
    assert!(done.contains(" 204 "), "{done}");
    assert!(kept(&head_end.data()).contains(&bytes));
    assert!(head_end.stop().success());
}
