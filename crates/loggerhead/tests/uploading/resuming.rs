//! Files that go on where a line broke: by our own verb, and by clients of tus; then found, read and removed by the API.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Api, HeadEnd, assert_fails, json, loggerhead};

use super::{FILES, Sender, address, content, kept, names};

const FILE_BYTES: usize = 32 * 1024 * 1024;

/// Waits until a part of a file is on the disk.
fn wait_for_part(data: &Path) {
    let incoming = data.join("files/incoming");
    let has_bytes = |name: &String| incoming.join(name).metadata().is_ok_and(|about| about.len() > 1024 * 1024);
    while !names(&incoming).iter().any(has_bytes) {
        std::thread::yield_now();
    }
}

/// Ends a program in the middle of what it does.
fn kill(mut program: Child) {
    program.kill().expect("it is ours");
    program.wait().expect("it is ours");
}

#[test]
fn send_goes_on_after_a_kill_and_sends_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let (address, bytes) = (address(&head_end, "plain"), content(FILE_BYTES));
    let path = directory.path().join("large.bin");
    std::fs::write(&path, &bytes).expect("a directory of this test");
    let path = path.to_str().expect("text");
    let first = loggerhead().args(["send", path, "--to", &address]).stdout(Stdio::null()).spawn().expect("it starts");
    wait_for_part(&head_end.data());
    kill(first);
    for _ in 0..2 {
        let result = json(&["send", path, "--to", &address, "--json"]);
        assert_eq!((result[0]["name"].as_str(), result[0]["bytes"].as_u64()), (Some("large.bin"), Some(33_554_432)));
    }
    assert!(kept(&head_end.data()) == [bytes]);
    assert!(head_end.stop().success());
}

#[test]
fn send_proves_the_secret_and_says_what_is_wrong_at_once() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = FILES.replace("login = \"name\"", "");
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let (proven, plain) = (address(&head_end, "proven"), address(&head_end, "plain"));
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a directory of this test");
        path.to_str().expect("text").to_owned()
    };
    let (one, other) = (write("one.txt", "same"), write("other.txt", "same"));
    let (right, wrong) = (write("right", "password\n"), write("wrong", "Password\n"));
    for form in ["hmac-md5", "md5-hex"] {
        let sent = json(&["send", &one, &other, "--to", &proven, "--secret-file", &right, "--prove", form, "--json"]);
        assert_eq!((sent[0]["name"].as_str(), sent[1]["name"].as_str()), (Some("one.txt"), Some("other.txt")));
    }
    assert_eq!(kept(&head_end.data()), [b"same", b"same"], "the same is kept once, and a copy is a file of its own");
    assert_fails(
        &["send", &one, "--to", &proven, "--secret-file", &wrong, "--prove", "hmac-md5"],
        1,
        "does not take the proof",
    );
    assert_fails(&["send", &one, "--to", &proven], 4, "--prove");
    assert_fails(&["send", &one, "--to", &plain], 4, "does not know a sender");
    assert!(head_end.stop().success());
    assert_fails(&["send", &one, "--to", &plain], 4, "connecting");
    assert_fails(&["send", "/nowhere/file", "--to", &plain], 3, "/nowhere/file");
}

/// Runs curl against the private socket of a head-end.
pub(super) fn curl(data: &Path) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--unix-socket"]).arg(data.join("api.sock")).args(["-H", "Tus-Resumable: 1.0.0"]);
    curl.stdin(Stdio::null());
    curl
}

/// The value of a header in what curl printed.
pub(super) fn header(text: &str, name: &str) -> Option<String> {
    let find =
        |line: &str| line.to_lowercase().strip_prefix(name)?.strip_prefix(": ").map(|value| value.trim().to_owned());
    text.lines().find_map(find)
}

