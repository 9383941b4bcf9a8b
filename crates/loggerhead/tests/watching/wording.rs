//! How commands look on the wire is set for each listener, and who comes by a data port is looked at.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::{Line, configuration};
use crate::support::{HeadEnd, PATIENCE};

/// One listener: its settings, what an app says to it, and what it is told. Each has an account of its own, `a0` and so on.
struct Wording {
    settings: &'static str,
    said: &'static [u8],
    told: &'static [u8],
}

/// `用户名或者密码错误!` stands as bytes where a listener speaks GBK.
const WORDINGS: &[Wording] = &[
    Wording {
        settings: "",
        said: b"SocketCommand.LoginCommand.Login a0|x\r\nHB R\r\n\r\nlogincommand.LOGIN a0|pw\r\nDownLoadCaramer 0\r\n",
        told: "SocketCommand.LoginCommand.LoginError 用户名或者密码错误!\r\nLoginCommand.LoginOk 0||\r\n\
               DownloadFail 该账号没有绑定摄像头\r\n"
            .as_bytes(),
    },
    Wording {
        settings: "framing = '\\n'\nkey_separator = ':'",
        said: b"Login:a1|pw\nUploadCaramer:c0|k|1|1|2\nUploadCaramer:c0|x|2|2\nCheckCaramerOnlineStatus:c0;x\n",
        told: "LoginOk:0||\nUploadSucess:c0|null|1|2\nUploadFail:c0|ID和密码不匹配|2|2\n\
               ReturnCaramerOnlineStatus:c0;null|x;null\n"
            .as_bytes(),
    },
    Wording {
        settings: "framing = '##'\nkey_separator = '|'\nencoding = 'gbk'",
        said: b"Login|a2|x##Login|a2|pw##CreatDataSocket|a2|pw##",
        told: b"LoginError|\xd3\xc3\xbb\xa7\xc3\xfb\xbb\xf2\xd5\xdf\xc3\xdc\xc2\xeb\xb4\xed\xce\xf3!##LoginOk|0||##\
                ReturnDataSocketPort|##",
    },
    Wording {
        settings: "framing = '\\u0000'\nkey_separator = '#'\naliases = { 101 = 'Login', 102 = 'LoginOk' }",
        said: b"101#a3|pw\0LoginCommand.Nothing#\0NormalCommand.CreatDataSocket#a3|pw\0",
        told: b"102#0||\0NormalCommand.ReturnDataSocketPort#\0",
    },
    Wording {
        settings: "framing = 'u32-le'",
        said: b"\x0b\0\0\0Login a4|pw\x04\0\0\0HB R\0\0\0\0\x15\0\0\0CreatDataSocket a4|pw",
        told: b"\x0b\0\0\0LoginOk 0||\x15\0\0\0ReturnDataSocketPort ",
    },
    Wording {
        settings: "framing = 'u32-be'\nencoding = 'ascii'",
        said: b"\0\0\0\x11DownLoadCaramer 0\0\0\0\x0bLogin a5|pw",
        told: b"\0\0\0\x0fLoginError ????\0\0\0\x0bLoginOk 0||",
    },
    Wording {
        settings: "lenient_lf = true\nreply_names = 'group'",
        said: b"Nothing\nLogin a6|pw\nLogin a6|x\r\n",
        told: "LoginOk 0||\r\nLoginError 用户名或者密码错误!\r\n".as_bytes(),
    },
];

#[test]
fn each_listener_of_one_configuration_has_its_own_way_of_writing() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut text = configuration("0");
    for (number, wording) in WORDINGS.iter().enumerate() {
        // A literal of TOML would not know the escapes.
        let settings = wording.settings.replace('\'', "\"");
        write!(
            text,
            "[[device]]\nprotocol = \"camera\"\nidentity = \"a{number}\"\nsecret = \"text:pw\"\n\
             [[listener]]\nname = \"w{number}\"\nprotocol = \"camera\"\naddress = [\"127.0.0.1:0\"]\n\
             [listener.camera]\n{settings}\n"
        )
        .expect("memory");
    }
    let head_end = HeadEnd::start(directory.path(), &text);
    for (number, wording) in WORDINGS.iter().enumerate() {
        let told = head_end.told(&format!("w{number}"), wording.said);
        let (told, expected) = (String::from_utf8_lossy(&told), String::from_utf8_lossy(wording.told));
        assert_eq!(told, expected, "{}", wording.settings);
    }
    assert!(head_end.stop().success());
}

#[test]
fn logins_that_come_between_each_other_are_each_answered_and_a_command_without_end_is_not_waited_for() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let mut lines = [Line::main(&head_end), Line::main(&head_end)];
    let said = ["Login u1|a|b\r\nDownLoadCaramer 0\r\n", "Login u2|pw2\r\nDownLoadCaramer 0\r\n"].map(str::as_bytes);
    for place in 0..said.iter().map(|said| said.len()).max().unwrap_or_default() {
        for (line, said) in lines.iter_mut().zip(said) {
            let piece = said.get(place..=place).unwrap_or_default();
            line.0.get_mut().write_all(piece).expect("it reads");
        }
    }
    for line in &mut lines {
        assert_eq!(line.hear(), "LoginOk 0||");
        assert_eq!(line.hear(), "DownloadFail 该账号没有绑定摄像头");
    }
    let [endless, other] = &mut lines;
    // It may be closed before all of this is written.
    let _ = endless.0.get_mut().write_all(&vec![b'x'; 20_000]);
    let mut rest = Vec::new();
    let end = endless.0.read_to_end(&mut rest);
    assert!(end.is_err() || rest.is_empty(), "closed without a word");
    assert_eq!(other.ask("DownLoadCaramer 0"), "DownloadFail 该账号没有绑定摄像头", "others go on");
    assert!(head_end.stop().success());
}

#[test]
fn a_data_port_is_for_the_peer_that_asked_and_closes_on_everybody_else() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let mut app = Line::main(&head_end);
    app.ask("Login u1|a|b");
    let door: SocketAddr = format!("127.0.0.1:{}", app.port()).parse().expect("an address");
    let stranger = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    stranger.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("an address of this machine");
    stranger.connect(&door.into()).expect("the door is open");
    let mut stranger = TcpStream::from(stranger);
    stranger.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
    let mut heard = Vec::new();
    let end = stranger.read_to_end(&mut heard);
    assert!(heard.is_empty() && end.is_ok_and(|count| count == 0), "closed at once");
    let mut data = Line::open(&door.to_string());
    assert_eq!(data.ask("DownLoadCaramer 0"), "DownloadFail 该账号没有绑定摄像头", "and it is still open for the app");
    assert!(head_end.stop().success());
}
