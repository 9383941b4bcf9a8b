//! Devices that prove themselves by certificates, made and shown by OpenSSL and clients of other makers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{HeadEnd, assert_fails, run};

/// Runs OpenSSL, which must succeed.
fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let output = output.expect("./check installs openssl");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an authority.
fn authority(directory: &Path, name: &str) {
    openssl(
        directory,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} \
        -keyout {name}.key -out {name}.pem"
        ),
    );
}

/// Makes a certificate `file` with this subject and these other names, signed by an authority.
fn issue(directory: &Path, by: &str, file: &str, subject: &str, others: &str) {
    openssl(
        directory,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj {subject} -addext \
        subjectAltName={others} -keyout {file}.key -out {file}.csr"
        ),
    );
    openssl(
        directory,
        &format!(
            "x509 -req -in {file}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 2 \
        -copy_extensions copy -out {file}.pem"
        ),
    );
}

/// Everything in a directory: an authority for devices, one of somebody else, the server's certificate and some of devices.
fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let at = directory.path();
    for name in ["devices", "somebody", "server-ca"] {
        authority(at, name);
    }
    issue(at, "server-ca", "server", "/CN=server", "DNS:localhost,IP:127.0.0.1");
    issue(at, "devices", "meter", "/O=Meters/CN=meter-1", "DNS:meter-1.example");
    issue(at, "devices", "other", "/CN=other", "DNS:other.example");
    issue(at, "devices", "person", "/CN=7", "DNS:person.example");
    issue(at, "somebody", "forged", "/CN=meter-1", "DNS:meter-1.example");
    directory
}

fn start(directory: &Path, wanted: &str) -> HeadEnd {
    start_with(directory, wanted, "")
}

/// With more settings of TLS.
fn start_with(directory: &Path, wanted: &str, more: &str) -> HeadEnd {
    let file = |name: &str| directory.join(name).display().to_string();
    let tls = format!(
        "[listener.tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\nclient_certificate = \"{wanted}\"\n{more}",
        file("server.pem"),
        file("server.key"),
        file("devices.pem")
    );
    let listener = |protocol: &str| {
        format!("[[listener]]\nname = \"{protocol}\"\nprotocol = \"{protocol}\"\naddress = [\"127.0.0.1:0\"]\n{tls}")
    };
    let device = |id: &str, protocol: &str, identity: &str, how: &str| {
        format!("[[device]]\nid = \"{id}\"\nprotocol = \"{protocol}\"\nidentity = \"{identity}\"\n{how}\n")
    };
    let text = [
        listener("mqtt"),
        listener("line"),
        "[listener.line]\nencoding = \"utf-8\"\n".to_owned(),
        device("meter", "mqtt", "meter-1", "login = \"certificate\"\nsecret = \"text:123456\""),
        device("second", "mqtt", "meter-1.example", "login = \"certificate\""),
        device("plant", "mqtt", "admin", "secret = \"text:123456\""),
        device("seven", "line", "7", "login = \"certificate\""),
    ];
    HeadEnd::start(directory, &text.concat())
}

/// Publishes over TLS with a client of another maker.
fn publish(directory: &Path, address: &str, certificate: Option<&str>, more: &[&str]) -> Output {
    let (_, port) = address.rsplit_once(':').expect("HOST:PORT");
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", port, "-V", "5", "-q", "1", "-t", "t", "-m", "x"]).args(more);
    command.arg("--cafile").arg(directory.join("server-ca.pem"));
    if let Some(name) = certificate {
        let file = |kind: &str| -> PathBuf { directory.join(format!("{name}.{kind}")) };
        command.arg("--cert").arg(file("pem")).arg("--key").arg(file("key"));
    }
    command.output().expect("mosquitto-clients are installed; ./check sees to it")
}