pub(super) fn printed(command: &mut Command) -> String {
    let output = command.output().expect("curl is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_upload_by_tus_goes_on_after_a_kill_and_is_found_read_and_removed() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let (data, bytes) = (head_end.data(), content(FILE_BYTES));
    let path = directory.path().join("large.bin");
    std::fs::write(&path, &bytes).expect("a directory of this test");
    // `bGFyZ2UuYmlu` is large.bin.
    let length = format!("Upload-Length: {FILE_BYTES}");
    let begin = ["-i", "-X", "POST", "-H", &length, "-H", "Upload-Metadata: filename bGFyZ2UuYmlu"];
    let begun = printed(curl(&data).args(begin).arg("http://localhost/api/v1/uploads?device=here"));
    assert!(begun.contains(" 201 ") && header(&begun, "upload-expires").is_some(), "{begun}");
    let upload = format!("http://localhost{}", header(&begun, "location").expect("an address"));
    let piece = "Content-Type: application/offset+octet-stream";
    let patch = ["-X", "PATCH", "-H", piece, "-H", "Upload-Offset: 0", "--limit-rate", "8M", "-T"];
    let first = curl(&data).args(patch).arg(&path).arg(&upload).stdout(Stdio::null()).spawn().expect("curl is there");
    wait_for_part(&data);
    kill(first);
    let offset = |text: &str| header(text, "upload-offset").and_then(|text| text.parse::<usize>().ok());
    let here = offset(&printed(curl(&data).args(["-I", &upload]))).expect("an offset");
    assert!(here < FILE_BYTES);
    let wrong = ["-i", "-X", "PATCH", "-H", piece, "-H", "Upload-Offset: 33554431", "-d", "x"];
    let refused = printed(curl(&data).args(wrong).arg(&upload));
    assert!(refused.contains(" 409 "), "{refused}");
    // What the dead client had on its way may have arrived since.
    let here = offset(&printed(curl(&data).args(["-I", &upload]))).expect("an offset");
    std::fs::write(&path, &bytes[here..]).expect("a directory of this test");
    let rest = ["-i", "-X", "PATCH", "-H", piece, "-H", &format!("Upload-Offset: {here}"), "-H", "Expect:", "-T"];
    let done = printed(curl(&data).args(rest).arg(&path).arg(&upload));
    assert!(done.contains(" 204 ") && offset(&done) == Some(FILE_BYTES), "{done}");
    assert!(kept(&data) == [bytes.clone()]);
    let api = Api::Unix(data.clone());
    let list = api.get("/api/v1/files?device=here&search=LARGE&state=complete").json();
    let number = list["files"][0]["number"].as_u64().expect("a file");
    assert_eq!((list["files"][0]["here"].as_u64(), list["bytes"].as_u64()), (Some(33_554_432), Some(33_554_432)));
    let content = format!("http://localhost/api/v1/files/{number}/content");
    let output = curl(&data).args(["-r", "1000000-1000009", &content]).output().expect("curl is there");
    assert_eq!(output.stdout, &bytes[1_000_000..1_000_010]);
    assert_eq!(api.ask("DELETE", &format!("/api/v1/files/{number}"), "", "").status, 204);
    assert_eq!(api.get(&format!("/api/v1/files/{number}")).status, 404);
    assert!(kept(&data).is_empty());
    assert!(head_end.stop().success());
}

#[test]
fn ranges_of_a_file_are_given_as_they_are_asked_for() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let mut sender = Sender::to(&address(&head_end, "plain"));
    sender.send(b"{\"filename\": \"digits\", \"filesize\": 10, \"reply\": true}0123456789");
    assert_eq!(sender.told()["status"], "ok");
    let (api, place) = (Api::Unix(head_end.data()), "/api/v1/files/1/content");
    let whole = api.get(place);
    let tag = header(&whole.head, "etag").expect("a tag");
    assert_eq!((whole.status, whole.body.as_str()), (200, "0123456789"));
    let check = |headers: &str, status: u16, body: &str, range: Option<&str>| {
        let answer = api.ask("GET", place, headers, "");
        assert_eq!(answer.status, status, "{headers}: {answer:?}");
        assert_eq!(header(&answer.head, "content-range").as_deref(), range, "{headers}: {answer:?}");
        assert!(status == 416 || answer.body == body, "{headers}: {answer:?}");
    };
    check("Range: bytes=2-4\r\n", 206, "234", Some("bytes 2-4/10"));
    check("Range: bytes=7-\r\n", 206, "789", Some("bytes 7-9/10"));
    check("Range: bytes=-2\r\n", 206, "89", Some("bytes 8-9/10"));
    check("Range: bytes=10-\r\n", 416, "", Some("bytes */10"));
    // What was begun of this version goes on, and of another one begins anew.
    check(&format!("Range: bytes=7-\r\nIf-Range: {tag}\r\n"), 206, "789", Some("bytes 7-9/10"));
    check("Range: bytes=7-\r\nIf-Range: \"1-2\"\r\n", 200, "0123456789", None);
    check("Range: bytes=10-\r\nIf-Range: \"1-2\"\r\n", 200, "0123456789", None);
    // Who has it already is not sent it again, and who means another one is told so.
    check(&format!("If-None-Match: \"1-2\", W/{tag}\r\nRange: bytes=2-4\r\n"), 304, "", None);
    check("If-None-Match: \"1-2\"\r\n", 200, "0123456789", None);
    check(&format!("If-Match: {tag}\r\nRange: bytes=2-4\r\n"), 206, "234", Some("bytes 2-4/10"));
    assert_eq!(api.ask("GET", place, "If-Match: \"1-2\"\r\n", "").status, 412);
    let head = api.ask("HEAD", place, "Range: bytes=2-4\r\n", "");
    assert_eq!((head.status, header(&head.head, "content-length").as_deref()), (200, Some("10")), "{head:?}");
    // curl takes the plain name.
    let saved = Command::new("curl")
        .current_dir(directory.path())
        .args(["-sSOJ", "--unix-socket"])
        .arg(head_end.data().join("api.sock"))
        .arg(format!("http://localhost{place}"))
        .status();
    assert!(saved.expect("curl is there").success());
    assert_eq!(std::fs::read(directory.path().join("digits")).expect("it is saved"), b"0123456789");
    assert!(head_end.stop().success());
}

