//! Every documented reply to the byte, by listeners that are configured differently in one file: both encodings, both
//! spellings of commas and colons, and what happens at the limit of a line.

use std::fmt::Write as _;

use crate::support::HeadEnd;

/// One listener: its settings, what a user says to it, and what it is told. Each has a user of its own, `a0` and so on.
struct Wording {
    settings: &'static str,
    said: &'static [u8],
    told: &'static [u8],
}

const WELCOME: &[u8] = b"Welcome to SuperSocket Chat Server\r\n";

/// What stands as bytes is GBK.
const WORDINGS: &[Wording] = &[
    Wording {
        settings: "",
        said: b"HB R\r\nFoo x\r\n\r\n Check a0 123456\r\nCheck a0\r\nCheck a0 x\r\nCheck  a0   123456 \r\nhb R\r\nHB r\r\n\
                HB R\nHB R\r\nChat nobody x\r\nChat nobody two words\r\nConfirm\r\nConfirm x\r\nHB R\r\n",
        told: b"\xc7\xeb\xcf\xc8\xb5\xc7\xc2\xbc\xd2\xd4\xba\xf3,\xd4\xd9\xb2\xd9\xd7\xf7\xa1\xa3\xa1\xa3\xa1\xa3\r\n\
                \xb2\xbb\xd6\xaa\xb5\xc0\xc8\xe7\xba\xce\xb4\xa6\xc0\xed Foo \xc3\xfc\xc1\xee\r\n\
                \xb2\xbb\xd6\xaa\xb5\xc0\xc8\xe7\xba\xce\xb4\xa6\xc0\xed  \xc3\xfc\xc1\xee\r\n\
                \xb2\xbb\xd6\xaa\xb5\xc0\xc8\xe7\xba\xce\xb4\xa6\xc0\xed  Check a0 123456 \xc3\xfc\xc1\xee\r\n\
                \xb2\xce\xca\xfd\xb4\xed\xce\xf3\r\n\xb2\xce\xca\xfd\xb4\xed\xce\xf3\r\n\xb5\xc7\xc2\xbc\xb3\xc9\xb9\xa6\r\n\
                R\r\n\xb2\xce\xca\xfd\xb4\xed\xce\xf3\r\n\xb2\xce\xca\xfd\xb4\xed\xce\xf3\r\n\
                \xcf\xfb\xcf\xa2\xce\xb4\xb7\xa2\xcb\xcd\xb3\xc9\xb9\xa6\r\n\xb2\xce\xca\xfd\xb4\xed\xce\xf3\r\n\
                \xb2\xce\xca\xfd\xb4\xed\xce\xf3\r\nR\r\n",
    },
    Wording {
        settings: "punctuation = 'full-width'",
        said: b"HB R\r\nCheck a1 123456\r\n",
        told: b"\xc7\xeb\xcf\xc8\xb5\xc7\xc2\xbc\xd2\xd4\xba\xf3\xa3\xac\xd4\xd9\xb2\xd9\xd7\xf7\xa1\xa3\xa1\xa3\xa1\xa3\r\n\
                \xb5\xc7\xc2\xbc\xb3\xc9\xb9\xa6\r\n",
    },
    Wording {
        settings: "encoding = 'utf-8'",
        said: b"HB R\r\nFoo x\r\nCheck a2 x\r\nCheck a2 123456\r\nChat nobody x\r\nHB R\r\n",
        told: "请先登录以后,再操作。。。\r\n不知道如何处理 Foo 命令\r\n参数错误\r\n登录成功\r\n消息未发送成功\r\nR\r\n".as_bytes(),
    },
    Wording {
        settings: "encoding = 'utf-8'\npunctuation = 'full-width'\nterminator = 'lf'",
        said: b"HB R\nCheck a3 123456\r\nHB R\n",
        told: "请先登录以后，再操作。。。\r\n登录成功\r\nR\r\n".as_bytes(),
    },
    Wording {
        settings: "encoding = 'utf-8'\nqueue_messages_max = 1\nunconfirmed_max = 2",
        said: b"Check a4 123456\r\nChat full x\r\nChat full x\r\nChat other x\r\nChat third x\r\n",
        told: "登录成功\r\n消息未发送成功\r\n消息未保存,对方未确认的消息过多\r\n消息未发送成功\r\n消息未保存,您发送的未确认消息过多\r\n"
            .as_bytes(),
    },
    Wording {
        settings: "encoding = 'utf-8'\non_oversize = 'discard_line'\nline_bytes_limit = 64",
        said: b"Check a5 123456\r\nHB 34567890123456789012345678901234567890123456789012345678901\r\n\
                HB 3456789012345678901234567890123456789012345678901234567890\r\nHB R\r\n",
        told: "登录成功\r\n命令过长\r\n参数错误\r\nR\r\n".as_bytes(),
    },
    Wording {
        settings: "encoding = 'utf-8'\non_oversize = 'error_then_close'\nline_bytes_limit = 64",
        said: b"Check a6 123456\r\nHB 34567890123456789012345678901234567890123456789012345678901\r\nHB R\r\n",
        told: "登录成功\r\n命令过长\r\n".as_bytes(),
    },
    Wording {
        settings: "line_bytes_limit = 64\nencoding = 'ascii'",
        said: b"Check a7 123456\r\nHB 34567890123456789012345678901234567890123456789012345678901\r\nHB R\r\n",
        told: b"????\r\n",
    },
];

#[test]
fn every_documented_reply_is_right_to_the_byte_under_every_setting() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut text = String::new();
    for (number, wording) in WORDINGS.iter().enumerate() {
        write!(
            text,
            "[[device]]\nprotocol = \"line\"\nidentity = \"a{number}\"\nsecret = \"text:123456\"\n\
             [[listener]]\nname = \"w{number}\"\nprotocol = \"line\"\naddress = [\"127.0.0.1:0\"]\n\
             [listener.line]\n{}\n",
            wording.settings
        )
        .expect("memory");
    }
    let head_end = HeadEnd::start(directory.path(), &text);
    for (number, wording) in WORDINGS.iter().enumerate() {
        let told = head_end.told(&format!("w{number}"), wording.said);
        let expected = [WELCOME, wording.told].concat();
        assert_eq!(told, expected, "{}: {}", wording.settings, String::from_utf8_lossy(&told));
    }
    assert!(head_end.stop().success());
}