#[track_caller]
fn check(output: &Output, expected: bool) {
    assert_eq!(output.status.success(), expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_certificate_is_the_identity_of_a_client_of_another_maker() {
    let directory = made();
    let at = directory.path();
    let head_end = start(at, "required");
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    // Without a user name it is whom the certificate names; with one it may take any of its names, and no other.
    check(&publish(at, &address, Some("meter"), &[]), true);
    check(&publish(at, &address, Some("meter"), &["-u", "meter-1"]), true);
    check(&publish(at, &address, Some("meter"), &["-u", "meter-1.example"]), true);
    check(&publish(at, &address, Some("other"), &["-u", "meter-1"]), false);
    check(&publish(at, &address, Some("other"), &["-u", "meter-1", "-P", "123456"]), false);
    check(&publish(at, &address, Some("other"), &[]), false);
    // Other accounts prove themselves as ever.
    check(&publish(at, &address, Some("meter"), &["-u", "admin", "-P", "123456"]), true);
    check(&publish(at, &address, Some("meter"), &["-u", "admin"]), false);
    // Without a certificate that is believed nobody comes in.
    check(&publish(at, &address, None, &["-u", "admin", "-P", "123456"]), false);
    check(&publish(at, &address, Some("forged"), &[]), false);
    check(&publish(at, &address, Some("forged"), &["-u", "admin", "-P", "123456"]), false);
    assert!(head_end.stop().success());
}

#[test]
fn where_a_certificate_may_be_left_out_the_others_come_in_without_one() {
    let directory = made();
    let at = directory.path();
    let head_end = start(at, "optional");
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    check(&publish(at, &address, None, &["-u", "admin", "-P", "123456"]), true);
    check(&publish(at, &address, None, &["-u", "meter-1", "-P", "123456"]), false);
    check(&publish(at, &address, Some("meter"), &["-u", "meter-1"]), true);
    check(&publish(at, &address, Some("forged"), &["-u", "admin", "-P", "123456"]), false);
    assert!(head_end.stop().success());
}

#[test]
fn a_certificate_is_the_identity_of_whoever_speaks_another_protocol() {
    let directory = made();
    let at = directory.path();
    let head_end = start(at, "required");
    let address = head_end.addresses_of("line").first().expect("the listener listens").clone();
    let said = |certificate: &str| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_quiet", "-connect", &address, "-CAfile", "server-ca.pem"]);
        command.args(["-cert", &format!("{certificate}.pem"), "-key", &format!("{certificate}.key")]);
        command.current_dir(at).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("./check installs openssl");
        let mut stdin = child.stdin.take().expect("a pipe");
        // Whoever is not believed may be gone before it can say anything.
        let _said = stdin.write_all(b"Check 7 nothing\r\n");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut answers = lines.map_while(Result::ok).filter(|line| !line.trim().is_empty());
        // A greeting comes before the answer.
        let answer = answers.nth(1).unwrap_or_default();
        drop(stdin);
        child.kill().expect("a child of this test");
        child.wait().expect("a child of this test");
        answer
    };
    assert_eq!(said("person"), "\u{767b}\u{5f55}\u{6210}\u{529f}", "it is in");
    let refused = said("other");
    assert!(!refused.is_empty() && refused != said("person"), "{refused}");
    assert_eq!(said("forged"), "", "nobody is heard");
    assert!(head_end.stop().success());
}

/// Has the authority of devices write down what it revoked so far.
fn list_revoked(directory: &Path) {
    openssl(directory, "ca -config devices.cnf -gencrl -out new.crl");
    std::fs::rename(directory.join("new.crl"), directory.join("devices.crl")).expect("a directory of this test");
}

#[test]
fn a_revoked_certificate_does_not_come_in_once_the_list_says_so() {
    let directory = made();
    let at = directory.path();
    let configuration = "[ca]\ndefault_ca = devices\n[devices]\ndatabase = issued.txt\ncrlnumber = number.txt\n\
                         certificate = devices.pem\nprivate_key = devices.key\ndefault_md = sha256\ndefault_crl_days = 2\n";
    for (name, text) in [("devices.cnf", configuration), ("issued.txt", ""), ("number.txt", "01\n")] {
        std::fs::write(at.join(name), text).expect("a directory of this test");
    }
    list_revoked(at);
    let mut head_end = start_with(at, "required", &format!("client_crl = {:?}\n", at.join("devices.crl")));
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    check(&publish(at, &address, Some("meter"), &[]), true);
    openssl(at, "ca -config devices.cnf -revoke meter.pem");
    list_revoked(at);
    head_end.wait_for("certificate read");
    check(&publish(at, &address, Some("meter"), &[]), false);
    check(&publish(at, &address, Some("other"), &["-u", "admin", "-P", "123456"]), true);
    assert!(head_end.stop().success());
}

#[test]
fn our_own_client_shows_a_certificate() {
    let directory = made();
    let at = directory.path();
    let head_end = start(at, "required");
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    let file = |name: &str| at.join(name).display().to_string();
    let (authority, chain, key, another) =
        (file("server-ca.pem"), file("meter.pem"), file("meter.key"), file("other.key"));
    let tls = ["--to", &address, "--tls", "--ca", &authority];
    let shown = [&tls[..], &["--cert", &chain, "--key", &key]].concat();
    run(&[&["mqtt", "pub", "t", "x", "--qos", "1", "--retain"], &shown[..]].concat());
    assert_eq!(run(&[&["mqtt", "sub", "t", "--count", "1"], &shown[..]].concat()), "t x\n");
    let load = ["simulate", "mqtt", "--messages", "10", "--qos", "1"];
    run(&[&load[..], &shown[..]].concat());
    assert_fails(&["mqtt", "pub", "t", "x", "--to", &address], 1, "add --tls");
    // Without one the handshake ends, and a key of another is noticed before anything is sent.
    assert_fails(&[&["mqtt", "pub", "t", "x"], &tls[..]].concat(), 1, "TLS");
    let mixed = [&tls[..], &["--cert", &chain, "--key", &another]].concat();
    assert_fails(&[&["mqtt", "pub", "t", "x"], &mixed[..]].concat(), 1, "meter.pem");
    assert!(head_end.stop().success());
}