/// What `send` prints on a terminal with these arguments: what goes to people and to pipes alike.
fn on_a_terminal(arguments: &str) -> String {
    let program = loggerhead().get_program().to_string_lossy().into_owned();
    let mut terminal = Command::new("script");
    let line = format!("exec '{program}' send {arguments}");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let output = terminal.output().expect("`script` of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn send_draws_a_bar_on_a_terminal_and_none_elsewhere() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    let write = |name: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content(FILE_BYTES)).expect("a directory of this test");
        path.to_str().expect("text").to_owned()
    };
    let said = on_a_terminal(&format!("'{}' --to {address}", write("one.bin")));
    for bar in ["reading [", "sending ["] {
        let drawn = said.rsplit_once(bar).unwrap_or_else(|| panic!("no {bar} in {said:?}")).1;
        assert!(drawn.contains("/32.00 MiB"), "how much of how much: {drawn:?}");
    }
    assert!(said.contains("is kept as one.bin, 33554432 bytes"), "{said:?}");
    let output = crate::support::outcome(&["send", &write("other.bin"), "--to", &address]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("is kept as other.bin"), "{output:?}");
    assert!(head_end.stop().success());
}

/// A client of another maker, which goes on with an upload where there is one, and waits in the middle where it is told to.
const CLIENT: &str = r"
import sys
from tusclient import client
base, token, path, upload, pause = sys.argv[1:]
tus = client.TusClient(f'http://{base}/api/v1/uploads?device=here', headers={'Authorization': f'Bearer {token}'})
one = tus.uploader(path, url=upload or None, chunk_size=1 << 20, upload_checksum=True,
                   metadata={'filename': 'by tuspy.bin', 'filetype': 'text/plain'})
begun = one.offset
while one.offset < one.stop_at:
    one.upload_chunk()
    print(begun, one.offset, one.url, flush=True)
    if pause and one.offset >= int(pause):
        sys.stdin.read()
";

/// Starts that client; `upload` is where to go on, `pause` the offset behind which it waits.
fn client(head_end: &HeadEnd, token: &str, path: &Path, upload: &str, pause: &str) -> Child {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join("python");
    let mut command = Command::new("/usr/bin/python3");
    command.env("PYTHONPATH", tools).args(["-c", CLIENT, &head_end.api_address(), token]);
    command.arg(path).args([upload, pause]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("python3 is there")
}

#[test]
fn a_client_of_tus_of_another_maker_goes_on_after_kills_of_either_side() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = format!("{FILES}\n[web]\naddress = \"127.0.0.1:0\"\n");
    let bytes = content(8 * 1024 * 1024);
    let path = directory.path().join("large.bin");
    std::fs::write(&path, &bytes).expect("a directory of this test");
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let token = "{\"name\": \"tus\", \"scope\": \"operate\", \"devices\": [\"here\"]}";
    let made = Api::Unix(head_end.data()).ask("POST", "/api/v1/tokens", "", token).json();
    let token = made["secret"].as_str().expect("a token").to_owned();
    let line = |lines: &mut std::io::Lines<BufReader<ChildStdout>>| {
        let line = lines.next().expect("a line").expect("text");
        let (begun, rest) = line.split_once(' ').expect("three words");
        let (offset, upload) = rest.split_once(' ').expect("three words");
        (begun.parse::<u64>().expect("a number"), offset.parse::<u64>().expect("a number"), upload.to_owned())
    };
    let lines = |client: &mut Child| BufReader::new(client.stdout.take().expect("it is piped")).lines();

    // The client is killed behind its third piece.
    let mut first = client(&head_end, &token, &path, "", "3000000");
    let mut told = lines(&mut first);
    let (_, _, upload) = (line(&mut told), line(&mut told), line(&mut told)).2;
    kill(first);

    // The next one goes on there, and then the head-end is killed.
    let mut second = client(&head_end, &token, &path, &upload, "5000000");
    let mut told = lines(&mut second);
    assert_eq!(line(&mut told).0, 3 << 20);
    let (_, offset, _) = line(&mut told);
    assert_eq!(offset, 5 << 20);
    head_end.kill();
    kill(second);

    // What was told before the kill is there after it, and what a client said of its file as well.
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let place = upload.split_once("/api/").expect("an address of ours").1;
    let upload = format!("http://{}/api/{place}", head_end.api_address());
    let version = "Tus-Resumable: 1.0.0\r\n";
    let head = Api::Unix(head_end.data()).ask("HEAD", &format!("/api/{place}"), version, "").head;
    let metadata = "filename YnkgdHVzcHkuYmlu,filetype dGV4dC9wbGFpbg==";
    assert_eq!(header(&head, "upload-metadata"), Some(metadata.to_lowercase()), "{head}");
    let mut third = client(&head_end, &token, &path, &upload, "");
    let told: Vec<String> = lines(&mut third).map(|line| line.expect("text")).collect();
    assert!(third.wait().expect("it ends").success());
    assert!(told.first().is_some_and(|first| first.starts_with(&format!("{} ", 5 << 20))), "{told:?}");
    assert_eq!(told.len(), 3, "no piece is sent twice");
    head_end.wait_for("file by tuspy.bin of 8388608 bytes kept");
    assert!(kept(&head_end.data()) == [bytes]);
    assert!(names(&head_end.data().join("files/incoming")).is_empty());
    assert!(head_end.stop().success());
}

/// Sends a piece with these headers; the status of the answer. The support sends JSON where there is a body, so curl does it.
fn patch(data: &Path, place: &str, head: &str, body: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PATCH", "--unix-socket"]);
    curl.arg(data.join("api.sock"));
    for line in head.lines() {
        curl.args(["-H", line]);
    }
    printed(curl.args(["-d", body, &format!("http://localhost{place}")]))
}

#[test]
fn tus_is_spoken_as_its_standard_says() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let api = Api::Unix(head_end.data());
    let uploads = "/api/v1/uploads?device=here";
    let told = api.ask("OPTIONS", "/api/v1/uploads", "", "");
    assert!(
        told.head.contains("tus-extension: creation,creation-with-upload,checksum,expiration,termination"),
        "{told:?}"
    );
    let without = api.ask("POST", uploads, "Upload-Length: 5\r\n", "");
    assert_eq!((without.status, header(&without.head, "tus-version")), (412, Some("1.0.0".to_owned())), "{without:?}");
    assert_eq!(header(&without.head, "tus-resumable"), Some("1.0.0".to_owned()), "errors say it as well");
    let version = "Tus-Resumable: 1.0.0\r\n";
    let named = format!("{version}Upload-Length: 5\r\nUpload-Metadata: filename YQ==\r\n");
    assert_eq!(api.ask("POST", uploads, &format!("{version}Upload-Metadata: filename YQ==\r\n"), "").status, 400);
    let large = named.replace("Length: 5", "Length: 99999999999999");
    assert_eq!(api.ask("POST", uploads, &large, "").status, 413);
    assert_eq!(api.ask("POST", "/api/v1/uploads?device=nobody", &named, "").status, 404);
    let begun = api.ask("POST", uploads, &named, "");
    assert_eq!(begun.status, 201, "{begun:?}");
    let place = header(&begun.head, "location").expect("an address");
    let piece = |offset: u32, more: &str| {
        format!("{version}Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n{more}")
    };
    let offset = || {
        let answer = api.ask("HEAD", &place, version, "");
        (answer.status, header(&answer.head, "upload-offset"))
    };
    let head = |text: &str| text.replace("Content-Type: application/json\r\n", "");
    let patch = |head: &str, body: &str| patch(&head_end.data(), &place, head, body);
    assert_eq!(patch(&head(&format!("{version}Content-Type: text/plain\r\nUpload-Offset: 0")), "he"), "415");
    // The sum of `he` is not that of `hx`, and an algorithm that nobody knows is none.
    let sum = "Upload-Checksum: sha1 MPCI6mZzh3wuLB7b51E/+Q7amm8=";
    assert_eq!(patch(&piece(0, "Upload-Checksum: crc7 AA=="), "he"), "400");
    assert_eq!(patch(&piece(0, sum), "hx"), "460");
    assert_eq!(offset(), (200, Some("0".to_owned())), "what was wrong is given up");
    assert_eq!(patch(&piece(0, ""), "he"), "204");
    assert_eq!(patch(&piece(0, ""), "he"), "409");
    assert_eq!(offset(), (200, Some("2".to_owned())));
    // A client behind a proxy that knows neither `PATCH` nor `DELETE`.
    let instead = |method: &str, more: &str| format!("{version}X-HTTP-Method-Override: {method}\r\n{more}");
    let piece = "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 2\r\n";
    assert_eq!(api.ask("POST", &place, &instead("PATCH", piece), "").status, 204);
    assert_eq!(api.ask("POST", &place, &instead("DELETE", ""), "").status, 204);
    assert_eq!(offset().0, 404);
    // The beginning of a file may come with its head, and what is wrong leaves nothing.
    let whole = "Content-Type: application/offset+octet-stream\r\n";
    let begin = |more: &str| {
        let mut curl = curl(&head_end.data());
        curl.args(["-o", "/dev/null", "-w", "%{http_code}", "-d", "hello"]);
        for line in format!("{named}{whole}{more}").lines().skip(1) {
            curl.args(["-H", line]);
        }
        printed(curl.arg(format!("http://localhost{uploads}")))
    };
    assert_eq!(begin(sum), "460");
    // Its bytes go while nobody waits for it.
    while !names(&head_end.data().join("files/incoming")).is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(begin(""), "201");
    assert_eq!(kept(&head_end.data()), [b"hello"]);
    assert!(head_end.stop().success());
}

#[test]
fn what_does_not_fit_an_upload_is_refused_and_its_end_may_be_asked_for_again() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let api = Api::Unix(head_end.data());
    let begin = |length: &str, metadata: &str| {
        let head = format!("Tus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\nUpload-Metadata: {metadata}\r\n");
        api.ask("POST", "/api/v1/uploads?device=here", &head, "")
    };
    for (length, metadata) in [("+5", "filename YQ=="), ("5", "filename YQ==,filename Yg=="), ("5", "filename")] {
        assert_eq!(begin(length, metadata).status, 400, "{length} {metadata}");
    }
    let place = header(&begin("5", "filename YQ==").head, "location").expect("an address");
    let patch = |offset: u32, body: &str| {
        let head = format!(
            "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n"
        );
        patch(&head_end.data(), &place, &head, body)
    };
    assert_eq!(patch(0, "hello!"), "400", "more than the file has");
    assert_eq!(patch(0, "hello"), "204");
    // Who did not hear that the last piece was taken sends nothing more, and hears it.
    assert_eq!((patch(5, ""), patch(4, ""), patch(5, "!")), ("204".to_owned(), "409".to_owned(), "400".to_owned()));
    assert_eq!(kept(&head_end.data()), [b"hello"]);
    assert!(head_end.stop().success());
}
